"""Arrivals in the ledger: rows, studies, retention."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TYPE_CHECKING

import pytest
from fix_ledger import Bench, done, open_run
from psycopg import sql

from farm.database import connect
from farm.errors import Reason
from farm.ledger import Arrived, Ledger, Quarantined, Skipped, Studies
from farm.ledger import ledger as module
from scheduler.ingest import Keeper, Spool, clear

if TYPE_CHECKING:
    from pathlib import Path

    from farm.settings import Settings

pytestmark = pytest.mark.servers


def key(text: str) -> bytes:
    """Return 16 bytes that stand for something keyed."""
    return blake2b(text.encode(), digest_size=16).digest()


def arrived(number: int, *, instance: int | None = None, study: int | None = 0, name: str = "") -> Arrived:
    """Return the arrival of this number; unless told otherwise it is of an instance of its own."""
    locator = key(f"locator {number}")
    return Arrived(
        name=name or locator.hex(),
        locator_key=locator,
        locator_sealed=locator * 2,
        size=1000,
        mtime_ns=number,
        instance_key=key(f"instance {number if instance is None else instance}"),
        study_key=None if study is None else key(f"study {study}"),
        series_key=None if study is None else key(f"series {study}"),
    )


def age(bench: Bench, table: str, column: str, seconds: int = 1000) -> None:
    """Let time pass for what stands in a table; the clock is the server's."""
    names = {"table": sql.Identifier("ledger", table), "column": sql.Identifier(column)}
    text = sql.SQL("UPDATE {table} SET {column} = {column} - make_interval(secs => %s)").format(**names)
    bench.conn.execute(text, [seconds])


def ended(bench: Bench) -> list[int]:
    """End one instance in each way, and leave the rest; return ids in the order of arrival."""
    rows = bench.leased().rows
    ids = sorted(row.id for row in rows)
    outcomes = [done(ids[0]), Skipped(id=ids[1], reason=Reason.DUPLICATE)]
    outcomes += [Quarantined(id=id_, reason=Reason.TRUNCATED) for id_ in ids[2:]]
    parcel = bench.conn.execute("SELECT generation FROM ledger.parcels").fetchone()
    assert parcel is not None
    bench.ledger.commit(parcel[0], outcomes)
    return ids


def test_what_arrives_is_found(bench: Bench) -> None:
    """What was acknowledged would never be worked on."""
    bench.ledger.arrive(bench.run_id, [arrived(number) for number in range(3)])
    bench.ledger.arrive(bench.run_id, [])
    assert bench.ledger.progress(bench.run_id).total == bench.ledger.progress(bench.run_id).found == 3
    rows = bench.leased().rows
    assert {row.locator_key for row in rows} == {arrived(number).locator_key for number in range(3)}
    assert {(row.size, row.mtime_ns) for row in rows} == {(1000, number) for number in range(3)}
    assert set(bench.ledger.spooled(bench.run_id)) == {arrived(number).name for number in range(3)}


def test_arriving_again_adds_nothing(bench: Bench) -> None:
    """A statement that is repeated, because its answer was lost, would double the instances or fail."""
    batch = [arrived(number, study=number % 2) for number in range(4)]
    for _ in range(2):
        bench.ledger.arrive(bench.run_id, batch)
        assert bench.ledger.progress(bench.run_id).total == len(bench.states()) == 4
        assert bench.ledger.studies(bench.run_id) == Studies(open=2, closed=0)
        assert sorted(bench.ledger.spooled(bench.run_id)) == sorted(item.name for item in batch)
    assert _instances(bench) == [2, 2]


def test_an_instance_that_comes_twice_has_one_arrival(bench: Bench) -> None:
    """A peer that sends again would make a study look complete that is not."""
    bench.ledger.arrive(bench.run_id, [arrived(1, instance=7), arrived(2, instance=7)])
    bench.ledger.arrive(bench.run_id, [arrived(3, instance=7)])
    rows = bench.conn.execute("SELECT instance_key, instance_id, study_key FROM ledger.arrivals").fetchall()
    assert rows == [(key("instance 7"), min(bench.states()), key("study 0"))]
    assert _instances(bench) == [1]
    assert len(bench.states()) == 3


