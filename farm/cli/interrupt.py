"""Ctrl-C: the first drains, or, where a single instance is in hand, drops that; the second stops at once.

All leave everything in order, because the ledger and the publish protocol stand a `kill -9`. Draining only saves the
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
    from collections.abc import Callable, Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STDERR = 2


@contextmanager
def draining() -> Iterator[threading.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; the second ends the process."""
    stop = threading.Event()

    def drain() -> None:
        stop.set()
        os.write(_STDERR, b"\nFinishing what is in hand; Ctrl-C again stops at once.\n")

    with _heeding(drain):
        yield stop


@contextmanager
def dropping() -> Iterator[None]:
    """Let the first SIGINT or SIGTERM raise `KeyboardInterrupt`; the second ends the process."""

    def drop() -> None:
        os.write(_STDERR, b"\nDropping what is in hand.\n")
        raise KeyboardInterrupt

    with _heeding(drop):
        yield


@contextmanager
def _heeding(first: Callable[[], None]) -> Iterator[None]:
    """Do this at the first SIGINT or SIGTERM; the second ends the process."""
    came = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Straight to the descriptor: the signal may have come in the middle of a print.
        nonlocal came
        if came:
            os.write(_STDERR, b"\nStopped at once.\n")
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(Status.INTERRUPTED)
        came = True
        first()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
