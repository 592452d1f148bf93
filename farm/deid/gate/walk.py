"""The gate's own reader: it puts every value of a data set on the heap that the reading names (PS3.5 section 7).

The same loop reads sources and outputs. What to do with an element is remembered by its first eight bytes (tag, VR,
length), and whole runs of elements by all their headers (`chunks`). A sequence that is gone as a whole is read flat:
its items and the sequences in it are passed like elements, for all their values go the same way.

An output is held to more than a source: its tags ascend at every level, and it has no attribute that may not be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Literal, Self

from farm.deid.gate.chunks import ITEM, Chunk, Values
from farm.deid.gate.grammar import Grammar, Kind, Unreadable
from farm.deid.gate.reading import Heap, Place, Reading
from farm.deid.gate.trace import Trace
from farm.dicom.elements import ITEM_END, MAX_DEPTH, SEQUENCE_END, UNDEFINED, Data, Dialect

PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_FRAGMENTED = frozenset({"OB", "OW", "OF", "OD", "OL", "OV"})
_ITEM_MARKS = frozenset({0xFFFEE000, ITEM_END})
_DELIMITER = bytes.fromhex("feffdde000000000")
_HEAPS = len(Heap)
_HEADERS = 48  # of a chunk at the top level
_LONGEST, _SHORTEST = 4_096, 64  # bytes of a top-level element, or an item's content, that a chunk may hold
Path = tuple[int, ...]


def fragments(read: Callable[[int, int], bytes], at: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield where each fragment begins and ends (PS3.5 A.4), up to the delimiter of 8 bytes."""
    while at + 8 <= limit:
        head = read(at, at + 8)
        if head == _DELIMITER:
            return
        end = at + 8 + int.from_bytes(head[4:], "little")
        if head[:4] != ITEM or end > limit:
            break
        yield at + 8, end
        at = end
    raise Unreadable


@lru_cache(maxsize=64)
def grammar_of(reading: Reading, dialect: Dialect, *, is_output: bool) -> Grammar:
    """Return the grammar of the top level of sources or outputs."""
    return Grammar(reading, dialect, is_output=is_output)


