"""Stretches: consecutive elements whose headers were all seen before, passed over in one comparison.

The instances of a series, and the items of a large sequence, repeat not only their headers but the order of them. A
stretch holds the layout of such a run: where each header stands and what its bytes are, and what the walk did there.
Where all the headers of a stretch stand at the same places again, the walk would do the same again, whatever the
values: so its edits are applied as they are, and only values that decide (UIDs) are looked at. Every header byte is
compared, so this is as exact as walking; it takes a sixth of the time.

`Lessons` decides when to learn. At the top level, elements that have been of the same size in every traced instance
become stretches, split where one varies. In sequences the content of an item does, when a second one begins alike.
Learning costs about three walks, so it backs off where it does not pay: series of one instance, irregular reports.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import suppress
from struct import Struct
from typing import NamedTuple

from farm.dicom.editor import Editor, Onlooker
from farm.dicom.elements import PIXEL_DATA, UNDEFINED, Data
from farm.dicom.grammar import Edit, Grammar, Kind, Plan, Span, Step, Stretch
from farm.dicom.splice import BEHIND, PIXELS_PASSED, Walk
from farm.errors import BadInput, Reason

_SHORTEST = 64  # bytes: below, walking is as fast
_LONGEST = 65_536  # bytes of one stretch
_POOR = 2_048  # header bytes outside stretches from which a lesson may pay
_LONGEST_WAIT = 4_096  # instances between lessons that did not pay
_WELL = 64  # instances that go well for the wait to halve
_ALWAYS = 64  # of the items that begin alike, every so many is a lesson: another scanner's come later
_REMEMBERED = 20_000  # tags whose size is remembered: bounded memory on hostile input


class _Element(NamedTuple):
    """A top-level element as traced: the grammar in force, its first eight bytes, where it starts and ends."""

    grammar: Grammar
    head: bytes
    start: int
    end: int


class TracedWalk(Walk):
    """A walk that uses no stretches and writes down where it meets headers, and what it does with each."""

    __slots__ = ("_untraced", "asks", "barred", "depths", "elements", "headers", "lengths", "plain")

    def __init__(self, data: Data, plan: Plan, editor: Editor) -> None:
        super().__init__(data, plan, editor)
        self._untraced = 0  # the end of a sequence whose items are not traced
        self.headers: list[tuple[int, int]] = []  # offset and size of every header, delimiters included
        self.elements: list[_Element] = []
        self.lengths: list[tuple[int, int]] = []  # a 32-bit length, and the end of what it counts
        self.asks: list[tuple[Step, int, int]] = []
        self.plain: list[Edit] = []  # edits that depend on headers alone
        self.depths: list[tuple[int, int]] = []  # where a sequence opens, and how many are open then
        self.barred: list[int] = []  # elements that no stretch may hold: rewritten sequences, undefined lengths

    def _elements(self, at: int, limit: int) -> tuple[int, Step, int]:  # noqa: C901 - the same loop, traced
        """Pass over elements one by one, deciding each anew."""
        data, grammar = self._data, self._grammar
        if at < self._untraced:
            return super()._elements(at, limit)
        while at < limit:
            try:
                step = grammar.decide(data, at, limit)
            except BadInput:
                step = self._learned(at, limit)
            kind, tag, vr, size, length, _, _ = step
            if kind in {Kind.PHASE, Kind.STOP}:
                return at, step, 0
            self.headers.append((at, size))
            if length < 0:
                length = grammar.dialect.long(data, at + 8)
            if length == UNDEFINED or kind >= Kind.ENTER:
                return at, step, length
            end = at + size + length
            if end > limit:
                raise BadInput(Reason.BAD_STRUCTURE if self._stack else Reason.TRUNCATED)
            if vr == "UN":
                self._refuse_items(step, at, end)
                self.barred.append(at)
            if not self._stack:
                self.elements.append(_Element(grammar, data[at : at + 8], at, end))
            if kind == Kind.NOTE:
                self.notes.append(Span(tag, vr, at, at + size, end, defined=True))
                if tag == PIXEL_DATA and not self._stack:
                    self.barred.append(at)  # behind it the walk is in another phase
                    return end, PIXELS_PASSED, 0
            elif kind != Kind.KEEP:
                self._grown += self._change(step, at, end)
            at = end
        return at, BEHIND, 0

    def _change(self, step: Step, at: int, end: int) -> int:
        """Note which edits depend on values."""
        before = len(self.edits)
        grown = super()._change(step, at, end)
        if at < self._untraced:
            return grown
        if step.kind == Kind.JUDGE:
            self.barred.append(at)
        elif step.kind == Kind.ASK:
            self.asks.append((step, at, end))
        else:
            self.plain += self.edits[before:]
        return grown

    def _pass(self, at: int, step: Step, length: int, limit: int) -> int:
        """Keep an element of undefined length that is not entered out of stretches: its end is found anew each time."""
        if at >= self._untraced:
            self.barred.append(at)
        return super()._pass(at, step, length, limit)

    def _enter(self, at: int, step: Step, length: int, around: tuple[int, int, int]) -> int:
        """Write down an opened sequence."""
        value = super()._enter(at, step, length, around)
        if at < self._untraced:
            return value
        if len(self._stack) == 1:
            end = value + length if length != UNDEFINED else self._grammar.skipper.end(self._data, value, around[0])
            if end - at >= _LONGEST:  # too long for a stretch: what is in it is walked as ever
                self._untraced = end
        if length != UNDEFINED:
            self.lengths.append((value - 4, value + length))
        self.depths.append((at, len(self._stack)))
        if self._grammar.rewrite or step.tag in self._plan.told_apart or step.tag >> 16 & 1:
            self.barred.append(at)
        return value

    def _next_item(self, at: int) -> tuple[int, int, int, int]:
        """Write down the header of an item, or the end of a sequence."""
        depth, level = len(self._stack), self._stack[-1]
        place = super()._next_item(at)
        if at < self._untraced:
            return place
        if len(self._stack) == depth:
            self.headers.append((at, 8))
            if place[2] >= 0:
                self.lengths.append((place[2], place[1]))
        else:
            if level[5] < 0:
                self.headers.append((at, 8))
            if not self._stack:
                self.elements.append(_Element(self._grammar, self.head(level[4]), level[4], place[0]))
        return place

    def head(self, at: int) -> bytes:
        """Return the eight bytes that open the element at an offset."""
        return self._data[at : at + 8]

    def step_at(self, grammar: Grammar, at: int) -> Step:
        """Return what a grammar says of the element at an offset."""
        return grammar.decide(self._data, at, len(self._data))

    def stretch(self, start: int, end: int) -> Stretch | None:
        """Return what was traced between two offsets as a stretch; None where it cannot be one."""
        headers = self.headers[bisect_left(self.headers, (start, 0)) : bisect_left(self.headers, (end, 0))]
        blocked = bisect_left(self.barred, start) < bisect_left(self.barred, end)
        if not headers or headers[0][0] != start or blocked or not _SHORTEST <= end - start <= _LONGEST:
            return None
        layout = _layout(start, headers)
        low, high = (bisect_left(self.asks, at, key=lambda ask: ask[1]) for at in (start, end))
        asks = tuple((step, first - start, last - start) for step, first, last in self.asks[low:high])
        plain = sorted((a - start, b - start, new) for a, b, new in self.plain if start <= a < end)
        patches, ranges = self._lengths_between(start, end, plain, asks)
        return Stretch(
            size=end - start,
            layout=layout,
            heads=layout.unpack_from(self._data, start),
            edits=tuple(_joined(sorted(plain + patches))),
            grown=_growth(plain, 0, end - start),
            asks=asks,
            ranges=tuple(ranges),
            depth=max((depth for at, depth in self.depths if start <= at < end), default=0),
            notes=tuple(
                note._replace(start=note.start - start, value=note.value - start, end=note.end - start)
                for note in self.notes
                if start <= note.start < end
            ),
        )

    def _lengths_between(
        self, start: int, end: int, plain: list[Edit], asks: tuple[tuple[Step, int, int], ...]
    ) -> tuple[list[Edit], list[tuple[int, int, int, int]]]:
        """Return the lengths that always change alike, as edits, and those that depend on answers."""
        patches: list[Edit] = []
        ranges: list[tuple[int, int, int, int]] = []
        pack = self._plan.phases[0].dialect.pack_long
        for field, last in self.lengths:
            if not (start <= field and last <= end):
                continue
            low, high = field - start, last - start
            length = last - field - 4 + _growth(plain, low, high)
            first, behind = (bisect_left(asks, at, key=lambda ask: ask[1]) for at in (low, high))
            if first < behind:
                ranges.append((low, length, first, behind))
            elif length != last - field - 4:
                patches.append((low, low + 4, pack(length)))
        return patches, ranges


def _layout(start: int, headers: list[tuple[int, int]]) -> Struct:
    """Return the structure that unpacks the headers at their places."""
    form, at = ["="], start
    for offset, size in headers:
        if offset > at:
            form.append(f"{offset - at}x")
        form.append(f"{size}s")
        at = offset + size
    return Struct("".join(form))


def _growth(edits: list[Edit], low: int, high: int) -> int:
    """Return by how much the edits between two offsets grow the output."""
    return sum(len(new) - (last - first) for first, last, new in edits if low <= first < high)


def _joined(edits: list[Edit]) -> list[Edit]:
    """Return the edits with neighbours made one."""
    joined: list[Edit] = []
    for first, last, new in edits:
        if joined and joined[-1][1] == first:
            before = joined.pop()
            first, new = before[0], before[2] + new  # noqa: PLW2901 -- the neighbour's start is the joined one's
        joined.append((first, last, new))
    return joined


class _ItemPlan(Plan):
    """A plan whose whole data set is the content of one item."""

    __slots__ = ()

    def __init__(self, plan: Plan, grammar: Grammar) -> None:
        self.phases = (grammar,)
        self.target, self.teacher, self.told_apart = plan.target, None, plan.told_apart


class Lessons:
    """Decides when a plan's walks are traced, and learns stretches from them.

    A lesson is due when the headers outside stretches are long. The pause before the next one doubles with each lesson,
    and halves again for every so many instances that went well.
    """

    __slots__ = ("_met", "_pause", "_plan", "_seen", "_varying", "_wait", "_well")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._pause = 1
        self._wait = 1
        self._well = 0
        self._seen: dict[tuple[int, bytes], tuple[bytes, int]] = {}
        self._varying: set[tuple[int, bytes]] = set()
        self._met: dict[tuple[int, bytes, bool], int] = {}  # items that begin alike
        plan.teacher = self

    def walk(self, data: Data, editor: Editor) -> Walk:
        """Return a walk to be run over a data set, traced where a lesson is due."""
        if self._pause > 0 or self._plan.phases[0].rewrite:
            return Walk(data, self._plan, editor)
        return TracedWalk(data, self._plan, editor)

    def learn(self, walk: Walk, start: int) -> None:
        """Learn from a walk that was run from an offset, or decide whether a lesson may pay soon."""
        if isinstance(walk, TracedWalk):
            self._learn_elements(walk)
            self._pause = self._wait
            self._wait = min(2 * self._wait, _LONGEST_WAIT)
            return
        pixels = sum(note.end - note.value for note in walk.notes if note.tag == PIXEL_DATA)
        if walk.end - start - pixels - walk.stretched >= _POOR:
            self._pause -= 1
            return
        self._well += 1
        if self._well % _WELL == 0:
            self._wait = max(1, self._wait // 2)

    def item(self, data: Data, grammar: Grammar, start: int, end: int) -> None:
        """Learn, of the items that begin alike and fit no stretch, the second, fourth, eighth and then every 64th."""
        if grammar.rewrite or -1 < end < start + _SHORTEST:
            return
        alike = (id(grammar), data[start : start + 8], end < 0)
        met = self._met.get(alike, 0) + 1
        if len(self._met) > _REMEMBERED:
            self._met.clear()
        self._met[alike] = met
        if met == 1 or (met & (met - 1) and met % _ALWAYS):
            return
        with suppress(BadInput):  # what is wrong with the item is the walk's to say
            if end < 0:
                end = grammar.skipper.end(data, start, len(data)) - 8
            walk = TracedWalk(data, _ItemPlan(self._plan, grammar), Onlooker())
            walk.run(start, end)
            if walk.end == end:
                self._learn_elements(walk)
                _remember(walk, grammar, start, end)

    def _learn_elements(self, walk: TracedWalk) -> None:
        """Remember runs of top-level elements that have always had the same header and size."""
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
            self._varying.clear()
        run: list[_Element] = []
        for element in walk.elements:
            if run and (element.grammar is not run[0].grammar or element.start != run[-1].end):
                _remember(walk, run[0].grammar, run[0].start, run[-1].end)
                run = []
            if self._is_steady(element):
                run.append(element)
            elif run:
                _remember(walk, run[0].grammar, run[0].start, run[-1].end)
                run = []
        if run:
            _remember(walk, run[0].grammar, run[0].start, run[-1].end)

    def _is_steady(self, element: _Element) -> bool:
        """Tell whether an element was seen before and never of another size; remember it."""
        size = element.end - element.start
        tag = (id(element.grammar), element.head[:4])
        before = self._seen.setdefault(tag, (element.head, 0))
        self._seen[tag] = (element.head, size)
        if before[1] and before != (element.head, size):
            self._varying.add(tag)
        return bool(before[1]) and tag not in self._varying and size < _LONGEST


def _remember(walk: TracedWalk, grammar: Grammar, start: int, end: int) -> None:
    """Give a grammar the stretch between two offsets, where it can be one."""
    stretch = walk.stretch(start, end)
    if stretch is not None:
        grammar.add_stretch(stretch, walk.step_at(grammar, start))
