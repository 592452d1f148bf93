"""One server process that outlives its starter, and how to tell that it lives.

A server holds an exclusive lock (flock) on a file of its own: it inherits the open file as descriptor 3, so the lock
lasts exactly as long as the server and its children do. That answers what a pid file cannot: a pid may be stale, or be
another process's by now; a lock is neither, and no restart of a machine or a container leaves it behind. The pid in
the file is only the address to send signals to, and is looked at only while the lock is held.

The process is started through a shell that writes its child's pid and ends. So the server is nobody's child: Ctrl-C and
the death of the starter do not reach it, and every later process stands to it as the starter does.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from farm.errors import Reason, Unavailable

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.embedded.account import Account

_READY_SECONDS = 120  # recovery after a crash replays a log, which can take a while
_LAUNCH = ["/bin/sh", "-c", 'exec 3<&0 && { "$@" </dev/null & } && echo $! >&3', "sh"]


class Kind(Protocol):
    """What differs between the servers."""

    @property
    def name(self) -> str:
        """Return the server's name in the names of its files."""
        ...

    @property
    def url(self) -> str:
        """Return the URL by which the farm reaches it."""
        ...

    @property
    def endings(self) -> tuple[tuple[signal.Signals, int], ...]:
        """Return the signals that end it, each with the seconds it is given."""
        ...

    def prepare(self, log: Path) -> tuple[list[str], Path]:
        """Make the data fit to start with; return the command and the folder to start it in."""
        ...

    def answers(self) -> bool:
        """Tell whether the server answers on its socket."""
        ...

    def give_up_data(self) -> bool:
        """Set aside data that the server did not start with, if the farm can do without; return whether it did."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A kind of server in one home. Only the holder of the home's lock may start or stop it."""

    kind: Kind
    account: Account
    lock: Path
    log: Path

    @property
    def pid(self) -> int | None:
        """Return the pid of the running server."""
        return int(self.lock.read_text() or 0) or None if self.is_running() else None

    def is_running(self) -> bool:
        """Tell whether the server, or a child that has outlived it, is there."""
        if not self.lock.exists():
            return False
        with open_lock(self.lock) as descriptor:
            return not locked(descriptor, fcntl.LOCK_SH)

    def is_ready(self) -> bool:
        """Tell whether the server is there and answers."""
        return self.is_running() and self.kind.answers()

    def start(self) -> None:
        """Return once the server answers: the one that is running, or else a new one."""
        for _ in range(3):  # wait for the last children of a killed server, start, start with data set aside
            launched = self._launch()
            _wait(lambda: self.kind.answers() or not self.is_running(), _READY_SECONDS)
            if self.is_ready():
                return
            if self.is_running() or (launched and not self.kind.give_up_data()):
                break
        raise Unavailable(
            Reason.SERVER_FAILED, f"{self.kind.name} did not start: see logs/{self.log.name} in the farm's home"
        )

    def stop(self) -> None:
        """End the server, less gently if it does not heed; return when the last of its processes is gone."""
        for ending, seconds in self.kind.endings:
            pid = self.pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, ending)
            if _wait(lambda: not self.is_running(), seconds):
                return
        raise Unavailable(
            Reason.SERVER_FAILED, f"{self.kind.name} does not end: see logs/{self.log.name} in the farm's home"
        )

    def _launch(self) -> bool:
        """Start the process unless one holds the lock; return whether it was started."""
        with open_lock(self.lock) as descriptor:
            if not locked(descriptor, fcntl.LOCK_EX):
                return False
            os.ftruncate(descriptor, 0)
            command, folder = self.kind.prepare(self.log)
            self.account.run([*_LAUNCH, *command], folder=folder, log=self.log, standard_input=descriptor)
            return True


@contextlib.contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """Open a file to lock, made if it is missing; nobody else may, since whoever can read a file can lock it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def locked(descriptor: int, operation: int) -> bool:
    """Take a lock on an open file, or tell at once that another holds it."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Ask ever less often whether a condition holds; neither a foreign process's end nor a lock can be awaited."""
    deadline = time.monotonic() + seconds
    pause = 0.005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.3, 0.25)
    return True
