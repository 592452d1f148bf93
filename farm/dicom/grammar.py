"""A grammar remembers what to do with the elements that a walk meets.

Instances repeat their headers, so the walk of `farm.dicom.splice` decides each kind of element once. A grammar holds,
for the eight bytes that open an element (tag, VR and length), a number: positive, the span to keep; negative, the
span to cut, or below `SWAPPED` to swap for a constant. Whatever cannot be answered from those bytes alone (a 32-bit
length, a sequence, a value that decides) is a `Step`. The rules that it learns from see only the tag, the VR and
whether the element stands in an item; every byte of the key was compared, so remembering is exact.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import NamedTuple, Protocol

from farm.dicom.dictionary import vr_of
from farm.dicom.elements import EXPLICIT, IMPLICIT, ITEM_END, PIXEL_DATA, UNDEFINED, Data, Dialect, Header
from farm.dicom.skip import Skipper
from farm.errors import BadInput, Reason

_ALTERNATIVES = 4  # stretches that open with one header
_OPENINGS = 64  # headers, of different length, by which the stretches of one element open
_GIVEN_UP = 64  # misses in a row
SWAPPED = -(1 << 40)  # added to what is remembered of an element that is swapped; no span is as long
_REMEMBERED = 50_000  # headers a grammar holds before it starts afresh: bounded memory on hostile input


class Rule(IntEnum):
    """What to do with an element."""

    KEEP = 0
    CUT = 1
    SWAP = 2  # replace the element by a constant one (empty or dummy)
    ASK = 3  # the editor gives the new value
    NOTE = 4  # keep it, and tell the editor where it stands
    STOP = 5  # the walk has seen enough
    JUDGE = 6  # a private element: the editor says whether it stays


class Kind(IntEnum):
    """What a `Step` asks of the walk: the rules' answers, and what the structure of the data set adds to them."""

    KEEP = 0
    CUT = 1
    SWAP = 2
    ASK = 3
    NOTE = 4
    STOP = 5
    JUDGE = 6
    HEAD = 7  # keep the value under a rewritten header
    ENTER = 8  # go into a sequence
    ITEM_END = 9
    PHASE = 10  # the top-level phase ends before this element
    STRETCH = 11  # stretches begin with such an element; see `farm.dicom.stretch`


class Step(NamedTuple):
    """A remembered answer that needs more than the element's first eight bytes; `length` -1: read it there.

    `new` takes the place of a SWAP, and of an ASK to which there is no answer.
    """

    kind: Kind
    tag: int
    vr: str
    size: int
    length: int
    items: bool = False  # of undefined length, it would be a sequence of items and not of fragments
    new: bytes = b""


class Span(NamedTuple):
    """Where a noted element stands: its header, its value, its end (delimiters of an undefined length included)."""

    tag: int
    vr: str
    start: int
    value: int
    end: int
    defined: bool


def span(*place: object) -> Span:
    """Make a `Span` from its fields: in a third of the time that calling the class takes."""
    return tuple.__new__(Span, place)


Edit = tuple[int, int, bytes]
"""Replace the bytes from the first offset up to the second by the third; an insertion where both are equal."""


class Stretch(NamedTuple):
    """Consecutive elements whose headers were seen before; see `farm.dicom.stretch`. Offsets are from its start.

    `layout` unpacks the headers, `heads` is what they must be. `asks` are (step, start, end) of values that the editor
    gives; `ranges` are (offset of the length, length without the asks, first ask, last ask) of items and sequences
    whose length depends on the answers. `depth` is how deep its sequences are nested.
    """

    size: int
    layout: Struct
    heads: tuple[bytes, ...]
    edits: tuple[Edit, ...]
    grown: int
    asks: tuple[tuple[Step, int, int], ...]
    ranges: tuple[tuple[int, int, int, int], ...]
    notes: tuple[Span, ...]
    depth: int


Path = tuple[int, ...]
"""The tags of the sequences that enclose an element, outermost first. A negative number is a kind of item that the
editor has told apart. `SOMEWHERE`: in an item, wherever it is."""
SOMEWHERE: Path = (0,)


class Rules(Protocol):
    """The policy as the walk sees it; answers depend on nothing but the arguments."""

    def rule(self, tag: int, vr: str, path: Path) -> Rule:
        """Return what to do with an element."""

    def swap(self, tag: int, vr: str, path: Path, dialect: Dialect) -> bytes:
        """Return the encoded element that takes the place of a SWAP, or of an ASK without an answer; empty: none."""

    def place(self, path: Path) -> Path:
        """Return the path that stands for the items of a sequence; `SOMEWHERE`: they have no rules of their own."""


class Teacher(Protocol):
    """Learns from the items that a walk meets; see `farm.dicom.stretch`."""

    def item(self, data: Data, grammar: Grammar, start: int, end: int) -> None:
        """Look at an item that fits no stretch: its content begins and ends at these offsets; -1: at its delimiter."""


