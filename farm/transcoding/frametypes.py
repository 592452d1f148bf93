"""Frame Type, which says of each frame what Image Type says of all (PS3.3 C.8.16.1), where its pixels become others.

It stands in an item of a functional group: shared by all frames, or of one of them (PS3.3 C.7.6.16).
"""

from __future__ import annotations

from functools import cache

from farm.dicom.editor import Onlooker
from farm.dicom.elements import EXPLICIT, Dialect
from farm.dicom.grammar import SOMEWHERE, Edit, Path, Plan, Rule
from farm.dicom.splice import Walk

FRAME_TYPE = 0x00089007
_GROUPS = frozenset({0x52009229, 0x52009230})
"""Shared and Per-Frame Functional Groups Sequence."""
_TAG = bytes.fromhex("08000790")
_DEEP = 2  # the functional groups, and the sequence of one of them


def derived(head: bytes) -> list[Edit]:
    """Return the edits of a head, explicit VR little endian, after which each Frame Type says DERIVED."""
    if head.find(_TAG) < 0:
        return []
    walk = Walk(head, _plan(), _Deriving())
    walk.run(0, len(head))
    return [edit for edit in walk.edits if edit[2]]  # others pass over a sequence that is none of these


@cache
def _plan() -> Plan:
    return Plan(_Typed(), EXPLICIT)


class _Typed:
    """Rules that ask about Frame Type in functional groups and enter no other sequence."""

    def rule(self, tag: int, vr: str, path: Path) -> Rule:
        """Ask, or pass over it."""
        if path:
            return Rule.ASK if tag == FRAME_TYPE and len(path) == _DEEP else Rule.KEEP
        return Rule.CUT if vr == "SQ" and tag not in _GROUPS else Rule.KEEP

    def swap(self, tag: int, vr: str, path: Path, dialect: Dialect) -> bytes:
        """Never asked for."""
        del tag, vr, path, dialect
        return b""

    def place(self, path: Path) -> Path:
        """Treat all items alike that are deeper."""
        return path if len(path) <= _DEEP else SOMEWHERE


class _Deriving(Onlooker):
    """Says DERIVED where a value says something else."""

    def ask(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """Return the value with another first one; nothing stays nothing."""
        del tag, vr
        first, *rest = value.strip(b"\0 ").split(b"\\")
        return b"\\".join([b"DERIVED", *rest]) if first.strip() not in {b"", b"DERIVED"} else value
