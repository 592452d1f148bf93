"""Leases, fencing, attempts and claims: what keeps an output from being made twice or half."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from fix_ledger import Bench, digest, done, found, open_run

from farm.database import connect
from farm.errors import Reason, Unavailable
from farm.ledger import Claim, Failed, GivenBack, Ledger, Quarantined

if TYPE_CHECKING:
    import psycopg

    from farm.ledger import Lease


def _lost(lease: Lease, ledger: Ledger) -> None:
    """Check that the lease is good for nothing any more."""
    ids = [row.id for row in lease.rows]
    for call in (
        lambda: ledger.commit(lease.token, [done(instance) for instance in ids]),
        lambda: ledger.claim(lease.token, [(instance, "path", digest("x")) for instance in ids]),
    ):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.reason is Reason.LEASE_LOST
    assert not ledger.renew(lease.token, 60)


def test_two_workers_race_for_each_parcel(bench: Bench, database: str) -> None:
    """An instance would be processed by two workers at once."""
    bench.stage(*range(60))
    generations = [parcel.generation for parcel in bench.feed(instances=2)]
    start = Barrier(2)

    def work(name: str) -> list[int]:
        with connect(database) as conn:
            ledger = Ledger(conn)
            start.wait()
            return [generation for generation in generations if ledger.lease(generation, name, 60)]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, ["one", "two"])
    assert sorted(first + second) == generations


def test_two_feeders_never_feed_one_instance_twice(bench: Bench, database: str) -> None:
    """Two commands on one run would send everything twice."""
    bench.stage(*range(200))
    start = Barrier(3)

    def feed(_: int) -> list[int]:
        with connect(database) as conn:
            ledger, ids = Ledger(conn), []
            start.wait()
            while parcels := ledger.feed(bench.run_id, max_messages=2, max_instances=5, max_bytes=1 << 30):
                ids += [instance for parcel in parcels for instance in parcel.ids]
            return ids

    with ThreadPoolExecutor(3) as pool:
        fed = [instance for ids in pool.map(feed, range(3)) for instance in ids]
    assert sorted(fed) == sorted(bench.states())


def test_an_old_generation_leases_nothing(bench: Bench) -> None:
    """A message that turns up late would start a second worker on the same instances."""
    bench.stage(1)
    [old] = bench.feed()
    [new] = bench.ledger.republish(bench.run_id, 0)
    assert bench.ledger.lease(old.generation, "late", 60) is None
    assert bench.ledger.lease(new.generation, "worker", 60)


def test_a_late_commit_of_an_old_token_fails(bench: Bench) -> None:
    """A worker that was thought dead would overwrite what its successor did."""
    bench.stage(1)
    old = bench.leased("slow")
    bench.expire(old.token)
    assert bench.ledger.reap() == 1
    new = bench.leased("quick")
    _lost(old, bench.ledger)
    bench.ledger.commit(new.token, [done(new.rows[0].id)])
    _lost(old, bench.ledger)
    _lost(new, bench.ledger)
    assert bench.ledger.progress(bench.run_id).done == 1


def test_the_reaper_leaves_living_leases_alone(bench: Bench) -> None:
    """A worker in good health would lose its work, and an attempt be counted."""
    bench.stage(1)
    lease = bench.leased()
    assert bench.ledger.reap() == 0
    bench.expire(lease.token)
    assert bench.ledger.renew(lease.token, 60)
    assert bench.ledger.reap() == 0
    bench.ledger.commit(lease.token, [done(lease.rows[0].id)])


def test_the_third_start_is_the_last(bench: Bench) -> None:
    """An instance that kills its worker would kill workers for ever; or be given up too soon."""
    bench.stage(1)
    for attempt in range(3):
        lease = bench.leased()
        assert lease.rows[0].attempts == attempt
        bench.expire(lease.token)
        bench.ledger.reap()
    [row] = bench.ledger.quarantine(bench.run_id)
    assert (row.reason, row.attempts) == ("worker-lost", 3)


def test_a_failed_attempt_counts_and_one_given_back_does_not(bench: Bench) -> None:
    """A disk without room for an hour would quarantine a whole run."""
    bench.stage(1)
    for attempt in range(3):
        for _ in range(4):
            lease = bench.leased()
            assert lease.rows[0].attempts == attempt
            bench.ledger.commit(lease.token, [GivenBack(id=lease.rows[0].id)])
        lease = bench.leased()
        bench.ledger.commit(lease.token, [Failed(id=lease.rows[0].id, reason=Reason.INTERNAL_ERROR)])
    assert bench.ledger.progress(bench.run_id).reasons == {"internal-error": 1}


def test_what_died_together_travels_alone(bench: Bench) -> None:
    """One poisoned instance would take the rest of its parcel into quarantine."""
    bench.stage(*range(5))
    lease = bench.leased("worker")
    assert bench.ledger.abandon(lease.token, "another", Reason.WORKER_LOST) == 0
    assert bench.ledger.abandon(lease.token, "worker", Reason.WORKER_LOST) == 5
    assert bench.ledger.abandon(lease.token, "worker", Reason.WORKER_LOST) == 0
    assert [len(parcel.ids) for parcel in bench.feed()] == [1] * 5


def test_a_child_that_died_before_its_lease_costs_nothing(bench: Bench) -> None:
    """A message that was never begun would count as an attempt."""
    bench.stage(1)
    [parcel] = bench.feed()
    assert bench.ledger.abandon(parcel.generation, "worker", Reason.WORKER_LOST) == 0
    assert list(bench.states().values()) == ["queued"]


@pytest.mark.parametrize("which", [[0], [0, 1, 1], [0, 1, 2]])
def test_a_commit_names_every_instance_once(bench: Bench, which: list[int]) -> None:
    """An instance that the worker forgot would stand nowhere, and the run never end."""
    bench.stage(1, 2)
    lease = bench.leased()
    ids = [*(row.id for row in lease.rows), 999]
    with pytest.raises(ValueError, match="each instance"):
        bench.ledger.commit(lease.token, [done(ids[at]) for at in which])
    assert sorted(bench.states().values()) == ["leased", "leased"]


def _claim(bench: Bench, lease: Lease, content: str = "same", path: str = "S/1/2/3.dcm") -> Claim:
    [claim] = bench.ledger.claim(lease.token, [(lease.rows[0].id, path, digest(content))]).values()
    return claim


def test_a_claim_stands_while_its_parcel_lives(bench: Bench) -> None:
    """Two workers would write one name at the same time."""
    bench.stage(1)
    first = bench.leased()
    assert _claim(bench, first, "first").mine
    assert _claim(bench, first, "first again").mine
    bench.stage(2)
    second = bench.leased()
    claim = _claim(bench, second, "second")
    owner = first.rows[0].id
    assert claim == Claim(owner_id=owner, owner_state="open", digest=digest("first again"), mine=False)
    assert _claim(bench, second, path="another").mine


def test_a_claim_of_what_is_done_stands_for_good(bench: Bench) -> None:
    """A released output would be replaced, by another run even."""
    bench.stage(1)
    first = bench.leased()
    _claim(bench, first, "first")
    bench.ledger.commit(first.token, [done(first.rows[0].id)])
    other = Bench(bench.conn, bench.ledger, open_run(bench.ledger, source_key=b"t" * 16))
    other.stage(1)
    claim = _claim(other, other.leased(), "second")
    assert (claim.mine, claim.owner_state, claim.digest) == (False, "done", digest("first"))


@pytest.mark.parametrize("end", ["quarantined", "given back", "reaped"])
def test_a_claim_that_nobody_works_on_is_taken_over(bench: Bench, end: str) -> None:
    """An instance would wait for ever for one that has given up, or whose run was stopped."""
    bench.stage(1)
    first = bench.leased()
    _claim(bench, first)
    instance = first.rows[0].id
    if end == "reaped":
        bench.expire(first.token)
        bench.ledger.reap()
    else:
        outcome = Quarantined(id=instance, reason=Reason.CONFLICT) if end == "quarantined" else GivenBack(id=instance)
        bench.ledger.commit(first.token, [outcome])
    bench.ledger.stop(bench.run_id, Reason.MAPPING_MISMATCH)
    other = Bench(bench.conn, bench.ledger, open_run(bench.ledger, source_key=b"t" * 16))
    other.stage(1)
    assert _claim(other, other.leased()).mine


def test_one_path_twice_in_a_parcel_has_one_owner(bench: Bench) -> None:
    """Two copies of an instance in one parcel would both be released."""
    bench.stage(1, 2)
    lease = bench.leased()
    first, second = (row.id for row in lease.rows)
    claims = bench.ledger.claim(lease.token, [(first, "p", digest("a")), (second, "p", digest("b"))])
    assert claims[first].mine
    assert claims[second] == Claim(owner_id=first, owner_state="open", digest=digest("a"), mine=False)


def test_two_workers_race_for_each_path(bench: Bench, database: str) -> None:
    """Two copies of an instance would both believe to own its name."""
    bench.stage(*range(40))
    leases = [bench.ledger.lease(parcel.generation, "worker", 60) for parcel in bench.feed(instances=20)]
    start = Barrier(2)

    def work(lease: Lease) -> list[str]:
        outputs = [(row.id, f"path {at}", digest("x")) for at, row in enumerate(lease.rows)]
        with connect(database) as conn:
            start.wait()
            claims = Ledger(conn).claim(lease.token, outputs)
        return [path for instance, path, _ in outputs if claims[instance].mine]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(work, [lease for lease in leases if lease])
    assert sorted(first + second) == sorted(f"path {at}" for at in range(20))


def _of_one_shard(url: str, other: psycopg.Connection) -> psycopg.Connection:
    """Return a connection that counts in the same shard of the tallies as another."""
    while True:
        conn = connect(url)
        if (conn.info.backend_pid - other.info.backend_pid) % 16 == 0:
            return conn
        conn.close()


def test_who_has_the_run_never_waits_for_a_worker(bench: Bench, database: str) -> None:
    """Each could wait for the other: where a database breaks such a circle, it is taken for one that is away."""
    bench.stage(1)
    lease = bench.leased()
    [row] = lease.rows
    with _of_one_shard(database, bench.conn) as conn:
        conn.execute("SET lock_timeout = '500ms'")
        with bench.conn.transaction():
            bench.ledger.stage(bench.run_id, [found(2, reason=Reason.TRUNCATED)])  # a crawl, not at its end yet
            Ledger(conn).commit(lease.token, [Quarantined(id=row.id, reason=Reason.TRUNCATED)])
    assert bench.ledger.progress(bench.run_id).reasons == {Reason.TRUNCATED: 2}
