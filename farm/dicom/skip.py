"""Pass over a sequence of undefined length that goes as a whole.

Nothing in it is kept, so only its end has to be found: headers are stepped over, items and sequences of defined length
are jumped, and the delimiters of the others are counted (PS3.5 section 7.5).
"""

from __future__ import annotations

from farm.dicom.elements import IMPLICIT, ITEM, ITEM_END, MAX_DEPTH, SEQUENCE_END, UNDEFINED, Data, Dialect
from farm.errors import BadInput, Reason

_REMEMBERED = 50_000
_CLOSES, _OPENS, _LONG, _UNKNOWN = -1, -2, -3, -4


class Skipper:
    """Finds the end of sequences in one dialect; remembers spans by an element's first eight bytes."""

    __slots__ = ("_dialect", "_spans")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._spans: dict[bytes, int] = {}

    def end(self, data: Data, at: int, limit: int) -> int:
        """Return the offset behind the delimiter of the sequence whose first item stands at an offset."""
        span_of, depth = self._spans.get, 1
        while True:
            head = data[at : at + 8]
            span = span_of(head, _UNKNOWN)
            if span > 0:  # behind the limit there is nothing, or what is no header: it is noticed before the end
                at += span
                continue
            if span == _UNKNOWN:
                span = self._learn(head, data, at, limit)
            if span > 0:
                at += span
            elif span == _CLOSES:
                depth -= 1
                at += 8
                if not depth:
                    break
            elif span == _OPENS:
                depth += 1
                at += 8
            elif span == _LONG:
                at, opened = self._long(data, at, limit)
                depth += opened
            if depth > 2 * MAX_DEPTH:
                raise BadInput(Reason.TOO_DEEP)
        if at > limit:
            raise BadInput(Reason.TRUNCATED)
        return at

    def _long(self, data: Data, at: int, limit: int) -> tuple[int, int]:
        """Pass an element whose length takes 32 bits of its own; return where to go on and how many levels it opens."""
        header = self._dialect.header(data, at, limit)
        at += header.size
        if header.length != UNDEFINED:
            return at + header.length, 0
        if header.vr == "UN":  # its items are implicit (PS3.5 6.2.2 note 2)
            return Skipper(IMPLICIT).end(data, at, limit), 0
        return at, 1

    def _learn(self, head: bytes, data: Data, at: int, limit: int) -> int:
        """Return, and remember, what to do at an element."""
        tag, _, size, length = self._dialect.header(data, at, limit)
        if tag in {ITEM_END, SEQUENCE_END}:
            span = _CLOSES
        elif size == 12:
            span = _LONG
        elif length == UNDEFINED:
            span = _OPENS
        else:
            span = size + length
        if tag >> 16 == 0xFFFE and tag not in {ITEM, ITEM_END, SEQUENCE_END}:
            raise BadInput(Reason.BAD_STRUCTURE, "an unknown delimiter stands in a sequence")
        if len(self._spans) < _REMEMBERED:
            self._spans[head] = span
        return span
