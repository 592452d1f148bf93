"""A pool's process in which some instances do harm; it stands in a module because new processes import it by name."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from farm.cli import deid_batch, pool
from farm.errors import Reason, Unavailable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from farm.cli.deid_batch import Order
    from farm.cli.tally import Made
    from farm.sources import Entry
    from farm.stores import Staged

serve = pool.serve


class _Poisoned(deid_batch.Deidentifying):
    def _prepared(self, entry: Entry) -> tuple[Staged, Made]:
        match entry.locator:
            case b"deadly.dcm":
                os.kill(os.getpid(), signal.SIGKILL)
            case b"endless.dcm":
                threading.Event().wait()
            case b"full.dcm":
                raise Unavailable(Reason.NO_SPACE)
            case b"faulty.dcm":
                raise ValueError("Doe^Jane")
        return super()._prepared(entry)


def poisoned(order: Order, connection: Connection) -> None:
    """Be a process of the pool, with the poison in it."""
    deid_batch.Deidentifying = _Poisoned  # type: ignore[misc]
    serve(order, connection)


def dead_at_start(_order: Order, _connection: Connection) -> None:
    """Be a process that dies before it can do anything."""
    os.kill(os.getpid(), signal.SIGKILL)
