"""What a pool of processes is given: an order that knows its work, items of it, and tallies that come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.errors import Reason
    from farm.settings import Settings


class Sized(Protocol):
    """An item of work."""

    @property
    def size(self) -> int:
        """Its bytes."""


class Tally(Protocol):
    """What became of items; `faults` are places in the code where the farm itself failed."""

    faults: list[str]

    def add(self, other: Self) -> None:
        """Count another tally in."""


Item = TypeVar("Item", bound=Sized)
Told = TypeVar("Told", bound=Tally)
Item_contra = TypeVar("Item_contra", bound=Sized, contravariant=True)
Told_co = TypeVar("Told_co", bound=Tally, covariant=True)


class Work(Protocol[Item_contra, Told_co]):
    """What a process does, batch after batch."""

    def run(self, items: Sequence[Item_contra], *, again: bool = False) -> Told_co:
        """Bring every item to its end; raise a `FarmError` where all of the work has to stop."""

    def close(self) -> None:
        """Drop what the process holds."""


class Order(Protocol[Item_contra, Told_co]):
    """What is to be done; it travels to the processes."""

    @property
    def settings(self) -> Settings:
        """How large batches are, how long they may take and how often they are tried."""

    def begun(self) -> Work[Item_contra, Told_co]:
        """Return the work of a process, in that process."""

    def none(self) -> Told_co:
        """Return the tally of no work."""

    def lost(self, items: Sequence[Item_contra], reason: Reason, /) -> Told_co:
        """Return the tally of items that no attempt brought to an end."""
