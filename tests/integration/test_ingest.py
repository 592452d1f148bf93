"""Instances from the first fragment to the lake: receiver, committer, ledger, worker."""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from fix_farm import CT, changed

from farm.database import QueryFault, connect
from farm.dicom import part10
from farm.errors import Reason, Unavailable
from farm.ledger import Studies
from farm.net.storing import MISMATCH, OUT_OF_RESOURCES, SUCCESS, Arriving, Receiver, Sink
from farm.pipeline import survey
from farm.queue import Session
from farm.recipe.recipe import preset
from scheduler.campaign import Desk, open_run
from scheduler.ingest import Committer, Spell, Spool, SpoolReceiver, clear
from workers.handler import Handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.ledger import Progress, Run
    from farm.queue import Tables

pytestmark = pytest.mark.servers

SOURCE = part10.parse(CT.read_bytes())
BODY = bytes(SOURCE.data[SOURCE.start :])
INSTANCE = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


def uid(number: int) -> bytes:
    """Return the SOP Instance UID of the instance of this number."""
    return INSTANCE[:-5] + b"%05d" % number


def body(number: int) -> bytes:
    """Return the data set of the instance of this number."""
    return BODY.replace(INSTANCE, uid(number))


def arriving(number: int, syntax: str = SOURCE.syntax.uid) -> Arriving:
    """Return what the command and the association say of the instance of this number."""
    return Arriving(
        sop_class="1.2.840.10008.5.1.4.1.1.2",
        sop_instance=uid(number).decode(),
        transfer_syntax=syntax,
        calling="MODALITY",
        called="FARM",
        address="127.0.0.1",
    )


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """The receiving side of one run."""

    desk: Desk
    run: Run
    spool: Spool
    session: Session
    spell: Spell
    committers: list[Committer]
    destination: Path

    def receiver(self, session: Session | None = None) -> Receiver:
        """Return a receiver whose committer has this session."""
        committer = Committer(self.spool, session or self.desk.session(2), self.run.id, self.spell)
        self.committers.append(committer)
        return SpoolReceiver(self.spool, committer, self.desk.sealer, self.run.source_key, self.spell)

    def files(self) -> list[Path]:
        """Return what lies in the spool."""
        return sorted(self.spool.root.iterdir())

    def known(self) -> set[str]:
        """Return the files that the ledger knows."""
        return self.session.call(lambda tables: set(tables.ledger.spooled(self.run.id)))

    def progress(self) -> Progress:
        """Return where the run stands."""
        return self.session.call(lambda tables: tables.ledger.progress(self.run.id))

    def work(self) -> None:
        """Do everything that can be fed, each instance alone."""
        handler = Handler(self.desk.settings)
        limits = {"max_messages": 100, "max_instances": 1, "max_bytes": 1 << 30}
        for parcel in self.session.call(lambda tables: tables.ledger.feed(self.run.id, **limits)):
            handler.handle(parcel.generation)
        handler.close()

    def outputs(self) -> list[Path]:
        """Return what was released."""
        return [path for path in self.destination.rglob("*.dcm") if ".farm" not in path.parts]


@pytest.fixture
def ingest(desk: Desk, tmp_path: Path) -> Iterator[Ingest]:
    """Return the receiving side of a run whose source is the spool."""
    spool = Spool(tmp_path / "spool")
    run = open_run(desk, spool.root, tmp_path / "destination", preset("basic"))
    session, committers = desk.session(), list[Committer]()
    yield Ingest(
        desk=desk,
        run=run,
        spool=spool,
        session=session,
        spell=Spell(),
        committers=committers,
        destination=tmp_path / "destination",
    )
    for committer in committers:
        committer.close()
    session.close()
    spool.close()


async def store(receiver: Receiver, number: int, data: bytes | None = None, fragment: int = 16_000) -> int:
    """Send one instance in fragments, from a buffer that is used again; return the status."""
    sink = receiver.begin(arriving(number))
    data = body(number) if data is None else data
    buffer = bytearray(fragment)
    for at in range(0, len(data), fragment):
        part = data[at : at + fragment]
        buffer[: len(part)] = part
        sink.write(memoryview(buffer)[: len(part)])
    return await sink.end()


