"""Runs, the backlog and what people ask of the ledger."""

from __future__ import annotations

import json

import pytest
from fix_ledger import Bench, done, found, open_run, report

from farm.database import connect, load_queries
from farm.errors import BadRecipe, Reason, Unavailable
from farm.ledger import Brought, Done, Failed, GivenBack, Ledger, Quarantined, Skipped


def test_the_same_facts_are_the_same_run(bench: Bench) -> None:
    """A second identical command would do all the work again."""
    first = bench.ledger.run(bench.run_id)
    assert open_run(bench.ledger) == bench.run_id
    assert open_run(bench.ledger, source_key=b"t" * 16) != bench.run_id
    assert (first.state, first.recipe_json, first.destination_sealed) == ("crawling", "{}", b"sealed d")
    assert [run.id for run in bench.ledger.runs()][-1] == bench.run_id


@pytest.mark.parametrize("other", [{"project_id": 2}, {"recipe_digest": "other"}])
def test_a_destination_has_one_project_and_one_recipe(bench: Bench, other: dict[str, object]) -> None:
    """Outputs of two keys or two recipes would mix in one folder."""
    with pytest.raises(BadRecipe) as caught:
        open_run(bench.ledger, **other)
    assert caught.value.reason is Reason.BAD_DESTINATION
    assert len(bench.ledger.runs()) == 1


def test_no_such_run(bench: Bench) -> None:
    """A wrong number on the command line would end in a traceback."""
    for ask in (bench.ledger.run, bench.ledger.progress):
        with pytest.raises(BadRecipe) as caught:
            ask(999)
        assert caught.value.reason is Reason.BAD_OPTION


def test_staging_again_adds_nothing(bench: Bench) -> None:
    """A crawl that is resumed would double what it had found."""
    entries = [found(number) for number in range(5)]
    assert bench.ledger.stage(bench.run_id, [*entries, entries[0]]) == Brought(new=5)
    assert bench.ledger.stage(bench.run_id, entries) == Brought(new=0)
    assert bench.ledger.stage(bench.run_id, []) == Brought(new=0)
    assert len(bench.states()) == bench.ledger.progress(bench.run_id).total == 5


def test_an_instance_found_with_a_reason_never_travels(bench: Bench) -> None:
    """What the survey refused would be sent to a worker, or vanish without a reason."""
    bench.ledger.stage(bench.run_id, [found(1), found(2, reason=Reason.DICOMDIR, series_key=None)])
    assert len(bench.leased().rows) == 1
    progress = bench.ledger.progress(bench.run_id)
    assert (progress.total, progress.leased, progress.reasons) == (2, 1, {"dicomdir": 1})
    [row] = bench.ledger.quarantine(bench.run_id)
    assert (row.reason, row.attempts, row.locator_key) == ("dicomdir", 0, found(2).locator_key)


def test_parcels_follow_the_series(bench: Bench) -> None:
    """Instances of one series would be spread over many parcels, and share nothing."""
    bench.stage(*(number * 10 + series for series in range(10) for number in range(3)))
    ids = [instance for parcel in bench.feed(instances=3) for instance in parcel.ids]
    order = bench.conn.execute("SELECT id FROM ledger.instances ORDER BY series_key, id").fetchall()
    assert ids == [row[0] for row in order]


def test_a_lease_gives_what_was_staged(bench: Bench) -> None:
    """A worker would read the wrong file, or could not tell that it has changed."""
    bench.stage(7)
    [row] = bench.leased().rows
    expected = found(7)
    assert (row.locator_key, row.locator_sealed) == (expected.locator_key, expected.locator_sealed)
    assert (row.size, row.mtime_ns, row.attempts) == (expected.size, expected.mtime_ns, 0)


def test_a_delay_is_kept(bench: Bench) -> None:
    """What waits for a disk with room would spin."""
    bench.stage(1, 2)
    lease = bench.leased()
    first, second = (row.id for row in lease.rows)
    bench.ledger.commit(lease.token, [GivenBack(id=first, delay_s=3600, trouble=Reason.NO_SPACE), GivenBack(id=second)])
    assert [parcel.ids for parcel in bench.feed()] == [(second,)]
    assert bench.ledger.run(bench.run_id).trouble == "no-space"


