"""Reading elements to learn their layout: slow, plain, and only what a chunk can hold.

What a chunk cannot hold ends the trace: an element out of order or out of place, one of undefined length that is no
sequence, a value that could be a sequence, and of the facts a sequence.
"""

from __future__ import annotations

from farm.deid.gate.chunks import ITEM, Element
from farm.deid.gate.grammar import Grammar, Unreadable
from farm.dicom.elements import ITEM_END, UNDEFINED, Data


class Trace:
    """The headers of a run, in the order in which they stand; its last tag, and how deep its sequences are nested."""

    __slots__ = ("_data", "depth", "last", "run")

    def __init__(self, data: Data) -> None:
        self._data = data
        self.run: list[Element] = []
        self.last = -1
        self.depth = 0

    def adds(self, at: int, limit: int, grammar: Grammar) -> bool:
        """Add one element with all that is in it; return False where a chunk cannot hold it."""
        length = len(self.run)
        try:
            self.element(at, limit, grammar)
        except Unreadable:
            del self.run[length:]
            return False
        self.last = self.run[length].tag
        return True

    def element(self, at: int, limit: int, grammar: Grammar, depth: int = 0) -> int:
        """Trace one element with all that is in it; return where it ends, and raise `Unreadable` where none can be."""
        data = self._data
        kind = grammar.kind_of(data[at : at + 8])
        tag, vr, size, heap, _, odd, items = kind
        value = at + size
        field = data[at + 6 : value] if size == 8 and grammar.dialect.explicit else data[value - 4 : value]
        length = int.from_bytes(field, grammar.order)
        end = value + length
        if odd or items is None or len(field) < 2 or (length != UNDEFINED and end > limit):
            raise Unreadable
        if vr == "SQ" and tag not in grammar.facts:
            self._mark(at, value, tag)
            return self._sequence(value, end if length != UNDEFINED else -1, limit, items, depth + 1)
        if vr == "SQ" or length == UNDEFINED or (vr == "UN" and data[value : value + 4] == ITEM):
            raise Unreadable
        self.run.append(Element(at, value, end, heap, vr, tag, tag in grammar.facts))
        return end

    def _mark(self, at: int, end: int, tag: int) -> None:
        """Add what opens or closes something."""
        self.run.append(Element(at, end, end, 0, "", tag, fact=False))

    def _sequence(self, at: int, end: int, limit: int, grammar: Grammar, depth: int) -> int:
        data, dialect = self._data, grammar.dialect
        self.depth = max(self.depth, depth)
        while at != end:
            mark, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], grammar.order)
            self._mark(at, at + 8, 0)
            at += 8
            if mark == dialect.end_mark and end < 0:
                return at
            if mark != dialect.item_mark:
                raise Unreadable
            at = self.item(at, length, end if end >= 0 else limit, grammar, depth)
        return at

    def item(self, at: int, length: int, limit: int, grammar: Grammar, depth: int = 0) -> int:
        """Trace the content of an item, its delimiter included; return where it ends."""
        end = at + length if length != UNDEFINED else limit
        if end > limit:
            raise Unreadable
        last = -1
        while at < end:
            tag = grammar.kind_of(self._data[at : at + 8]).tag
            if tag == ITEM_END and length == UNDEFINED:
                self._mark(at, at + 8, tag)
                return at + 8
            if tag <= last or tag >> 16 == 0xFFFE:
                raise Unreadable
            last, at = tag, self.element(at, end, grammar, depth)
        if at != end or length == UNDEFINED:
            raise Unreadable
        return at
