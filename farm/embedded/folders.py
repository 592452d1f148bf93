"""The folders of the embedded servers, and who may enter them.

    home                 0711 as root, else 0700; made here if it is missing, never changed if it is there
      logs/              0700, this process writes: the servers inherit the open file
      embedded/          0711 or 0700, this process owns: locks, the mark of a detached farm
        bin/             copies of the programs, if the account cannot reach the installed ones
        postgres/        0700, the account's: the cluster
        valkey/          0700, the account's: the append-only file
        run/             0700, the account's: the sockets; a link to a short folder if home's path is long

Root opens and writes no path inside a folder that the account owns: a link planted there would lead root astray. The
modes keep everyone but root and the account from the sockets, so the servers ask no password of who gets that far.
"""

from __future__ import annotations

import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import BadRecipe, Reason, symbol_of

if TYPE_CHECKING:
    from farm.embedded.account import Account

# The kernel's limit on a socket's path is 108 bytes, on macOS 104. URLs and server options each have their own quoting.
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
_LONGEST = 100 - len("/.s.PGSQL.5432.lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The folders under one home, for one account."""

    home: Path
    account: Account

    @property
    def embedded(self) -> Path:
        """Return the folder of everything that belongs to the embedded servers but their logs."""
        return self.home / "embedded"

    @property
    def logs(self) -> Path:
        """Return the folder of the logs."""
        return self.home / "logs"

    @property
    def copies(self) -> Path:
        """Return the folder of copied programs."""
        return self.embedded / "bin"

    def make(self) -> None:
        """Make what is missing; raise `BadRecipe` if the servers' account could not get there."""
        shared = 0o711 if self.account.foreign else 0o700
        try:
            for path, mode in ((self.home, shared), (self.embedded, shared), (self.copies, 0o755), (self.logs, 0o700)):
                _make(path, mode)
        except OSError as error:
            raise BadRecipe(Reason.BAD_OPTION, "FARM_HOME cannot be made here", errno=symbol_of(error)) from None
        if self.account.foreign and not self.account.may_enter(self.embedded):
            raise BadRecipe(
                Reason.BAD_OPTION,
                "FARM_HOME lies where the user of FARM_EMBEDDED_USER may not go: name another folder or another user",
            )

    def own(self, name: str) -> Path:
        """Return the folder `name` of the account itself, made if it is missing."""
        path = self.embedded / name
        if not path.is_dir():
            path.mkdir(0o700)
            self.account.take(path)
        return path

    def sockets(self) -> Path:
        """Return the folder of the sockets, by a path that is short enough for the kernel and needs no quoting."""
        path = self.embedded / "run"
        if _fits(path):
            return self.own("run")
        if path.is_symlink():
            short = path.readlink()
            if self._is_private(short):
                return short
            path.unlink()  # the system cleared its temporary files, or someone else took the name since
        short = Path(tempfile.mkdtemp(prefix="farm-"))
        if not _fits(short) or not self.account.may_enter(short.parent):
            short.rmdir()
            raise BadRecipe(Reason.BAD_OPTION, "FARM_HOME is too long for sockets: name a folder with a shorter path")
        self.account.take(short)
        path.symlink_to(short)
        return short

    def _is_private(self, path: Path) -> bool:
        try:
            facts = path.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(facts.st_mode) and facts.st_uid == self.account.uid and not facts.st_mode & 0o077


def _make(path: Path, mode: int) -> None:
    """Make a folder and its missing parents with a mode that no umask narrows."""
    if path.is_dir():
        return
    _make(path.parent, mode)
    path.mkdir(exist_ok=True)
    path.chmod(mode)


def _fits(path: Path) -> bool:
    return len(str(path)) <= _LONGEST and _PLAIN.fullmatch(str(path)) is not None
