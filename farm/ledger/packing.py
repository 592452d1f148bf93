"""Which instances travel together: the greedy packing of the backlog into parcels, in the order given (by series).

A Celery message costs more than the de-identification of a small instance, so small ones share one; a large one fills a
parcel by itself. One with a failed attempt travels alone, so that what kills its worker takes no other with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """A row of the backlog; `ctid` is its address there."""

    ctid: str
    id: int
    size: int
    route: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a parcel may hold, and how many parcels there may be."""

    messages: int
    instances: int
    size: int


def pack(waiters: Iterable[Waiter], limits: Limits) -> list[list[Waiter]]:
    """Return at most `limits.messages` parcels, each of one route and none empty; the rest of the waiters stay."""
    parcels: list[list[Waiter]] = []
    size = 0
    for waiter in waiters:
        if parcels and _joins(waiter, parcels[-1], size, limits):
            parcels[-1].append(waiter)
            size += waiter.size
        elif len(parcels) < limits.messages:
            parcels.append([waiter])
            size = waiter.size
        else:
            break
    return parcels


def _joins(waiter: Waiter, parcel: list[Waiter], size: int, limits: Limits) -> bool:
    return (
        len(parcel) < limits.instances
        and size + waiter.size <= limits.size
        and waiter.route == parcel[0].route
        and not waiter.attempts
        and not parcel[0].attempts
    )