def test_trouble_is_taken_off_when_it_has_passed(bench: Bench) -> None:
    """People would be told for ever of a disk that has room again."""
    bench.stage(1)
    lease = bench.leased()
    bench.ledger.commit(lease.token, [GivenBack(id=lease.rows[0].id, trouble=Reason.NO_SPACE)])
    lease = bench.leased()
    bench.ledger.commit(lease.token, [done(lease.rows[0].id)])
    assert bench.ledger.run(bench.run_id).trouble is None


def test_a_run_is_complete_when_all_has_ended(bench: Bench) -> None:
    """A run would be called complete with work left, or never."""
    bench.stage(1)
    lease = bench.leased()
    assert not bench.ledger.finish(bench.run_id)
    bench.ledger.crawled(bench.run_id, {"symlinks": 2})
    assert not bench.ledger.finish(bench.run_id)
    bench.ledger.commit(lease.token, [done(lease.rows[0].id)])
    assert bench.ledger.finish(bench.run_id)
    assert bench.ledger.finish(bench.run_id)
    run = bench.ledger.run(bench.run_id)
    assert (run.state, run.counters, run.finished_at is None) == ("complete", {"symlinks": 2}, False)


def test_who_attends_is_seen_without_a_lock(bench: Bench, database: str) -> None:
    """A run that nobody is at would look busy; or a look at it would keep its end from being noted."""
    with connect(database) as connection:
        other = Ledger(connection)
        other.attend(bench.run_id)
        for ledger in (bench.ledger, other):
            assert ledger.attended([bench.run_id, bench.run_id + 1]) == {bench.run_id}
        other.leave(bench.run_id)
        with bench.conn.transaction():
            assert bench.ledger.attended([bench.run_id]) == set()
            with connection.transaction():
                other.crawled(bench.run_id, {})
                assert bench.ledger.attended([bench.run_id]) == set()
    assert bench.ledger.run(bench.run_id).state == "active"


def test_retry_opens_a_complete_run_again(bench: Bench) -> None:
    """What people want tried again would lie in a run that nobody works on."""
    bench.stage(1, 2)
    lease = bench.leased()
    first, second = (row.id for row in lease.rows)
    reasons = [Quarantined(id=first, reason=Reason.TRUNCATED), Quarantined(id=second, reason=Reason.NO_UID)]
    bench.ledger.commit(lease.token, reasons)
    bench.ledger.crawled(bench.run_id, {})
    assert bench.ledger.finish(bench.run_id)
    assert bench.ledger.retry(bench.run_id, reason=Reason.CONFLICT) == 0
    assert bench.ledger.run(bench.run_id).state == "complete"
    assert bench.ledger.retry(bench.run_id, reason=Reason.NO_UID) == 1
    assert bench.ledger.retry(bench.run_id, ids=[first, 999]) == 1
    assert bench.ledger.run(bench.run_id).state == "active"
    assert bench.states() == {first: "found", second: "found"}


def test_a_stopped_run_feeds_nothing(bench: Bench) -> None:
    """A run with the wrong key would go on quarantining."""
    bench.stage(1, 2, 3)
    [parcel, _, _] = bench.feed(instances=1)
    assert bench.ledger.lease(parcel.generation, "worker", 60)
    bench.ledger.stop(bench.run_id, Reason.KEY_MISMATCH)
    assert sorted(bench.states().values()) == ["found", "found", "leased"]
    assert bench.feed() == []
    run = bench.ledger.run(bench.run_id)
    assert (run.state, run.trouble) == ("stopped", "key-mismatch")
    bench.ledger.resume(bench.run_id)
    assert len(bench.feed()) == 1


def test_republish_waits_for_its_time(bench: Bench) -> None:
    """Each look would double the messages in the broker."""
    bench.stage(1)
    [parcel] = bench.feed()
    assert bench.ledger.republish(bench.run_id, 30) == []
    [again] = bench.ledger.republish(bench.run_id, 0)
    assert (again.ids, again.generation > parcel.generation) == (parcel.ids, True)


def test_waiting_counts_messages_and_instances(bench: Bench) -> None:
    """The window would be too wide, and Redis fill up, or too narrow, and workers idle."""
    bench.stage(*range(10))
    parcels = bench.feed(instances=4)
    bench.ledger.lease(parcels[0].generation, "worker", 60)
    waiting = bench.ledger.waiting(bench.run_id)
    assert (waiting.queued_messages, waiting.queued_instances) == (2, 6)
    assert (waiting.leased_messages, waiting.leased_instances) == (1, 4)
    assert bench.ledger.waiting() == waiting
    assert bench.ledger.waiting(999).queued_messages == 0


