"""Keeps the broker filled a little ahead of the workers, and no more.

What waits in the broker is lost with it, cannot be reordered, and is published again when it waits too long. So only as
much is published as the workers drained lately in `window_seconds`, between a small start and `window_messages`.

A route that need not have a worker (`gpu`) is given while one lives. When the last is gone, what is found goes to `cpu`
instead, and so does what waits in its queue, under a new generation: nothing waits for who does not come.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from scheduler.routing import CPU, OPTIONAL

if TYPE_CHECKING:
    from farm.ledger import Parcel
    from farm.ledger.presence import Presence
    from farm.queue import Publisher, Tables
    from farm.settings import Settings

_START = 32
"""Messages that may wait before any drain was measured, or when it has come to a stand."""
_LOOK_BACK = 10.0
"""Seconds over which the drain is measured."""


class Window:
    """How many messages may be published now, from what was drained before; the caller brings the clock."""

    def __init__(self, *, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._published = 0
        self._drained: deque[tuple[float, int]] = deque()

    def published(self, messages: int) -> None:
        """Count messages that were sent."""
        self._published += messages

    def room(self, now: float, waiting: int) -> int:
        """Return how many more messages may be sent, when `waiting` of them are queued or being worked on."""
        self._drained.append((now, self._published - waiting))
        while now - self._drained[0][0] > _LOOK_BACK:
            self._drained.popleft()
        return max(0, self._limit() - waiting)

    def _limit(self) -> int:
        (since, before), (now, after) = self._drained[0], self._drained[-1]
        rate = (after - before) / (now - since) if now > since else 0.0
        return min(self._most, max(_START, math.ceil(rate * self._seconds)))


class Feeder:
    """Moves parcels of one run from the ledger to the broker."""

    def __init__(self, run_id: int, publisher: Publisher, settings: Settings) -> None:
        self._run_id = run_id
        self._publisher = publisher
        self._settings = settings
        self._window = Window(seconds=settings.window_seconds, most=settings.window_messages)
        self._unsent: list[Parcel] = []

    def feed(self, tables: Tables, now: float) -> bool:
        """Publish what there is room for; return whether anything waits for a worker.

        Raise `Unavailable` (broker-away); what could not be sent is sent first at the next call.
        """
        self._send([])
        waiting = tables.ledger.waiting(self._run_id)
        messages = waiting.queued_messages + waiting.leased_messages
        room = self._window.room(now, messages)
        parcels: list[Parcel] = []
        if room:
            settings = self._settings
            parcels = tables.ledger.feed(
                self._run_id,
                max_messages=room,
                max_instances=settings.parcel_instances,
                max_bytes=settings.parcel_bytes,
                instead=dict.fromkeys(_unserved(tables.presence), CPU),
            )
            self._window.published(len(parcels))
            self._send(parcels)
        return bool(parcels or messages)

    def recover(self, tables: Tables) -> int:
        """End the leases of dead workers, publish again what nobody took; return how many parcels were published."""
        reaped = tables.ledger.reap()
        unserved = _unserved(tables.presence)
        lost = tables.presence.reroute(self._run_id, unserved, CPU) if unserved else []
        lost += tables.ledger.republish(self._run_id, self._settings.republish_seconds)
        self._send(lost)
        return reaped + len(lost)

    def _send(self, parcels: list[Parcel]) -> None:
        # What is kept here while the broker is away may be republished meanwhile; its old generation leases nothing.
        self._unsent += parcels
        self._publisher.publish(self._unsent)
        self._unsent = []


def _unserved(presence: Presence) -> list[str]:
    """Return the routes that need not have a worker, and have none."""
    served = presence.served()
    return [route for route in OPTIONAL if route not in served]
