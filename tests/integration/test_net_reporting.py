"""Storage commitment where the peer has hung up: the report comes on an association that the server opens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from fix_scp import MemoryReceiver, Running, reached, serving
from fix_scp import Peer as Modality
from inboxes import Inbox, inbox
from pdus import p_data, value
from pydicom.dataset import Dataset

from farm.database import connect
from farm.dicom.elements import EXPLICIT
from farm.errors import Reason, Unavailable
from farm.ledger import reports
from farm.net import dimse
from farm.net.commitment import Asked
from farm.net.committing import Owed
from farm.net.peers import Address
from farm.net.reporting import report
from farm.net.services import Status
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS
from scheduler.ingest import reporter as reporter_module
from scheduler.ingest.reporter import Paces, Reporter

if TYPE_CHECKING:
    from scheduler.campaign import Desk

pytestmark = pytest.mark.servers
_CLASS = "1.2.840.10008.5.1.4.1.1.2"
_SOON = Paces(pauses=(0.0, 0.01, 0.01), look=0.01)
_NEVER = Paces(pauses=(3600.0,), look=0.01)
RUN = 1


def reporting(desk: Desk, told: Inbox | None, paces: Paces = _SOON) -> Reporter:
    """Return who reports to an inbox as a receiving process does."""
    return Reporter({"MODALITY": told.peer} if told else {}, desk.session(), desk.sealer, RUN, paces)


def owing(desk: Desk) -> list[tuple[int, bool]]:
    """Return the attempts of each report that is owed, and whether it is leased."""
    with connect(desk.settings.database_url) as connection:
        rows = connection.execute(
            "SELECT attempts, expires_at > now() IS TRUE FROM ledger.reports ORDER BY owed_at"
        ).fetchall()
        return [(attempts, leased) for attempts, leased in rows]


class Held:
    """Says that the first of two instances is held, once it may."""

    def __init__(self) -> None:
        self.gate, self.asked = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def holds(self, instances: tuple[tuple[str, str], ...]) -> list[bool]:
        """Tell of each."""
        self.asked.set()
        await self.gate.wait()
        return [uid == "1.2.1" for _, uid in instances]


def _request() -> bytes:
    items = [
        EXPLICIT.element(0x00081150, "UI", _CLASS.encode()) + EXPLICIT.element(0x00081155, "UI", uid)
        for uid in (b"1.2.1", b"1.2.2")
    ]
    return EXPLICIT.element(0x00081195, "UI", b"1.2.99") + EXPLICIT.sequence(0x00081199, *items)


def _is_right(told: tuple[int, Dataset]) -> bool:
    event_type, data = told
    good = [item.ReferencedSOPInstanceUID for item in data.ReferencedSOPSequence]
    bad = [item.ReferencedSOPInstanceUID for item in data.FailedSOPSequence]
    return (event_type, data.TransactionUID, good, bad) == (2, "1.2.99", ["1.2.1"], ["1.2.2"])


async def _hangs_up(modality: Modality, _: Held, __: Running) -> None:
    """Release as soon as the request is answered, as many modalities do."""
    await modality.commit(_request())
    await modality.release()


async def _hangs_up_at_once(modality: Modality, held: Held, running: Running) -> None:
    """Be gone before it is known what is held."""
    held.gate.clear()
    asking = asyncio.ensure_future(modality.commit(_request()))
    await held.asked.wait()
    asking.cancel()
    await modality.close()
    await running.emptied()
    held.gate.set()


async def _aborts(modality: Modality, _: Held, __: Running) -> None:
    """Take the report for a fault of the server's."""
    await modality.commit(_request())
    modality.core.abort()
    await modality.send(modality.core.outgoing())
    await modality.close()


async def _declines(modality: Modality, _: Held, __: Running) -> None:
    """Say that reports are not taken here, and stay."""
    await modality.commit(_request())
    command = await modality.response()
    while not (await modality.event()).last:  # type: ignore[union-attr]
        pass
    await modality.send(p_data(value(5, 3, dimse.encode(command.response(Status.UNRECOGNIZED_OPERATION)))))


