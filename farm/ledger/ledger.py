"""The ledger: the one owner of every instance's state, of retries and of fencing.

An instance's state is the place where it stands, so each step is an insert and a delete, and no row is rewritten but
that of an instance whose source changed before it was done:

    found: in `backlog` --feed--> queued: in a parcel --lease--> leased: in a parcel --commit--> ended: in `outcomes`

A parcel is named by its generation, drawn from a sequence and never used twice. It is the publish generation of the
message and the fencing token of the lease in one: whoever ends a lease (commit, abandon, reap) deletes the parcel, and
who still holds the old number can do nothing with it. A lease lives until someone ends it; its expiry only tells the
reaper which it may end, so a worker that comes back late but before the reaper has lost nothing.

Attempts count when they start: a worker that dies leaves a leased parcel behind, and ending that counts.

Time is always the server's clock. Every method is one statement or one transaction. When the server is away it raises
`Unavailable(DATABASE_AWAY)`, and the caller makes a new connection and a new ledger.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from blake3 import blake3
from psycopg.types.json import Jsonb

from farm.database import Database, load_queries
from farm.errors import BadRecipe, Reason, Unavailable
from farm.ledger.encoding import encode, trouble_of
from farm.ledger.packing import Limits, Waiter, pack
from farm.ledger.values import (
    Brought,
    Claim,
    InQuarantine,
    Lease,
    Leased,
    Parcel,
    Progress,
    Run,
    Studies,
    Swept,
    Waiting,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from farm.ledger.values import Arrived, Found, Outcome

_QUERIES: Final = load_queries("farm.ledger")
_STAGED: Final = ["int8", "int8", "bytea", "bytea", "bytea", "text", "text"]
_FED: Final = [[("crawling",)], [("active",)]]
_PAGE: Final = 5000
_KEY_BYTES: Final = 16
_NONE: Final[Mapping[str, str]] = MappingProxyType({})

_OfRun = TypeVar("_OfRun", Run, Progress)


class Ledger:
    """The ledger through one connection; not for use by two threads at a time."""

    def __init__(self, conn: psycopg.Connection, *, max_attempts: int = 3) -> None:
        """Take an autocommit connection, and after how many started attempts an instance is quarantined."""
        self._db = Database(conn, _QUERIES)
        self._max_attempts = max_attempts
        self._can_stage = False

    # What brings instances in.

    def open_run(  # noqa: PLR0913  the facts that make a run
        self,
        *,
        project_id: int,
        destination_key: bytes,
        destination_sealed: bytes,
        source_key: bytes,
        source_sealed: bytes,
        recipe_digest: str,
        recipe_json: str,
    ) -> Run:
        """Return the run of this source, destination and recipe: new, or the one there was, to be crawled again.

        Raise `BadRecipe(BAD_DESTINATION)` for a destination that was begun by another project or with another recipe.
        """
        facts = {"project_id": project_id, "recipe_digest": recipe_digest, "recipe_json": recipe_json}
        facts |= {"destination_key": destination_key, "destination_sealed": destination_sealed}
        facts |= {"source_key": source_key, "source_sealed": source_sealed}
        with self._db.transaction():
            self._db.run("add_destination", facts)
            destination_id = self._destination(facts)
            [(run_id, is_new)] = self._db.rows("open_run", facts | {"destination_id": destination_id})
            return replace(self.run(run_id), is_new=is_new)

    def released(self, *, project_id: int, destination_key: bytes, recipe_digest: str) -> int:
        """Return how many instances runs have released into a destination; raise as `open_run` does."""
        facts = {"project_id": project_id, "destination_key": destination_key, "recipe_digest": recipe_digest}
        return int(self._db.value("released", {"destination_id": self._destination(facts)}))

    def _destination(self, facts: Mapping[str, object]) -> int | None:
        """Return the number of a destination, None where there is none; raise `BadRecipe` for another's."""
        for destination_id, *owner in self._db.rows("destination", facts):
            if owner != [facts["project_id"], facts["recipe_digest"]]:
                raise BadRecipe(Reason.BAD_DESTINATION, "the destination belongs to another project or recipe")
            return int(destination_id)
        return None

    def stage(self, run_id: int, entries: Sequence[Found]) -> Brought:
        """Add the instances that the run does not know yet, and renew those that are not as they were found.

        Of the latter, what waits is renewed where it is, and what was quarantined or skipped waits again. What was
        done stays, as its output does: its source is another instance now, which takes another locator key.
        """
        rows = (
            (e.size, e.mtime_ns, e.locator_key, e.locator_sealed, e.series_key or b"", e.route, e.reason)
            for e in entries
        )
        if not self._can_stage:
            self._db.run("make_staging")
            self._db.run("index_staging")
            self._can_stage = True
        with self._db.transaction():
            self._db.run("lock_run", {"run_id": run_id})
            self._db.copy("fill_staging", _STAGED, rows)
            new = int(self._db.value("stage", {"run_id": run_id}))
            return Brought(new=new) if new == len(entries) else self._renewed(run_id, new)

    def _renewed(self, run_id: int, new: int) -> Brought:
        """Renew those of the staged instances that were known, and have changed."""
        rows = self._db.rows("changed", {"run_id": run_id})
        done, busy = (tuple(key for _, key, now, _ in rows if now == state) for state in ("done", "busy"))
        open_ = [(id_, key) for id_, key, state, _ in rows if state not in {"done", "busy"}]
        if not open_:
            return Brought(new=new, done=done, busy=busy)
        values = {"run_id": run_id, "ids": [id_ for id_, _ in open_], "keys": [key for _, key in open_]}
        self._db.run("taken", {"ctids": [ctid for *_, ctid in rows if ctid]})
        again = int(self._db.value("undone", values))
        self._db.run("stage_again", values)
        return Brought(new=new, again=again, done=done, busy=busy)

    def attend(self, run_id: int) -> None:
        """Keep the run from its end for as long as the connection lasts, or until as many times `leave`.

        Every intake of a run attends it, so the run ends when the last has left, in whatever way.
        """
        self._db.run("attend", {"run_id": run_id})
        self._db.run("reopen", {"run_id": run_id})

    def leave(self, run_id: int) -> None:
        """Attend no longer."""
        self._db.run("leave", {"run_id": run_id})

    def attended(self, run_ids: Sequence[int]) -> set[int]:
        """Return those of the runs that somebody attends, by whatever connection."""
        return {run_id for (run_id,) in self._db.rows("attended", {"run_ids": list(run_ids)})}

    def crawled(self, run_id: int, counters: Mapping[str, int]) -> int:
        """Note that a source has been seen to its end, and what was counted on the way.

        Return an id that none of its instances is above.
        """
        with self._db.transaction():
            values = {"run_id": run_id, "counters": Jsonb(dict(counters))}
            self._db.run("crawled", values | {"is_alone": self._db.value("is_alone", values)})
            return int(self._db.value("last_id"))

    def is_through(self, run_id: int, last_id: int) -> bool:
        """Tell whether every instance of the run up to this id has ended."""
        return bool(self._db.value("is_through", {"run_id": run_id, "last_id": last_id}))

    # What arrives by itself.

    def arrive(self, run_id: int, arrived: Sequence[Arrived]) -> None:
        """Add instances that lie in the spool; when this returns, they are on the disk. A repeated call adds nothing.

        A run takes them in whatever state it is: one that was complete goes on, one that is paused keeps them.
        """
        if not arrived:
            return
        values = {
            "run_id": run_id,
            "sizes": [item.size for item in arrived],
            "mtimes": [item.mtime_ns for item in arrived],
            "locator_keys": [item.locator_key for item in arrived],
            "locators_sealed": [item.locator_sealed for item in arrived],
            "series_keys": [item.series_key or b"" for item in arrived],
            "routes": [item.route for item in arrived],
            "names": [item.name for item in arrived],
            "instance_keys": [item.instance_key for item in arrived],
            "study_keys": [item.study_key or b"" for item in arrived],
        }
        self._db.rows("arrive", values)

    def holds(self, run_id: int, instance_keys: Sequence[bytes]) -> set[bytes]:
        """Return those of the instances (keyed SOP Instance UIDs) that have arrived in the run."""
        return {key for (key,) in self._db.rows("holds", {"run_id": run_id, "keys": list(instance_keys)})}

    def close_studies(self, run_id: int, quiet_s: float) -> int:
        """Close the studies of which nothing arrived for this time; return how many. A late arrival opens one again."""
        return int(self._db.value("close_studies", {"run_id": run_id, "quiet": quiet_s}))

    def studies(self, run_id: int) -> Studies:
        """Count the studies of which something has arrived; it costs no more for 10^6 closed ones."""
        [studies] = self._db.objects(Studies, "studies", {"run_id": run_id})
        return studies

    def sweep(self, run_id: int, older_than_s: float, most: int, after_id: int = 0) -> Swept:
        """Forget the spooled files of instances that were done or skipped this long ago; the caller removes them then.

        Looks at no more than `most` files, from the one after `after_id` on; quarantined instances keep theirs.
        """
        values = {"run_id": run_id, "older_than": older_than_s, "most": most, "after_id": after_id}
        [(names, last_id, _)] = self._db.rows("sweep", values)
        return Swept(names=tuple(names), last_id=last_id or 0)

    def spooled(self, run_id: int) -> Iterator[str]:
        """Yield the names of the files in the spool that belong to an instance."""
        after_id = 0
        while rows := self._db.rows("spooled", {"run_id": run_id, "after_id": after_id, "most": _PAGE}):
            yield from (name for _, name in rows)
            after_id = rows[-1][0]

    # What sends them out.

    def feed(
        self, run_id: int, *, max_messages: int, max_instances: int, max_bytes: int, instead: Mapping[str, str] = _NONE
    ) -> list[Parcel]:
        """Turn found instances into parcels of at most so many instances and bytes; the caller publishes them then.

        `instead` names for a route the one that is taken this time.
        """
        limits = Limits(messages=max_messages, instances=max_instances, size=max_bytes)
        values = {"run_id": run_id, "most": max_messages * max_instances}
        with self._db.transaction():
            if self._db.rows("lock_run", {"run_id": run_id}) not in _FED:
                return []
            waiters = self._db.objects(Waiter, "take", values)
            parcels = pack((replace(one, route=instead.get(one.route, one.route)) for one in waiters), limits)
            if not parcels:
                return []
            self._db.run("taken", {"ctids": [waiter.ctid for parcel in parcels for waiter in parcel]})
            return self._parcels("pack", {"run_id": run_id, "parcels": _packed(parcels)})

    def republish(self, run_id: int, older_than_s: float) -> list[Parcel]:
        """Give a new generation to parcels that nobody leased in this time; the caller publishes them."""
        return self._parcels("republish", {"run_id": run_id, "older_than": older_than_s})

    def _parcels(self, query: str, values: Mapping[str, object]) -> list[Parcel]:
        rows = self._db.rows(query, values)
        return [
            Parcel(run_id=run_id, generation=generation, ids=tuple(ids), route=route)
            for run_id, generation, ids, route in rows
        ]

    def recall(self, run_id: int) -> int:
        """Put what is queued and not leased back to found; the messages on their way lease nothing any more."""
        return int(self._db.value("recall", {"run_id": run_id}))

    def waiting(self, run_id: int | None = None) -> Waiting:
        """Count what is queued and leased, in one run or in all."""
        [waiting] = self._db.objects(Waiting, "waiting", {"run_id": run_id})
        return waiting

    def reap(self) -> int:
        """End the leases that have expired, as `abandon` does with `WORKER_LOST`; return how many instances."""
        return self._lose(None, None, Reason.WORKER_LOST)

    # What works on them.

    def lease(self, generation: int, worker: str, seconds: float) -> Lease | None:
        """Take the parcel; None where the generation is old, or somebody has it."""
        values = {"generation": generation, "worker": worker, "seconds": seconds}
        rows = self._db.rows("lease", values)
        if not rows:
            return None
        leased = tuple(
            Leased(
                id=id_,
                locator_key=key,
                locator_sealed=sealed,
                size=size,
                mtime_ns=mtime_ns,
                attempts=attempts,
                waived=waived,
            )
            for _, id_, key, sealed, size, mtime_ns, attempts, waived in rows
        )
        return Lease(token=generation, run_id=rows[0][0], rows=leased)

    def renew(self, token: int, seconds: float) -> bool:
        """Prolong the lease; False: someone has ended it, so stop working on the parcel."""
        return self._db.run("renew", {"token": token, "seconds": seconds}) > 0

    def claim(self, token: int, outputs: Sequence[tuple[int, str, str]]) -> dict[int, Claim]:
        """Claim output paths: (instance id, path, output digest in hex) each; return who owns the path of each.

        A claim stands while the parcel that it was made from lives, and for good once its instance is done; any other
        falls to the next who asks. Of two instances of one call with one path the first gets it. Raise
        `Unavailable(LEASE_LOST)` when the token is dead.
        """
        keys = [_path_key(path) for _, path, _ in outputs]
        first = dict(zip(reversed(keys), reversed(outputs), strict=True))
        chosen = sorted(first)  # in one order everywhere, so that two parcels never wait for each other
        values = {
            "token": token,
            "keys": chosen,
            "ids": [first[key][0] for key in chosen],
            "digests": [bytes.fromhex(first[key][2]) for key in chosen],
        }
        [(destination_id, count)] = self._db.rows("claim", values)
        if destination_id is None:
            raise Unavailable(Reason.LEASE_LOST)
        owners = {key: (output[0], output[2], "open") for key, output in first.items()}
        if count < len(chosen):
            rows = self._db.rows("claims", {"destination_id": destination_id, "keys": chosen})
            owners |= {key: (owner, digest.hex(), state) for key, owner, digest, state in rows}
        return {output[0]: _claim(output[0], *owners[key]) for key, output in zip(keys, outputs, strict=True)}

    def commit(self, token: int, outcomes: Sequence[Outcome]) -> None:
        """Write one outcome for each instance of the parcel and end the lease: all, or nothing.

        Raise `Unavailable(LEASE_LOST)` when the token is dead, `ValueError` when the outcomes do not name each of the
        parcel's instances once.
        """
        ids = [outcome.id for outcome in outcomes]
        values = {"token": token, "ids": ids, "outcomes": encode(outcomes), "trouble": trouble_of(outcomes)}
        unique = len(set(ids)) == len(ids)
        if unique and self._db.rows("commit", values | {"max_attempts": self._max_attempts}):
            return
        if not unique or self._db.value("is_leased", {"token": token}):
            raise ValueError("the outcomes do not name each instance of the parcel once")
        raise Unavailable(Reason.LEASE_LOST)

    def abandon(self, generation: int, worker: str, reason: Reason) -> int:
        """End the lease that `worker` has on the parcel, its process having died; return how many instances it held.

        The attempt counts: who has had the last one is quarantined with the reason, the others travel again, alone.
        """
        return self._lose(generation, worker, reason)

    def _lose(self, generation: int | None, worker: str | None, reason: Reason) -> int:
        values = {"generation": generation, "worker": worker, "reason": reason, "max_attempts": self._max_attempts}
        return int(self._db.value("lose", values))

    # What people ask and order.

    def finish(self, run_id: int) -> bool:
        """Set the run complete when nothing more comes and every instance has ended; return whether it is complete.

        Nothing more comes when its source was seen to its end and no other connection attends it. What is said to be
        complete is on the disk.
        """
        values = {"run_id": run_id}
        with self._db.transaction():
            self._db.run("durable")
            ends = self._db.value("is_alone", values) and self._db.run("finish", values) > 0
            return ends or self.run(run_id).state == "complete"

    def pause(self, run_id: int) -> None:
        """Send out nothing more; what is leased comes to its end."""
        self._halt(run_id, "paused", None)

    def stop(self, run_id: int, trouble: Reason) -> None:
        """Send out nothing more, because of a trouble that only people can mend."""
        self._halt(run_id, "stopped", trouble)

    def _halt(self, run_id: int, state: str, trouble: Reason | None) -> None:
        with self._db.transaction():
            self._db.run("set_state", {"run_id": run_id, "state": state, "trouble": trouble})
            self._db.value("recall", {"run_id": run_id})

    def resume(self, run_id: int) -> None:
        """Let a paused or stopped run go on."""
        self._db.run("resume", {"run_id": run_id})

    def retry(self, run_id: int, *, reason: Reason | None = None, ids: Sequence[int] | None = None) -> int:
        """Put quarantined instances (all, those of a reason, those named) back to found; return how many."""
        values = {"run_id": run_id, "reason": reason, "ids": None if ids is None else list(ids)}
        with self._db.transaction():
            self._db.run("lock_run", {"run_id": run_id})
            return int(self._db.value("retry", values))

    def release(self, run_id: int, instance_id: int) -> bool:
        """Let go what the release gate held back of one instance for review, and put the instance back to found.

        It is let go if the gate finds the same in the same source. False: nothing of it is held back for review.
        """
        with self._db.transaction():
            self._db.run("durable")
            is_held = self._db.run("release", {"run_id": run_id, "id": instance_id}) > 0
            return is_held and self.retry(run_id, ids=[instance_id]) > 0

    def run(self, run_id: int) -> Run:
        """Return a run; raise `BadRecipe(BAD_OPTION)` when there is none of this number."""
        return self._one(Run, "run", run_id)

    def _one(self, kind: type[_OfRun], query: str, run_id: int) -> _OfRun:
        for found in self._db.objects(kind, query, {"run_id": run_id}):
            return found
        raise BadRecipe(Reason.BAD_OPTION, "there is no such run", run=run_id)

    def runs(self) -> list[Run]:
        """Return all runs, the newest first."""
        return self._db.objects(Run, "runs")

    def progress(self, run_id: int) -> Progress:
        """Return where the run stands; it costs the same for ten instances and for 10^9."""
        return self._one(Progress, "progress", run_id)

    def quarantine(self, run_id: int, *, limit: int = 100, after_id: int = 0) -> list[InQuarantine]:
        """Return quarantined instances in the order of their ids, from the one after `after_id` on."""
        values = {"run_id": run_id, "most": limit, "after_id": after_id}
        return self._db.objects(InQuarantine, "quarantine", values)

    def manifest(self, run_id: int) -> Iterator[dict[str, object]]:
        """Yield a row for each instance that has ended, in the order of their ids, a page at a time.

        Pages rather than one cursor: a transaction that lasts for minutes would keep the server from cleaning up.
        """
        after_id = 0
        while rows := self._db.objects(dict, "manifest", {"run_id": run_id, "after_id": after_id, "most": _PAGE}):
            yield from rows
            after_id = rows[-1]["id"]


def _packed(parcels: list[list[Waiter]]) -> Jsonb:
    return Jsonb(
        [
            {"route": parcel[0].route, "attempts": parcel[0].attempts, "ids": [waiter.id for waiter in parcel]}
            for parcel in parcels
        ]
    )


def _path_key(path: str) -> bytes:
    """Return the path's digest: the claims' index holds 16 bytes for each, not some two hundred."""
    return blake3(path.encode()).digest(_KEY_BYTES)


def _claim(instance_id: int, owner_id: int, digest: str, state: str) -> Claim:
    return Claim(owner_id=owner_id, owner_state=state, digest=digest, mine=owner_id == instance_id)
