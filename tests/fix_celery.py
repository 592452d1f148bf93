"""Nodes for pytest-celery that are plain processes, so that its set-up works without Docker.

A node's container is a duck type with what `CeleryTestNode` uses of one: state, kill, restart, logs, teardown. The
broker is an embedded Valkey in a home of its own, which a test may kill; the worker is the farm's own, on that broker.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from pytest_celery import CeleryBrokerCluster, CeleryTestBroker, CeleryTestWorker, CeleryWorkerCluster

from farm.embedded import Stack
from farm.queue import Publisher, make_app
from scheduler.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fix_farm import Opened
    from pytest_celery import CeleryTestSetup

    from farm.settings import Settings

_DEADLINE = 60.0
_INTEGRATION = Path(__file__).with_name("integration")
_FAULTY = {"workers.app": "faulty_worker"}


def until(condition: Any, what: str, seconds: float = _DEADLINE) -> Any:
    """Wait for a condition of another process to hold, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return answer


def work(run: Opened, setup: CeleryTestSetup, *, instances: int = 2) -> None:
    """Feed and publish until every instance is at its end."""
    publisher = Publisher(setup.app)

    def ended() -> bool:
        ledger = run.ledger()
        ledger.reap()
        publisher.publish(ledger.republish(run.run.id, 3))
        publisher.publish(run.feed(instances=instances))
        progress = run.progress()
        return progress.ended == progress.total

    until(ended, "the end of the run")


class Container:
    """What pytest-celery wants of a container."""

    name = ""
    status = "running"

    @property
    def id(self) -> str:
        """Return a name that is long enough for the node to cut."""
        return f"{self.name}-{id(self):012x}"

    def reload(self) -> None:
        """Do nothing: the state is always that of now."""


class BrokerContainer(Container):
    """An embedded Valkey."""

    name = "valkey"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = Stack(settings).start()
        self.url = self._stack.broker_url
        self.celeryconfig = {"url": self.url, "host_url": self.url}

    def ready(self) -> bool:
        """Tell that it answers; starting has waited for that."""
        return True

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Kill the server."""
        pid = self._stack.valkey_pid
        assert pid is not None
        os.kill(pid, _number(signal))
        until(lambda: self._stack.valkey_pid is None, "Valkey's end")

    def restart(self, timeout: int = 0) -> None:  # noqa: ARG002 - pytest-celery's signature
        """Start it again with what it had written."""
        with Stack(self._settings):
            pass

    def logs(self) -> str:
        """Return its log."""
        return (self._settings.home / "logs" / "valkey.log").read_text()

    def teardown(self) -> None:
        """Stop it."""
        self._stack.stop()


class WorkerContainer(Container):
    """The farm's Celery worker."""

    name = "worker"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process = WorkerProcess(settings, queues=("cpu",), events=True)
        self._log = settings.home / "logs" / "worker.log"
        self.celeryconfig = {"broker_url": settings.broker_url}
        self.restart()

    @property
    def pid(self) -> int | None:
        """Return the pid of the main process."""
        return self._process.pid

    def ready(self) -> bool:
        """Wait until the worker consumes."""
        return bool(until(lambda: " ready." in self.logs()[self._from :], "the worker"))

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Kill the main process; without it, its children end."""
        assert self.pid is not None
        os.kill(self.pid, _number(signal))

    def restart(self, timeout: int = 0) -> None:  # noqa: ARG002 - pytest-celery's signature
        """Start it, or start it again."""
        self._from = len(self.logs())
        until(self._started, "a new worker")

    def logs(self) -> str:
        """Return the log of all its lives."""
        return self._log.read_text() if self._log.exists() else ""

    def worker_name(self) -> str:
        """Return the name of the node."""
        return "farm"

    def teardown(self) -> None:
        """Stop it."""
        self._process.stop()

    def _started(self) -> bool:
        before = self.pid
        self._process.ensure()
        return self.pid != before


def _number(name: str | int) -> int:
    return int(name) if isinstance(name, int) else int(signal.Signals[name])


@pytest.fixture
def node_settings(settings: Settings, home: Path) -> Settings:
    """Return settings whose broker is the node's."""
    keys = {"project_key_file": str(settings.project_key_path), "vault_key_file": str(settings.vault_key_path)}
    return replace(settings, home=home, broker_url="", **keys)


@pytest.fixture
def celery_broker_cluster(node_settings: Settings) -> Iterator[CeleryBrokerCluster]:
    """Return one Valkey as pytest-celery's broker."""
    cluster = CeleryBrokerCluster(CeleryTestBroker(BrokerContainer(node_settings)))
    yield cluster
    cluster[0].teardown()


@pytest.fixture
def celery_backend_cluster() -> None:
    """Return no result backend: the farm has none."""
    return


@pytest.fixture
def task_seconds() -> int:
    """Return the time limit of a parcel; a test that waits for it gives another by parametrization."""
    return 60


@pytest.fixture
def celery_worker_cluster(
    node_settings: Settings,
    task_seconds: int,
    celery_broker_cluster: CeleryBrokerCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[CeleryWorkerCluster]:
    """Return one worker with two processes, whose program has a fault for marked instances."""
    command = WorkerProcess._command
    monkeypatch.setattr(WorkerProcess, "_command", lambda self: [_FAULTY.get(part, part) for part in command(self)])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(_INTEGRATION), os.environ.get("PYTHONPATH", "")]))
    settings = replace(node_settings, broker_url=celery_broker_cluster[0].container.url, task_seconds=task_seconds)
    cluster = CeleryWorkerCluster(CeleryTestWorker(WorkerContainer(settings), None))
    yield cluster
    cluster[0].teardown()


@pytest.fixture
def celery_setup_app(node_settings: Settings, celery_broker_cluster: CeleryBrokerCluster) -> Iterator[Celery]:
    """Return the farm's own app as the test's side of the broker."""
    app = make_app(celery_broker_cluster[0].container.url, node_settings)
    yield app
    app.close()
