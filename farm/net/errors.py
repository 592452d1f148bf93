"""What can be wrong with what a peer sends, and with what is asked of an association.

A `Violation` never leaves the protocol core as an exception: it becomes an A-ABORT and an event, as the state table
says. `Misuse` is the local side's own fault: a primitive that the state does not allow.
"""

from __future__ import annotations

from enum import IntEnum


class AbortReason(IntEnum):
    """Why the upper layer gives up an association (PS3.8 table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class Violation(Exception):
    """The peer sent what PS3.8 or PS3.7 does not allow; carries the reason for the A-ABORT, nothing of what came."""

    def __init__(self, reason: AbortReason) -> None:
        super().__init__(reason.name)
        self.reason = reason


class Misuse(Exception):
    """A primitive was issued that the association's state does not allow."""
