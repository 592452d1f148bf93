"""What the gate remembers about elements: what kind each is, and how to pass it by its first eight bytes.

A grammar holds for one reading, one side (source or output), one dialect and one `Place`. Its answers depend on nothing
but the bytes they are remembered by.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from farm.deid.gate.chunks import Chunks
from farm.deid.gate.reading import Heap, Place, Reading
from farm.dicom.dictionary import vr_of
from farm.dicom.elements import IMPLICIT, ITEM, ITEM_END, LONG_VRS, SHORT_VRS, UNDEFINED, Dialect

# Of the top level: the character set, what identifies the instance, the markers.
_FACTS = frozenset({0x00080005, 0x00080016, 0x00080018, 0x00100020, 0x00120062, 0x00120063, 0x00120064, 0x00280303})
PIXEL_FACTS = tuple(0x00280000 + element for element in (0x02, 0x04, 0x08, 0x10, 0x11, 0x100))
"""What tells how long pixel values are: samples, colours, frames, rows, columns, bits (PS3.5 8.1.1)."""
FACTS = _FACTS.union(PIXEL_FACTS)
_PIXEL_GROUP = 0x7FE0
_VRS = {vr.encode(): vr for vr in LONG_VRS | SHORT_VRS}
_KINDS = 20_000  # that a grammar holds before it starts afresh: bounded memory on hostile input


class Unreadable(Exception):
    """The data set cannot be read to its end; says nothing of it."""


class Kind(NamedTuple):
    """What a header tells: the tag, the VR that is meant, its own size, the heap for the value.

    `items` reads them where it may have any; `unknown`: it is written as UN, and they are implicit (PS3.5 6.2.2).
    `odd`: why it may not be where it is, or "".
    """

    tag: int
    vr: str
    size: int
    heap: Heap
    unknown: bool = False
    odd: str = ""
    items: Grammar | None = None


class Step(NamedTuple):
    """How to pass an element by its first eight bytes: header and value in bytes, its heap, its tag.

    A `span` of 0 stands for a header of 12 bytes, whose length has to be read; `items` reads a sequence's then.
    """

    span: int
    heap: int
    tag: int
    items: Grammar | None


class Grammar:
    """What is remembered about the elements of a data set's top level, or of items `within` a place."""

    __slots__ = (
        "_inside",
        "_learns",
        "chunks",
        "dialect",
        "facts",
        "is_output",
        "kinds",
        "order",
        "place",
        "reading",
        "steps",
        "top",
    )

    def __init__(
        self,
        reading: Reading,
        dialect: Dialect,
        *,
        is_output: bool,
        within: Place | None = None,
        learns: bool = True,
    ) -> None:
        self.reading, self.dialect, self.is_output, self.top = reading, dialect, is_output, within is None
        self.place = within or Place.PLAIN
        self.order: Literal["little", "big"] = dialect.order
        self.facts = FACTS if within is None else frozenset()
        self.steps: dict[bytes, Step] = {}
        self.kinds: dict[bytes, Kind] = {}
        self.chunks = Chunks() if learns else None
        self._learns = learns
        self._inside: dict[tuple[int, bool], Grammar] = {}

    def inside(self, tag: int, *, unknown: bool) -> Grammar:
        """Return the grammar of a sequence's items."""
        place = self.reading.inside(tag, self.place)
        if self.is_output and place is Place.GONE:
            place = Place.PLAIN
        dialect = IMPLICIT if unknown else self.dialect
        if not self.top and dialect is self.dialect and place is self.place:
            return self
        found = self._inside.get((place, unknown))
        if found is None:
            found = self._inside[place, unknown] = Grammar(
                self.reading, dialect, is_output=self.is_output, within=place, learns=self._learns
            )
        return found

    def kind_of(self, head: bytes) -> Kind:
        """Return an element's kind from the eight bytes that open it."""
        return self.kinds.get(head) or self.learn(head)

    def learn(self, head: bytes) -> Kind:
        """Learn an element's kind, and how to pass it if its first eight bytes tell all."""
        if len(head) < 8:
            raise Unreadable
        if len(self.kinds) > _KINDS:
            self.kinds.clear()
            self.steps.clear()
        kind = self.kinds[head] = self._kind(head)
        if self._learns and not kind.odd and kind.tag not in self.facts and kind.tag >> 16 != _PIXEL_GROUP:
            step = self._step(head, kind)
            if step:
                self.steps[head] = step
        return kind

    def _kind(self, head: bytes) -> Kind:
        order, explicit = self.order, self.dialect.explicit
        tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
        if tag >> 16 == 0xFFFE:
            return Kind(tag, "", 8, Heap.NOTHING)
        written = _VRS.get(head[4:6]) if explicit else vr_of(tag)
        if written is None:
            raise Unreadable
        vr = vr_of(tag) if written == "UN" else written
        heap = (self.reading.of_output if self.is_output else self.reading.of_source)(tag, vr, self.place)
        size = 12 if explicit and written in LONG_VRS else 8
        unknown = explicit and written == "UN"
        return Kind(tag, vr, size, heap, unknown, self._odd(tag), self.inside(tag, unknown=unknown))

    def _odd(self, tag: int) -> str:
        if not self.is_output or self.reading.may_hold(tag):
            return ""
        return "private" if tag >> 16 & 1 else "structure"

    def _step(self, head: bytes, kind: Kind) -> Step | None:
        tag, vr, size, heap, _, _, items = kind
        if tag >> 16 == 0xFFFE:  # where all is gone, items are passed like elements
            return Step(8, heap, tag, None) if self.place is Place.GONE and tag in {ITEM, ITEM_END} else None
        if size == 12:
            return Step(0, heap, tag, items if vr == "SQ" else None)
        length = int.from_bytes(head[6:8] if self.dialect.explicit else head[4:8], self.order)
        if vr in {"SQ", "UN"} or length == UNDEFINED:
            return None
        return Step(8 + length, heap, tag, None)
