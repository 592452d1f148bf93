"""Runs of elements whose headers were all seen before, read in one go.

The instances of a series repeat the order of their attributes and most lengths. A chunk holds the layout of such a run:
where all its headers are the very same again, the values are where they were, and one call cuts out those that go on
a heap. All header bytes are compared at once, as one number with the values masked out, so that is exact; it takes a
fifth of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import NamedTuple

from farm.deid.gate.grammar import Kind
from farm.dicom.elements import Data

LONGEST = 64  # elements of a chunk
ITEM = bytes.fromhex("feff00e0")
_SHORTEST = 3
_ALTERNATIVES = 6  # chunks that begin alike
_HEADS = 1_000  # by which chunks begin, before all are forgotten
Values = tuple[bytes, ...]
from_bytes = int.from_bytes


class Element(NamedTuple):
    """An element as it was read: where it starts, its kind, where it ends."""

    start: int
    kind: Kind
    end: int


class Chunk(NamedTuple):
    """A run of elements: its size, its headers and the mask that leaves only them, the layout of values that matter.

    `picks` say which values go on which heap; `facts` are (tag, place); `sequences` (place, start, kind, end), offsets
    from the chunk's start; `unknown` are the places of values that could be sequences.
    """

    size: int
    mask: int
    heads: int
    layout: Struct
    unknown: tuple[int, ...]
    picks: tuple[tuple[int, Callable[[Values], Values]], ...]
    facts: tuple[tuple[int, int], ...]
    sequences: tuple[tuple[int, int, Kind, int], ...]
    first: int
    last: int


class Chunks:
    """The chunks of one grammar, by the eight bytes they begin with."""

    __slots__ = ("_known", "_misses")

    def __init__(self) -> None:
        self._known: dict[bytes, list[Chunk]] = {}
        self._misses: dict[bytes, int] = {}

    def fitting(self, data: Data, at: int, end: int) -> tuple[Chunk, Values] | None:
        """Return the chunk that stands at an offset, and its values."""
        known = self._known.get(data[at : at + 8])
        for place, chunk in enumerate(known or ()):
            size, mask, heads, layout, unknown = chunk[:5]
            found = data[at : at + size]
            if from_bytes(found, "little") & mask == heads and len(found) == size <= end - at:
                if place and known:  # what fitted last fits next
                    known[0], known[place] = chunk, known[0]
                values = layout.unpack(found)
                for one in unknown:
                    if values[one][:4] == ITEM:
                        return None
                return chunk, values
        return None

    def learn(self, data: Data, run: Sequence[Element], facts: frozenset[int]) -> None:
        """Remember a run: of those that begin alike and fit none the first, second, fourth, eighth and so on."""
        if len(run) < _SHORTEST:
            return
        opening = data[run[0].start : run[0].start + 8]
        misses = self._misses[opening] = self._misses.get(opening, 0) + 1
        if misses & (misses - 1):
            return
        if len(self._known) > _HEADS:
            self._known.clear()
            self._misses.clear()
        self._known[opening] = [_chunk(data, run, facts), *self._known.get(opening, ())][:_ALTERNATIVES]


def _chunk(data: Data, run: Sequence[Element], facts: frozenset[int]) -> Chunk:
    start, size = run[0].start, run[-1].end - run[0].start
    wanted = [at for at in run if at.kind.heap or at.kind.vr in {"SQ", "UN"} or at.kind.tag in facts]
    by_heap: dict[int, list[int]] = {}
    for place, (_, kind, _) in enumerate(wanted):
        if kind.vr != "SQ" and kind.heap:
            by_heap.setdefault(kind.heap, []).append(place)
    mask = b"".join(b"\xff" * kind.size + bytes(end - at - kind.size) for at, kind, end in run)
    masked = int.from_bytes(mask, "little")
    return Chunk(
        size=size,
        mask=masked,
        heads=int.from_bytes(data[start : start + size], "little") & masked,
        layout=_layout(wanted, start, size),
        picks=tuple((heap, _picker(places)) for heap, places in by_heap.items()),
        facts=tuple((kind.tag, place) for place, (_, kind, _) in enumerate(wanted) if kind.tag in facts),
        sequences=tuple(
            (place, at - start, kind, end - start) for place, (at, kind, end) in enumerate(wanted) if kind.vr == "SQ"
        ),
        unknown=tuple(place for place, (_, kind, _) in enumerate(wanted) if kind.vr == "UN"),
        first=run[0].kind.tag,
        last=run[-1].kind.tag,
    )


def _layout(wanted: Sequence[Element], at: int, size: int) -> Struct:
    """Return the structure that cuts out values."""
    form, end = ["="], at + size
    for start, kind, behind in wanted:
        form.append(f"{start + kind.size - at}x{behind - start - kind.size}s")
        at = behind
    form.append(f"{end - at}x")
    return Struct("".join(form))


def _picker(places: list[int]) -> Callable[[Values], Values]:
    """Return what picks some of a tuple's values, as a tuple."""
    if places == list(range(places[0], places[-1] + 1)):
        return itemgetter(slice(places[0], places[-1] + 1))
    return itemgetter(*places)
