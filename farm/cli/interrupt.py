"""Ctrl-C: the first drains, the second stops at once.

Both leave everything in order, because the ledger and the publish protocol stand a `kill -9`. The first only saves the
work in hand. A pool's processes are killed by the second; a Celery worker ends by itself, once its parcels are done.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.cli.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2


@contextmanager
def draining() -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; the second ends the process."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Straight to the descriptor: the signal may have come in the middle of a print.
        if stop.is_set():
            os.write(_STDERR, b"\nStopped at once.\n")
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(Status.INTERRUPTED)
        stop.set()
        os.write(_STDERR, b"\nFinishing what is in hand; Ctrl-C again stops at once.\n")

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
