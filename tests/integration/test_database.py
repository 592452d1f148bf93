"""Migrations and how the driver's errors are told."""

from __future__ import annotations

import os
import signal
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, Event, Timer
from typing import TYPE_CHECKING

import pytest
from fix_celery import until
from fix_ledger import Bench

from farm.database import Database, QueryFault, connect, load_queries, migrate
from farm.errors import Reason, Unavailable
from scheduler.patience import Haste

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

_AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
PACKAGES = ("farm.registry", "farm.ledger")
CANARY = "can" + "ary"  # in no source line that a traceback could quote


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_migrating_twice_changes_nothing(empty_database: str) -> None:
    """The second start of the farm would fail on its own tables."""
    with connect(empty_database) as conn:
        assert [migrate(conn, package)[0] for package in PACKAGES] == [
            "0001_registry.pre.sql",
            "0001_ledger.pre.sql",
        ]
        assert [migrate(conn, package) for package in PACKAGES] == [[], []]


def test_programs_that_start_at_once_migrate_once(empty_database: str) -> None:
    """Two workers that start together would break each other's migration."""
    start = Barrier(4)

    def work(_: int) -> list[str]:
        with connect(empty_database) as conn:
            start.wait()
            return [name for package in PACKAGES for name in migrate(conn, package)]

    with ThreadPoolExecutor(4) as pool:
        applied = [name for names in pool.map(work, range(4)) for name in names]
    assert len(applied) == len(set(applied)) > 0


def test_a_migration_that_fails_leaves_nothing_behind(empty_database: str) -> None:
    """Half a schema would stay, and no later start could mend it."""
    with connect(empty_database) as conn:
        conn.execute("CREATE SCHEMA ledger")
        conn.execute("CREATE TABLE ledger.claims ()")
        with pytest.raises(QueryFault):
            migrate(conn, "farm.ledger")
        assert conn.execute("SELECT to_regclass('farm_migrations'), to_regclass('ledger.runs')").fetchall() == [
            (None, None)
        ]


def test_no_server_is_unavailable() -> None:
    """A server that restarts would end the worker with a traceback, its address in it."""
    with pytest.raises(Unavailable) as caught:
        connect(f"postgresql://{CANARY}@/{CANARY}?host=/nowhere")
    assert caught.value.reason is Reason.DATABASE_AWAY
    assert CANARY not in _told(caught.value)


def test_a_refused_statement_tells_no_value(bench: Bench) -> None:
    """A row's content would reach a log by way of the driver's error text."""
    db = Database(bench.conn, {"wrong": "SELECT %(value)s::text::integer"})
    with pytest.raises(QueryFault) as caught:
        db.rows("wrong", {"value": CANARY})
    assert str(caught.value) == "wrong: SQLSTATE 22P02"
    assert CANARY not in _told(caught.value)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_query_has_a_name_of_its_own(package: str) -> None:
    """One query would silently stand for another."""
    assert len(load_queries(package)) > 5
    assert all(text.strip() for text in load_queries(package).values())


@contextmanager
def _hanging(conn: psycopg.Connection) -> Iterator[None]:
    """Stop the server's process of a connection, and let it go on afterwards."""
    pid = conn.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_server_that_hangs_is_away_for_who_cannot_wait(database: str) -> None:
    """A peer that stores would wait as long as the server hangs: for ever, where it is a network that is gone."""
    conn = connect(database, deadline=0.3)
    db = Database(conn, {"one": "SELECT 1", "rows": "SELECT generate_series(1, 3)"})
    assert db.rows("rows") == [(1,), (2,), (3,)]
    with _hanging(conn), pytest.raises(Unavailable) as caught:
        db.value("one")
    assert caught.value.reason is Reason.DATABASE_AWAY
    assert conn.closed
    with pytest.raises(Unavailable):  # a late answer to the first is none to the second
        db.value("one")


@pytest.mark.parametrize("is_migration", [False, True])
def test_a_statement_that_hangs_already_ends_once_there_is_haste(database: str, is_migration: bool) -> None:  # noqa: FBT001
    """Ctrl-C would wait for as long as a healthy statement may take, or for ever."""
    stop = Event()
    haste = Haste(stop, 0.1)
    conn = connect(database, deadline=haste.unless_asked if is_migration else haste)
    assert conn.execute("SHOW statement_timeout").fetchone() == ("0" if is_migration else "1min",)
    soon = Timer(0.1, stop.set)
    soon.start()
    with _hanging(conn), pytest.raises(Unavailable):
        Database(conn, {"one": "SELECT 1"}).value("one")
    soon.join()
    assert conn.closed


def test_the_server_too_gives_up_what_nobody_waits_for(database: str) -> None:
    """Each try would leave a process behind that waits for a lock, until the server takes no more connections."""
    with connect(database) as other, connect(database, deadline=0.3) as conn:
        other.execute("CREATE TABLE held ()")
        with other.transaction():
            other.execute("LOCK held")
            pid = conn.info.backend_pid
            with pytest.raises(Unavailable):
                Database(conn, {"held": "SELECT count(*) FROM held"}).value("held")
            until(lambda: not other.execute(_AT_WORK, [pid]).fetchall(), "the end of the statement")


def test_a_long_statement_is_none_that_hangs(database: str) -> None:
    """A migration or a crawl's insert that takes its time would be broken off, again and again."""
    with connect(database) as conn:
        assert conn.execute("SHOW statement_timeout").fetchone() == ("0",)
        db = Database(conn, {"long": "SELECT pg_sleep(0.5)::text"})
        assert db.value("long") == ""


def test_a_lost_network_is_noticed_and_the_urls_own_values_stand(database: str) -> None:
    """The kernel gives a connection up after two hours, and until then whoever uses it waits."""
    with connect(database) as conn, connect(database + "&tcp_user_timeout=1000&keepalives_idle=7") as own:
        facts, given = conn.info.get_parameters(), own.info.get_parameters()
    assert 0 < int(facts["tcp_user_timeout"]) <= 300_000
    assert 0 < int(facts["keepalives_idle"]) <= 60
    assert (given["tcp_user_timeout"], given["keepalives_idle"]) == ("1000", "7")