async def store_all(receiver: Receiver, numbers: range) -> list[int]:
    """Send instances, all at once."""
    return await asyncio.gather(*(store(receiver, number) for number in numbers))


def assert_promised(ingest: Ingest, successes: int) -> None:
    """There is a row and a whole file for each success, and no torn file."""
    files = {path.name: path.read_bytes() for path in ingest.files()}
    known = ingest.known()
    assert known <= files.keys()
    assert len(known) == ingest.progress().total == successes
    for name in known:
        parsed = part10.parse(files[name])
        assert (parsed.data[parsed.start :]) == body(int(parsed.sop_instance[-5:]))
        assert parsed.sop_instance == survey(files[name]).instance


class Faulty:
    """A session that fails in one place, once or always; the other calls are a real one's."""

    def __init__(self, real: Session, fault: Callable[[Session, Callable[[Tables], object]], object]) -> None:
        self._real = real
        self._fault = fault

    def call(self, work: Callable[[Tables], object]) -> object:
        """Fail in its way."""
        return self._fault(self._real, work)

    def close(self) -> None:
        """Drop the connection."""
        self._real.close()


def faulty(ingest: Ingest, fault: Callable[[Session, Callable[[Tables], object]], object]) -> Session:
    """Return a session with a fault."""
    return cast("Session", Faulty(ingest.desk.session(), fault))


def test_success_means_a_row_and_a_whole_file(ingest: Ingest) -> None:
    """A peer deletes what it was told is safe."""
    assert asyncio.run(store_all(ingest.receiver(), range(40))) == [SUCCESS] * 40
    assert_promised(ingest, 40)
    assert len(ingest.files()) == 40
    assert ingest.session.call(lambda tables: tables.ledger.studies(ingest.run.id)) == Studies(open=1, closed=0)


def test_an_instance_becomes_an_output_and_its_copy_none(ingest: Ingest) -> None:
    """What arrives would end anywhere but in the lake, or twice."""
    receiver = ingest.receiver()
    assert asyncio.run(store(receiver, 1)) == asyncio.run(store(receiver, 1)) == SUCCESS
    ingest.work()
    progress = ingest.progress()
    assert (progress.done, progress.reasons) == (1, {Reason.DUPLICATE: 1})
    assert len(ingest.outputs()) == 1


def test_other_content_under_the_same_uid_is_a_conflict(ingest: Ingest) -> None:
    """A second content would replace the first, or vanish."""
    receiver = ingest.receiver()
    assert asyncio.run(store(receiver, 1)) == asyncio.run(store(receiver, 1, changed(body(1)))) == SUCCESS
    ingest.work()
    assert (ingest.progress().done, ingest.progress().reasons) == (1, {Reason.CONFLICT: 1})


@pytest.mark.parametrize("data", [b"", b"no data set at all", body(1)[:300], body(1)[:-1000]])
def test_what_cannot_be_read_is_stored_and_quarantined(ingest: Ingest, data: bytes) -> None:
    """A peer would send for ever what is refused for its content, and nobody would see it."""
    assert asyncio.run(store(ingest.receiver(), 1, data)) == SUCCESS
    ingest.work()
    assert ingest.progress().quarantined == 1


