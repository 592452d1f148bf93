"""Postgres: one way to connect, to run a named query, to migrate, and to tell that the server is away.

SQL lives in `queries.sql` beside the code that runs it, each query under a line `-- name: ...`. What the driver raises
never gets further than this module, since its texts may quote rows and addresses: a server that is away (or out of
room, or breaking a deadlock) is `Unavailable(DATABASE_AWAY)`, to be tried again on a new connection; anything else is
a fault of the farm itself, told by query name and SQLSTATE alone.

A server that is there and does not answer is away too. A lost network is noticed by the kernel, whatever runs: it asks
the other kernel, so that a statement may take hours. A server that hangs can only be told from one that is at work by
whoever knows how long the work may take; so who is waited for asks for a connection with a `deadline`.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import partial
from importlib import resources
from math import ceil, isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow, class_row, tuple_row

from farm.errors import Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from psycopg.abc import PQGen
    from psycopg.rows import RowFactory

    Deadline = Callable[[], float]
    """Says how many seconds a statement may take; asked again and again, since that may change while one hangs."""

Row = TypeVar("Row")
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION: Final = re.compile(r"^(\d{4})_\w+\.(pre|post)\.sql$")
_CONNECT_SECONDS: Final = 10
_ALIVE: Final = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    # Longer than any healthy server leaves a COPY unread: this counts a window that stays closed, too.
    "tcp_user_timeout": 120_000,
}
"""How a lost network is noticed (seconds, the last in ms); the kernel's own defaults take two hours. The URL's own
values stand. It has no effect on the sockets of one machine, which cannot lose each other."""
# The tables grow from nothing to millions in minutes, faster than statistics and cached plans can follow, and a plan
# made for a hundred rows reads all of a million. Every query is written for nested loops over indexes; this says so.
_PLANNING: Final = """
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off
"""
# One lock for all packages: migrations are rare, and two programs that start at once must take turns.
_MIGRATION_LOCK: Final = 0x6661_726D


class QueryFault(Exception):
    """A statement that Postgres refused; says which and how, and nothing of what was in it."""


class _Timed(psycopg.Connection[TupleRow]):
    """A connection of which no statement is waited for beyond a time; what takes longer ends the connection."""

    limit: Deadline

    def wait(self, gen: PQGen[Row], *rest: Any, **more: Any) -> Row:  # noqa: ANN401  the driver's own
        """Wait for the server as the driver does, but not for ever."""
        try:
            return super().wait(_limited(gen, self.limit), *rest, **more)
        except _TooLong:
            self.close()  # a late answer would be taken for the next statement's
            raise


class _TooLong(psycopg.OperationalError):
    """The server has not answered in time."""


def _limited(gen: PQGen[Row], limit: Deadline) -> PQGen[Row]:
    """Pass on what the driver waits for, which looks at the clock ten times a second, until the time is over."""
    began = monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and monotonic() - began >= limit():
                raise _TooLong
            wanted = gen.send(ready)
    except StopIteration as end:
        return cast("Row", end.value)


def connect(url: str, *, deadline: Deadline | float | None = None) -> psycopg.Connection:
    """Return a connection in autocommit; raise `Unavailable` when the server does not answer.

    With a `deadline`, in seconds, each statement that takes longer is `Unavailable` and ends the connection. What it
    did is then in doubt: a server that hung may carry it out as soon as it goes on. One that is infinite for now lets
    a statement take any time, until it is not.
    """
    with _told("connect"):
        facts: dict[str, Any] = _ALIVE | conninfo_to_dict(url)
        if deadline is None:
            conn = psycopg.connect(**facts, autocommit=True)
            planning = _PLANNING.encode()
        else:
            limit = deadline if callable(deadline) else partial(float, deadline)
            seconds = limit()
            facts["connect_timeout"] = ceil(min(seconds, _CONNECT_SECONDS))
            conn = _Timed.connect(**facts, autocommit=True)
            conn.limit = limit
            # The server too has to give up what it is at, or waits for: nobody would take the answer.
            given_up = f"; SET statement_timeout = {ceil(seconds * 1000)}" if isfinite(seconds) else ""
            planning = f"{_PLANNING}{given_up}".encode()
        try:
            conn.execute(planning)
        except BaseException:
            conn.close()
            raise
        return conn


def load_queries(package: str, file: str = "queries.sql") -> dict[str, LiteralString]:
    """Return the queries of a package's `queries.sql`, or of another file of its, by name."""
    _, *parts = _NAME.split(resources.files(package).joinpath(file).read_text("utf-8"))
    names, texts = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{package}: two queries have one name")
    # The driver takes literal text alone, lest a value be pasted into it: these are the farm's own files.
    return cast("dict[str, LiteralString]", dict(zip(names, texts, strict=True)))


