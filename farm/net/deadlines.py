"""How long an association may take over what, so that no peer holds one for ever by doing nothing, or very little.

Every wait for the peer has an end of its own: a transport connection without an association, a PDU that has begun, the
next PDU. Each is put off by the next byte of the right kind, so a peer could string them together without end.
Therefore a message as a whole has to come in time too, which depends on its length: it may lag behind a least rate by
no more than the idle time. And an association ends some day, as soon as nothing is on its way.

While the peer waits for us nothing of this counts; that has an end too, for what we wait for may never come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Seconds after which an association is ended.

    `request`: a transport connection without an association, or that does not close (ARTIM). `pdu`: from a PDU's first
    byte to its last. `idle`: between the PDUs of an association, and what a message may lag behind `least_rate`, in
    bytes a second. `answer`: for a request that we carry out. `longest`: for all of it; one that is over ends when
    no request is on its way, and `idle` later at last. 0 of `least_rate` or `longest`: any.
    """

    request: float = 10.0
    pdu: float = 30.0
    idle: float = 600.0
    least_rate: float = 1024.0
    answer: float = 600.0
    longest: float = 86_400.0


class Watch:
    """When one association has to be ended; times are the event loop's, in seconds."""

    __slots__ = ("_begun", "_came", "_closes", "_deadlines", "end", "heard", "over")

    def __init__(self, deadlines: Deadlines, now: float) -> None:
        self._deadlines = deadlines
        self._begun, self._came = math.inf, 0
        self._closes = False
        self.end = now + deadlines.request
        """When it has to be ended, whatever it is at."""
        self.over = math.inf
        """From when on it has to be ended as soon as no request is on its way."""
        self.heard = now
        """When the peer last was heard or answered."""

    def closing(self, now: float) -> None:
        """Note that the transport has to close: nothing puts that off."""
        if not self._closes:
            self._closes = True
            self.end = now + self._deadlines.request

    def accepted(self, now: float) -> None:
        """Note that there is an association."""
        if self._deadlines.longest:
            self.over = now + self._deadlines.longest
        self.rests(now)

    def rests(self, now: float) -> None:
        """Note that the peer's next message may begin, our answer to the last being on its way."""
        self._begun = math.inf
        self._until(now, now + self._deadlines.idle)

    def answers(self, now: float) -> None:
        """Note that a request is being carried out: the peer waits for us."""
        self._begun = math.inf
        self.heard = now
        self.end = now + self._deadlines.answer

    def came(self, now: float, size: int, *, in_pdu: bool, begins: bool) -> None:
        """Note that bytes of a message have come that is not at its end; `begins`: a PDU began among them."""
        deadlines = self._deadlines
        if now < self._begun:
            self._begun, self._came = now, 0
        self._came += size
        if not in_pdu:
            end = now + deadlines.idle
        elif begins:
            end = now + deadlines.pdu
        else:
            self.heard = now
            return
        if deadlines.least_rate:
            end = min(end, self._begun + deadlines.idle + self._came / deadlines.least_rate)
        self._until(now, end)

    def _until(self, now: float, end: float) -> None:
        self.heard = now
        if not self._closes:
            self.end = min(end, self.over + self._deadlines.idle)
