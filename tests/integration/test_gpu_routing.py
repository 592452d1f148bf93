"""Queues that need not have a worker: nothing waits for one that does not come, whatever dies, comes and goes."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, LiteralString

import pytest
from fix_celery import until
from fix_ledger import done, found
from hypothesis import HealthCheck
from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from pydicom.data import get_testdata_file

from farm.codecs import uids
from farm.database import connect
from farm.ledger.presence import LASTS, Presence
from farm.queue import QUEUES
from farm.sources import FolderSource
from scheduler.crawl import Crawl
from scheduler.devices import Device, Devices
from scheduler.feeder import Feeder
from scheduler.routing import CPU, GPU, Router
from scheduler.worker_group import WorkerGroup
from scheduler.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg
    from fix_ledger import Bench

    from farm.ledger import Parcel
    from farm.queue import Session, Tables
    from farm.settings import Settings
    from scheduler.campaign import Desk


class Broker:
    """What the feeder publishes to: queues of generations, of which workers take."""

    def __init__(self) -> None:
        self.queues: dict[str, list[int]] = {name: [] for name in QUEUES}

    def publish(self, parcels: list[Parcel]) -> None:
        """Put each message into its queue."""
        for parcel in parcels:
            self.queues[parcel.route].append(parcel.generation)


@dataclass
class Farm:
    """One run, its feeder, and the broker."""

    run_id: int
    session: Session
    feeder: Feeder
    broker: Broker

    def do(self, work: Any) -> Any:
        """Call the tables."""
        return self.session.call(work)

    def stage(self, *numbers: int, route: str = GPU) -> None:
        """Find instances."""
        self.do(lambda tables: tables.ledger.stage(self.run_id, [found(number, route=route) for number in numbers]))

    def feed(self) -> None:
        """Send out what may be sent."""
        self.do(lambda tables: self.feeder.feed(tables, 0.0))

    def recover(self) -> None:
        """Do what is done every second."""
        self.do(self.feeder.recover)

    def come(self, worker: str = "one") -> None:
        """Let a worker with a device live."""
        self.do(lambda tables: tables.presence.lives(worker, [GPU]))

    def die(self) -> None:
        """Let all of them have been silent for too long."""
        self._run("UPDATE ledger.presence SET seen_at = clock_timestamp() - make_interval(secs => %s)", LASTS + 1)

    def wait(self) -> None:
        """Let parcels have waited for long."""
        self._run("UPDATE ledger.parcels SET queued_at = queued_at - interval '1 minute'")

    def expire(self) -> None:
        """Let the leases be over."""
        self._run("UPDATE ledger.parcels SET expires_at = 'epoch' WHERE expires_at IS NOT NULL")

    def take(self, queue: str) -> int | None:
        """Let a worker take the next message of a queue; return the lease's token, if it got one."""
        if not self.broker.queues[queue]:
            return None
        generation = self.broker.queues[queue].pop(0)
        lease = self.do(lambda tables: tables.ledger.lease(generation, "worker", 60))
        return None if lease is None else generation

    def commit(self, token: int) -> None:
        """Let a worker finish a parcel."""
        [(ids,)] = self._run("SELECT ids FROM ledger.parcels WHERE generation = %s", token)
        self.do(lambda tables: tables.ledger.commit(token, [done(instance) for instance in ids]))

    def routes(self) -> list[str]:
        """Return the routes of all parcels that wait."""
        return [route for (route,) in self._run("SELECT route FROM ledger.parcels WHERE expires_at IS NULL")]

    def _run(self, text: LiteralString, *values: object) -> list[Any]:
        def work(tables: Tables) -> list[Any]:
            cursor = tables.connection.execute(text, values)
            return cursor.fetchall() if cursor.description else []

        answer: list[Any] = self.do(work)
        return answer


@pytest.fixture
def farm(desk: Desk, bench: Bench) -> Iterator[Farm]:
    """Return a run without instances and without workers."""
    with closing(desk.session()) as session:
        broker = Broker()
        feeder = Feeder(bench.run_id, broker, desk.settings)  # type: ignore[arg-type]
        yield Farm(bench.run_id, session, feeder, broker)


def test_without_a_worker_nothing_goes_to_its_queue(farm: Farm) -> None:
    """Lost: on every machine without a device, JPEG 2000 would wait for ever."""
    farm.stage(1, 2)
    farm.feed()
    assert farm.routes() == [CPU]
    assert farm.broker.queues[GPU] == []


