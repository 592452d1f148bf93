"""Runs of elements whose headers were all seen before, read in one go.

The instances of a series repeat the order of their attributes and most lengths, and so do the items of a long sequence,
down to the sequences in them. A chunk holds the layout of such a run, nested headers included: where all of them are
the very same again, the values are where they were, and one call cuts out those that go on a heap. All header bytes
are compared at once, as one number with the values masked out, so that is exact; it takes a fifth of the time.

Learning costs two walks, so it backs off: of the runs that begin alike and fit no chunk the first, second, fourth and
so on are learnt, and what never fits is given up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from struct import Struct
from typing import NamedTuple

from farm.dicom.elements import Data

ITEM = bytes.fromhex("feff00e0")
_SHORTEST = 3  # headers of a chunk
_ALTERNATIVES = 8  # chunks that begin alike
_HEADS = 1_000  # by which chunks begin, before all are forgotten
_GIVEN_UP = 64  # misses in a row
Values = tuple[bytes, ...]


class Element(NamedTuple):
    """A header as it was read, and its value: where they start and end, the heap, the VR, the tag.

    What opens or closes a sequence or an item has no value. `fact`: the value is one of the data set's facts.
    """

    start: int
    value: int
    end: int
    heap: int
    vr: str
    tag: int
    fact: bool


class Chunk(NamedTuple):
    """A run: its size, its headers and the mask that leaves only them, the layout of values that matter.

    `unknown` are the places of values that could be sequences; `picks` say which values go on which heap; `facts` are
    (tag, place); `first` and `last` are the tags at both ends, `depth` how deep sequences are nested.
    """

    size: int
    mask: int
    heads: int
    layout: Struct
    unknown: tuple[int, ...]
    picks: tuple[tuple[int, Callable[[Values], Values]], ...]
    facts: tuple[tuple[int, int], ...]
    first: int
    last: int
    depth: int


class Chunks:
    """The chunks of one grammar, by the eight bytes they begin with."""

    __slots__ = ("_known", "_misses", "_tried")

    def __init__(self) -> None:
        self._known: dict[bytes, list[Chunk]] = {}
        self._misses: dict[bytes, int] = {}
        self._tried: dict[bytes, int] = {}  # misses since the last fit

    def fitting(self, data: Data, at: int, end: int) -> tuple[Chunk, Values] | None:
        """Return the chunk that stands at an offset, and its values."""
        head = data[at : at + 8]
        known = self._known.get(head)
        if not known:
            return None
        for place, chunk in enumerate(known):
            size, mask, heads, layout, unknown = chunk[:5]
            found = data[at : at + size]
            if int.from_bytes(found, "little") & mask == heads and len(found) == size <= end - at:
                if place:  # what fitted last fits next
                    known[0], known[place] = chunk, known[0]
                values = layout.unpack(found)
                for one in unknown:
                    if values[one][:4] == ITEM:
                        return None
                self._tried[head] = 0
                return chunk, values
        self._tried[head] = tried = self._tried.get(head, 0) + 1
        if tried > _GIVEN_UP:
            known.clear()
        return None

    def wants(self, head: bytes) -> bool:
        """Tell whether a run that begins with these bytes, and fitted no chunk, is to be learnt."""
        if len(self._misses) > _HEADS:
            self._known.clear()
            self._misses.clear()
            self._tried.clear()
        misses = self._misses[head] = self._misses.get(head, 0) + 1
        return not misses & (misses - 1)

    def learn(self, data: Data, run: Sequence[Element], last: int, depth: int = 0) -> None:
        """Remember a run; its last element has the given tag, and sequences are nested so deep."""
        if len(run) >= _SHORTEST:
            head = data[run[0].start : run[0].start + 8]
            self._known[head] = [_chunk(data, run, last, depth), *self._known.get(head, ())][:_ALTERNATIVES]


def _chunk(data: Data, run: Sequence[Element], last: int, depth: int) -> Chunk:
    start, size = run[0].start, run[-1].end - run[0].start
    wanted = [element for element in run if element.heap or element.fact or element.vr == "UN"]
    by_heap: dict[int, list[int]] = {}
    for place, element in enumerate(wanted):
        if element.heap:
            by_heap.setdefault(element.heap, []).append(place)
    mask = b"".join(b"\xff" * (element.value - element.start) + bytes(element.end - element.value) for element in run)
    masked = int.from_bytes(mask, "little")
    return Chunk(
        size=size,
        mask=masked,
        heads=int.from_bytes(data[start : start + size], "little") & masked,
        layout=_layout(wanted, start, size),
        unknown=tuple(place for place, element in enumerate(wanted) if element.vr == "UN"),
        picks=tuple((heap, _picker(places)) for heap, places in by_heap.items()),
        facts=tuple((element.tag, place) for place, element in enumerate(wanted) if element.fact),
        first=run[0].tag,
        last=last,
        depth=depth,
    )


def _layout(wanted: Sequence[Element], at: int, size: int) -> Struct:
    """Return the structure that cuts out values."""
    form, end = ["="], at + size
    for element in wanted:
        form.append(f"{element.value - at}x{element.end - element.value}s")
        at = element.end
    form.append(f"{end - at}x")
    return Struct("".join(form))


def _picker(places: list[int]) -> Callable[[Values], Values]:
    """Return what picks some of a tuple's values, as a tuple."""
    if places == list(range(places[0], places[-1] + 1)):
        return itemgetter(slice(places[0], places[-1] + 1))
    return itemgetter(*places)
