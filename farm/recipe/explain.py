"""What a recipe does to one attribute, and why: the layer that decides, and the row of the standard.

The policy that answers here is the one that the walk asks, with the Types of the same SOP class at the same place. What
encloses an attribute comes first: nothing in a sequence that is removed can stay. Where a code is compound (`X/Z/D`)
and no SOP class is given, the answer is told for every Type.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom._uid_dict import UID_dictionary

from farm.deid import resolve
from farm.deid.policy import TEMPORAL_VRS, Action, Decision
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.recipe import rules, tags
from farm.recipe.recipe import Recipe
from farm.recipe.refusals import nearest, refusal

_MEANS = {
    Action.KEEP: "kept as it is",
    Action.REMOVE: "removed",
    Action.EMPTY: "emptied",
    Action.DUMMY: "replaced by a dummy value",
    Action.UID: "replaced by a new UID",
    Action.CLEAN: "cleaned",
}
_MEANT_BY_KIND = {
    "private": {Action.CLEAN: "kept where it is known to be safe, else removed"},
    "temporal": {Action.CLEAN: "modified as the recipe's dates are"},
    "SQ": {
        Action.KEEP: "kept, and each attribute in its items decided on its own",
        Action.CLEAN: "kept, and each attribute in its items decided on its own",
        Action.UID: "kept, and the UIDs in its items replaced",
        Action.DUMMY: "replaced by one item of dummy values",
    },
}
_IN_ITEMS = {Action.KEEP, Action.CLEAN, Action.UID}
_BY_TYPE = ("1", "2", "3")
_SOP_CLASSES = {entry[4]: uid for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class"}
_SOP_CLASSES |= {entry[0]: uid for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class"}
# What the walk does with a few attributes of the data set itself, whatever their row says.
_SUBJECT = {
    0x00100010: "where it has a value, the subject's pseudonym stands in it",
    0x00100020: "the subject's pseudonym stands in it",
}
_NOTES = rules.FIXED | _SUBJECT
_ROWS = {pattern: (code, columns) for pattern, code, columns in ROWS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What happens to an attribute; `enclosing` is what decides instead, a sequence around it and its decision.

    `mandatory` is what would happen without the recipe's own rule. `row` is the attribute's of table E.1-1; `by_type`
    the action for each Type of a compound code; `type_` the Type found.
    """

    tag: int
    vr: str
    decision: Decision
    mandatory: Decision
    enclosing: tuple[int, Decision] | None
    row: str
    type_: str | None
    by_type: tuple[tuple[str, str], ...]
    note: str

    def to_dict(self) -> dict[str, object]:
        """Return it as an object for JSON."""
        decided = self.enclosing[1] if self.enclosing else self.decision
        return {
            "tag": tags.written(self.tag),
            "keyword": tags.keyword(self.tag),
            "vr": self.vr,
            "action": decided.action.value,
            "means": means(decided.action, self.tag, "SQ") if self.enclosing else self._means(decided),
            "layer": decided.layer,
            "rule": decided.rule,
            "enclosing": tags.named(self.enclosing[0]) if self.enclosing else "",
            "mandatory": self.mandatory.action.value,
            "row": self.row,
            "type": self.type_ or "",
            "by_type": dict(self.by_type),
            "note": self.note,
        }

    def lines(self) -> list[str]:
        """Return it as lines for people."""
        told = [f"{tags.written(self.tag)} {tags.keyword(self.tag) or '(no keyword)'}, VR {self.vr}"]
        if self.enclosing:
            tag, decision = self.enclosing
            meant = means(decision.action, tag, "SQ")
            return [*told, f"gone with {tags.named(tag)}, which is {_told(meant, decision)}"]
        told.append(_told(self._means(self.decision), self.decision))
        if self.decision.layer == "recipe":
            told.append(f"without the recipe's own rule: {_told(self._means(self.mandatory), self.mandatory)}")
        if self.row:
            told.append(f"row of table E.1-1: {self.row}")
        if self.type_:
            told.append(f"Type {self.type_} at this place of the SOP class")
        elif self.by_type:
            told.append(f"by Type: {', '.join(f'{type_} {letter}' for type_, letter in self.by_type)}")
        if self.note:
            told.append(f"in the data set itself: {self.note}")
        return told

    def _means(self, decision: Decision) -> str:
        """Return in words what becomes of the attribute: the row of a subject's does not tell of the pseudonym."""
        is_subject = self.tag in _SUBJECT and bool(self.note)
        return "replaced by the subject's pseudonym" if is_subject else means(decision.action, self.tag, self.vr)


