"""The Celery app: delivery options in one place, each with its reason.

A message is a hint to look at some rows of the ledger, so it may be lost, repeated or late. Retries, attempts and
outcomes belong to the ledger; Celery only carries ids to a free worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery
from kombu.entity import Exchange, Queue

from farm.queue import transport
from farm.queue.names import QUEUES

if TYPE_CHECKING:
    from farm.settings import Settings

_MEMORY_PER_CHILD_KIB = 1_500_000


def make_app(broker_url: str, settings: Settings) -> Celery:
    """Return an app for this broker; nothing connects yet."""
    transport.install()
    app = Celery("farm", broker=broker_url, set_as_current=False)
    app.conf.update(
        # Only JSON goes in or out: a pickle in the broker would be code.
        task_serializer="json",
        accept_content=["json"],
        # No result backend: outcomes stand in the ledger, and a backend costs 44 % of the rate.
        task_ignore_result=True,
        # Acknowledge after the work, and one parcel in hand for each process: what a dead worker held is small. A task
        # that fails or loses its process is acknowledged too: the ledger decides whether it is tried again. Rejecting
        # it would redeliver an instance that kills its process for ever.
        task_acks_late=True,
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=1,
        # The last resort against a hang; the parent then ends the lease (see `workers.request`).
        task_time_limit=settings.task_seconds,
        # The routes, each on the default exchange: its messages need no binding in the broker, so publishing works
        # after the broker lost everything.
        task_queues=[Queue(name, Exchange("", type="direct"), routing_key=name) for name in QUEUES],
        task_default_queue=QUEUES[0],
        task_create_missing_queues=False,
        broker_transport_options={
            # Longer than any task can run, else a slow parcel would be delivered twice at once.
            "visibility_timeout": 4 * settings.task_seconds,
            # Look for messages of dead workers often; by default that takes 90 s.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 2,
            # A publisher that finds no broker says so at once; by default it would wait for one for ever.
            "max_retries": 1,
            "interval_start": 0,
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        # A worker waits for its broker as long as it takes.
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # A child that grew is replaced between two parcels.
        worker_max_memory_per_child=_MEMORY_PER_CHILD_KIB,
        # Events halve the rate; `-E` switches them on for Flower. They carry ids only.
        worker_send_task_events=False,
        task_send_sent_event=False,
        # Nothing that a library prints may reach the log.
        worker_redirect_stdouts=False,
        worker_enable_remote_control=True,
        enable_utc=True,
    )
    return app
