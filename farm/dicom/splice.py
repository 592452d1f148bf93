"""The splice: edit a data set instead of rebuilding it.

A walk passes over the headers of the original bytes and yields *edits*: spans to cut or to replace. What no edit
touches is never decoded; `assemble` joins the untouched runs and the new pieces into segments, and large runs (pixels)
stay views of the original. So a malformed value that is kept cannot break the output, and no parser's repair can alter
it.

What to do with an element is remembered by a `Grammar` (see there why that is exact and fast). Sequences are walked
with an explicit stack: nesting is limited (64), never recursive. When something inside a defined-length item changes
size, the lengths of its parents are patched as each of them closes (PS3.5 section 7.5).
"""

from __future__ import annotations

from farm.dicom.editor import OTHER, Editor
from farm.dicom.elements import MAX_DEPTH, PIXEL_DATA, SHORT_VRS, UNDEFINED, Data, Dialect
from farm.dicom.grammar import SWAPPED, Edit, Grammar, Kind, Path, Plan, Span, Step, meant, span
from farm.errors import BadInput, Reason

_SHORT = 256  # bytes of an element up to which the answer to it is remembered
_REMEMBERED = 20_000  # answers
_UNANSWERED = b"unanswered"
_VIEWED = 16_384  # bytes from which a kept run is handed on as a view: below, copying is cheaper than a segment


_Level = tuple[Grammar, int, int, int, int, int, int, Step]
"""An open sequence. To come back to: the grammar, limit, item's length field and growth around it. Its own: start,
end (-1: it lasts up to its delimiter), growth before it, and the step that opened it."""


