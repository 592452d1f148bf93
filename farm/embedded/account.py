"""The account that the embedded servers run under.

Postgres refuses to run as root, and nothing that parses a network protocol should. So root hands both servers to an
unprivileged account (`embedded_user`), which then needs to reach the programs and its own data, and nothing else. An
ordinary user runs them as itself.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Credentials(TypedDict, total=False):
    """The arguments by which `subprocess` changes the account of a child."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A user and group, and whether it is another one than that of this process."""

    uid: int
    gid: int
    foreign: bool

    @classmethod
    def own(cls) -> Account:
        """Return the account of this process."""
        return cls(uid=os.geteuid(), gid=os.getegid(), foreign=False)

    @classmethod
    def chosen(cls, embedded_user: str) -> Account:
        """Return the account for the servers; raise `BadRecipe` if root is told a user that cannot serve."""
        if os.geteuid() != 0:
            return cls.own()
        try:
            entry = pwd.getpwnam(embedded_user)
        except KeyError:
            raise BadRecipe(Reason.BAD_OPTION, "FARM_EMBEDDED_USER names no user of this system") from None
        if entry.pw_uid == 0:
            raise BadRecipe(Reason.BAD_OPTION, "FARM_EMBEDDED_USER must not be root: Postgres refuses to run as root")
        return cls(uid=entry.pw_uid, gid=entry.pw_gid, foreign=True)

    def may_enter(self, path: Path) -> bool:
        """Tell whether the account may traverse to a folder, or run a program.

        A child asks the kernel: mode bits alone would misjudge access lists and read-only mounts.
        """
        if not self.foreign:
            return os.access(path, os.X_OK)
        question = ["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]
        return subprocess.run(question, cwd="/", check=False, **self._credentials()).returncode == 0  # noqa: S603

    def run(self, command: Sequence[str], *, folder: Path, log: Path, standard_input: int = subprocess.DEVNULL) -> bool:
        """Run a command in a folder to its end and tell whether it succeeded; what it says goes to the log.

        It leaves the session of this process (so that Ctrl-C is not meant for it) and inherits no environment.
        """
        with log.open("ab") as words:
            done = subprocess.run(  # noqa: S603
                command,
                cwd=folder,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                stdin=standard_input,
                stdout=words,
                stderr=words,
                umask=0o077,
                start_new_session=True,
                check=False,
                **self._credentials(),
            )
        return done.returncode == 0

    def take(self, path: Path) -> None:
        """Make the account the owner of a file or folder that this process has just made."""
        if self.foreign:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def _credentials(self) -> Credentials:
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.foreign else {}
