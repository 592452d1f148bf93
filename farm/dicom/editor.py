"""What a walk asks of whoever edits: all that cannot be known from a header alone.

The rules of a `Grammar` say what becomes of an element by where it stands. Where its value decides, the walk asks an
`Editor`, which lives for one instance.
"""

from __future__ import annotations

from typing import Protocol

from farm.dicom.elements import Dialect

OTHER = b"other"
"""The answer that there is none: what the rules give takes the element's place. To be compared with `is`."""


class Editor(Protocol):
    """What decides by value, for one instance.

    `answers` remembers, by a whole element, what took its place (None: it stayed; `OTHER`), as long as the editor would
    answer the same; None where it might not. UIDs are always asked about: they are recorded.
    """

    answers: dict[bytes, bytes | None] | None

    def ask(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """Return the new value of an ASK element; None: there is none, and what the rules give takes its place."""

    def judge(self, tag: int, vr: str, value: bytes, item: int) -> bool:
        """Tell whether a private element stays as it is; each item has a number of its own.

        Of a sequence the value is not given: one that stays is entered.
        """

    def kind(self, tag: int, start: int, end: int) -> int:
        """Return of what kind an item of a sequence is that is told apart: a negative number; 0: the item goes.

        Its content begins and ends at these offsets; -1: at its delimiter.
        """

    def insert(self, phase: int, dialect: Dialect) -> bytes:
        """Return the encoded elements to insert where the given phase ends."""

    def settle(self, tag: int, vr: str) -> str:
        """Return the one VR of an attribute whose dictionary VR is a choice, such as `US or SS`."""


class Onlooker:
    """An editor for a walk that only looks: it changes nothing."""

    answers: dict[bytes, bytes | None] | None = None

    def ask(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """Leave the value."""
        del tag, vr
        return value

    def judge(self, tag: int, vr: str, value: bytes, item: int) -> bool:
        """Leave it."""
        del tag, vr, value, item
        return True

    def kind(self, tag: int, start: int, end: int) -> int:
        """Pass over it: what a stretch is learned from holds no item that is told apart."""
        del tag, start, end
        return 0

    def insert(self, phase: int, dialect: Dialect) -> bytes:
        """Insert nothing."""
        del phase, dialect
        return b""

    def settle(self, tag: int, vr: str) -> str:
        """Leave the VR."""
        del tag
        return vr
