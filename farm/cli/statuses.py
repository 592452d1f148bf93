"""The exit statuses of every command, in one place; the help and the README are made from it."""

from __future__ import annotations

from enum import IntEnum

from farm.errors import BadRecipe, FarmError, Unavailable


class Status(IntEnum):
    """How a command ended."""

    DONE = 0
    FAULT = 1
    USAGE = 2
    QUARANTINED = 3
    ORDER = 4
    AWAY = 5
    INTERRUPTED = 130


MEANING: dict[Status, str] = {
    Status.DONE: "Done. Instances may be quarantined: the summary counts them.",
    Status.FAULT: "A fault of the program itself.",
    Status.USAGE: "The command line is wrong.",
    Status.QUARANTINED: "Instances are quarantined or refused, and --strict was given or the source is a single file; "
    "or a peer did not take or give some; or an output is not as it was released.",
    Status.ORDER: "The order cannot be carried out: recipe, key, source or destination; or the harvest is cancelled.",
    Status.AWAY: "Something is away (disk, database, broker, peer), or paused. The same command goes on later.",
    Status.INTERRUPTED: "Interrupted. What was in hand is finished; the same command goes on.",
}


def status_of(error: FarmError) -> Status:
    """Return the status with which a command ends that an error has stopped."""
    if isinstance(error, Unavailable):
        return Status.AWAY
    return Status.ORDER if isinstance(error, BadRecipe) else Status.QUARANTINED