class Database:
    """A connection and the named queries of one package; they are prepared, since the farm repeats a few all day."""

    def __init__(self, conn: psycopg.Connection, queries: Mapping[str, LiteralString]) -> None:
        """Take an autocommit connection and what `load_queries` gave."""
        self.connection = conn
        self._queries = queries

    def rows(self, name: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run a query and return its rows."""
        return self._fetch(tuple_row, name, values)

    def objects(self, kind: type[Row], name: str, values: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a query whose columns are the fields of `kind`; return an object for each row."""
        return self._fetch(class_row(kind), name, values)

    def _fetch(self, factory: RowFactory[Row], name: str, values: Mapping[str, Any] | None) -> list[Row]:
        with _told(name), self.connection.cursor(binary=True, row_factory=factory) as cursor:
            cursor.execute(self._queries[name], values, prepare=True)
            return cursor.fetchall()

    def value(self, name: str, values: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401  what the query says
        """Run a query that always has one row of one column; return that."""
        return self.rows(name, values)[0][0]

    def run(self, name: str, values: Mapping[str, Any] | None = None) -> int:
        """Run a query without rows; return how many rows it changed."""
        with _told(name), self.connection.cursor(binary=True) as cursor:
            cursor.execute(self._queries[name], values, prepare=True)
            return cursor.rowcount

    def copy(self, name: str, types: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Feed rows to a binary `COPY ... FROM STDIN`."""
        with _told(name), self.connection.cursor() as cursor, cursor.copy(self._queries[name]) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements inside one transaction; an exception takes all of them back."""
        with _told("transaction"), self.connection.transaction():
            yield


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the driver's errors into the farm's."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise Unavailable(Reason.DATABASE_AWAY) from None
    except psycopg.Error as error:
        raise QueryFault(f"{what}: SQLSTATE {error.sqlstate}") from None


def migrate(conn: psycopg.Connection, package: str, *, post: bool = True) -> list[str]:
    """Apply the migrations that `package` has and the database lacks, all or none; return their names.

    `pre` files are safe while the old code still runs (they add); `post` files wait until it is gone (they remove), so
    a rolling upgrade runs this twice, first without `post`. Order is by number, `pre` before `post`.
    """
    files = {
        file.name: file.read_text("utf-8")
        for file in resources.files(package).joinpath("migrations").iterdir()
        if (match := _MIGRATION.match(file.name)) and (post or match[2] == "pre")
    }
    with _told("migrate"), conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [_MIGRATION_LOCK])
        conn.execute(
            "CREATE TABLE IF NOT EXISTS farm_migrations (package text, name text,"
            " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (package, name))"
        )
        applied = {name for (name,) in conn.execute("SELECT name FROM farm_migrations WHERE package = %s", [package])}
        missing = sorted((name for name in files if name not in applied), key=_order)
        for name in missing:
            conn.execute(files[name].encode())
            conn.execute("INSERT INTO farm_migrations (package, name) VALUES (%s, %s)", [package, name])
    return missing


def _order(name: str) -> tuple[str, bool]:
    number, _, _ = name.partition("_")
    return number, name.endswith(".post.sql")
