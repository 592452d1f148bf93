"""Valkey as the farm starts it: one socket, an append-only file, and no eviction.

Its messages are hints, the ledger knows better: a file that Valkey cannot read any more is set aside, and the feeder
publishes again what was in it. The append-only file only saves that wait after an ordinary restart.
"""

from __future__ import annotations

import logging
import shutil
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from farm.embedded.binaries import valkey_program

if TYPE_CHECKING:
    from pathlib import Path

    from farm.embedded.folders import Folders

_OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "dir": ".",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "aof-load-truncated": "yes",  # a crash cuts the last command off
    "maxmemory-policy": "noeviction",
    "crash-log-enabled": "no",  # it would print the commands of clients
    "daemonize": "no",
    "logfile": "",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Valkey:
    """The broker of one home."""

    folders: Folders
    name: ClassVar[str] = "valkey"
    endings: ClassVar[tuple[tuple[signal.Signals, int], ...]] = ((signal.SIGTERM, 30), (signal.SIGKILL, 10))

    @property
    def url(self) -> str:
        """Return the broker URL as Celery takes it."""
        return f"redis+socket://{self._socket()}"

    def prepare(self, log: Path) -> tuple[list[str], Path]:  # noqa: ARG002 - it has nothing to say
        """Return the command and the folder to start it in."""
        program = valkey_program(self.folders.account, self.folders.copies)
        options = _OPTIONS | {"unixsocket": str(self._socket())}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(program), *words], self.folders.own(self.name)

    def answers(self) -> bool:
        """Tell whether it answers PING; while it loads its file, it answers LOADING."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self._socket()))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
            except OSError:
                return False

    def give_up_data(self) -> bool:
        """Set the append-only file aside."""
        data = self.folders.own(self.name)
        damaged = data.with_name("valkey.damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        data.rename(damaged)
        log.warning("the broker did not start with its file, which was set aside; its messages are published again")
        return True

    def _socket(self) -> Path:
        return self.folders.sockets() / "valkey.sock"
