"""Postgres as the farm starts it: one cluster, one socket, and a log that holds no data.

Options stand on the command line, so that the configuration is always that of the code that runs. `synchronous_commit`
is off: after a crash of the machine the last moments of the log may be missing, but never out of order, and all that
the farm does can be done again; what has to last is committed with it switched on. `fsync` stays on.

Statements, their parameters and the values that the server quotes in errors could be identifying: the log shows
neither, only what the server says about itself.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

import psycopg

from farm.embedded.binaries import postgres_program
from farm.errors import Reason, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from farm.embedded.folders import Folders

_INITDB = ("--username=farm", "--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject")
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "synchronous_commit": "off",
    "jit": "off",
    "log_min_messages": "log",  # not the level of errors, whose text quotes values
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """The database server of one home."""

    folders: Folders
    name: ClassVar[str] = "postgres"
    # Fast shutdown rolls back and disconnects; the immediate one leaves the rest to the next start's recovery.
    endings: ClassVar[tuple[tuple[signal.Signals, int], ...]] = ((signal.SIGINT, 60), (signal.SIGQUIT, 10))

    @property
    def url(self) -> str:
        """Return the libpq URL."""
        return f"postgresql://farm@/postgres?host={quote(str(self.folders.sockets()), safe='')}"

    def prepare(self, log: Path) -> tuple[list[str], Path]:
        """Make the cluster at the first start, clear what a crash left; return the command and its folder."""
        program = postgres_program(self.folders.account, self.folders.copies)
        data = self.folders.embedded / self.name
        if not data.is_dir():
            self._create(program.with_name("initdb"), data, log)
        # The lock says that no process of this cluster lives, but a pid in these may since belong to another process,
        # above all after a restart of a container, and Postgres would then refuse to start.
        sockets = self.folders.sockets()
        for stale in (data / "postmaster.pid", sockets / ".s.PGSQL.5432.lock", sockets / ".s.PGSQL.5432"):
            stale.unlink(missing_ok=True)
        options = _OPTIONS | {"unix_socket_directories": str(sockets)}
        return [str(program), "-D", ".", *(f"--{name}={value}" for name, value in options.items())], data

    def answers(self) -> bool:
        """Tell whether a connection can be made; while it recovers, Postgres refuses."""
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=5):
            return True
        return False

    def give_up_data(self) -> bool:
        """Keep the data: they are the farm's memory."""
        return False

    def _create(self, initdb: Path, data: Path, log: Path) -> None:
        """Make the cluster beside its place and move it there, so that a crash leaves no half of one."""
        new = data.with_name("postgres.new")
        shutil.rmtree(new, ignore_errors=True)
        self.folders.own(new.name)
        if not self.folders.account.run([str(initdb), "-D", ".", *_INITDB], folder=new, log=log):
            raise Unavailable(Reason.SERVER_FAILED, f"initdb failed: see logs/{log.name} in the farm's home")
        new.rename(data)