class Grammar:
    """What is remembered about elements in one place: a dialect, the rules, and the path to it.

    `limit` is the tag at which a top-level phase ends, where the editor may insert elements; 0 for none. `floor` is the
    tag up to which nothing may come any more: behind Pixel Data, a lower tag is not part of the data set. With
    `rewrite` an implicit data set comes out explicit.
    """

    __slots__ = (
        "children",
        "dialect",
        "floor",
        "inner",
        "limit",
        "memo",
        "misses",
        "path",
        "places",
        "rewrite",
        "rules",
        "skipper",
        "steps",
        "stretches",
        "swaps",
        "unknown",
    )

    def __init__(self, rules: Rules, dialect: Dialect, *, limit: int = 0, floor: int = 0, path: Path = ()) -> None:
        self.rules, self.dialect, self.path = rules, dialect, path
        self.limit, self.floor = limit, floor
        self.rewrite = False
        self.skipper = Skipper(dialect)
        self.memo: dict[bytes, int] = {}
        self.swaps: dict[bytes, bytes] = {}
        self.steps: dict[bytes, Step] = {}
        self.stretches: dict[bytes, tuple[Step, dict[bytes, tuple[Stretch, ...]]]] = {}  # then by the whole header
        self.misses: dict[bytes, int] = {}  # by the same key: misses in a row
        self.children: dict[int, Grammar] = {}  # of the items of a sequence, by its tag; see `items`
        self.places: dict[Path, Grammar] = {}  # of items, by the path that stands for them
        self.inner: Grammar = self  # of the items of a sequence that has no rules of its own
        self.unknown: Grammar = self  # of the items of a sequence written as UN, which are implicit (PS3.5 6.2.2)

    @property
    def target(self) -> Dialect:
        """Return the dialect of what is written."""
        return EXPLICIT if self.rewrite else self.dialect

    def items(self, tag: int) -> Grammar:
        """Return the grammar of the items of a sequence, or of one kind of them (a negative number)."""
        child = self.children.get(tag)
        if child is None:
            path = SOMEWHERE if self.path == SOMEWHERE and tag > 0 else (*self.path, tag)
            path = self.rules.place(path) if tag > 0 and path != SOMEWHERE else path
            child = self.places.get(path)
            if child is None:
                child = self.places[path] = Grammar(self.rules, self.dialect, path=path)
                child.inner, child.unknown, child.places = self.inner, self.unknown, self.places
                child.rewrite = self.rewrite
            if len(self.children) < _REMEMBERED:
                self.children[tag] = child
        return child

    def learn(self, data: Data, at: int, end: int) -> Step:
        """Decide what to do with the element at an offset, and remember it for its like."""
        step = self.decide(data, at, end)
        if len(self.memo) + len(self.steps) > _REMEMBERED:
            for remembered in (self.memo, self.swaps, self.steps, self.stretches, self.misses):
                remembered.clear()
        self.keep(data[at : at + 8], step)
        return step

    def keep(self, head: bytes, step: Step) -> None:
        """Remember a step: as a span where the first eight bytes of its like say all."""
        unknown = step.vr == "UN" and step.kind is Kind.KEEP  # its value has to be looked at
        if step.kind > Kind.SWAP or step.length < 0 or step.length == UNDEFINED or unknown:
            self.steps[head] = step
            return
        span = step.size + step.length
        self.memo[head] = span if step.kind is Kind.KEEP else -span
        if step.kind is Kind.SWAP:
            self.memo[head] += SWAPPED
            self.swaps[head] = step.new

    def decide(self, data: Data, at: int, end: int) -> Step:
        """Read the header at an offset and return what to do with the element."""
        return self._step(self.dialect.header(data, at, end))

    def missed(self, head: bytes) -> None:
        """Count a miss of the stretches that begin with a header, and give up what mostly misses.

        A hit takes the header's count away again, so only misses in a row count.
        """
        misses = self.misses.get(head, 0) + 1
        self.misses[head] = misses
        if misses > _GIVEN_UP:
            fallback, _ = self.stretches.pop(head)
            del self.misses[head], self.steps[head]
            self.keep(head, fallback)

    def add_stretch(self, stretch: Stretch, fallback: Step) -> None:
        """Remember a stretch by its first eight bytes, before older ones that begin alike."""
        opening = stretch.heads[0]
        head = opening[:8]
        _, known = self.stretches.setdefault(head, (fallback, {}))
        others = [other for other in known.pop(opening, ()) if other.heads != stretch.heads]
        known[opening] = (stretch, *others[: _ALTERNATIVES - 1])
        if len(known) > _OPENINGS:
            del known[next(iter(known))]
        self.memo.pop(head, None)
        self.steps[head] = Step(Kind.STRETCH, fallback.tag, fallback.vr, fallback.size, fallback.length)

    def _step(self, header: Header) -> Step:
        tag, vr, size, length = header
        if tag >> 16 == 0xFFFE:
            if tag != ITEM_END or not self.path:
                raise BadInput(Reason.BAD_STRUCTURE, "a delimiter stands where an element should")
            return Step(Kind.ITEM_END, tag, vr, size, length)
        if self.floor and tag <= self.floor:
            return Step(Kind.STOP, tag, vr, size, length)
        if self.limit and tag >= self.limit:
            return Step(Kind.PHASE, tag, vr, size, length)
        known = -1 if size == 12 else length
        rule = self.rules.rule(tag, meant(tag, vr), self.path)
        items = _is_sequence(tag, vr)
        # An empty value needs no dummy; a 32-bit length is not among the bytes that a step is remembered by.
        if rule is Rule.SWAP and (length or size == 12):
            return Step(Kind.SWAP, tag, vr, size, known, items, self._other(tag, vr))
        if rule is Rule.KEEP and vr not in {"SQ", "UN"} and vr_of(tag) == "SQ" and (length or size == 12):
            raise BadInput(Reason.BAD_STRUCTURE, "a sequence is written with another VR")
        if rule in {Rule.KEEP, Rule.SWAP} or (rule is Rule.JUDGE and vr == "SQ"):
            kind = Kind.HEAD if self.rewrite else Kind.KEEP
            if (items and length == UNDEFINED and size == 8) or (meant(tag, vr) == "SQ"):
                kind = Kind.ENTER
            return Step(kind, tag, vr, size, known, items)
        return Step(Kind(rule), tag, vr, size, known, items, self._other(tag, vr) if rule is Rule.ASK else b"")

    def _other(self, tag: int, vr: str) -> bytes:
        return self.rules.swap(tag, meant(tag, vr), self.path, self.target)