@pytest.mark.parametrize("ends", [_hangs_up, _hangs_up_at_once, _aborts, _declines])
def test_who_has_hung_up_is_told_on_another_association(
    desk: Desk, ends: Callable[[Modality, Held, Running], Any]
) -> None:
    """A modality would keep its instances for ever, waiting for a report that nobody makes."""

    async def scenario(told: Inbox) -> None:
        held = Held()
        async with (
            reporting(desk, told) as reporter,
            serving(MemoryReceiver(), keeper=held, reports=reporter) as running,
        ):
            modality = await Modality.connected(running.port)
            await modality.request(calling="MODALITY", called="LAKE")
            await ends(modality, held, running)
            await reached(lambda: told.reports)
            await reached(lambda: not owing(desk))
            await modality.close()
            await running.emptied()

    with inbox() as told:
        asyncio.run(scenario(told))
    assert [_is_right(one) for one in told.reports] == [True]
    assert told.titles == [("LAKE", "MODALITY")]
    assert told.roles == [(False, True)]  # the SCP of the service asks for the association (PS3.4 section J.3.3)


def test_who_takes_the_report_is_told_once(desk: Desk) -> None:
    """A second report of a transaction that is closed is an error to many modalities."""

    async def scenario(told: Inbox) -> None:
        async with (
            reporting(desk, told) as reporter,
            serving(MemoryReceiver(), keeper=Held(), reports=reporter) as running,
        ):
            modality = await Modality.associated(running.port, calling="MODALITY")
            for _ in range(2):
                await modality.commit(_request())
                assert owing(desk)[-1] == (0, True)
                await modality.report()
            assert await modality.echo() == SUCCESS  # the answer to the last report came before
            await reached(lambda: not owing(desk))
            await modality.release()
            await running.emptied()

    with inbox() as told:
        asyncio.run(scenario(told))
    assert told.reports == []


def _owed(count: int = 1) -> Owed:
    instances = tuple((_CLASS, f"1.2.{number}") for number in range(1, count + 1))
    held = tuple(uid == "1.2.1" for _, uid in instances)
    return Owed(calling="MODALITY", called="LAKE", asked=Asked(transaction="1.2.99", instances=instances), held=held)


async def _noted(reporter: Reporter, *counts: int) -> None:
    """Owe reports on so many instances each."""
    for count in counts:
        reporter.owe(await reporter.note(_owed(count)))


def test_a_report_that_is_not_taken_comes_again(desk: Desk) -> None:
    """One moment at which a modality is off, or busy, would cost the report."""

    async def scenario(told: Inbox) -> None:
        told.statuses = [Status.PROCESSING_FAILURE, 0x0213]
        async with reporting(desk, told) as reporter:
            await _noted(reporter, 2)
            await reached(lambda: not owing(desk))

    with inbox() as told:
        asyncio.run(scenario(told))
    assert [_is_right(one) for one in told.reports] == [True] * 3