class Walk:
    """One pass over a data set; afterwards `edits`, `notes` and `end` tell what was found.

    `end` is the offset behind the last element: what follows it is not part of the data set. While walking, the limit
    is where the elements of the open item (or the data set) end, and growth is how many bytes the output has more.
    """

    __slots__ = (
        "_answers",
        "_data",
        "_editor",
        "_grammar",
        "_grown",
        "_item",
        "_items",
        "_numbers",
        "_phase",
        "_plan",
        "_stack",
        "edits",
        "end",
        "notes",
        "stretched",
    )

    def __init__(self, data: Data, plan: Plan, editor: Editor) -> None:
        self._data, self._plan, self._editor = data, plan, editor
        self._answers = None if plan.phases[0].rewrite else editor.answers
        self._grammar = plan.phases[0]
        self._phase = self._grown = 0
        self._stack: list[_Level] = []
        self._item = (-1, -1)  # where the content of the item opened last begins and ends; -1: at its delimiter
        self._items = 0  # items opened so far
        self._numbers = [0] * (MAX_DEPTH + 1)  # the number of the open item at each depth
        self.edits: list[Edit] = []
        self.notes: list[Span] = []
        self.end = 0
        self.stretched = 0  # bytes that stretches covered

    @property
    def path(self) -> Path:
        """Return the path to the elements that are walked, as far as the rules tell places apart."""
        return self._grammar.path

    @property
    def dialect(self) -> Dialect:
        """Return how the elements that are walked are written: those of a sequence written as UN are implicit."""
        return self._grammar.dialect

    @property
    def item(self) -> int:
        """Return the number of the item that is walked; each has its own."""
        return self._numbers[len(self._stack)]

    def run(self, at: int, end: int) -> None:
        """Walk the data set between two offsets; raise `BadInput` where it cannot be read."""
        stack, limit, item_at, item_grown = self._stack, end, -1, 0
        while True:
            at, step, length = self._elements(at, limit)
            if at >= limit:
                if not stack:
                    break
                if at > limit or item_at < 0:
                    raise BadInput(Reason.BAD_STRUCTURE, "an item does not end where its length says")
                if self._grown != item_grown:
                    self._patch(item_at, limit - item_at - 4 + self._grown - item_grown)
            elif step.kind is Kind.ITEM_END:
                if item_at >= 0:
                    raise BadInput(Reason.BAD_STRUCTURE, "a delimiter ends an item of defined length")
                at += 8
            elif step.kind is Kind.PHASE:
                self._next_phase(at, last=step is PIXELS_PASSED)
                continue
            elif step.kind is Kind.STOP:
                break
            elif not self._enters(step):
                at = self._pass(at, step, length, limit)
                continue
            else:
                at = self._enter(at, step, length, (limit, item_at, item_grown))
            at, limit, item_at, item_grown = self._next_item(at)
        if at > end:
            raise BadInput(Reason.TRUNCATED)
        self._next_phase(at, last=True)
        self.end = at

    def _elements(self, at: int, limit: int) -> tuple[int, Step, int]:  # noqa: C901, PLR0912, PLR0915 - one loop
        """Pass over the elements of one item; stop at its end, or at one that changes where the walk stands."""
        data, grammar, grown = self._data, self._grammar, self._grown
        span_of_head, swap_of, step_of, add = grammar.memo.get, grammar.swaps, grammar.steps.get, self.edits.append
        step, length = BEHIND, 0
        while at < limit:
            head = data[at : at + 8]
            reach = span_of_head(head, 0)
            if reach > 0:
                at += reach
                continue
            if reach:
                start = at
                if reach < SWAPPED:
                    at -= reach - SWAPPED
                    new = swap_of[head]
                    add((start, at, new))
                    grown += start - at + len(new)
                    continue
                while SWAPPED < reach < 0 and at < limit:  # neighbours go in one cut
                    at -= reach
                    reach = span_of_head(data[at : at + 8], 0)
                add((start, at, b""))
                grown += start - at
                continue
            step = step_of(head) or self._learned(at, limit)
            if step.kind == Kind.STRETCH:
                self._grown = grown
                end = self._stretch(at, limit)
                grown = self._grown
                if end > at:
                    at = end
                    continue
                step = grammar.stretches[head][0] if head in grammar.stretches else self._learned(at, limit)
            kind, tag, vr, size, length, _, _ = step
            if length < 0:
                length = grammar.dialect.long(data, at + 8)
            if length == UNDEFINED or kind >= Kind.ENTER or kind == Kind.STOP:
                break
            end = at + size + length
            if end > limit:
                raise BadInput(Reason.BAD_STRUCTURE if self._stack else Reason.TRUNCATED)
            if kind == Kind.CUT:
                add((at, end, b""))
                grown += at - end
                at = end
                continue
            if vr == "UN":
                self._refuse_items(step, at, end)
            if kind == Kind.NOTE:
                self.notes.append(span(tag, vr, at, at + size, end, _DEFINED))
                if tag == PIXEL_DATA and not self._stack:
                    at, step = end, PIXELS_PASSED
                    break
            elif kind != Kind.KEEP:
                grown += self._change(step, at, end)
            at = end
        self._grown = grown
        return at, step, length

    def _refuse_items(self, step: Step, at: int, end: int) -> None:
        """Refuse items where a value belongs: what they hold would be handed on unseen."""
        value = at + step.size
        if step.kind in {Kind.CUT, Kind.SWAP} or self._data[value : min(end, value + 4)] != _LITTLE_ITEM:
            return
        if meant(step.tag, step.vr) != "SQ" and not step.tag >> 16 & 1:  # a private one was kept by name
            raise BadInput(Reason.BAD_STRUCTURE, "a sequence is written as the value of an attribute that is none")

    def _learned(self, at: int, limit: int) -> Step:
        """Learn an element; at top level, what cannot be one may be bytes behind the data set."""
        try:
            return self._grammar.learn(self._data, at, limit)
        except BadInput:
            behind = self._phase == len(self._plan.phases) - 1 or not any(self._data[at:limit])
            if self._stack or not behind:
                raise
            return BEHIND

    def _change(self, step: Step, at: int, end: int) -> int:
        """Record the edit of one element, and return by how much it grows the output."""
        kind, tag, vr, size, _, _, new = step
        start = at
        if kind == Kind.ASK:
            answered = self._answer(step, at, end)
            if answered is None:
                return 0
            new = answered
        elif kind == Kind.JUDGE:
            if self._judged(step, self._data[at + size : end]):
                if not self._grammar.rewrite:
                    return 0
                new = self._grammar.target.pack_header(tag, vr, end - at - size)
                end = at + size
        elif kind == Kind.HEAD:
            new = self._grammar.target.pack_header(tag, self._editor.settle(tag, vr), end - at - size)
            end = at + size
        elif kind == Kind.SWAP and end == at + size:
            return 0
        self.edits.append((start, end, new))
        return len(new) - (end - start)

    def _answer(self, step: Step, at: int, end: int) -> bytes | None:
        """Return what takes the place of an element that is asked about; None: it stays as it is."""
        _, tag, vr, size, _, _, new = step
        remembers = end - at <= _SHORT and vr in SHORT_VRS and vr != "UI" and not self._grammar.rewrite
        answers = self._answers if remembers else None
        if answers is not None:
            element = self._data[at:end]
            known = answers.get(element, _UNANSWERED)
            if known is not _UNANSWERED:
                return new if known is OTHER else known
        value = self._data[at + size : end]
        answer = self._editor.ask(tag, meant(tag, vr), value)
        encoded: bytes | None = OTHER
        if answer == value and not self._grammar.rewrite:
            encoded = None
        elif answer is not None:
            encoded = self._grammar.target.element(tag, self._editor.settle(tag, vr), answer)
        if answers is not None and len(answers) < _REMEMBERED:
            answers[element] = encoded
        return new if encoded is OTHER else encoded

    def _judged(self, step: Step, value: bytes) -> bool:
        """Ask whether a private element stays."""
        return self._editor.judge(step.tag, step.vr, value, self.item)

    def _cut(self, at: int, step: Step, length: int, limit: int) -> int:
        """Cut a sequence as a whole; return the offset behind it."""
        end = at + step.size + length
        if length == UNDEFINED:
            inside = self._grammar.unknown if step.vr == "UN" else self._grammar.inner
            end = inside.skipper.end(self._data, at + step.size, limit)
        if end > limit:
            raise BadInput(Reason.BAD_STRUCTURE if self._stack else Reason.TRUNCATED)
        self.edits.append((at, end, b""))
        self._grown += at - end
        return end

    def _next_phase(self, at: int, *, last: bool = False) -> None:
        """End a top-level phase, or all that are left: insert what the editor has for this place."""
        for phase in range(self._phase, len(self._plan.phases) - 1 if last else self._phase + 1):
            new = self._editor.insert(phase, self._plan.target)
            if new:
                self.edits.append((at, at, new))
            self._phase = phase + 1
        self._grammar = self._plan.phases[self._phase]

    def _enters(self, step: Step) -> bool:
        """Tell whether a sequence is entered: one that stays, and of the private ones those that are judged so."""
        if not step.items or step.kind not in _MAY_ENTER:
            return False
        return not step.tag >> 16 & 1 or self._judged(step, b"")

    def _pass(self, at: int, step: Step, length: int, limit: int) -> int:
        """Pass over an element as a whole that is not entered, and do what its step says."""
        if step.items and step.kind in _MAY_ENTER:
            return self._cut(at, step, length, limit)
        value = at + step.size
        if step.kind in _ENTERED and step.tag != PIXEL_DATA:
            raise BadInput(Reason.BAD_STRUCTURE, "only Pixel Data may hold fragments")
        if step.items:
            inside = self._grammar.unknown if step.vr == "UN" else self._grammar.inner
            end = inside.skipper.end(self._data, value, limit)
        else:
            end = self._fragments(value, limit)
        if step.kind is Kind.NOTE:
            self.notes.append(Span(step.tag, step.vr, at, value, end, defined=False))
        elif step.kind not in _ENTERED:  # a UID of undefined length is none: it is cut
            self.edits.append((at, end, step.new))
            self._grown += len(step.new) - (end - at)
        if step.tag == PIXEL_DATA and not self._stack:
            self._next_phase(end, last=True)
        return end

    def _fragments(self, at: int, limit: int) -> int:
        """Return the offset behind encapsulated fragments and their delimiter (PS3.5 A.4)."""
        data = self._data
        while at + 8 <= limit:
            mark, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
            at += 8
            if mark == _LITTLE_END:
                return at
            if mark != _LITTLE_ITEM or length == UNDEFINED:
                raise BadInput(Reason.BAD_STRUCTURE, "something other than a fragment stands in Pixel Data")
            at += length
        raise BadInput(Reason.TRUNCATED)

    def _stretch(self, at: int, limit: int) -> int:
        """Pass over the first known stretch that fits here; return the same offset where none does."""
        data, grammar = self._data, self._grammar
        head = data[at : at + 8]
        opening, known = grammar.stretches[head]
        for stretch in known.get(data[at : at + opening.size], ()):
            size, layout, heads, edits, grown, asks, ranges, notes, depth = stretch
            if at + size <= limit and layout.unpack_from(data, at) == heads:
                if len(self._stack) + depth > MAX_DEPTH:
                    raise BadInput(Reason.TOO_DEEP)
                break
        else:
            grammar.missed(head)
            if at == self._item[0] and self._plan.teacher:
                self._plan.teacher.item(data, grammar, *self._item)
            return at
        if head in grammar.misses:
            del grammar.misses[head]
        self.stretched += size
        self.edits += [(at + start, at + end, new) for start, end, new in edits]
        self.notes += [
            span(tag, vr, at + start, at + value, at + end, how) for tag, vr, start, value, end, how in notes
        ]
        self._grown += grown
        if asks:
            growths = [self._change(step, at + start, at + end) for step, start, end in asks]
            for field, length, first, last in ranges:
                self._patch(at + field, length + sum(growths[first:last]))
            self._grown += sum(growths)
        return at + size

    def _patch(self, at: int, length: int) -> None:
        """Replace a 32-bit length."""
        self.edits.append((at, at + 4, self._grammar.dialect.pack_long(length)))

    # Sequences.

    def _enter(self, at: int, step: Step, length: int, around: tuple[int, int, int]) -> int:
        """Open a sequence: remember what is around it and go to its first item."""
        if len(self._stack) >= MAX_DEPTH:
            raise BadInput(Reason.TOO_DEEP)
        grammar = self._grammar
        value = at + step.size
        end = value + length if length != UNDEFINED else -1
        if end > around[0]:
            raise BadInput(Reason.BAD_STRUCTURE if self._stack else Reason.TRUNCATED)
        self._stack.append((grammar, *around, at, end, self._grown, step))
        if step.vr == "UN" and grammar.dialect.big_endian:
            raise BadInput(Reason.BAD_STRUCTURE, "a big endian data set holds a little endian sequence written as UN")
        self._grammar = grammar.unknown if step.vr == "UN" else grammar.items(step.tag)
        return value

    def _next_item(self, at: int) -> tuple[int, int, int, int]:
        """Between items: open the next one or close the sequence; return offset, limit, item's length field, growth."""
        _, outer_limit, _, _, _, end, _, step = level = self._stack[-1]
        data, dialect = self._data, self._grammar.dialect
        while at != end:
            limit = end if end >= 0 else outer_limit
            if at + 8 > limit:
                raise BadInput(Reason.BAD_STRUCTURE, "a sequence does not end where its length says")
            mark = data[at : at + 4]
            if mark != dialect.item_mark:
                if mark == dialect.end_mark and end < 0:
                    return self._leave(at + 8, level)
                raise BadInput(Reason.BAD_STRUCTURE, "something other than an item stands in a sequence")
            at += 8
            limit, item_at = self._open(at, limit)
            if step.tag in self._plan.told_apart and not self._tell_apart(level):
                at = self._cut_item(limit)
                continue
            if self._plan.teacher and data[at : at + 8] not in self._grammar.stretches:
                self._plan.teacher.item(data, self._grammar, *self._item)
            return at, limit, item_at, self._grown
        return self._leave(at, level)

    def _open(self, at: int, limit: int) -> tuple[int, int]:
        """Open the item whose content begins at an offset; return where its elements end, and its length field."""
        length = self._grammar.dialect.long(self._data, at - 4)
        self._items += 1
        self._numbers[len(self._stack)] = self._items
        if length == UNDEFINED:
            self._item = (at, -1)
            return limit, -1
        if at + length > limit:
            raise BadInput(Reason.BAD_STRUCTURE, "an item is longer than its sequence")
        self._item = (at, at + length)
        return at + length, at - 4

    def _tell_apart(self, level: _Level) -> bool:
        """Go on with the rules for the kind of item that was opened; False: it goes."""
        outer, step = level[0], level[7]
        kind = self._editor.kind(step.tag, *self._item)
        if kind:
            self._grammar = (outer.unknown if step.vr == "UN" else outer.items(step.tag)).items(kind)
        return kind != 0

    def _cut_item(self, limit: int) -> int:
        """Cut the item that was opened; return the offset behind it."""
        start, end = self._item
        if end < 0:
            end = self._grammar.skipper.end(self._data, start, limit)
        self.edits.append((start - 8, end, b""))
        self._grown += start - 8 - end
        return end

    def _leave(self, at: int, level: _Level) -> tuple[int, int, int, int]:
        """Close a sequence: patch or rewrite its header, or drop it as a whole, and go back to the item around it."""
        self._stack.pop()
        rewrite = self._grammar.rewrite
        self._grammar, limit, item_at, item_grown, start, end, grown, step = level
        value = start + step.size
        if rewrite:  # its items were implicit and are explicit now, and so is its header
            length = UNDEFINED if end < 0 else at - value + self._grown - grown
            new = self._grammar.target.pack_header(step.tag, "SQ", length)
            self.edits.append((start, value, new))
            self._grown += len(new) - step.size
        elif self._grown != grown and end >= 0:
            self._patch(value - 4, end - value + self._grown - grown)
        return at, limit, item_at, item_grown


