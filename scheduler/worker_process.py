"""The Celery worker that `farm run` and `farm up` keep beside them on one machine.

It lives in a process group of its own, so Ctrl-C reaches only the program that decides what to do about it, and it is
tethered: when that program dies, even by SIGKILL, the worker's standard input ends and it shuts down by itself.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING

from farm.errors import Reason, Unavailable
from farm.queue import heartbeat_path

if TYPE_CHECKING:
    from farm.settings import Settings

log = logging.getLogger(__name__)

_QUICK = 10.0
"""A worker that lives shorter than this died of its surroundings, not of its work."""
_QUICK_DEATHS = 3
_ENDINGS = ((signal.SIGTERM, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
"""Finish the parcels in hand; give them back; just end."""


class WorkerProcess:
    """One `celery worker`, started again when it dies."""

    def __init__(
        self, settings: Settings, *, queues: tuple[str, ...] = ("cpu", "large"), events: bool = False, name: str = ""
    ) -> None:
        """Take the queues; `name` tells workers of one program apart."""
        self._settings = settings
        self._queues = queues
        self._events = events
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._quick_deaths = 0
        self._node = f"farm-{os.getpid()}{name}@{socket.gethostname()}"

    @property
    def pid(self) -> int | None:
        """Return the pid of the worker's main process, or None where it was not started."""
        return None if self._process is None else self._process.pid

    def ensure(self) -> None:
        """Start the worker if it does not run; raise `Unavailable` (server-failed) if it keeps dying at once."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._end_group()
            self._quick_deaths = self._quick_deaths + 1 if time.monotonic() - self._started < _QUICK else 0
            log.warning("the worker ended with status %d and is started again", status)
            if self._quick_deaths >= _QUICK_DEATHS:
                raise Unavailable(Reason.SERVER_FAILED, "the worker does not start: see logs/worker.log in FARM_HOME")
        self._start()

    def stop(self) -> None:
        """End the worker: it finishes the parcels in hand, if that does not take too long."""
        if self._process is None:
            return
        for number, seconds in _ENDINGS:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
        self._end_group()
        self._process = None

    def _start(self) -> None:
        logs = self._settings.home / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (logs / "worker.log").open("ab") as words:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with options of ours
                self._command(),
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                env=os.environ | environment(self._settings),
                cwd=self._settings.home,  # nothing in the user's folder may pass for one of our modules
                process_group=0,
            )
        self._started = time.monotonic()

    def _command(self) -> list[str]:
        settings = self._settings
        options = ["--queues", ",".join(self._queues), "--concurrency", str(settings.worker_count)]
        options += ["--hostname", self._node, "--loglevel", settings.log_level, "--tether"]
        options += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        if self._events:
            options.append("--task-events")
        return [sys.executable, "-P", "-m", "celery", "--app", "workers.app", "--quiet", "worker", *options]

    def _end_group(self) -> None:
        """Kill what is left of the process group: children whose parent was killed hold work that is not theirs."""
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            if self._process.stdin is not None:
                self._process.stdin.close()
            heartbeat_path(self._settings.home, self._node).unlink(missing_ok=True)


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that give another process the same settings."""
    return {f"FARM_{field.name.upper()}": str(getattr(settings, field.name)) for field in fields(settings)}
