"""Whether `farm up` is on, and what it says of itself.

Who is up holds a lock on a file in the home, with its pid and addresses in it: the lock ends with the process, so it
never says something stale.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.embedded.server import locked, open_lock

if TYPE_CHECKING:
    from pathlib import Path

LOCK = "up.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What someone who is up says of itself; URLs of servers outside carry no password."""

    pid: int
    database_url: str
    broker_url: str
    flower_url: str | None


def whoever_is_up(home: Path) -> Facts | None:
    """Return what the one who holds the lock has written, if anyone does."""
    path = home / LOCK
    if not path.exists():
        return None
    with open_lock(path) as lock:
        if locked(lock, fcntl.LOCK_SH):
            return None
        written = os.pread(lock, 1 << 16, 0)
    return Facts(**json.loads(written)) if written else None