def test_a_worker_that_comes_gets_what_is_found_from_then_on(farm: Farm) -> None:
    """Lost: a device that is started beside a run would stand idle until the next one."""
    farm.stage(1)
    farm.feed()
    farm.come()
    farm.stage(20)
    farm.stage(30, route="large")
    farm.feed()
    assert sorted(farm.routes()) == [CPU, GPU, "large"]


def test_what_waits_for_a_dead_worker_goes_elsewhere(farm: Farm) -> None:
    """Lost: what was published when the last device died would wait for the next one, or for ever."""
    farm.come()
    farm.stage(1, 20)
    farm.feed()
    before = list(farm.broker.queues[GPU])
    farm.die()
    farm.recover()
    assert set(farm.routes()) == {CPU}
    assert len(farm.broker.queues[CPU]) == len(before) > 0
    assert farm.take(GPU) is None, "the message in the dead queue still leases"
    assert farm.take(CPU) is not None


def test_what_a_dead_worker_had_leased_comes_back_as_work_for_the_processor(farm: Farm) -> None:
    """Lost: what a device had in hand when it died would go to its queue again."""
    farm.come()
    farm.stage(1)
    farm.feed()
    assert farm.take(GPU) is not None
    farm.die()
    farm.expire()
    farm.recover()
    farm.feed()
    assert farm.routes() == [CPU]
    farm.come("another")
    farm.do(lambda tables: tables.ledger.recall(farm.run_id))
    farm.feed()
    assert farm.routes() == [GPU], "an instance that was sent elsewhere forgot what it is"


def test_one_of_several_workers_is_enough(farm: Farm) -> None:
    """Lost: the end of one device would send the work of all others to the processor."""
    farm.come("one")
    farm.come("two")
    farm.do(lambda tables: tables.presence.leaves("one"))
    assert farm.do(lambda tables: tables.presence.served()) == {GPU}
    farm.die()
    assert farm.do(lambda tables: tables.presence.served()) == set()
    farm.come("two")
    assert farm.do(lambda tables: tables.presence.served()) == {GPU}


def test_old_names_are_forgotten(ledger_connection: psycopg.Connection) -> None:
    """Lost: every worker of years would have its row, and be looked at each second."""
    presence = Presence(ledger_connection)
    presence.lives("old", ["cpu", "gpu"])
    ledger_connection.execute("UPDATE ledger.presence SET seen_at = seen_at - interval '2 hours'")
    presence.lives("new", ["gpu"])
    rows = ledger_connection.execute("SELECT queue, worker FROM ledger.presence").fetchall()
    assert rows == [("gpu", "new")]


class Accidents(RuleBasedStateMachine):
    """Law: whatever devices do, a processor alone brings every instance to its end."""

    def __init__(self, farm: Farm) -> None:
        super().__init__()
        self.farm, self.staged, self.leased = farm, 0, list[int]()
        farm.die()

    @rule(count=st.integers(1, 3), route=st.sampled_from(QUEUES))
    def stage(self, count: int, route: str) -> None:
        """Find instances."""
        self.farm.stage(*range(self.staged, self.staged + count), route=route)
        self.staged += count

    @rule()
    def feed(self) -> None:
        """Send out."""
        self.farm.feed()

    @rule()
    def recover(self) -> None:
        """Put right."""
        self.farm.recover()

    @rule()
    def come(self) -> None:
        """Let a device be there."""
        self.farm.come()

    @rule()
    def die(self) -> None:
        """Let all be gone."""
        self.farm.die()

    @rule()
    def wait(self) -> None:
        """Let nobody take anything for long."""
        self.farm.wait()

    @rule()
    def forget(self) -> None:
        """Let the broker lose everything."""
        self.farm.broker.queues = {name: [] for name in QUEUES}

    @rule(queue=st.sampled_from(QUEUES))
    def take(self, queue: str) -> None:
        """Let a worker begin."""
        token = self.farm.take(queue)
        if token is not None:
            self.leased.append(token)

    @precondition(lambda self: self.leased)
    @rule()
    def finish(self) -> None:
        """Let a worker finish."""
        self.farm.commit(self.leased.pop())

    @precondition(lambda self: self.leased)
    @rule()
    def lose(self) -> None:
        """Let all workers die with what they have in hand."""
        self.farm.expire()
        self.farm.recover()
        self.leased.clear()

    def teardown(self) -> None:
        """No device comes any more: a processor does what is left, in a few rounds."""
        farm = self.farm
        farm.die()
        farm.expire()
        for _ in range(4 * self.staged + 4):
            farm.wait()
            farm.recover()
            farm.feed()
            for queue in (CPU, "large"):
                while farm.broker.queues[queue]:
                    token = farm.take(queue)
                    if token is not None:
                        farm.commit(token)
        progress = farm.do(lambda tables: tables.ledger.progress(farm.run_id))
        assert progress.ended == progress.total
        assert farm.routes() == []
        farm.do(lambda tables: tables.connection.execute("TRUNCATE ledger.instances, ledger.backlog, ledger.parcels"))
        farm.do(lambda tables: tables.connection.execute("TRUNCATE ledger.outcomes, ledger.tallies"))


