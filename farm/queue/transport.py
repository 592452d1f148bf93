"""Kombu's Redis transport, so that a worker outlives its broker.

When the connection is lost while messages are unacknowledged, Celery 5.7 closes it and connects again. Kombu 5.7 then
ends the worker in two places with an AttributeError: it tries to put those messages back over the connection that is
gone, and it acknowledges them over it when their tasks end. Neither is needed here: the ledger publishes again what
nobody leased, and a message that comes twice leases nothing.
"""

from __future__ import annotations

import logging
from typing import IO

from kombu.transport import redis

log = logging.getLogger(__name__)


class QoS(redis.QoS):
    """What is unacknowledged on a channel; letting go of it never fails."""

    def restore_unacked_once(self, stderr: IO[str] | None = None) -> None:
        """Put unacknowledged messages back, if the broker is there to take them."""
        try:
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the worker
            log.warning("messages in hand were left to the ledger: %s", type(error).__name__)
            self._delivered.clear()

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, if the channel it came by is still there."""
        if not self.channel.closed:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Reject a message, if the channel it came by is still there."""
        if not self.channel.closed:
            super().reject(delivery_tag, requeue)  # type: ignore[no-untyped-call]


def install() -> None:
    """Put it in place; the transport offers no setting for that."""
    redis.Channel.QoS = QoS
