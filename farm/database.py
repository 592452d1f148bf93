"""Postgres: one way to connect, to run a named query, to migrate, and to tell that the server is away.

SQL lives in `queries.sql` beside the code that runs it, each query under a line `-- name: ...`. What the driver raises
never gets further than this module, since its texts may quote rows and addresses: a server that is away (or out of
room, or breaking a deadlock) is `Unavailable(DATABASE_AWAY)`, to be tried again on a new connection; anything else is
a fault of the farm itself, told by query name and SQLSTATE alone.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, LiteralString, TypeVar, cast

import psycopg
from psycopg.rows import class_row, tuple_row

from farm.errors import Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from psycopg.rows import RowFactory

Row = TypeVar("Row")
_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION: Final = re.compile(r"^(\d{4})_\w+\.(pre|post)\.sql$")
_CONNECT_SECONDS: Final = 10
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


def connect(url: str) -> psycopg.Connection:
    """Return a connection in autocommit; raise `Unavailable` when the server does not answer."""
    with _told("connect"):
        conn = psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
        conn.execute(_PLANNING)
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