@pytest.mark.timeout(600)
def test_no_row_is_stuck_because_a_device_is_gone(farm: Farm) -> None:
    """Lost: one instance that waits for what does not come keeps its run from ever being complete."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Accidents(farm),
        settings=effort(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        ),
    )


def test_what_is_found_is_routed_by_what_it_is(desk: Desk, farm: Farm, tmp_path: Path) -> None:
    """Lost: no instance would ever wish for a device, or each would."""
    for name in ("CT_small.dcm", "MR_small_jp2klossless.dcm"):
        shutil.copy(str(get_testdata_file(name)), tmp_path)
    router = Router.of(desk.settings, uids.HTJ2K_LOSSLESS)
    crawl = Crawl(FolderSource(tmp_path), desk.sealer, b"s" * 16, farm.run_id, router)
    farm.come()
    crawl.run(farm.session, threading.Event())
    farm.feed()
    assert sorted(farm.routes()) == [CPU, GPU]


@pytest.fixture
def living(settings: Settings) -> Iterator[WorkerProcess]:
    """Return a worker of the queue that stands for a device; it is not started."""
    worker = WorkerProcess(replace(settings, workers=1, gpu_device="0"), queues=(GPU,), name="-gpu0")
    settings.home.mkdir(exist_ok=True)
    yield worker
    worker.stop()


def _served(settings: Settings) -> set[str]:
    with connect(settings.database_url) as connection:
        return Presence(connection).served()


@pytest.mark.servers
def test_a_worker_says_that_it_lives_and_takes_its_leave(settings: Settings, living: WorkerProcess, desk: Desk) -> None:
    """Lost: nobody would know of a worker with a device, or parcels would be sent to one that has ended."""
    assert desk.settings == settings
    living.ensure()
    until(lambda: _served(settings) == {GPU}, "a sign of life")
    living.stop()
    assert _served(settings) == set()


@pytest.mark.servers
def test_a_killed_worker_is_believed_to_live_for_a_while(settings: Settings, living: WorkerProcess, desk: Desk) -> None:
    """Lost: a worker that takes no leave would be waited for."""
    assert desk.settings == settings
    living.ensure()
    until(lambda: _served(settings) == {GPU}, "a sign of life")
    assert living.pid is not None
    os.killpg(living.pid, signal.SIGKILL)
    with connect(settings.database_url) as connection:
        connection.execute("UPDATE ledger.presence SET seen_at = seen_at - make_interval(secs => %s)", [LASTS])
    assert _served(settings) == set()


@pytest.mark.servers
def test_each_device_gets_a_worker(settings: Settings, desk: Desk) -> None:
    """Lost: of several devices one would work."""
    assert desk.settings == settings
    two = Devices(found=tuple(Device(index=index, name="a device", memory_bytes=1) for index in range(2)))
    settings.home.mkdir(exist_ok=True)
    group = WorkerGroup(settings, looking=lambda: two)
    with closing(connect(settings.database_url)) as connection:
        try:
            group.ensure()
            wanted = "SELECT count(DISTINCT worker) FROM ledger.presence WHERE queue = 'gpu'"
            until(lambda: connection.execute(wanted).fetchone() == (2,), "two workers")
            until(lambda: _served(settings) == {CPU, GPU, "large"}, "the processor's worker")
        finally:
            group.stop()
    assert _served(settings) == set()


def test_who_wants_no_device_looks_for_none(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a machine whose device belongs to somebody else would be made to use it."""
    monkeypatch.setattr(WorkerProcess, "ensure", lambda _: None)
    looked: list[int] = []
    for word in ("auto", "off"):
        group = WorkerGroup(replace(settings, gpu=word), looking=lambda: looked.append(1) or Devices(why_not="none"))
        group.ensure()
        group.ensure()
        group.stop()
    assert looked == [1]