def test_what_is_owed_outlasts_the_process(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A modality that is off while the receiver is started anew would keep its instances for ever."""

    async def scenario(told: Inbox, paces: Paces, *counts: int) -> None:
        async with reporting(desk, told, paces) as reporter:
            await _noted(reporter, *counts)
            await reached(lambda: not owing(desk) if not counts else [one for one, _ in owing(desk)] == [1])

    with inbox(serves=False) as off:
        asyncio.run(scenario(off, Paces(pauses=(0.0, 3600.0), look=0.01), 2))
    assert owing(desk) == [(1, False)]
    with inbox() as told, closing(desk.session()) as session:
        session.call(lambda tables: tables.reports.hasten(RUN))
        asyncio.run(scenario(told, _SOON))
    assert [_is_right(one) for one in told.reports] == [True]
    assert "1.2.99" not in caplog.text


def test_what_a_dead_process_had_is_taken_over(desk: Desk) -> None:
    """What a killed process was about to report would be its secret for ever."""
    short = replace(_SOON, lease=0.3)

    async def scenario(told: Inbox) -> None:
        dead = reporting(desk, told, short)
        await dead.note(_owed(2))  # it never renews the lease
        async with reporting(desk, told, short) as other:
            held = await other.note(_owed(2))
            await reached(lambda: told.reports)
            await reached(lambda: len(owing(desk)) == 1)
            leased = _leased_until(desk)
            await reached(lambda: _leased_until(desk) > leased)  # what lives keeps its own
            assert owing(desk) == [(0, True)]
            other.settle(held)
        await dead.__aexit__()

    with inbox() as told:
        asyncio.run(scenario(told))
    assert [_is_right(one) for one in told.reports] == [True]


def _leased_until(desk: Desk) -> datetime:
    with connect(desk.settings.database_url) as connection:
        [(until,)] = connection.execute("SELECT expires_at FROM ledger.reports").fetchall()
        assert isinstance(until, datetime)
        return until


def test_it_does_not_come_for_ever(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A modality that was scrapped would be called for as long as there is a ledger, and nobody be told."""

    async def scenario(told: Inbox) -> None:
        async with reporting(desk, told, replace(_SOON, longest=0.1, lease=0.04)) as reporter:
            await _noted(reporter, 2)
            await reached(lambda: not owing(desk))

    with inbox(serves=False) as told, caplog.at_level(logging.INFO):
        asyncio.run(scenario(told))
    levels = [record.levelname for record in caplog.records if record.name == reporter_module.__name__]
    assert set(levels[:-1]) == {"INFO"}
    assert levels[-1] == "WARNING"
    assert "1.2.99" not in caplog.text


def test_one_peer_is_called_by_one_association_at_a_time(desk: Desk) -> None:
    """A modality takes one association, and would refuse all others, whichever process of ours opens them."""

    async def scenario(told: Inbox) -> None:
        async with reporting(desk, told) as one, reporting(desk, told) as other:
            await asyncio.gather(*(_noted(reporter, 2, 2, 2) for reporter in (one, other)))
            await reached(lambda: not owing(desk))

    with inbox() as told:
        asyncio.run(scenario(told))
    assert (len(told.reports), told.most_open) == (6, 1)


def test_no_more_is_owed_than_can_be_held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that asks and never listens would fill the disk; one that is refused knows that it is owed nothing."""
    monkeypatch.setattr(reports, "MOST", 2)

    async def scenario(told: Inbox) -> None:
        async with (
            reporting(desk, told, _NEVER) as reporter,
            serving(MemoryReceiver(), keeper=Held(), reports=reporter) as running,
        ):
            modality = await Modality.associated(running.port, calling="MODALITY")
            statuses = []
            for _ in range(3):
                answered = await modality.commit(_request())
                statuses.append(answered.status)
                if answered.status == SUCCESS:
                    await _take_no_report(modality)
            assert statuses == [SUCCESS, SUCCESS, OUT_OF_RESOURCES]
            await modality.release()

    with inbox() as told:
        asyncio.run(scenario(told))
    assert owing(desk) == [(0, False)] * 2


async def _take_no_report(modality: Modality) -> None:
    """Pass over a report without an answer."""
    await modality.response()
    while not (await modality.event()).last:  # type: ignore[union-attr]
        pass


def test_who_is_not_known_is_not_looked_for(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """A site would look for the fault in the network."""

    async def scenario() -> None:
        async with (
            reporting(desk, None) as reporter,
            serving(MemoryReceiver(), keeper=Held(), reports=reporter) as running,
        ):
            modality = await Modality.associated(running.port, calling="MODALITY")
            assert (await modality.commit(_request())).status == SUCCESS
            await modality.close()
            await running.emptied()
        assert not owing(desk)

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert "no known address" in caplog.text


def test_a_peer_that_refuses_is_a_failure() -> None:
    """A report would be taken for made that no one has."""

    async def scenario(told: Inbox) -> None:
        with pytest.raises(Unavailable) as caught:
            await report(told.peer, _owed())
        assert caught.value.reason is Reason.PEER_REFUSED

    with inbox(serves=False) as told:
        asyncio.run(scenario(told))


@pytest.mark.parametrize(
    ("text", "address"),
    [("CT 1@10.0.0.7:104", ("CT 1", "10.0.0.7", 104)), ("A@[fd00::1]:11112", ("A", "fd00::1", 11112))],
)
def test_addresses(text: str, address: tuple[str, str, int]) -> None:
    """A report would go to another machine."""
    assert Address.parse(text) == address