def test_the_manifest_holds_every_instance_that_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account of a run would miss instances, or say something else than the worker said."""
    monkeypatch.setattr("farm.ledger.ledger._PAGE", 2)
    bench.stage(*range(5))
    lease = bench.leased()
    ids = [row.id for row in lease.rows]
    released = report(ids[0], pixels_at_risk=True, sop_class="1.2\0")
    outcomes = [Done(id=ids[0], report=released), Quarantined(id=ids[1], reason=Reason.TRUNCATED)]
    outcomes += [Skipped(id=ids[2], reason=Reason.DUPLICATE), Failed(id=ids[3], reason=Reason.INTERNAL_ERROR)]
    bench.ledger.commit(lease.token, [*outcomes, done(ids[4])])
    rows = list(bench.ledger.manifest(bench.run_id))
    assert [(row["id"], row["state"]) for row in rows] == [
        (ids[0], "done"),
        (ids[1], "quarantined"),
        (ids[2], "skipped"),
        (ids[4], "done"),
    ]
    told = released.to_dict() | {"sop_class": "1.2"}
    assert {name: rows[0][name] for name in told} == told
    assert (rows[0]["recipe_digest"], rows[0]["attempts"], rows[1]["reason"]) == ("r" * 64, 1, "truncated")
    progress = bench.ledger.progress(bench.run_id)
    assert (progress.at_risk, progress.output_bytes, progress.ended) == (1, 1800, 4)


def test_quarantine_is_listed_in_pages(bench: Bench) -> None:
    """A list of a million rows would have to be held at once."""
    bench.ledger.stage(bench.run_id, [found(number, reason=Reason.NOT_DICOM) for number in range(5)])
    first = bench.ledger.quarantine(bench.run_id, limit=3)
    rest = bench.ledger.quarantine(bench.run_id, limit=3, after_id=first[-1].id)
    assert [len(first), len(rest)] == [3, 2]


@pytest.mark.parametrize(
    ("query", "index"), [("take", "backlog_pkey"), ("taken", "Tid Scan"), ("lease", "instances_pkey")]
)
def test_the_cost_is_that_of_the_rows_taken(bench: Bench, query: str, index: str) -> None:
    """A run of a hundred million would slow down to a halt: each step would read or sort all that wait."""
    bench.conn.execute(
        "INSERT INTO ledger.backlog (run_id, size, id, series_key, route)"
        " SELECT 1, 1, n, decode(md5((n / 100)::text), 'hex'), 'cpu' FROM generate_series(1, 50000) AS n"
    )
    bench.conn.execute(
        "INSERT INTO ledger.instances (run_id, size, mtime_ns, locator_key, locator_sealed, series_key, route)"
        " SELECT 1, 1, 1, int8send(n), '', '', 'cpu' FROM generate_series(1, 50000) AS n"
    )
    values = {"run_id": 1, "most": 6400, "ctids": ["(0,1)"] * 6400, "worker": "w", "generation": 1, "seconds": 20}
    for _ in range(2):
        explained = bench.conn.execute("EXPLAIN (FORMAT JSON) " + load_queries("farm.ledger")[query], values).fetchall()
        plan = json.dumps(explained)
        assert index in plan
        assert "Seq Scan" not in plan
        assert query == "lease" or '"Sort"' not in plan
        bench.conn.execute("ANALYZE ledger.backlog, ledger.instances")


def test_a_server_that_is_away_says_so(database: str, bench: Bench) -> None:
    """A restart of Postgres would be taken for a fault of the instance, and quarantine it."""
    conn = connect(database)
    ledger = Ledger(conn)
    bench.conn.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            ledger.runs()
        assert caught.value.reason is Reason.DATABASE_AWAY
    conn.close()


def test_ids_beyond_32_bits(bench: Bench) -> None:
    """The farm would stop at the 2^31st instance."""
    bench.conn.execute("ALTER TABLE ledger.instances ALTER id RESTART 5000000000")
    bench.conn.execute("ALTER SEQUENCE ledger.generations RESTART 6000000000")
    bench.stage(*range(3))
    lease = bench.leased()
    bench.ledger.claim(lease.token, [(row.id, f"path {row.id}", "00") for row in lease.rows])
    bench.ledger.commit(lease.token, [done(row.id) for row in lease.rows])
    assert sorted(bench.states()) == [5_000_000_000, 5_000_000_001, 5_000_000_002]
