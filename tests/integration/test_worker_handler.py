"""The handler on a real database and a real destination, without Celery."""

from __future__ import annotations

import json
import logging
import shutil
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from fix_farm import CT, changed, make_instances

from farm.errors import BadRecipe, Reason, Unavailable
from farm.recipe.recipe import preset
from farm.stores import LocalStore
from scheduler.campaign import open_run
from workers import handler as module
from workers.handler import Handler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fix_farm import Opened, Opener

pytestmark = pytest.mark.servers


@pytest.fixture
def handlers() -> Iterator[list[Handler]]:
    """Collect the handlers of a test and close them."""
    made: list[Handler] = []
    yield made
    for handler in made:
        handler.close()


def work(opened: Opened, handlers: list[Handler], **limits: int) -> None:
    """Handle everything that can be fed now."""
    handler = Handler(opened.settings)
    handlers.append(handler)
    for parcel in opened.feed(**limits):
        handler.handle(parcel.generation)


def assert_accounted(opened: Opened) -> None:
    """Every visible file is the output of exactly one done instance, with the bytes that the manifest says."""
    done = [row for row in opened.ledger().manifest(opened.run.id) if row["state"] == "done"]
    wanted = {str(row["path"]): row["output_digest"] for row in done}
    assert len(wanted) == len(done)
    found = {
        str(path.relative_to(opened.destination)): blake3(path.read_bytes()).hexdigest() for path in opened.outputs()
    }
    assert found == wanted
    assert not list((opened.destination / ".farm" / "tmp").iterdir())