def test_a_data_set_of_another_instance_is_refused(ingest: Ingest) -> None:
    """An instance would be acknowledged under a name that is not its own, and counted as one that is missing."""
    assert asyncio.run(store(ingest.receiver(), 1, body(2))) == MISMATCH
    assert (ingest.files(), ingest.progress().total) == ([], 0)


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_abandoning_leaves_nothing(ingest: Ingest, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each association that breaks off would leave a piece of an identified instance."""
    monkeypatch.setattr("scheduler.ingest.spool._HELD_BYTES", held)
    sink = ingest.receiver().begin(arriving(1))
    sink.write(memoryview(body(1))[:5000])
    sink.abandon()
    sink.abandon()
    with pytest.raises(ValueError, match="ended"):
        sink.write(memoryview(b"late"))
    with pytest.raises(ValueError, match="ended"):
        asyncio.run(sink.end())
    assert (ingest.files(), ingest.progress().total) == ([], 0)


def test_abandoning_after_the_end_takes_nothing_back(ingest: Ingest) -> None:
    """A peer that hangs up while it waits would leave a row without its file."""

    async def hang_up(sink: Sink) -> None:
        sink.write(memoryview(body(1)))
        waiting = asyncio.ensure_future(sink.end())
        await asyncio.sleep(0)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        sink.abandon()

    asyncio.run(hang_up(ingest.receiver().begin(arriving(1))))
    ingest.committers[0].close()
    assert_promised(ingest, 1)


def test_a_database_that_is_away_refuses_and_keeps_nothing(ingest: Ingest, caplog: pytest.LogCaptureFixture) -> None:
    """The peer would be told of success, or the spool would fill with what nobody knows."""
    nowhere = Session("postgresql:///x?host=/nowhere", ingest.desk.vault, ingest.desk.key, max_attempts=3, patience=0)
    receiver = ingest.receiver(nowhere)
    assert asyncio.run(store_all(receiver, range(5))) == [OUT_OF_RESOURCES] * 5
    assert asyncio.run(store(receiver, 6)) == OUT_OF_RESOURCES
    assert ingest.files() == []
    assert [record.message for record in caplog.records if "scheduler.ingest" in record.name] == [
        "what arrives is refused: database-away"
    ]


def test_a_lost_connection_costs_nothing(ingest: Ingest) -> None:
    """Each restart of the database would refuse instances, or store them twice."""
    receiver = ingest.receiver()
    assert asyncio.run(store_all(receiver, range(4))) == [SUCCESS] * 4
    ingest.session.close()
    with connect(ingest.desk.settings.database_url) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert asyncio.run(store_all(receiver, range(4, 8))) == [SUCCESS] * 4
    assert_promised(ingest, 8)


def test_a_lost_answer_loses_no_instance(ingest: Ingest) -> None:
    """The rows came through and their files were removed: a good instance would be quarantined as gone."""

    def late(real: Session, work: Callable[[Tables], object]) -> None:
        real.call(work)
        raise Unavailable(Reason.DATABASE_AWAY)

    assert asyncio.run(store(ingest.receiver(faulty(ingest, late)), 1)) == OUT_OF_RESOURCES
    assert_promised(ingest, 1)
    ingest.work()
    assert ingest.progress().done == 1


def test_what_stays_in_doubt_is_left_to_the_next_start(ingest: Ingest) -> None:
    """A file that was never acknowledged would lie in the spool for ever."""

    def never(_: Session, work: Callable[[Tables], object]) -> None:
        _begin(work)
        raise Unavailable(Reason.DATABASE_AWAY)

    assert asyncio.run(store(ingest.receiver(faulty(ingest, never)), 1)) == OUT_OF_RESOURCES
    assert len(ingest.files()) == 1
    assert ingest.session.call(lambda tables: clear(ingest.spool, ingest.run.id, tables.ledger)) == 1
    assert ingest.files() == []


def test_a_fault_of_ours_refuses_and_goes_on(ingest: Ingest, caplog: pytest.LogCaptureFixture) -> None:
    """One statement that the server refuses would end the thread that every association waits for."""
    faults = iter([QueryFault("arrive: SQLSTATE 22P02"), ValueError("DOE^JANE")])

    def sometimes(real: Session, work: Callable[[Tables], object]) -> None:
        for fault in faults:
            _begin(work)
            raise fault
        real.call(work)

    receiver = ingest.receiver(faulty(ingest, sometimes))
    statuses = [asyncio.run(store(receiver, number)) for number in range(3)]
    assert statuses == [OUT_OF_RESOURCES, OUT_OF_RESOURCES, SUCCESS]
    assert_promised(ingest, 1)
    assert len(ingest.files()) == 2  # nobody knows what became of the second
    assert "internal-error" in caplog.text
    assert "DOE^JANE" not in caplog.text


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "full", "/path"), MemoryError("DOE^JANE")])
@pytest.mark.parametrize("call", ["fdatasync", "rename", "open"])
def test_a_file_that_fails_fails_alone(
    ingest: Ingest, call: str, fault: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad block would refuse what others send, or be acknowledged with them."""
    receiver = ingest.receiver()
    assert asyncio.run(store(receiver, 100)) == SUCCESS
    real = getattr(os, call)
    unlucky = iter([fault])

    def once(path: object, *rest: object) -> object:
        ours = call == "fdatasync" or str(path).endswith(".part")
        for failure in unlucky if ours else ():
            raise failure
        return real(path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, once)
        statuses = asyncio.run(store_all(receiver, range(10)))
    assert sorted(statuses) == [SUCCESS] * 9 + [OUT_OF_RESOURCES]
    assert_promised(ingest, 10)
    assert len(ingest.files()) == 10
    assert "/path" not in caplog.text
    assert "DOE^JANE" not in caplog.text


def test_names_that_are_not_on_the_disk_are_no_success(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be synced loses its names with the power, after the peer was told they are safe."""
    receiver = ingest.receiver()

    def failing(_: str) -> None:
        raise OSError(errno.EIO, "told")

    with monkeypatch.context() as patch:
        patch.setattr("scheduler.ingest.spool.sync_folder", failing)
        assert asyncio.run(store_all(receiver, range(3))) == [OUT_OF_RESOURCES] * 3
    assert (ingest.files(), ingest.progress().total) == ([], 0)


def test_a_full_disk_is_told_with_the_fragment(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A peer would send gigabytes that nobody can keep, before it is told."""
    sink = ingest.receiver().begin(arriving(1))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "told")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(Unavailable) as caught:
            sink.write(memoryview(bytes(2 << 20)))
    sink.abandon()
    assert caught.value.reason is Reason.NO_SPACE
    assert ingest.files() == []
    assert "no-space" in caplog.text


def test_closing_finishes_what_waits_and_refuses_the_rest(ingest: Ingest) -> None:
    """A stop would leave peers without an answer, or instances without a row."""
    receiver = ingest.receiver()

    async def scenario() -> tuple[list[int], int]:
        waiting = [asyncio.ensure_future(store(receiver, number)) for number in range(20)]
        await asyncio.sleep(0)
        ingest.committers[0].close()
        ingest.committers[0].close()
        return await asyncio.gather(*waiting), await store(receiver, 99)

    assert asyncio.run(scenario()) == ([SUCCESS] * 20, OUT_OF_RESOURCES)
    assert_promised(ingest, 20)
    assert len(ingest.files()) == 20


def test_an_odd_command_is_no_traceback(ingest: Ingest) -> None:
    """A peer whose UIDs are no UIDs, or whose syntax we do not know, would end the association with our fault."""

    async def odd() -> int:
        sink = ingest.receiver().begin(
            Arriving(
                sop_class="\u00e9\ud800" * 50,
                sop_instance="no uid \ud800",
                transfer_syntax="1.2.3",
                calling="",
                called="",
                address="",
            )
        )
        sink.write(memoryview(b"\0" * 10))
        return await sink.end()

    assert asyncio.run(odd()) == SUCCESS
    ingest.work()
    assert ingest.progress().quarantined == 1


def test_nothing_that_identifies_is_logged_or_named(ingest: Ingest, caplog: pytest.LogCaptureFixture) -> None:
    """A UID or a name in a log or a file name leaves the vault."""
    with caplog.at_level("DEBUG"):
        asyncio.run(store(ingest.receiver(), 1))
    shown = caplog.text + " ".join(str(path) for path in ingest.files()) + repr(arriving(1))
    assert uid(1).decode() not in shown
    assert "CompressedSamples" not in shown


def _begin(work: Callable[[Tables], object]) -> None:
    """Begin a piece of work on a connection that is cut off at once."""
    with suppress(AttributeError):
        work(cast("Tables", None))