def explain(recipe: Recipe, tag: int, sop_class: str = "", path: Sequence[int] = ()) -> Explanation:
    """Return what happens to an attribute below the sequences of a path, in instances of a SOP class (a UID)."""
    types, policy, vr = resolve.types(sop_class), recipe.policy, vr_of(tag)
    enclosing = None
    for depth, sequence in enumerate(path):
        decision = policy.decide(sequence, vr_of(sequence), tuple(path[:depth]), types)
        if decision.action not in _IN_ITEMS:
            enclosing = (sequence, decision)
            break
    code, columns = _ROWS.get(pattern_of(tag), ("", ""))
    mandatory = policy.settled(tag, vr, tuple(path), types)
    by_type = [(type_, resolve.action(code, type_, vr, known=True)) for type_ in _BY_TYPE] if "/" in code else []
    return Explanation(
        tag=tag,
        vr=vr,
        decision=policy.decide(tag, vr, tuple(path), types),
        mandatory=mandatory,
        enclosing=enclosing,
        row=_row(code, columns),
        type_=types.of(tuple(path), tag) if code else None,
        by_type=tuple(by_type if mandatory.layer == "profile" and not types.known else ()),
        note="" if path else _NOTES.get(tag, ""),
    )


def means(action: Action, tag: int, vr: str) -> str:
    """Return in words what an action does to an attribute."""
    kind = "private" if tag >> 16 & 1 else "temporal" if vr in TEMPORAL_VRS else vr
    return _MEANT_BY_KIND.get(kind, {}).get(action) or _MEANS[action]


def pattern_of(tag: int) -> str:
    """Return how table E.1-1 writes a tag: groups that repeat by a pattern, private ones as `odd`."""
    text = f"{tag:08x}"
    if tag >> 16 & 1:
        return "odd"
    for pattern in (f"{text[:2]}xx{text[4:]}", f"{text[:2]}xxxxxx"):
        if pattern in _ROWS:
            return pattern
    return text


def sop_class_uid(text: str) -> str:
    """Return the UID of a SOP class given by UID, name or keyword; raise `BadRecipe` where the name is none."""
    if text in UID_dictionary or not text.strip("0123456789."):
        return text
    uid = _SOP_CLASSES.get(text)
    if uid is None:
        raise refusal("--sop-class", f"there is no such SOP class; {nearest(text, _SOP_CLASSES, 'give its UID')}")
    return uid


def path_of(text: str) -> tuple[int, ...]:
    """Return the tags of the sequences of a path like `ReferencedStudySequence/(0008,1199)`."""
    path = tuple(tags.read(part, "--path") for part in text.split("/") if part)
    for tag in path:
        if vr_of(tag) not in {"SQ", "UN"}:
            raise refusal("--path", f"{tags.named(tag)} is no sequence")
    return path


def _row(code: str, columns: str) -> str:
    if not code:
        return ""
    told = [f"Basic {code}"]
    for column in columns.split():
        name, letter = column.replace("_", "-").split("=")
        told.append(f"{name} {letter}")
    return ", ".join(told)


def _told(meant: str, decision: Decision) -> str:
    return f"{meant} ({decision.action.value}) by {decision.layer}: {decision.rule}"
