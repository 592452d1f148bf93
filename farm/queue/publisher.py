"""Sends parcels to the broker, many at a time.

A message holds one number: the generation under which the ledger keeps the parcel. Publishing is safe to repeat, since
of two messages with the same generation the second leases nothing. So when a batch fails, and nobody knows how much of
it arrived, all of it is sent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.exceptions import KombuError

from farm.errors import Reason, Unavailable
from farm.queue.names import PARCEL_TASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery

    from farm.ledger import Parcel

_BATCH = 1000


class Publisher:
    """Publishes parcels through one app's connection pool."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def publish(self, parcels: Sequence[Parcel]) -> None:
        """Send all parcels; raise `Unavailable` (broker-away) if any of them may not have arrived."""
        if not parcels:
            return
        connection = self._app.connection_for_write()
        errors = (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)
        try:
            with self._app.producer_or_acquire() as producer, producer.batch(max_size=_BATCH):
                for parcel in parcels:
                    self._send(producer, parcel)
        except errors:
            raise Unavailable(Reason.BROKER_AWAY) from None

    def _send(self, producer: object, parcel: Parcel) -> None:
        # Without argsrepr Celery would put the arguments themselves into headers and events.
        self._app.send_task(
            PARCEL_TASK,
            args=[parcel.generation],
            argsrepr=f"run {parcel.run_id}, parcel {parcel.generation}, {len(parcel.ids)} instances",
            kwargsrepr="{}",
            queue=parcel.route,
            producer=producer,
            retry=False,
        )

    def close(self) -> None:
        """Drop the connections."""
        self._app.close()
