"""The embedded servers of one home, shared by all who use that home.

Each user holds a shared lock on `users.lock`; the one who leaves and can make it exclusive was the last, and stops the
servers. The kernel drops a dead user's lock, so there is no count to go wrong: a killed user leaves the servers
running, and the next one adopts them. Starting and leaving happen one at a time, under `starter.lock`. A detached stack
carries a mark, with which the last user leaves the servers on.

A server whose URL is given in the settings is not ours: the URL is handed on, and nothing is started.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from farm.embedded.account import Account
from farm.embedded.folders import Folders
from farm.embedded.postgres import Postgres
from farm.embedded.server import Server, locked, open_lock
from farm.embedded.valkey import Valkey
from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from farm.settings import Settings


class Stack:
    """The database and the broker of a home; as a context manager, they are there inside the block.

    The URLs are known once the stack is started or found running. Do not fork while using it: a fork shares the lock.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is looked at or started yet."""
        self.database_url = settings.database_url
        self.broker_url = settings.broker_url
        ours = not (settings.database_url and settings.broker_url)
        account = Account.chosen(settings.embedded_user) if ours else Account.own()
        self._folders = Folders(home=settings.home, account=account)
        self._postgres = None if settings.database_url else self._server(Postgres(folders=self._folders))
        self._valkey = None if settings.broker_url else self._server(Valkey(folders=self._folders))
        self._membership: int | None = None

    @classmethod
    def running(cls, settings: Settings) -> Self | None:
        """Return the running stack of the home, or None if a server of it does not answer.

        The caller does not count as a user of it: for a look, or for `stop(everyone=True)`.
        """
        stack = cls(settings)
        if not stack._servers:
            return stack
        if not stack._folders.embedded.is_dir():
            return None
        with stack._alone():
            if not all(server.is_ready() for server in stack._servers):
                return None
        stack._tell_urls()
        return stack

    def start(self, *, detached: bool = False) -> Self:
        """Start or adopt the servers and return once they answer; detached: they outlast their last user."""
        if not self._servers or self._membership is not None:
            return self
        self._folders.make()
        with self._alone():
            self._membership = os.open(self._folders.embedded / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._membership, fcntl.LOCK_SH)
            try:
                for server in self._servers:
                    server.start()
            except BaseException:
                self._leave()
                raise
            if detached:
                self._mark.touch()
        self._tell_urls()
        return self

    def stop(self, *, everyone: bool = False) -> None:
        """Leave; the last user stops the servers unless they are detached. `everyone`: stop them in any case."""
        if self._servers and (everyone or self._membership is not None) and self._folders.embedded.is_dir():
            with self._alone():
                self._leave(everyone=everyone)

    @property
    def postgres_pid(self) -> int | None:
        """Return the pid of the embedded Postgres while it runs."""
        return self._postgres.pid if self._postgres else None

    @property
    def valkey_pid(self) -> int | None:
        """Return the pid of the embedded Valkey while it runs."""
        return self._valkey.pid if self._valkey else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _servers(self) -> list[Server]:
        return [server for server in (self._postgres, self._valkey) if server]

    @property
    def _mark(self) -> Path:
        return self._folders.embedded / "detached"

    def _server(self, kind: Postgres | Valkey) -> Server:
        lock, log = self._folders.embedded / f"{kind.name}.lock", self._folders.logs / f"{kind.name}.log"
        return Server(kind=kind, account=self._folders.account, lock=lock, log=log)

    def _tell_urls(self) -> None:
        if self._postgres:
            self.database_url = self._postgres.kind.url
        if self._valkey:
            self.broker_url = self._valkey.kind.url

    def _leave(self, *, everyone: bool = False) -> None:
        last = False
        if self._membership is not None:
            last = locked(self._membership, fcntl.LOCK_EX)
            os.close(self._membership)
            self._membership = None
        if everyone or (last and not self._mark.exists()):
            self._mark.unlink(missing_ok=True)
            for server in reversed(self._servers):
                server.stop()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep everyone else from starting, looking and leaving."""
        if not os.access(self._folders.embedded, os.W_OK):
            raise BadRecipe(Reason.BAD_OPTION, "FARM_HOME belongs to another user: name another folder")
        with open_lock(self._folders.embedded / "starter.lock") as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
