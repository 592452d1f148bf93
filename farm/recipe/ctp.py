"""Scripts of the CTP DicomAnonymizer, read as a recipe.

A script is XML: `e` has the script of an element, `p` a parameter, `k` keeps a group, `r` removes a kind of elements.
What has `en="F"` is switched off, and has no rule: it is kept there, which is told where the profile does otherwise.
CTP's hashes and the farm's replacements differ in their values and agree in their purpose. No entity is ever expanded,
as a document type is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.parsers import expat

from farm.deid.policy import Action
from farm.errors import BadRecipe, Reason
from farm.recipe import tags
from farm.recipe.importing import Draft, Imported

_TAG = re.compile(r"[(\[]?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})[)\]]?")
_CALL = re.compile(r"@(\w+)\s*\((.*)\)\s*", re.DOTALL)
_PARAMETER = re.compile(r"@(\w+)")
_UID = re.compile(r"[012](\.(0|[1-9][0-9]*))+")
_LONGEST_ROOT = 33
_NO_EFFECT = frozenset({"curves", "overlays", "privategroups"})
_PATIENT_ID = 0x00100020
_ACTIONS = {"remove": Action.REMOVE, "empty": Action.EMPTY, "blank": Action.EMPTY, "hashuid": Action.UID}
_WHY = {
    "append": "values are not put together",
    "contents": "an element's value is not copied to another",
    "date": "an output holds no clock",
    "dateinterval": "dates move by one shift",
    "if": "a rule has no condition",
    "initials": "nothing is derived from a name",
    "integer": "nothing is counted for an element",
    "lookup": "a table is for subjects: see subject.pseudonym crosswalk",
    "modifydate": "a date's parts are not set one by one",
    "param": "a constant is not written",
    "quarantine": "an element does not decide about quarantine",
    "require": "an absent element is not made",
    "select": "a rule has no condition",
    "skip": "an element does not decide about its instance",
    "time": "an output holds no clock",
    "value": "an element's value is not copied to another",
}


@dataclass(slots=True)
class _Element:
    """An element of the script as it is read."""

    kind: str
    attributes: dict[str, str]
    line: int
    text: str = ""


def read(text: str) -> Imported:
    """Return a script as a recipe; raise `BadRecipe` where it is no script of CTP."""
    there = _elements(text)
    elements = [element for element in there if _is_on(element)]
    parameters = {one.attributes.get("t", ""): one.text.strip() for one in elements if one.kind == "p"}
    draft = Draft(name="imported from CTP")
    for element in elements:
        if element.kind == "e":
            _element(draft, element, parameters)
        elif element.kind in {"k", "r"}:
            _kind(draft, element)
        elif element.kind not in {"p", "script"}:
            draft.lose(element.line, element.kind, "is not known")
    if not draft.unlisted_removed:  # else they go with what has no script
        _switched_off(draft, [element for element in there if element.kind == "e" and not _is_on(element)])
    return draft.finished()


def _is_on(element: _Element) -> bool:
    return element.attributes.get("en", "T").upper() == "T"


def _switched_off(draft: Draft, elements: list[_Element]) -> None:
    """Tell of the elements that a script leaves as they are, and the profile does not."""
    for element in elements:
        tag = _TAG.fullmatch(element.attributes.get("t", ""))
        if tag and (number := int(tag[1] + tag[2], 16)) not in draft.attributes:
            draft.spare(element.line, number)


def _elements(text: str) -> list[_Element]:
    """Return the XML elements of a script in their order."""
    found: list[_Element] = []
    inner: list[_Element] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(kind: str, attributes: dict[str, str]) -> None:
        found.append(_Element(kind, attributes, parser.CurrentLineNumber))
        inner.append(found[-1])

    def characters(data: str) -> None:
        inner[-1].text += data

    def refuse(*_: object) -> None:
        raise BadRecipe(Reason.BAD_RECIPE, "the script has a document type", line=parser.CurrentLineNumber)

    parser.StartElementHandler, parser.CharacterDataHandler = start, characters
    parser.EndElementHandler = lambda _: inner.pop()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)  # noqa: FBT003 - expat's
    except expat.ExpatError as error:
        raise BadRecipe(Reason.BAD_RECIPE, "the script is not valid XML", line=error.lineno) from None
    if found[0].kind != "script":
        raise BadRecipe(Reason.BAD_RECIPE, "the file is no script of the CTP DicomAnonymizer")
    return found


def _kind(draft: Draft, element: _Element) -> None:
    """Carry over what is kept or removed as a kind."""
    name = element.attributes.get("t", "")
    if element.kind == "k":
        why = "is kept there but for elements with a script; here what E.1-1 lists follows the profile"
        draft.lose(element.line, f"group {name}", why)
    elif name == "unspecifiedelements":
        draft.unlisted_removed = True
        why = "here those that could carry text or a date are removed, numbers and known terms stay"
        draft.lose(element.line, name, why)
    elif name not in _NO_EFFECT:
        draft.lose(element.line, name, "is not known")


def _element(draft: Draft, element: _Element, parameters: dict[str, str]) -> None:
    """Carry over the script of one element."""
    given, line = element.attributes.get("t", ""), element.line
    tag = _TAG.fullmatch(given)
    if not tag:
        why = "private attributes are kept as table E.3.10-1 lists them: see the option retain-safe-private"
        draft.lose(line, given if given.isprintable() else "an element", why)
        return
    number = int(tag[1] + tag[2], 16)
    script = element.text.strip().removeprefix("@always()").strip()
    call = _CALL.fullmatch(script)
    if not call or "}" in script:
        name = _PARAMETER.match(script)
        why = _WHY.get(name[1], "the function is not known") if name else "a constant is not written"
        draft.drop(line, number, f"{'@' + name[1] + ': ' if name else ''}{why}")
        return
    _call(draft, line, number, (call[1].lower(), [part.strip() for part in call[2].split(",")]), parameters)


def _call(draft: Draft, line: int, tag: int, call: tuple[str, list[str]], parameters: dict[str, str]) -> None:
    """Carry over one function."""
    function, arguments = call
    if function == "hashuid":
        _root(draft, line, _value(arguments[0], parameters))
    if function in _ACTIONS:
        draft.act(line, tag, _ACTIONS[function])
    elif function in {"keep", "process"}:
        draft.spare(line, tag)
    elif function == "incrementdate" and len(arguments) == 2 and arguments[0] == "this":
        days = _value(arguments[1], parameters)
        if re.fullmatch(r"[-+]?[0-9]{1,5}", days):
            draft.shift(line, tag, int(days))
        else:
            draft.drop(line, tag, "@incrementdate: the days are no number")
    elif function == "require":
        draft.spare(line, tag)
        draft.lose(line, tags.named(tag), f"@require: {_WHY['require']}")
    elif not (tag == _PATIENT_ID and function in {"hashptid", "hash", "integer", "lookup"}):
        why = _WHY.get(function) or ("a hash is not written" if function.startswith("hash") else "is not known")
        draft.drop(line, tag, f"@{function}: {why}")
    elif function in {"integer", "lookup"}:
        draft.lose(line, tags.named(tag), f"@{function}: here keyed; see subject.pseudonym number and crosswalk")


def _root(draft: Draft, line: int, root: str) -> None:
    """Carry over the root of new UIDs; one recipe has one."""
    if draft.root and root == draft.root:
        return
    if _UID.fullmatch(root) and len(root) <= _LONGEST_ROOT and not draft.root:
        draft.root = root
    elif root not in {"", "this"}:
        draft.lose(line, "@hashuid", "its root is no UID, too long, or another than before: see uids.root")


def _value(argument: str, parameters: dict[str, str]) -> str:
    name = argument.strip('"').removeprefix("@")
    return parameters.get(name, argument.strip('"')).strip()
