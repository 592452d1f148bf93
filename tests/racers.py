"""Workers that race for the same originals: what runs in each process, and how so many are let go at once.

Apart from the tests, so that a process imports little.
"""

from __future__ import annotations

import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.database import connect
from farm.deid.keys import ProjectKey
from farm.deid.mapping import KeyedMapping, Needs
from farm.deid.subjects import canonical
from farm.registry import Registry, Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.synchronize import Barrier

    from farm.deid.scheme import Scheme

PROCESSES = 16
PEOPLE = 40
_PARCEL = 100


def race(work: Callable[..., Any], turns: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Run `work` in a process for each turn; none begins before all are there."""
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(len(turns))
    with ProcessPoolExecutor(len(turns), mp_context=spawn, initializer=_wait, initargs=(barrier,)) as pool:
        return [future.result() for future in [pool.submit(work, *turn) for turn in turns]]


def _wait(barrier: Barrier) -> None:
    barrier.wait(100)


def original(number: int) -> bytes:
    """Return the UID of this number."""
    return b"1.2.840.113619.2.%d" % number


def keyed(secret: bytes, first: int, count: int) -> list[bytes]:
    """Return the keyed UIDs of some originals, in their order."""
    mapping = KeyedMapping(ProjectKey(secret))
    return [mapping.uid(original(number)) for number in range(first, first + count)]


@dataclass(frozen=True, kw_only=True)
class Track:
    """What all racers of the registry have in common: where it is, its two keys, and how many UIDs there are."""

    database: str
    project_secret: bytes
    vault_secret: bytes
    project: int
    scheme: Scheme
    count: int


def recorded(track: Track, seed: int) -> tuple[dict[bytes, bytes], set[tuple[str, str, int]]]:
    """Return what the registry gave for every original, asked for in an order of one's own, and for some subjects."""
    order = [original(number) for number in range(track.count)]
    random.Random(seed).shuffle(order)
    uids: dict[bytes, bytes] = {}
    subjects = set()
    with connect(track.database) as conn:
        registry = Registry(conn, Vault(track.vault_secret), ProjectKey(track.project_secret))
        for at in range(0, track.count, _PARCEL):
            uid = tuple(order[at : at + _PARCEL])
            people = [canonical(b"", b"%06d" % ((seed + at // _PARCEL + more) % PEOPLE)) for more in (0, 10, 20, 30)]
            table = registry.resolve(
                track.project, track.scheme, [Needs(uids=uid, subject=person) for person in people]
            )
            uids |= {old: table.uid(old) for old in uid}
            got = [table.subject(person) for person in people]
            subjects |= {(one.original, one.pseudonym, one.date_shift_days) for one in got}
    return uids, subjects