def test_a_data_set_without_a_study_arrives(bench: Bench) -> None:
    """What cannot be read would be refused for its content, and the peer would send it for ever."""
    bench.ledger.arrive(bench.run_id, [arrived(1, study=None)])
    assert bench.ledger.studies(bench.run_id) == Studies(open=0, closed=0)
    assert bench.ledger.progress(bench.run_id).found == 1


def test_a_quiet_study_is_closed_and_a_late_arrival_opens_it(bench: Bench) -> None:
    """A study would be handed on before it is whole, or what came late would belong to a study that is shut."""
    bench.ledger.arrive(bench.run_id, [arrived(1, study=1), arrived(2, study=2)])
    assert bench.ledger.close_studies(bench.run_id, 60) == 0
    age(bench, "studies", "last_at")
    bench.ledger.arrive(bench.run_id, [arrived(3, study=2)])
    assert bench.ledger.close_studies(bench.run_id, 60) == 1
    assert bench.ledger.studies(bench.run_id) == Studies(open=1, closed=1)
    bench.ledger.arrive(bench.run_id, [arrived(4, study=1)])
    assert bench.ledger.studies(bench.run_id) == Studies(open=2, closed=0)
    assert bench.ledger.close_studies(bench.run_id, 0) == 2
    assert bench.ledger.close_studies(bench.run_id, 0) == 0


def test_a_complete_run_goes_on(bench: Bench) -> None:
    """What arrives after the end would lie in a run that nobody works on."""
    bench.ledger.crawled(bench.run_id, {})
    assert bench.ledger.finish(bench.run_id)
    bench.ledger.arrive(bench.run_id, [arrived(1)])
    run = bench.ledger.run(bench.run_id)
    assert (run.state, run.crawled_at, run.finished_at) == ("crawling", None, None)
    assert len(bench.feed()) == 1


def test_a_run_that_is_attended_is_not_complete(bench: Bench, database: str) -> None:
    """A run would be called complete between two studies."""
    bench.ledger.crawled(bench.run_id, {})
    assert bench.ledger.finish(bench.run_id)
    with connect(database) as connection:
        Ledger(connection).attend(bench.run_id)
        assert not bench.ledger.finish(bench.run_id)
        assert bench.ledger.run(bench.run_id).state == "crawling"


def test_a_run_ends_with_the_last_that_attends_it(bench: Bench, database: str) -> None:
    """Of two receivers the first to end would end the run of the other, or a dead one keep it for ever."""
    with connect(database) as one, connect(database) as other:
        first, second = Ledger(one), Ledger(other)
        for ledger in (first, second):
            ledger.attend(bench.run_id)
            ledger.pause(bench.run_id)
            ledger.resume(bench.run_id)
        first.leave(bench.run_id)
        first.crawled(bench.run_id, {})
        assert bench.ledger.attended([bench.run_id]) == {bench.run_id}
        assert not bench.ledger.finish(bench.run_id)
        assert bench.ledger.run(bench.run_id).state == "crawling"
        bench.ledger.pause(bench.run_id)
        bench.ledger.resume(bench.run_id)
        assert not bench.ledger.finish(bench.run_id)
        backends = [connection.info.backend_pid for connection in (one, other)]
    # A closed connection's locks go when its backend has gone, which this waits for.
    for backend in backends:
        bench.conn.execute("SELECT pg_terminate_backend(%s, 10000)", (backend,))
    assert bench.ledger.attended([bench.run_id]) == set()
    assert bench.ledger.finish(bench.run_id)


def test_what_one_brought_is_through_whatever_others_bring(bench: Bench) -> None:
    """A harvest into a receiver's run would never end, or end before its instances do."""
    bench.ledger.arrive(bench.run_id, [arrived(number) for number in range(2)])
    last_id = bench.ledger.crawled(bench.run_id, {})
    parcels = bench.feed()
    bench.ledger.arrive(bench.run_id, [arrived(2)])
    assert not bench.ledger.is_through(bench.run_id, last_id)
    for parcel in parcels:
        assert bench.ledger.lease(parcel.generation, "worker", 60)
        assert not bench.ledger.is_through(bench.run_id, last_id)
        bench.ledger.commit(parcel.generation, [done(id_) for id_ in parcel.ids])
    assert bench.ledger.is_through(bench.run_id, last_id)
    assert not bench.ledger.is_through(bench.run_id, last_id + 1)