def test_a_parcel_is_done(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """The way of an instance: read, de-identified, released and accounted for, with its source untouched."""
    paths = make_instances(source, 5)
    before = [path.read_bytes() for path in paths]
    run = opened()
    work(run, handlers)
    assert run.progress().done == 5
    assert_accounted(run)
    assert [path.read_bytes() for path in paths] == before
    assert run.ledger().finish(run.run.id)


def test_the_way_back_is_recorded(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """What was released can be traced to its original through the registry, and only there."""
    make_instances(source, 1)
    run = opened()
    work(run, handlers)
    [row] = list(run.ledger().manifest(run.run.id))
    original = run.session.call(
        lambda tables: tables.registry.original_uid(run.run.project_id, str(row["instance"]), actor="test", why="test")
    )
    assert original == "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.00000"


def test_a_message_twice_works_once(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """The broker delivers at least once; a second delivery must find nothing to do."""
    make_instances(source, 2)
    run = opened()
    [parcel] = run.feed()
    handler = Handler(run.settings)
    handlers.append(handler)
    handler.handle(parcel.generation)
    handler.handle(parcel.generation)
    assert run.progress().done == 2
    assert_accounted(run)


def test_bad_input_is_quarantined_alone(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """One broken instance of a parcel must not cost the others."""
    make_instances(source, 3)
    (source / "broken.dcm").write_bytes(CT.read_bytes()[:-1000])
    run = opened()
    work(run, handlers)
    progress = run.progress()
    assert (progress.done, progress.quarantined) == (3, 1)
    assert_accounted(run)


def test_a_copy_is_skipped(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """The same instance under two names gives one output; the second waits for the first and is skipped."""
    [path] = make_instances(source, 1)
    shutil.copy(path, source / "copy.dcm")
    run = opened()
    work(run, handlers, instances=1)
    progress = run.progress()
    assert (progress.done, progress.reasons) == (1, {Reason.DUPLICATE: 1})
    assert_accounted(run)


def test_copies_in_one_parcel_wait_for_each_other(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """Two instances of one parcel with one output path: the second's attempt is given back, not lost or counted."""
    [path] = make_instances(source, 1)
    shutil.copy(path, source / "copy.dcm")
    run = opened()
    work(run, handlers)
    progress = run.progress()
    assert (progress.done, progress.found) == (1, 1)
    assert_accounted(run)


def test_other_content_under_the_same_uid_is_a_conflict(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """What was released first stands; a second content must neither replace it nor vanish."""
    [path] = make_instances(source, 1)
    (source / "other.dcm").write_bytes(changed(path.read_bytes()))
    run = opened()
    work(run, handlers, instances=1)
    progress = run.progress()
    assert (progress.done, progress.reasons) == (1, {Reason.CONFLICT: 1})
    assert_accounted(run)


def test_an_earlier_release_is_adopted(
    opened: Opener, source: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies between release and commit leaves a file; the next attempt makes it its own."""
    make_instances(source, 3)
    run = opened()
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "settle", _raise(Unavailable(Reason.STORAGE_ERROR)))
        work(run, handlers)
    released = {path: path.stat().st_ino for path in run.outputs()}
    assert len(released) == 3
    assert run.progress().found == 3
    _make_due(run)
    work(run, handlers)
    assert {path: path.stat().st_ino for path in run.outputs()} == released
    assert_accounted(run)


def test_a_file_that_nobody_claims_is_set_aside(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """A foreign file at the output's name is neither believed nor destroyed."""
    make_instances(source, 1)
    run = opened()
    work(run, handlers)
    [output] = run.outputs()
    whole = output.read_bytes()
    # As if the database had been lost after the file was torn.
    _forget(run)
    output.write_bytes(whole[:100])
    work(run, handlers)
    assert output.read_bytes() == whole
    [orphan] = [path for path in (run.destination / ".farm" / "orphans").rglob("*") if path.is_file()]
    assert orphan.read_bytes() == whole[:100]


def test_a_full_disk_counts_no_attempt(
    opened: Opener, source: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No space left: nothing is lost or quarantined, the run says so, and goes on by itself when there is space."""
    make_instances(source, 3)
    run = opened()
    for _ in range(4):
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "stage", _raise(Unavailable(Reason.NO_SPACE)))
            work(run, handlers)
        assert run.progress().trouble == Reason.NO_SPACE
        _make_due(run)
    work(run, handlers)
    assert run.progress().done == 3
    assert run.progress().trouble is None
    assert_accounted(run)


def test_our_own_fault_costs_one_instance(
    opened: Opener,
    source: Path,
    handlers: list[Handler],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unexpected exception is tried three times, then quarantined; its text, which holds a value, is not logged."""
    make_instances(source, 3)
    (source / "odd.dcm").write_bytes(CT.read_bytes() + b"\0" * 64)
    real = module.steps

    def faulty(data: bytes, *rest: object, **named: object) -> object:
        if bytes(data[-8:]) == b"\0" * 8 and len(data) > CT.stat().st_size:
            raise ValueError("could not convert 'DOE^JANE'")
        return real(data, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "steps", faulty)
    run = opened()
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            work(run, handlers)
    progress = run.progress()
    assert (progress.done, progress.reasons) == (3, {Reason.INTERNAL_ERROR: 1})
    assert "ValueError at test_worker_handler:" in caplog.text
    assert "DOE^JANE" not in caplog.text
    assert_accounted(run)


def test_a_fault_in_release_leaves_nothing_with_celery(
    opened: Opener, source: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault outside a single instance sends each on alone; Celery, which logs texts, never sees the exception."""
    make_instances(source, 3)
    run = opened()
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "sync", _raise(ValueError("DOE^JANE")))
        work(run, handlers)
    assert [len(parcel.ids) for parcel in run.feed()] == [1, 1, 1]


def test_a_bad_order_stops_the_run(
    opened: Opener, source: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapping that contradicts the registry must stop everything before another instance is released."""
    make_instances(source, 3)
    run = opened()
    handler = Handler(run.settings)
    handlers.append(handler)
    monkeypatch.setattr("farm.registry.Registry.record", _raise(BadRecipe(Reason.MAPPING_MISMATCH)))
    for parcel in run.feed(instances=1):
        handler.handle(parcel.generation)
    progress = run.progress()
    assert (progress.state, progress.trouble, progress.done) == ("stopped", Reason.MAPPING_MISMATCH, 0)
    assert not run.outputs()


def test_a_cold_shutdown_gives_the_parcel_back(
    opened: Opener, source: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is told to end gives its start back, so that three drains do not quarantine an instance."""
    make_instances(source, 3)
    run = opened()
    for _ in range(4):
        with monkeypatch.context() as patch:
            patch.setattr(module, "steps", _raise(SystemExit(1)))
            with pytest.raises(SystemExit):
                work(run, handlers)
    work(run, handlers)
    assert run.progress().done == 3
    assert_accounted(run)


def test_a_lost_lease_releases_nothing(
    opened: Opener, source: Path, handlers: list[Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was given up while it worked must leave neither output nor outcome: another one has the work."""
    make_instances(source, 3)
    run = opened()
    real = module.steps

    def taken_away(*arguments: object) -> object:
        with run.desk.session()._connected().connection as connection:
            connection.execute("UPDATE ledger.parcels SET expires_at = clock_timestamp() WHERE expires_at IS NOT NULL")
        run.ledger().reap()
        return real(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(module, "steps", taken_away)
        work(run, handlers)
    assert not run.outputs()
    assert not list((run.destination / ".farm" / "tmp").iterdir())
    assert run.progress().found == 3
    work(run, handlers)
    assert run.progress().done == 3
    assert_accounted(run)


def test_a_run_of_another_key_is_refused(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """A worker with another project key would give other pseudonyms; it must stop, not mix them."""
    make_instances(source, 1)
    run = opened()
    run.settings.project_key_path.unlink()
    work(run, handlers)
    assert run.progress().trouble == Reason.KEY_MISMATCH
    assert not run.outputs()


def test_an_emptied_destination_is_noticed(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """Outputs that were deleted, or are not mounted: the run must not call itself complete over an empty folder."""
    make_instances(source, 2)
    run = opened()
    work(run, handlers)
    shutil.rmtree(run.destination)
    for _ in range(2):
        with pytest.raises(BadRecipe, match=Reason.BAD_DESTINATION):
            opened()
    assert not run.destination.exists()
    with pytest.raises(BadRecipe, match=Reason.BAD_DESTINATION):
        open_run(run.desk, source / "another", run.destination, preset("basic"))
    assert not run.destination.exists()


def test_the_manifest_holds_no_original(opened: Opener, source: Path, handlers: list[Handler]) -> None:
    """The manifest goes out with the data: no path, name or original UID may stand in it."""
    make_instances(source, 2)
    run = opened()
    work(run, handlers)
    text = json.dumps(list(run.ledger().manifest(run.run.id)), default=str)
    for value in ("CompressedSamples", "1.3.6.1.4.1.5962", "00000.dcm", str(source)):
        assert value not in text


def _raise(error: BaseException) -> object:
    def failing(*_: object, **__: object) -> None:
        raise error

    return failing


def _make_due(run: Opened) -> None:
    """Let what was given back be fed at once; the clock is the database's."""
    run.session._connected().connection.execute("UPDATE ledger.backlog SET not_before = clock_timestamp()")


def _forget(run: Opened) -> None:
    """Take the outcomes and claims out of the ledger, as if they had never been committed."""
    connection = run.session._connected().connection
    connection.execute("UPDATE ledger.outcomes SET state = 'quarantined', reason = 'internal-error'")
    connection.execute("DELETE FROM ledger.claims")
    run.ledger().retry(run.run.id)
