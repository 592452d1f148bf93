"""Migrations and how the driver's errors are told."""

from __future__ import annotations

import traceback
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from fix_ledger import Bench

from farm.database import Database, QueryFault, connect, load_queries, migrate
from farm.errors import Reason, Unavailable

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