@pytest.mark.parametrize("order", ["pause", "stop"])
def test_a_halted_run_takes_what_arrives_and_stays_halted(bench: Bench, order: str) -> None:
    """A pause would lose what a modality sends meanwhile, or end by itself."""
    bench.ledger.pause(bench.run_id) if order == "pause" else bench.ledger.stop(bench.run_id, Reason.KEY_MISMATCH)
    state = bench.ledger.run(bench.run_id).state
    bench.ledger.arrive(bench.run_id, [arrived(1)])
    bench.ledger.attend(bench.run_id)
    assert bench.ledger.run(bench.run_id).state == state
    assert bench.feed() == []
    bench.ledger.resume(bench.run_id)
    assert len(bench.feed()) == 1


def test_the_sweep_takes_what_was_done_long_ago(bench: Bench) -> None:
    """What somebody may still need would be removed, or what is identified would be kept for ever."""
    bench.ledger.arrive(bench.run_id, [arrived(number) for number in range(3)])
    ids = ended(bench)
    bench.ledger.arrive(bench.run_id, [arrived(3)])
    assert bench.ledger.sweep(bench.run_id, 60, 100).names == ()
    age(bench, "outcomes", "finished_at")
    assert bench.ledger.sweep(bench.run_id, 60, 100).names == ()
    age(bench, "spooled", "at")
    names = dict(bench.conn.execute("SELECT instance_id, name FROM ledger.spooled").fetchall())
    assert set(bench.ledger.sweep(bench.run_id, 60, 100).names) == {names[ids[0]], names[ids[1]]}
    assert set(bench.ledger.spooled(bench.run_id)) == {names[ids[2]], arrived(3).name}
    assert bench.ledger.sweep(bench.run_id, 60, 100).names == ()


def test_the_sweep_walks_past_what_stays(bench: Bench) -> None:
    """Quarantined instances at the front would keep all the others in the spool."""
    bench.ledger.arrive(bench.run_id, [arrived(number) for number in range(4)])
    ids = ended(bench)
    bench.conn.execute(
        "UPDATE ledger.outcomes SET state = 'quarantined', reason = 'x' WHERE instance_id <> %s", [ids[3]]
    )
    bench.conn.execute("UPDATE ledger.outcomes SET state = 'done', reason = NULL WHERE instance_id = %s", [ids[3]])
    age(bench, "outcomes", "finished_at")
    age(bench, "spooled", "at")
    first = bench.ledger.sweep(bench.run_id, 60, 2)
    assert (first.names, first.last_id) == ((), ids[1])
    second = bench.ledger.sweep(bench.run_id, 60, 2, first.last_id)
    assert (len(second.names), second.last_id) == (1, ids[3])
    assert bench.ledger.sweep(bench.run_id, 60, 2, second.last_id).last_id == 0