_DEFINED = True
_LITTLE_ITEM = bytes.fromhex("feff00e0")
_LITTLE_END = bytes.fromhex("feffdde0")
_ENTERED = frozenset({Kind.ENTER, Kind.KEEP, Kind.HEAD})
_MAY_ENTER = _ENTERED | {Kind.JUDGE}
BEHIND = Step(Kind.STOP, 0, "", 0, 0)
PIXELS_PASSED = Step(Kind.PHASE, PIXEL_DATA, "", 0, 0)


def assemble(data: Data, edits: list[Edit], start: int, end: int) -> list[bytes | memoryview]:
    """Return the edited bytes between two offsets as segments; long kept runs are views of `data`, never copied.

    Edits may come in any order and must not overlap.
    """
    segments: list[bytes | memoryview] = []
    pieces: list[bytes] = []
    view = memoryview(data)
    at = start
    for first, last, new in sorted(edits):
        if first - at >= _VIEWED:
            segments += (b"".join(pieces), view[at:first])
            pieces = []
        elif first > at:
            pieces.append(data[at:first])
        if new:
            pieces.append(new)
        at = last
    if end - at >= _VIEWED:
        segments += (b"".join(pieces), view[at:end])
    else:
        pieces.append(data[at:end])
        segments.append(b"".join(pieces))
    return [segment for segment in segments if len(segment)]
