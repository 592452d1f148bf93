"""The worker program with a fault: instances that end in a mark kill their process, hang in it, or raise all they hold.

Only a real death shows what the worker's main process does about it, so this is run in place of `workers.app`.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from workers import handler
from workers.app import app

__all__ = ["app"]

_steps = handler.steps


def steps(data: Any, *rest: Any, **named: Any) -> Any:
    """Do what the pipeline does, but for marked instances."""
    end = bytes(data[-8:])
    if end == b"KILL-ME!":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == b"HANG-ME!":
        threading.Event().wait()
    if end == b"RAISE-ME":
        raise ValueError(bytes(data).decode("latin-1"))
    return _steps(data, *rest, **named)


handler.steps = steps
