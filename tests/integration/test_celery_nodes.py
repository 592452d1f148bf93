"""The worker under pytest-celery, its nodes being plain processes: deaths and restarts as Celery sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest
from fix_celery import until, work
from fix_farm import CT, make_instances

from farm.errors import Reason
from farm.queue import Publisher

if TYPE_CHECKING:
    from pathlib import Path

    from fix_farm import Opener
    from pytest_celery import CeleryTestSetup

pytestmark = pytest.mark.servers


def test_an_instance_that_kills_its_process(opened: Opener, source: Path, celery_setup: CeleryTestSetup) -> None:
    """What a codec's abort does: the instance is quarantined at its third start; what shared its parcel is done."""
    make_instances(source, 5)
    (source / "kills.dcm").write_bytes(CT.read_bytes() + b"KILL-ME!")
    run = opened()
    work(run, celery_setup)
    progress = run.progress()
    assert (progress.done, progress.reasons) == (5, {Reason.WORKER_LOST: 1})
    [poison] = [row for row in run.ledger().manifest(run.run.id) if row["reason"]]
    assert poison["attempts"] == 3


@pytest.mark.parametrize("task_seconds", [2])
def test_an_instance_that_hangs(opened: Opener, source: Path, celery_setup: CeleryTestSetup) -> None:
    """An instance that never ends is ended, three times, and then quarantined; it does not hold the others up."""
    make_instances(source, 5)
    (source / "hangs.dcm").write_bytes(CT.read_bytes() + b"HANG-ME!")
    run = opened()
    work(run, celery_setup)
    progress = run.progress()
    assert (progress.done, progress.reasons) == (5, {Reason.TIME_LIMIT: 1})


def test_a_killed_worker_comes_back(opened: Opener, source: Path, celery_setup: CeleryTestSetup) -> None:
    """What a dead worker had leased goes on in the next one."""
    make_instances(source, 3)
    (source / "hangs.dcm").write_bytes(CT.read_bytes() + b"HANG-ME!")
    run = opened()
    Publisher(celery_setup.app).publish(run.feed(instances=4))
    until(lambda: run.progress().leased == 4, "the lease")
    celery_setup.worker.kill()
    (source / "hangs.dcm").unlink()
    celery_setup.worker.restart()
    work(run, celery_setup)
    progress = run.progress()
    assert (progress.done, progress.reasons) == (3, {Reason.SOURCE_GONE: 1})


def test_a_broker_that_restarts_is_found_again(opened: Opener, source: Path, celery_setup: CeleryTestSetup) -> None:
    """A worker must take up work again after its broker died, without being restarted itself."""
    make_instances(source, 2)
    run = opened()
    work(run, celery_setup)
    celery_setup.broker.kill()
    celery_setup.broker.restart()
    pid = celery_setup.worker.container.pid
    make_instances(source, 2, first=2)
    run = opened()
    work(run, celery_setup)
    assert run.progress().done == 4
    assert psutil.pid_exists(pid)
    assert celery_setup.worker.container.pid == pid
