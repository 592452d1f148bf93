"""Sources that change between two commands: nothing of them is lost, and nothing is released twice."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest
from fix_farm import CT, changed, make_instances

from farm.ledger import Ledger
from scheduler import crawl
from workers.handler import Handler

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fix_farm import Opened, Opener

    from farm.ledger import Brought, Found

pytestmark = pytest.mark.servers


class Work:
    """A worker; what it was asked to do is done when the call returns."""

    def __init__(self) -> None:
        self._handlers: list[Handler] = []

    def __call__(self, opened: Opened) -> dict[str, int]:
        """Do all that waits; return how the run stands."""
        self.on(opened, [parcel.generation for parcel in opened.feed()])
        progress = opened.progress()
        return {state: getattr(progress, state) for state in ("total", "done", "quarantined", "skipped")}

    def on(self, opened: Opened, generations: Sequence[int]) -> None:
        """Do these parcels."""
        handler = Handler(opened.settings)
        self._handlers.append(handler)
        for generation in generations:
            handler.handle(generation)

    def close(self) -> None:
        """End."""
        for handler in self._handlers:
            handler.close()


@pytest.fixture
def work() -> Iterator[Work]:
    """Return a worker."""
    worker = Work()
    yield worker
    worker.close()


def touch(path: Path) -> None:
    """Give a file another time, and leave its content."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def counted(**counts: int) -> dict[str, int]:
    """Return how a run stands; what is not named is none."""
    return {"total": 0, "done": 0, "quarantined": 0, "skipped": 0} | counts


def test_another_instance_in_the_place_of_one_that_was_done(opened: Opener, source: Path, work: Work) -> None:
    """It would never be de-identified, and the farm would say that there is nothing to do."""
    first, _ = make_instances(source, 2)
    assert work(opened()) == counted(total=2, done=2)
    for number in (7, 8):
        [new] = make_instances(source / "new", 1, first=number)
        new.replace(first)
        touch(first)
        last = opened()
        assert work(last) == counted(total=number - 4, done=number - 4)
        assert len(last.outputs()) == number - 4
        assert work(opened()) == counted(total=number - 4, done=number - 4)


def test_an_edited_instance_meets_its_own_output(opened: Opener, source: Path, work: Work) -> None:
    """An edit after the release would stay unseen: outputs are written once, so a person has to be told."""
    [path] = make_instances(source, 1)
    work(opened())
    path.write_bytes(changed(path.read_bytes()))
    touch(path)
    assert work(opened()) == counted(total=2, done=1, quarantined=1)
    assert opened().progress().reasons == {"conflict": 1}


def test_sources_that_were_only_touched_are_known_by_their_output(opened: Opener, source: Path, work: Work) -> None:
    """A restore from a backup or another mount would look like loss, or fill the ledger anew each time."""
    paths = make_instances(source, 3)
    work(opened())
    for _ in range(3):
        for path in paths:
            touch(path)
        run = opened()
        assert work(run) == counted(total=6, done=3, skipped=3)
        assert len(run.outputs()) == 3


def test_a_source_that_changed_while_it_waited(opened: Opener, source: Path, work: Work) -> None:
    """After an interruption and a restore every instance would be quarantined, for good."""
    for path in make_instances(source, 5):
        path.write_bytes(path.read_bytes()[:-2])
    assert opened().progress().found == 5
    make_instances(source, 5)
    assert work(opened()) == counted(total=5, done=5)


@pytest.mark.parametrize("left", [1000, 100, 0])
def test_a_half_copied_source_that_is_whole_later(opened: Opener, source: Path, work: Work, left: int) -> None:
    """What a slow copy left in quarantine would stay there, and a retry would call it changed while it was read."""
    path = source / "slow.dcm"
    path.write_bytes(CT.read_bytes()[:left])
    assert work(opened()) == counted(total=1, quarantined=1)
    path.write_bytes(CT.read_bytes())
    run = opened()
    assert run.progress().reasons == {}
    assert work(run) == counted(total=1, done=1)


def test_a_source_that_is_none_any_more(opened: Opener, source: Path, work: Work) -> None:
    """A file that was overwritten by something else would pass for what was released from it."""
    [path] = make_instances(source, 1)
    work(opened())
    path.write_text("notes")
    assert work(opened()) == counted(total=2, done=1, quarantined=1)
    path.write_bytes(CT.read_bytes())
    assert work(opened()) == counted(total=2, done=2)


def test_a_source_that_changed_on_its_way_to_a_worker(
    opened: Opener, source: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crawl would pass by what a worker is about to find changed, and leave it in quarantine."""
    monkeypatch.setattr(crawl, "_BUSY_SECONDS", 0.01)
    paths = make_instances(source, 4)
    run = opened()
    generations = [parcel.generation for parcel in run.feed(instances=2)]
    for path in paths:
        touch(path)
    is_staged = threading.Event()
    stage = Ledger.stage

    def staging(self: Ledger, run_id: int, entries: Sequence[Found]) -> Brought:
        brought = stage(self, run_id, entries)
        is_staged.set()
        return brought

    def later() -> None:
        is_staged.wait()
        work.on(run, generations)

    monkeypatch.setattr(Ledger, "stage", staging)
    thread = threading.Thread(target=later)
    thread.start()
    again = opened()
    thread.join()
    assert work(again) == counted(total=4, done=4)