def test_the_spool_is_listed_in_pages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start would remove what stands on the second page."""
    monkeypatch.setattr(module, "_PAGE", 3)
    other = open_run(bench.ledger, source_key=b"o" * 16)
    bench.ledger.arrive(other, [arrived(number) for number in range(7)])
    bench.ledger.arrive(bench.run_id, [arrived(number) for number in range(7, 14)])
    names = list(bench.ledger.spooled(bench.run_id))
    assert sorted(names) == sorted(arrived(number).name for number in range(7, 14))


@pytest.mark.parametrize("what", ["instance", "study"])
def test_two_sides_never_wait_for_each_other(bench: Bench, database: str, what: str) -> None:
    """Two processes that get the same study at once would block each other, and refuse it."""
    low, high = sorted(range(2), key=lambda number: key(f"{what} {number}"))

    def of(number: int, shared: int) -> Arrived:
        if what == "study":
            return arrived(number, instance=number, study=shared)
        return arrived(number, instance=shared, study=None)

    def second() -> None:
        with connect(database) as conn:
            Ledger(conn).arrive(bench.run_id, [of(11, high), of(12, low)])

    with ThreadPoolExecutor(1) as pool:
        with connect(database) as conn, conn.transaction():
            first = Ledger(conn)
            first.arrive(bench.run_id, [of(13, low)])
            waiting = pool.submit(second)
            while not _is_anyone_waiting(bench):
                assert not waiting.done()
            first.arrive(bench.run_id, [of(14, high)])  # which the second has, if it took them in another order
        waiting.result()
    assert len(bench.states()) == bench.ledger.progress(bench.run_id).total == 4
    assert _instances(bench) == ([2, 2] if what == "study" else [])


def test_an_arrival_is_on_the_disk(bench: Bench) -> None:
    """A power cut would take back what the peer was told is safe."""
    bench.conn.execute("SET synchronous_commit = off")
    behind = "SELECT pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn()"

    def is_flushed(number: int) -> bool:
        bench.ledger.arrive(bench.run_id, [arrived(number)])
        return bench.conn.execute(behind).fetchone() == (True,)

    assert any([is_flushed(number) for number in range(3)])  # noqa: C419 - another backend may write in between
    assert bench.conn.execute("SHOW synchronous_commit").fetchone() == ("off",)


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("sweep", {"older_than": 1, "most": 10, "after_id": 0}),
        ("close_studies", {"quiet": 1}),
        ("studies", {}),
        ("spooled", {"most": 10, "after_id": 0}),
    ],
)
def test_nothing_is_read_whole(bench: Bench, query: str, values: dict[str, object]) -> None:
    """What is asked once a second would read a table that grows for years."""
    text = "EXPLAIN " + module._QUERIES[query]
    plan = "\n".join(row[0] for row in bench.conn.execute(text, values | {"run_id": bench.run_id}))  # type: ignore[arg-type]
    assert "Seq Scan" not in plan
    assert "Index" in plan


def test_the_keeper_closes_and_sweeps(bench: Bench, settings: Settings, tmp_path: Path) -> None:
    """Studies would stay open, and the spool would grow until the disk is full."""
    spool = Spool(tmp_path / "spool")
    names = [spool.begin(b"x").finish().name for _ in range(3)]
    bench.ledger.arrive(bench.run_id, [arrived(number, name=name) for number, name in enumerate(names)])
    ended(bench)
    for table, column in (("outcomes", "finished_at"), ("spooled", "at"), ("studies", "last_at")):
        age(bench, table, column, 100_000)
    Keeper(spool, bench.run_id, settings).keep(bench.ledger)
    assert bench.ledger.studies(bench.run_id) == Studies(open=0, closed=1)
    assert len(list(spool.root.iterdir())) == 1
    assert [path.name for path in spool.root.iterdir()] == list(bench.ledger.spooled(bench.run_id))


def test_a_start_keeps_what_any_run_of_the_spool_knows(bench: Bench, tmp_path: Path) -> None:
    """Two runs that share a spool would remove each other's instances."""
    spool = Spool(tmp_path / "spool")
    mine, other, unknown = (spool.begin(b"x").finish().name for _ in range(3))
    second = open_run(bench.ledger, destination_key=b"e" * 16)
    bench.ledger.arrive(bench.run_id, [arrived(1, name=mine)])
    bench.ledger.arrive(second, [arrived(2, name=other)])
    assert clear(spool, bench.run_id, bench.ledger) == 1
    assert {path.name for path in spool.root.iterdir()} == {mine, other}
    assert unknown not in {mine, other}


def _instances(bench: Bench) -> list[int]:
    """Return how many instances each study has."""
    return [count for (count,) in bench.conn.execute("SELECT instances FROM ledger.studies")]


def _is_anyone_waiting(bench: Bench) -> bool:
    """Tell whether a statement in this database waits for another's row."""
    text = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bench.conn.execute(text).fetchone() is not None
