"""Cuts what comes from the transport into PDUs, and P-DATA-TF into fragments that are never held or copied.

Bytes come in pieces of any size. Control PDUs are small and are gathered; a fragment of a message is handed on as a
view of the piece that it came in, as it comes. Whether a PDU may come, and may be so long, is decided at its six-byte
header, before a byte of it is kept (PS3.8 section 9.3.1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

from farm.net.errors import AbortReason, Violation
from farm.net.pdu import Pdu

_HEADER = struct.Struct(">BxL")
_PDV = struct.Struct(">LBB")  # item length, presentation context id, message control header (PS3.8 annex E.2)
_BOTH = struct.Struct(">BxLLBB")  # a P-DATA-TF and its first value, as they nearly always come
_COMMAND, _LAST = 1, 2


class Control(NamedTuple):
    """A PDU other than P-DATA-TF, whole: its type and its body."""

    kind: int
    body: bytes


class Fragment(NamedTuple):
    """A piece of a message fragment; `last` where the message's command set or data set ends with it."""

    context_id: int
    is_command: bool
    last: bool
    data: memoryview


class Framer:
    """Takes bytes, gives PDUs and fragments; keeps a dozen bytes between calls, or one control PDU."""

    def __init__(self, opened: Callable[[int, int], None]) -> None:
        """Take what is told the type and the length of each PDU at its header, and may raise `Violation`."""
        self.begun = 0
        """PDUs whose header has come."""
        self._opened = opened
        self._held = bytearray()
        self._want = _HEADER.size
        self._step: Callable[[memoryview], Control | Fragment | None] = self._header
        self._kind = 0
        self._in_pdu = 0  # bytes of the P-DATA-TF that are still to come
        self._in_fragment = 0
        self._context_id, self._flags = 0, 0

    @property
    def is_between(self) -> bool:
        """Tell whether no PDU is begun and not at its end."""
        return self._step == self._header and not self._held and not self._in_fragment and not self._in_pdu

    def feed(self, view: memoryview) -> Iterator[Control | Fragment]:
        """Yield what the bytes complete; raise `Violation` where they cannot be understood any further."""
        at, end = 0, len(view)
        while at < end:
            if self._in_fragment:
                stop = min(end, at + self._in_fragment)
                self._in_fragment -= stop - at
                yield self._piece(view[at:stop])
                at = stop
                continue
            if self._is_next and end - at >= _BOTH.size and view[at] == Pdu.P_DATA_TF:
                found: Control | Fragment | None = self._opens(*_BOTH.unpack_from(view, at))
                at += _BOTH.size
                if found is not None:
                    yield found
                continue
            if not self._held and end - at >= self._want:
                taken = view[at : at + self._want]
                at += self._want
            else:
                stop = min(end, at + self._want - len(self._held))
                self._held += view[at:stop]
                at = stop
                if len(self._held) < self._want:
                    return
                taken, self._held = memoryview(self._held), bytearray()
            found = self._step(taken)
            if found is not None:
                yield found

    @property
    def _is_next(self) -> bool:
        """Tell whether a PDU begins here."""
        return not self._held and self._step == self._header

    def _opens(self, kind: int, length: int, item: int, context_id: int, flags: int) -> Fragment | None:
        """Begin a P-DATA-TF and its first value at once."""
        self.begun += 1
        self._opened(kind, length)
        self._in_pdu = length
        return self._value(item, context_id, flags)

    def _header(self, taken: memoryview) -> Control | None:
        kind, length = _HEADER.unpack(taken)
        self.begun += 1
        self._opened(kind, length)
        self._kind = kind
        if kind == Pdu.P_DATA_TF:
            self._in_pdu = length
            self._expect_item()
            return None
        self._want, self._step = length, self._body
        return self._body(memoryview(b"")) if not length else None

    def _body(self, taken: memoryview) -> Control:
        self._want, self._step = _HEADER.size, self._header
        return Control(self._kind, bytes(taken))

    def _item(self, taken: memoryview) -> Fragment | None:
        return self._value(*_PDV.unpack(taken))

    def _value(self, length: int, context_id: int, flags: int) -> Fragment | None:
        """Begin a presentation data value; one without any bytes is a fragment at once."""
        self._context_id, self._flags = context_id, flags
        if length < 2 or length + 4 > self._in_pdu:
            raise Violation(AbortReason.INVALID_PARAMETER)
        self._in_pdu -= length + 4
        self._in_fragment = length - 2
        self._expect_item()
        return None if self._in_fragment else self._piece(memoryview(b""))

    def _expect_item(self) -> None:
        """Await the next presentation data value, or the next PDU where this one is at its end."""
        if self._in_pdu:
            if self._in_pdu < _PDV.size:
                raise Violation(AbortReason.INVALID_PARAMETER)
            self._want, self._step = _PDV.size, self._item
        else:
            self._want, self._step = _HEADER.size, self._header

    def _piece(self, data: memoryview) -> Fragment:
        last = not self._in_fragment and bool(self._flags & _LAST)
        return Fragment(self._context_id, bool(self._flags & _COMMAND), last, data)