def meant(tag: int, vr: str) -> str:
    """Return the VR that an element written as UN really has (PS3.5 6.2.2 note 2)."""
    return vr_of(tag) if vr == "UN" else vr


def _is_sequence(tag: int, vr: str) -> bool:
    """Tell whether, with undefined length, it would hold items and not the fragments of Pixel Data (PS3.5 7.5, A.4)."""
    return tag != PIXEL_DATA and vr not in {"OB", "OW", "OF", "OD", "OL", "OV"}


class Noting:
    """Rules that note some tags, pass over all else, and stop behind a top-level tag: for a walk that only looks."""

    def __init__(self, tags: frozenset[int], stop_behind: int = 0xFFFFFFFF, *, inside: bool = False) -> None:
        """Note these tags at top level, or `inside` sequences too; without it no sequence is entered."""
        self._tags, self._stop_behind, self._inside = tags, stop_behind, inside

    def rule(self, tag: int, vr: str, path: Path) -> Rule:
        """Note it, pass over it, or stop."""
        if tag in self._tags and (self._inside or not path):
            return Rule.NOTE
        if tag > self._stop_behind and not path:
            return Rule.STOP
        return Rule.CUT if vr == "SQ" and not self._inside else Rule.KEEP

    def swap(self, tag: int, vr: str, path: Path, dialect: Dialect) -> bytes:
        """Never asked for."""
        del tag, vr, path, dialect
        return b""

    def place(self, path: Path) -> Path:
        """Treat all items alike."""
        del path
        return SOMEWHERE


class Plan:
    """The grammars of one policy in one dialect: a chain of top-level phases, and the items'.

    A phase ends before each tag of `inserts`, in ascending order; there the editor may insert elements. The items of
    the sequences in `told_apart` are not alike: the editor says of each what kind it is. With `rewrite` an implicit
    data set comes out explicit.
    """

    __slots__ = ("phases", "target", "teacher", "told_apart")

    def __init__(
        self,
        rules: Rules,
        dialect: Dialect,
        inserts: tuple[int, ...] = (),
        *,
        told_apart: frozenset[int] = frozenset(),
        rewrite: bool = False,
    ) -> None:
        rewrite = rewrite and not dialect.explicit
        self.target = EXPLICIT if rewrite else dialect
        self.told_apart = told_apart
        inner, unknown = (Grammar(rules, how, path=SOMEWHERE) for how in (dialect, IMPLICIT))
        self.teacher: Teacher | None = None
        self.phases = (
            *(Grammar(rules, dialect, limit=tag) for tag in inserts),
            Grammar(rules, dialect),
            Grammar(rules, dialect, floor=PIXEL_DATA),
        )
        for grammar in (*self.phases, inner):
            grammar.inner, grammar.unknown, grammar.rewrite = inner, unknown, rewrite
            grammar.places = inner.places
        inner.places[SOMEWHERE] = inner
        unknown.places[SOMEWHERE] = unknown
        # A sequence written as UN comes out as SQ with explicit items: readers stumble over the other form.
        unknown.rewrite = self.target is EXPLICIT
