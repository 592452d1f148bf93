"""Names on which schedulers and workers, also those of different versions, must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PARCEL_TASK = "farm.parcel"
"""The one task: its argument is the generation under which the ledger keeps a parcel of 1 to N instances."""

QUEUES = ("cpu", "gpu", "large")
"""The routes that the ledger gives an instance; each is a queue of its own name."""


def heartbeat_path(home: Path, node: str) -> Path:
    """Return the file that the worker of this Celery node name touches while it lives."""
    return home / "run" / f"{node}.alive"
