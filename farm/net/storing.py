"""What a C-STORE SCP and whoever stores for it say to each other (PS3.4 annex B, PS3.7 section 9.3.1).

The server speaks DICOM and knows no file; a receiver keeps instances and knows no association. For each C-STORE
request the server asks its receiver for a sink, hands it the data set fragment by fragment as it comes from the wire,
and answers with the status that the sink gives at the end. So an instance is never held whole in memory, and success is
said by the one who knows that it is true.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Final, Protocol

SUCCESS: Final = 0x0000
OUT_OF_RESOURCES: Final = 0xA700
"""Refused: out of resources; the peer may send the instance again (PS3.4 table B.2-1)."""
MISMATCH: Final = 0xA900
"""Error: data set does not match SOP class, nor what the command said of it (PS3.4 table B.2-1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """What is known of an instance before the first byte of its data set."""

    sop_class: str
    """Affected SOP Class UID."""
    sop_instance: str = field(repr=False)
    """Affected SOP Instance UID; never logged."""
    transfer_syntax: str
    """UID that was accepted for the presentation context."""
    calling: str
    """Calling application entity title, stripped."""
    called: str
    """Called application entity title, stripped."""
    address: str
    """The peer's IP address."""
    originator: str = ""
    """Move Originator Application Entity Title: who asked by C-MOVE for what comes, where the peer says it."""
    originator_id: int | None = None
    """Move Originator Message ID: the Message ID of that C-MOVE."""


class Sink(Protocol):
    """One instance on its way; used by one event loop."""

    def write(self, data: memoryview) -> None:
        """Take a fragment; the view is valid only during the call. Raise `Unavailable` where it cannot be kept."""

    def end(self) -> int | Awaitable[int]:
        """Return the DIMSE status, all fragments being there: success (0x0000) only when the instance is durable.

        Who has to wait for that returns an awaitable.
        """

    def abandon(self) -> None:
        """Leave nothing behind: the association ended first, or the instance was refused."""


class Receiver(Protocol):
    """Whoever stores what arrives."""

    def begin(self, arriving: Arriving) -> Sink:
        """Return the sink of one instance; raise `Unavailable` (answered 0xA700) where nothing can be stored now."""
