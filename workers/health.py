"""Signs of life, both ways: a file that the worker touches, and a tether to the program that started it.

The file is touched from the worker's own event loop, so it grows old when the loop hangs; a liveness probe needs no
broadcast through the broker. The tether is the worker's standard input: when whoever holds its other end is gone, even
by SIGKILL, it ends, and the worker shuts down warmly instead of living on unseen.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click
from celery import bootsteps

from farm.queue import heartbeat_path

if TYPE_CHECKING:
    from celery import Celery

_EVERY = 5.0
_ENDINGS = ((signal.SIGTERM, 30.0), (signal.SIGQUIT, 10.0))
"""With nobody left to see to it, the worker makes sure itself that it ends; tethered, it leads a process group."""


def install(app: Celery) -> None:
    """Add the steps, and the option `--tether`, to the app's worker."""
    app.user_options["worker"].add(click.Option(("--tether",), is_flag=True, help="Stop when standard input ends."))
    app.steps["worker"].update((Heartbeat, Tether))


class Heartbeat(bootsteps.StartStopStep):
    """Touches the file while the event loop turns; removes it at the end."""

    requires = ("celery.worker.components:Timer",)  # type: ignore[assignment]

    def __init__(self, parent: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's signature
        super().__init__(parent, **options)  # type: ignore[no-untyped-call]
        self._path = heartbeat_path(parent.app.farm_settings.home, parent.hostname)

    def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Touch at once and every few seconds."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch()
        parent.timer.call_repeatedly(_EVERY, self._path.touch)

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002 - Celery's signature
        """Say that the worker ended in order."""
        self._path.unlink(missing_ok=True)


class Tether(bootsteps.StartStopStep):
    """Ends the worker when its standard input ends, if `--tether` was given."""

    def __init__(self, parent: Any, *, tether: bool = False, **options: Any) -> None:  # noqa: ANN401 - Celery's
        super().__init__(parent, **options)  # type: ignore[no-untyped-call]
        self.enabled = tether

    def start(self, parent: Any) -> None:  # noqa: ANN401, ARG002 - Celery's signature
        """Wait for the end in a thread."""
        threading.Thread(target=_wait_for_end, name="tether", daemon=True).start()


def _wait_for_end() -> None:
    while os.read(sys.__stdin__.fileno(), 1):  # type: ignore[union-attr]
        pass
    for number, seconds in _ENDINGS:
        os.kill(os.getpid(), number)
        time.sleep(seconds)
    os.killpg(0, signal.SIGKILL)
