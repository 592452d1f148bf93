"""Who a requestor says to be, held against a file of names and passcodes (PS3.7 annex D.3.3.7).

    # one user a line
    ward-3
    research:correct horse battery staple

A name with a passcode comes with that passcode or not at all; one without is believed, as a name alone is. Tickets and
tokens (Kerberos, SAML, JWT) are for a judge of one's own. A passcode travels as it is: only TLS hides it.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256
from pathlib import Path
from typing import Self

from farm.errors import BadRecipe, Reason
from farm.net.pdu import Identity

_MOST = 1 << 20  # bytes of a file


class Kind(IntEnum):
    """What an identity rests on (PS3.7 table D.3-14)."""

    NAME = 1
    PASSCODE = 2
    KERBEROS = 3
    SAML = 4
    JWT = 5


def identity(name: str, passcode: str = "", *, response_requested: bool = False) -> Identity:
    """Return a name, with its passcode if it has one, as an association tells it."""
    return Identity(
        kind=Kind.PASSCODE if passcode else Kind.NAME,
        primary=name.encode(),
        secondary=passcode.encode(),
        response_requested=response_requested,
    )


@dataclass(frozen=True, slots=True)
class Users:
    """Judges identities by names and passcodes; an empty passcode: the name will do."""

    passcodes: Mapping[bytes, bytes] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of users; raise `BadRecipe` where it cannot be read, or by others too."""
        lines = [line.strip() for line in secret(path).splitlines()]
        pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
        if not all(name for name, _, _ in pairs):
            raise BadRecipe(Reason.BAD_OPTION, "A line of the users' file is NAME or NAME:PASSCODE.")
        return cls({name.encode(): passcode.encode() for name, _, passcode in pairs})

    def __call__(self, told: Identity | None) -> bytes | None:
        """Return the response to a user who is known, None for anybody else."""
        if told is None or told.kind not in {Kind.NAME, Kind.PASSCODE}:
            return None
        expected = self.passcodes.get(told.primary)
        if expected is None:
            return None
        given = told.secondary if expected else b""
        return b"" if hmac.compare_digest(sha256(given).digest(), sha256(expected).digest()) else None


def secret(path: Path) -> str:
    """Return the text of a file that its owner alone may read; raise `BadRecipe` where it is none."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise BadRecipe(Reason.BAD_OPTION, "A file of passcodes must be readable by its owner alone (0600).")
            return file.read(_MOST).decode()
    except (OSError, UnicodeError):
        raise BadRecipe(Reason.BAD_OPTION, "The file of passcodes cannot be read.") from None
