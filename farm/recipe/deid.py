"""Recipes of pydicom/deid, read as a recipe.

A recipe has sections that begin with `%`: header actions, filters for pixels, labels, and named lists of fields. A
field is a keyword, a tag, or an expander over the fields of an instance (`endswith:Date`), which is expanded here over
the dictionary. Whatever a line says that a recipe cannot hold is told with the line's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from farm.deid.policy import Action
from farm.dicom.dictionary import vr_of
from farm.errors import BadRecipe, Reason
from farm.recipe import rules, tags
from farm.recipe.importing import Draft, Imported

_EXPANDERS: dict[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": lambda name, text: any(part in name for part in text.split("|")),
}
_PLAIN = re.compile(r"[A-Za-z0-9|]+")
_ACTIONS = {"BLANK": Action.EMPTY, "REMOVE": Action.REMOVE}
_VERBS = frozenset({"ADD", "BLANK", "JITTER", "KEEP", "REMOVE", "REPLACE"})
_WRITTEN_BY_FARM = frozenset({"PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"})
_SECTIONS = {
    "filter": "pixels are not changed by a recipe yet",
    "labels": "a label does nothing to an instance",
    "values": "lists of values are not used",
}


class _Reader:
    """Reads line by line: the section it is in, and the named lists of fields."""

    def __init__(self) -> None:
        self.draft = Draft(name="imported from deid")
        self.section = ""
        self.fields: dict[str, list[str]] = {}
        self.listed = ""

    def line(self, number: int, text: str) -> None:
        """Read one line."""
        words = text.split()
        if not words or words[0].startswith("#"):
            return
        if words[0] == "FORMAT":
            if words[1:] != ["dicom"]:
                raise BadRecipe(Reason.BAD_RECIPE, "only recipes of FORMAT dicom can be read", line=number)
        elif words[0].startswith("%"):
            self._open(number, words)
        elif self.section == "header":
            self._header(number, words)
        elif self.section == "fields":
            self._listed(number, words)
        else:
            self.draft.lose(number, words[0], _SECTIONS.get(self.section, "stands in no section"))

    def _open(self, number: int, words: list[str]) -> None:
        self.section, name = words[0][1:], " ".join(words[1:])
        self.listed = name
        if self.section == "fields":
            self.fields[name] = []
        elif self.section != "header":
            self.draft.lose(number, words[0], _SECTIONS.get(self.section, "the section is not known"))

    def _listed(self, number: int, words: list[str]) -> None:
        if words[0] == "FIELD" and len(words) == 2:
            self.fields[self.listed].append(words[1])
        else:
            self.draft.lose(number, words[0], "is no field of a list")

    def _header(self, number: int, words: list[str]) -> None:
        verb, field, value = words[0].upper(), words[1] if len(words) > 1 else "", " ".join(words[2:])
        if verb not in _VERBS or not field:
            self.draft.lose(number, words[0], "is no action")
            return
        found = self._tags(field)
        if found is None:
            self.draft.lose(number, f"{verb} {field}", "the field is not known, or chosen in a way that recipes cannot")
            return
        expanded = field.partition(":")[0] in _EXPANDERS
        for tag in found:
            if not (expanded and tag in rules.FIXED):
                self._act(number, (verb, value), tag, expanded=expanded)
        if expanded:
            self.draft.lose(number, f"{verb} {field}", f"taken for {len(found)} attributes of the dictionary, by name")

    def _act(self, number: int, action: tuple[str, str], tag: int, *, expanded: bool) -> None:
        """Carry over an action on one attribute."""
        verb, value = action
        if verb in _ACTIONS:
            self.draft.act(number, tag, _ACTIONS[verb])
        elif verb == "KEEP":
            self.draft.spare(number, tag)
        elif verb == "JITTER" and not (expanded and vr_of(tag) not in {"DA", "DT", "TM"}):
            if re.fullmatch(r"[-+]?[0-9]{1,5}", value):
                self.draft.shift(number, tag, int(value))
            else:
                self.draft.drop(number, tag, "JITTER: the days are no number")
        elif verb in {"ADD", "REPLACE"}:
            self._replace(number, action, tag)

    def _replace(self, number: int, action: tuple[str, str], tag: int) -> None:
        verb, value = action
        if verb == "ADD" and tags.named(tag) in _WRITTEN_BY_FARM:
            return
        if value.startswith(("func:", "deid_func:")) and vr_of(tag) == "UI":
            self.draft.act(number, tag, Action.UID)
        elif verb == "REPLACE" and value.startswith(("var:", "func:", "deid_func:")) and tag in rules.FIXED:
            if value.startswith("var:"):
                self.draft.lose(number, tags.named(tag), f"a value given from outside; here {rules.FIXED[tag]}")
        else:
            kind = value.partition(":")[0] if ":" in value else "a constant"
            self.draft.drop(number, tag, f"{verb}: {kind} is not written")

    def _tags(self, field: str) -> list[int] | None:
        """Return the attributes that a field stands for; None where that cannot be told."""
        kind, _, text = field.partition(":")
        if not text:
            try:
                return [tags.read(field, "")]
            except BadRecipe:
                return None
        if kind == "fields" and text in self.fields:
            found = [self._tags(one) for one in self.fields[text]]
            return None if None in found else sorted({tag for one in found if one for tag in one})
        if kind in _EXPANDERS and _PLAIN.fullmatch(text):
            matches, wanted = _EXPANDERS[kind], text.lower()
            return [tag for tag in tags.known() if tag >> 16 > 4 and matches(tags.keyword(tag).lower(), wanted)]
        return None


def read(text: str) -> Imported:
    """Return a recipe of pydicom/deid as a recipe; raise `BadRecipe` where it is none."""
    reader = _Reader()
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        reader.line(number, line)
    if not any(line.split()[:1] == ["FORMAT"] for line in lines):
        raise BadRecipe(Reason.BAD_RECIPE, "the file is no recipe of pydicom/deid: it has no FORMAT")
    return reader.draft.finished()