class Walk:
    """One walk over a data set: what is on its heaps, its facts, where its pixel values are, what is wrong with it.

    `pixels` is (offset, length) of the value, with length -1 where it is made of fragments. The walk stops behind its
    header: how far fragments reach is the caller's to find out. `reach` is where it stood when it looked at an element
    last that is not passed by its first bytes alone.
    """

    __slots__ = ("_adds", "_data", "_last", "_open", "_order", "facts", "heaps", "pixels", "problems", "reach")

    def __init__(self, data: Data) -> None:
        self._data = data
        self.heaps: list[list[bytes]] = [[] for _ in range(_HEAPS)]
        self._adds: list[Callable[[bytes], None]] = [heap.append for heap in self.heaps]
        self._last = -1
        self._open: list[int] = []  # where the sequences around stand
        self._order: Literal["little", "big"] = "little"
        self.facts: dict[int, bytes] = {}
        self.pixels: tuple[int, int] | None = None
        self.problems: list[tuple[str, int, Path]] = []
        self.reach = 0

    def run(self, at: int, end: int, top: Grammar, last: int = -1) -> None:
        """Read the top level between two offsets, or up to the pixel values."""
        self._last, self._order = last, top.order
        chunks = top.chunks
        while at < end and self.pixels is None:
            fitting = chunks.fitting(self._data, at, end) if chunks else None
            at = self._chunk(at, *fitting) if fitting else self._lesson(at, end, top)

    def more(self, data: bytes, top: Grammar, last: int) -> None:
        """Read elements that stand elsewhere, behind the pixel values."""
        pixels, self._data, self.pixels = self.pixels, data, None
        self.run(0, len(data), top, last)
        if self.pixels is not None:
            self.problems.append(("structure", last, ()))
        self.pixels = pixels

    def _chunk(self, at: int, chunk: Chunk, values: Values) -> int:
        """Take over the values of a run of elements that a chunk fits."""
        if not self._open:
            if chunk.first <= self._last:
                self._wrong("order", at)
            self._last = chunk.last
            for tag, place in chunk.facts:
                self.facts.setdefault(tag, values[place])
        heaps = self.heaps
        for heap, pick in chunk.picks:
            heaps[heap] += pick(values)
        return at + chunk.size

    def _lesson(self, at: int, end: int, top: Grammar) -> int:
        """Read a top-level element; where a chunk is to be learnt here, read as many as it may have and learn them."""
        data, chunks, trace = self._data, top.chunks, Trace(self._data)
        learning = chunks is not None and chunks.wants(data[at : at + 8])
        while at < end and len(trace.run) < _HEADERS:
            kind = top.kind_of(data[at : at + 8])
            if kind.tag in PIXELS:
                self._pixels(at, kind, top)
                break
            learning = learning and kind.tag > self._last and trace.adds(at, min(end, at + _LONGEST), top)
            at = self._elements(at, end, top, self._last, most=1)
            self._last = kind.tag
            if not learning:
                break
        if chunks:
            chunks.learn(data, trace.run, trace.last, trace.depth)
        return at

    def _elements(  # noqa: C901, PLR0912, PLR0913 - one loop, and what it goes by
        self, at: int, limit: int, grammar: Grammar, last: int = -1, *, delimited: bool = False, most: int = -1
    ) -> int:
        """Read elements up to an offset, or to the delimiter that ends their item, or so many."""
        data, adds, step_of, order = self._data, self._adds, grammar.steps.get, grammar.order
        while at < limit and most:
            most -= 1
            head = data[at : at + 8]
            step = step_of(head)
            if step:
                span, heap, tag, items = step
                if tag <= last:
                    self._wrong("order", at)
                last = tag
                if span:
                    if heap:
                        adds[heap](data[at + 8 : at + span])
                    at += span
                    continue
                value = at + 12
                length = int.from_bytes(data[at + 8 : value], order)
                end = value + length
                if items:
                    at = self._sequence(at, value, end if length != UNDEFINED else -1, limit, items)
                    continue
                if end <= limit and data[value : value + 4] != ITEM:
                    if heap:
                        adds[heap](data[value:end])
                    at = end
                    continue
            self.reach = at
            kind = grammar.kind_of(head)
            tag = kind.tag
            if tag >> 16 == 0xFFFE:
                if tag == ITEM_END and delimited:
                    return at + 8
                raise Unreadable
            if not step:
                if head in grammar.steps:
                    most += 1
                    continue
                if tag <= last:
                    self._wrong("order", at)
                last = tag
            at = self._special(at, limit, kind, grammar)
        if at > limit or delimited:
            raise Unreadable
        return at

    def _wrong(self, what: str, at: int) -> None:
        """Write down that something is wrong with the element at an offset."""
        self.problems.append((what, self._tag(at), self._places()))

    def _tag(self, at: int) -> int:
        first, second = self._data[at : at + 2], self._data[at + 2 : at + 4]
        return int.from_bytes(first, self._order) << 16 | int.from_bytes(second, self._order)

    def _places(self) -> Path:
        """Return the tags of the sequences that are open."""
        return tuple(self._tag(at) for at in self._open)

    def _put(self, kind: Kind, value: bytes) -> None:
        """Put a value on its heap."""
        self._adds[kind.heap](value)

    def _pixels(self, at: int, kind: Kind, grammar: Grammar) -> None:
        """Remember where the pixel values stand."""
        if kind.tag <= self._last:
            self._wrong("order", at)
        length = self._length(at, kind, grammar)
        self.pixels = (at + kind.size, -1 if length == UNDEFINED else length)

    def _length(self, at: int, kind: Kind, grammar: Grammar) -> int:
        """Return the length that an element's header tells."""
        first = at + 6 if kind.size == 8 and grammar.dialect.explicit else at + kind.size - 4
        field = self._data[first : at + kind.size]
        if len(field) < 2:
            raise Unreadable
        return int.from_bytes(field, grammar.order)

    def _special(self, at: int, limit: int, kind: Kind, grammar: Grammar) -> int:
        """Read an element that needs more than its first eight bytes."""
        tag, vr, size, _, unknown, odd, items = kind
        value, length = at + size, self._length(at, kind, grammar)
        if odd:
            self._wrong(odd, at)
        if items is None:
            raise Unreadable
        if length == UNDEFINED:
            if vr in _FRAGMENTED and not unknown:
                return self._fragments(at, limit, kind)
            return self._sequence(at, value, -1, limit, items)
        end = value + length
        if end > limit:
            raise Unreadable
        if vr == "SQ":
            self._sequence(at, value, end, limit, items)
        elif vr == "UN" and self._data[value : value + 4] == ITEM:
            self._guess(at, kind, end, items)
        else:
            self._put(kind, self._data[value:end])
        if tag in grammar.facts:
            self.facts.setdefault(tag, self._data[value:end])
        return end

    def _fragments(self, at: int, limit: int, kind: Kind) -> int:
        """Read encapsulated fragments that are not the instance's own pixels, an icon's for example."""
        behind = at + kind.size
        for fragment, behind in fragments(lambda first, last: self._data[first:last], at + kind.size, limit):
            self._put(kind, self._data[fragment:behind])
        return behind + 8

    def _guess(self, at: int, kind: Kind, end: int, items: Grammar) -> None:
        """Read an unknown value as the sequence it may be; where it is none it is bytes."""
        inside = type(self)(self._data)
        inside._open, inside._order = list(self._open), self._order  # noqa: SLF001 - another of its kind
        try:
            inside._sequence(at, at + kind.size, end, end, items)  # noqa: SLF001
        except Unreadable:
            self._put(kind, self._data[at + kind.size : end])
            return
        self._take(inside)

    def _take(self, inside: Self) -> None:
        """Take over what another walk found."""
        self.problems += inside.problems
        for heap, found in zip(self.heaps, inside.heaps, strict=True):
            heap.extend(found)

    def _sequence(self, at: int, value: int, end: int, limit: int, items: Grammar) -> int:
        """Read a sequence; `end` is -1 where a delimiter ends it."""
        if len(self._open) >= MAX_DEPTH or end > limit:
            raise Unreadable
        self._open.append(at)
        end = (self._gone if items.place is Place.GONE else self._items)(value, end, limit, items)
        self._open.pop()
        return end

    def _gone(self, at: int, end: int, limit: int, grammar: Grammar) -> int:
        """Read a sequence flat: all values in it go the same way, whatever holds them."""
        data, adds, step_of, order = self._data, self._adds, grammar.steps.get, grammar.order
        stop, open_ended = (end, 0) if end >= 0 else (limit, 1)
        while at < stop:
            head = data[at : at + 8]
            step = step_of(head)
            if step:
                span, heap, _, items = step
                if span:
                    if heap:
                        adds[heap](data[at + 8 : at + span])
                    at += span
                    continue
                if items is grammar:  # a sequence written as UN has another
                    length = int.from_bytes(data[at + 8 : at + 12], order)
                    at, open_ended = at + 12, open_ended + (length == UNDEFINED)
                    continue
            self.reach = at
            kind = grammar.kind_of(head)
            if kind.tag == SEQUENCE_END:
                at, open_ended = at + 8, open_ended - 1
                if end < 0 and not open_ended:
                    return at
            elif kind.tag in _ITEM_MARKS:
                at += 8
            elif step or head not in grammar.steps:
                at = self._special(at, stop, kind, grammar)
        if at != stop or end < 0:
            raise Unreadable
        return at

    def _items(self, at: int, end: int, limit: int, grammar: Grammar) -> int:
        """Read items up to an offset, or with -1 to the delimiter."""
        data, order, item_mark = self._data, grammar.order, grammar.dialect.item_mark
        limit = end if end >= 0 else limit
        while at != end:
            mark, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], order)
            at += 8
            if mark == item_mark:
                at = self._item(at, length, limit, grammar)
            elif mark == grammar.dialect.end_mark and end < 0:
                return at
            else:
                raise Unreadable
        return at

    def _item(self, at: int, length: int, limit: int, grammar: Grammar) -> int:
        """Read the content of an item, by a chunk if one fits."""
        chunks = grammar.chunks
        if chunks and (length == UNDEFINED or _SHORTEST <= length <= _LONGEST):
            fitting = chunks.fitting(self._data, at, limit)
            if fitting and (fitting[0].size == length or fitting[0].last == ITEM_END):
                if fitting[0].depth + len(self._open) <= MAX_DEPTH:
                    return self._chunk(at, *fitting)
            elif chunks.wants(self._data[at : at + 8]):
                self._learn_item(at, length, limit, grammar)
        if length == UNDEFINED:
            return self._elements(at, limit, grammar, delimited=True)
        if at + length > limit:
            raise Unreadable
        return self._elements(at, at + length, grammar)

    def _learn_item(self, at: int, length: int, limit: int, grammar: Grammar) -> None:
        """Learn the content of an item."""
        trace = Trace(self._data)
        with suppress(Unreadable):
            end = trace.item(at, length, limit, grammar)
            if grammar.chunks and _SHORTEST <= end - at <= _LONGEST:
                grammar.chunks.learn(self._data, trace.run, ITEM_END if length == UNDEFINED else 0, trace.depth)


class Locator(Walk):
    """A walk that writes down where each value stands; for a grammar that does not learn."""

    __slots__ = ("elements",)

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.elements: list[tuple[int, Path, Heap, bytes]] = []

    def _put(self, kind: Kind, value: bytes) -> None:
        self.elements.append((kind.tag, self._places(), kind.heap, value))

    def _take(self, inside: Self) -> None:
        super()._take(inside)
        self.elements += inside.elements
