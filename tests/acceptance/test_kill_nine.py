"""kill -9 of everything that a run stands on, each in mid-run: the run ends complete, each output exactly once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
import redis
from blake3 import blake3
from fix_celery import until
from fix_farm import make_instances, visible

from farm.database import connect
from farm.embedded import Stack
from farm.ledger import Ledger
from farm.settings import Settings
from scheduler.worker_process import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.ledger import Progress

pytestmark = pytest.mark.servers

_COUNT = 240
_DRIVE = Path(__file__).with_name("drive.py")


class Farm:
    """A home with servers of its own, a source, and the program that runs it."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.settings = Settings(
            home=home,
            workers=2,
            parcel_instances=4,
            lease_seconds=3,
            renew_seconds=1,
            republish_seconds=3,
            max_attempts=3,
            log_level="DEBUG",
        )
        self.source = folder / "source"
        self.destination = folder / "destination"
        self.stack = Stack(self.settings).start()
        self.program: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        """Start the program."""
        self.program = subprocess.Popen(
            [sys.executable, _DRIVE, self.source, self.destination],
            env=os.environ | environment(self.settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.program

    def summary(self, seconds: float = 120) -> dict[str, Any]:
        """Wait for the program's end and return what it printed."""
        assert self.program is not None
        out, words = self.program.communicate(timeout=seconds)
        assert self.program.returncode == 0, words
        return dict(json.loads(out))

    def in_mid_run(self) -> Progress:
        """Wait until some instances are done, some are leased, and most are still to come."""
        until(self.is_opened, "the run")
        with connect(self.stack.database_url) as connection:
            ledger = Ledger(connection)

            def moving() -> Progress | None:
                progress = ledger.progress(1)
                assert progress.ended < _COUNT * 3 // 4, "the run was over before anything could be killed"
                return progress if progress.leased and progress.done >= 8 else None

            return until(moving, "the middle of the run")

    def is_opened(self) -> bool:
        """Tell whether the run stands in the ledger."""
        with psycopg.connect(self.stack.database_url) as connection:
            try:
                row = connection.execute("SELECT count(*) FROM ledger.runs").fetchone()
            except psycopg.errors.UndefinedTable:
                return False
        return row is not None and row[0] == 1

    def worker(self) -> psutil.Process:
        """Return the worker's main process."""
        assert self.program is not None
        [worker] = psutil.Process(self.program.pid).children()
        return worker

    def assert_whole(self, *, most_attempts: int = 2) -> None:
        """Every instance is done, once, and what is visible is exactly that, byte for byte."""
        with connect(self.stack.database_url) as connection:
            rows = list(Ledger(connection).manifest(1))
        assert Counter(str(row["state"]) for row in rows) == {"done": _COUNT}
        assert max(int(str(row["attempts"])) for row in rows) <= most_attempts
        wanted = {str(row["path"]): str(row["output_digest"]) for row in rows}
        assert len(wanted) == _COUNT
        found = {
            str(path.relative_to(self.destination)): blake3(path.read_bytes()).hexdigest()
            for path in visible(self.destination)
        }
        assert found == wanted
        assert not list((self.destination / ".farm" / "orphans").iterdir())


@pytest.fixture
def farm(home: Path, tmp_path: Path) -> Iterator[Farm]:
    """Return a farm with a source of small instances."""
    farm = Farm(home, tmp_path)
    make_instances(farm.source, _COUNT)
    yield farm
    if farm.program is not None and farm.program.poll() is None:
        farm.program.kill()
        farm.program.communicate()
    farm.stack.stop()


def test_a_worker_child(farm: Farm) -> None:
    """A child that dies (out of memory, a codec's abort) costs an attempt of the parcel in its hands, and no more."""
    farm.start()
    farm.in_mid_run()
    child = until(lambda: farm.worker().children(), "the children")[0]
    child.kill()
    assert farm.summary()["state"] == "complete"
    farm.assert_whole()


def test_the_whole_worker(farm: Farm) -> None:
    """A worker that dies with all its children is replaced, and its parcels go on when their leases end."""
    farm.start()
    farm.in_mid_run()
    os.killpg(farm.worker().pid, signal.SIGKILL)
    assert farm.summary()["state"] == "complete"
    farm.assert_whole()


def test_only_the_workers_main_process(farm: Farm) -> None:
    """Children that outlive their main process must neither go on unseen nor release anything twice."""
    farm.start()
    farm.in_mid_run()
    farm.worker().kill()
    assert farm.summary()["state"] == "complete"
    farm.assert_whole()


def test_the_broker(farm: Farm) -> None:
    """Valkey dies and comes back with what it had written: nothing is lost, nothing is done twice."""
    farm.start()
    farm.in_mid_run()
    assert farm.stack.valkey_pid is not None
    os.kill(farm.stack.valkey_pid, signal.SIGKILL)
    assert farm.summary()["state"] == "complete"
    farm.assert_whole()


def test_all_that_the_broker_holds(farm: Farm) -> None:
    """FLUSHALL: the ledger publishes again what nobody took."""
    farm.start()
    farm.in_mid_run()
    with redis.Redis(unix_socket_path=farm.stack.broker_url.removeprefix("redis+socket://")) as client:
        client.flushall()
    assert farm.summary()["state"] == "complete"
    farm.assert_whole()


def test_the_database(farm: Farm) -> None:
    """Postgres dies: it is started again, and no attempt is spent on waiting for it."""
    farm.start()
    farm.in_mid_run()
    assert farm.stack.postgres_pid is not None
    os.kill(farm.stack.postgres_pid, signal.SIGKILL)
    assert farm.summary()["state"] == "complete"
    farm.assert_whole()


def test_the_program_itself(farm: Farm) -> None:
    """`farm run` dies: its worker ends by itself, and the same command goes on where it was."""
    program = farm.start()
    farm.in_mid_run()
    worker = farm.worker()
    family = [worker, *worker.children()]
    program.kill()
    program.communicate()
    _gone, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    farm.start()
    summary = farm.summary()
    assert (summary["state"], summary["is_new"], summary["found"]) == ("complete", False, 0)
    farm.assert_whole()


def test_ctrl_c_drains(farm: Farm) -> None:
    """Ctrl-C finishes what is in hand, spends no attempt, says that the run is not complete, and can be continued."""
    program = farm.start()
    farm.in_mid_run()
    program.send_signal(signal.SIGINT)
    summary = farm.summary()
    assert summary["state"] != "complete"
    assert 0 < summary["done"] < _COUNT
    with connect(farm.stack.database_url) as connection:
        progress = Ledger(connection).progress(1)
    assert (progress.queued, progress.leased) == (0, 0)
    farm.start()
    assert farm.summary()["state"] == "complete"
    farm.assert_whole(most_attempts=1)


def test_a_second_run_does_nothing(farm: Farm) -> None:
    """The same command again finds nothing to do, starts no worker, and leaves every output as it is."""
    farm.settings = replace(farm.settings, parcel_instances=64)
    farm.start()
    assert farm.summary()["found"] == _COUNT
    before = {path: path.stat().st_ino for path in visible(farm.destination)}
    log = farm.settings.home / "logs" / "worker.log"
    said = log.stat().st_size
    farm.start()
    summary = farm.summary()
    assert (summary["state"], summary["is_new"], summary["found"]) == ("complete", False, 0)
    assert {path: path.stat().st_ino for path in visible(farm.destination)} == before
    assert log.stat().st_size == said
