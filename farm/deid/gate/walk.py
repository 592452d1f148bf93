"""The gate's own reader: it puts every value of a data set on the heap that the reading names (PS3.5 section 7).

The same loop reads sources and outputs. What to do with an element is remembered by its first eight bytes (tag, VR,
length). A short sequence whose very bytes were read before, in this data set or an earlier one, is not read again: what
came of it is remembered. Scanners repeat most of theirs in every frame and every instance. Equal bytes read alike, so
both are exact.

An output is held to more than a source: its tags ascend at every level, and it has no attribute that may not be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple, Self

from farm.deid.gate.chunks import ITEM, LONGEST, Chunk, Chunks, Element, Values
from farm.deid.gate.grammar import Grammar, Kind, Known, Unreadable
from farm.deid.gate.reading import Heap, Reading
from farm.dicom.elements import ITEM_END, MAX_DEPTH, UNDEFINED, Data, Dialect

PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_FRAGMENTED = frozenset({"OB", "OW", "OF", "OD", "OL", "OV"})
_SEQUENCE_END = bytes.fromhex("feffdde000000000")
_REPEATED = 1_024  # bytes of a sequence up to which it is remembered
_HEAPS = len(Heap)
Path = tuple[int, ...]


def fragments(read: Callable[[int, int], bytes], at: int, limit: int) -> Iterator[tuple[int, int]]:
    """Yield where each fragment begins and ends (PS3.5 A.4), up to the delimiter of 8 bytes."""
    while at + 8 <= limit:
        head = read(at, at + 8)
        if head == _SEQUENCE_END:
            return
        end = at + 8 + int.from_bytes(head[4:], "little")
        if head[:4] != ITEM or end > limit:
            break
        yield at + 8, end
        at = end
    raise Unreadable


class Side(NamedTuple):
    """How one side is read: the grammar of its top level, and the chunks that were learnt there."""

    top: Grammar
    chunks: Chunks


@lru_cache(maxsize=64)
def side(reading: Reading, dialect: Dialect, *, is_output: bool) -> Side:
    """Return how sources or outputs are read by a reading."""
    return Side(Grammar(reading, dialect, is_output=is_output), Chunks())


class Walk:
    """One walk over a data set: what is on its heaps, its facts, where its pixel values are, what is wrong with it.

    `pixels` is (offset, length) of the value, with length -1 where it is made of fragments. The walk stops behind its
    header: how far fragments reach is the caller's to find out. `reach` is where it stood when it looked at an element
    last that is not passed by its first bytes alone.
    """

    __slots__ = (
        "_adds",
        "_data",
        "_known",
        "_last",
        "_open",
        "_order",
        "facts",
        "heaps",
        "pixels",
        "problems",
        "reach",
    )

    def __init__(self, data: Data) -> None:
        self._data = data
        self.heaps: list[list[bytes]] = [[] for _ in range(_HEAPS)]
        self._adds: list[Callable[[bytes], None]] = [heap.append for heap in self.heaps]
        self._known: set[Known] = set()
        self._last = -1
        self._open: list[int] = []  # where the sequences around stand
        self._order: Literal["little", "big"] = "little"
        self.facts: dict[int, bytes] = {}
        self.pixels: tuple[int, int] | None = None
        self.problems: list[tuple[str, int, Path]] = []
        self.reach = 0

    def run(self, at: int, end: int, how: Side, last: int = -1) -> None:
        """Read the top level between two offsets, or up to the pixel values."""
        self._last, self._order = last, how.top.order
        while at < end and self.pixels is None:
            fitting = how.chunks.fitting(self._data, at, end)
            at = self._chunk(at, *fitting) if fitting else self._lesson(at, end, how)
        for known in self._known:
            for heap, found in known.values:
                self.heaps[heap] += found
        self._known = set()

    def more(self, data: bytes, how: Side, last: int) -> None:
        """Read elements that stand elsewhere, behind the pixel values."""
        pixels, self._data, self.pixels = self.pixels, data, None
        self.run(0, len(data), how, last)
        if self.pixels is not None:
            self.problems.append(("structure", last, ()))
        self.pixels = pixels

    def _chunk(self, at: int, chunk: Chunk, values: Values) -> int:
        """Take over the values of a run of elements that a chunk fits."""
        if chunk.first <= self._last:
            self._wrong("order", at)
        self._last = chunk.last
        heaps = self.heaps
        for heap, pick in chunk.picks:
            heaps[heap] += pick(values)
        for tag, place in chunk.facts:
            self.facts.setdefault(tag, values[place])
        for place, start, kind, end in chunk.sequences:
            items = kind.items
            known = items.known.get(values[place]) if items else None
            if known:
                self._known.add(known)
            elif items:
                self._sequence(at + start, at + start + kind.size, at + end, at + end, items)
        return at + chunk.size

    def _lesson(self, at: int, end: int, how: Side) -> int:
        """Read top-level elements one by one, as many as a chunk has, and learn what of them is one."""
        run: list[Element] = []
        kinds, learn = how.top.kinds, how.top.kind
        while at < end and len(run) < LONGEST:
            start, head = at, self._data[at : at + 8]
            kind = kinds.get(head) or learn(head)
            if kind.tag in PIXELS:
                self._pixels(at, kind, how.top)
                break
            in_order = kind.tag > self._last
            at = self._elements(at, end, how.top, self._last, most=1)
            self._last = kind.tag
            if not in_order or not self._is_plain(start, kind, at, how.top):
                break
            run.append(Element(start, kind, at))
        how.chunks.learn(self._data, run, how.top.facts)
        return at

    def _is_plain(self, at: int, kind: Kind, end: int, grammar: Grammar) -> bool:
        """Tell whether an element can be part of a chunk."""
        value = at + kind.size
        if kind.odd or self._length(at, kind, grammar) != end - value:
            return False
        if kind.vr == "SQ":
            return end - value <= _REPEATED
        return kind.vr != "UN" or self._data[value : value + 4] != ITEM

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
                    known = items.known.get(data[value:end]) if length <= _REPEATED else None
                    if known:
                        self._known.add(known)
                        at = end
                    else:
                        at = self._sequence(at, value, end if length != UNDEFINED else -1, limit, items)
                    continue
                if end <= limit and data[value : value + 4] != ITEM:
                    if heap:
                        adds[heap](data[value:end])
                    at = end
                    continue
            self.reach = at
            kind = grammar.kinds.get(head) or grammar.kind(head)
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
        self._known |= inside._known
        for heap, found in zip(self.heaps, inside.heaps, strict=True):
            heap.extend(found)

    def _sequence(self, at: int, value: int, end: int, limit: int, items: Grammar) -> int:
        """Read a sequence, unless its like was read before; `end` is -1 where a delimiter ends it."""
        data = self._data
        # What it is remembered by: the value, or with no length of its own all up to the first delimiter.
        first, likely = (value, end) if end >= 0 else (at, data.find(_SEQUENCE_END, value, at + _REPEATED) + 8)
        opening = data[first:likely] if value < likely <= at + _REPEATED else b""
        if opening:
            known = items.known.get(opening)
            if known:
                self._known.add(known)
                return likely
        if len(self._open) >= MAX_DEPTH:
            raise Unreadable
        self._open.append(at)
        if opening and not items.is_new(opening):
            end = self._remembered(value, end, limit, items, (opening, likely))
        else:
            end = self._items(value, end, limit, items)
        self._open.pop()
        return end

    def _remembered(self, at: int, end: int, limit: int, items: Grammar, known_by: tuple[bytes, int]) -> int:
        """Read a sequence whose like was met before, and remember what comes of it if nothing is wrong."""
        around, self._known = self._known, set()
        marks, problems = list(map(len, self.heaps)), len(self.problems)
        end = self._items(at, end, limit, items)
        if end == known_by[1] and problems == len(self.problems):
            grown = enumerate(zip(self.heaps, marks, strict=True))
            values = [(heap, found[mark:]) for heap, (found, mark) in grown if len(found) > mark]
            values += [pair for known in self._known for pair in known.values]
            items.remember(known_by[0], Known(tuple(values)))
        self._known |= around
        return end

    def _items(self, at: int, end: int, limit: int, grammar: Grammar) -> int:
        """Read items up to an offset, or with -1 to the delimiter."""
        data, order, item_mark = self._data, grammar.order, grammar.dialect.item_mark
        if end >= 0:
            if end > limit:
                raise Unreadable
            limit = end
        while at != end:
            mark, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], order)
            at += 8
            if mark == item_mark:
                if length == UNDEFINED:
                    at = self._elements(at, limit, grammar, delimited=True)
                elif at + length > limit:
                    raise Unreadable
                else:
                    at = self._elements(at, at + length, grammar)
            elif mark == grammar.dialect.end_mark and end < 0:
                return at
            else:
                raise Unreadable
        return at


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
