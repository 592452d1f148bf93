"""The policy: the action that PS3.15 table E.1-1 gives to each attribute.

A policy answers for a tag alone. An attribute that the table does not list is kept: that is what the Basic Profile says
to the letter (E.1.1); presets that are stricter are built from the same answers. Beyond the table's rows it holds the
rules of E.1.1's prose that need no value: group lengths go, group 0004 goes outside a DICOMDIR, File Meta Information
and command elements do not belong in a data set.

Compound codes (`X/Z/D`) depend on an attribute's Type in the IOD at hand. `resolved` picks an action that every Type
allows: a dummy is valid where an empty value or an absence is asked for (E.1.1 table note on the codes), and an empty
sequence stands where the table gives the choice between removing and emptying.
"""

from __future__ import annotations

from enum import StrEnum

from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of


class Action(StrEnum):
    """What happens to an attribute; the letters are PS3.15's (E.1.1)."""

    KEEP = "K"
    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"


# An overlay or curve without its data breaks its module, so the whole repeating group goes with it (E.1.1 note 1).
_REPEATING_REMOVED = frozenset({0x5000, 0x6000})
_GROUPS_REMOVED = frozenset({0x0000, 0x0002, 0x0004})
_ODD = "odd"


def resolved(code: str, vr: str) -> Action:
    """Return the one action of a code of table E.1-1 that is valid whatever the attribute's Type."""
    choices = code.split("/")
    if "U*" in choices:
        return Action.KEEP  # the sequence stays, and the UIDs in its items are replaced
    if vr == "SQ" and "Z" in choices:
        return Action.EMPTY
    return Action(choices[-1])


_LISTED: dict[int, Action] = {
    int(pattern, 16): resolved(code, vr_of(int(pattern, 16)))
    for pattern, code, _ in ROWS
    if pattern != _ODD and "x" not in pattern
}


def basic(tag: int) -> Action:
    """Return the Basic Profile's action for a tag, at any depth."""
    group = tag >> 16
    if group & 1 or not tag & 0xFFFF or group in _GROUPS_REMOVED:
        return Action.REMOVE
    listed = _LISTED.get(tag)
    if listed is not None:
        return listed
    if group & 0xFF00 in _REPEATING_REMOVED:
        return Action.REMOVE
    return Action.KEEP
