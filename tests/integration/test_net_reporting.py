"""Storage commitment where the peer has hung up: the report comes on an association that the server opens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from fix_scp import MemoryReceiver, Running, reached, serving
from fix_scp import Peer as Modality
from inboxes import Inbox, inbox
from pdus import p_data, value
from pydicom.dataset import Dataset

from farm.dicom.elements import EXPLICIT
from farm.errors import Reason, Unavailable
from farm.net import dimse, reporting
from farm.net.commitment import Asked
from farm.net.committing import Owed
from farm.net.peers import Address, Peer
from farm.net.reporting import Reporter, report
from farm.net.services import Status
from farm.net.storing import SUCCESS

_CLASS = "1.2.840.10008.5.1.4.1.1.2"
_SOON = (0.0, 0.01, 0.01)


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
def test_who_has_hung_up_is_told_on_another_association(ends: Callable[[Modality, Held, Running], Any]) -> None:
    """A modality would keep its instances for ever, waiting for a report that nobody makes."""

    async def scenario(told: Inbox) -> None:
        held, reporter = Held(), Reporter({"MODALITY": told.peer}, _SOON)
        async with serving(MemoryReceiver(), keeper=held, reports=reporter) as running:
            modality = await Modality.connected(running.port)
            await modality.request(calling="MODALITY", called="LAKE")
            await ends(modality, held, running)
            await reached(lambda: told.reports)
            await modality.close()
            await running.emptied()
        await reporter.close()

    with inbox() as told:
        asyncio.run(scenario(told))
    assert [_is_right(one) for one in told.reports] == [True]
    assert told.titles == [("LAKE", "MODALITY")]
    assert told.roles == [(False, True)]  # the SCP of the service asks for the association (PS3.4 section J.3.3)


def test_who_takes_the_report_is_told_once() -> None:
    """A second report of a transaction that is closed is an error to many modalities."""

    async def scenario(told: Inbox) -> None:
        reporter = Reporter({"MODALITY": told.peer}, _SOON)
        async with serving(MemoryReceiver(), keeper=Held(), reports=reporter) as running:
            modality = await Modality.associated(running.port, calling="MODALITY")
            for _ in range(2):
                await modality.commit(_request())
                await modality.report()
            assert await modality.echo() == SUCCESS  # the answer to the last report came before
            await modality.release()
            await running.emptied()
        assert not reporter.owing
        await reporter.close()

    with inbox() as told:
        asyncio.run(scenario(told))
    assert told.reports == []


def _owed(count: int = 1) -> Owed:
    instances = tuple((_CLASS, f"1.2.{number}") for number in range(1, count + 1))
    held = tuple(uid == "1.2.1" for _, uid in instances)
    return Owed(calling="MODALITY", called="LAKE", asked=Asked(transaction="1.2.99", instances=instances), held=held)


def test_a_report_that_is_not_taken_comes_again() -> None:
    """One moment at which a modality is off, or busy, would cost the report."""

    async def scenario(told: Inbox) -> None:
        told.statuses = [Status.PROCESSING_FAILURE, 0x0213]
        reporter = Reporter({"MODALITY": told.peer}, _SOON)
        reporter.owe(_owed(2))
        await reached(lambda: not reporter.owing)

    with inbox() as told:
        asyncio.run(scenario(told))
    assert [_is_right(one) for one in told.reports] == [True] * 3


def test_it_does_not_come_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """A modality that was scrapped would be called for as long as the server lives, and nobody be told."""

    async def scenario(told: Inbox) -> None:
        reporter = Reporter({"MODALITY": told.peer}, _SOON)
        reporter.owe(_owed(2))
        await reached(lambda: not reporter.owing)

    with inbox(serves=False) as told, caplog.at_level(logging.INFO):
        asyncio.run(scenario(told))
    assert [record.levelname for record in caplog.records if record.name == reporting.__name__] == [
        *["INFO"] * len(_SOON),
        "WARNING",
    ]
    assert "1.2.99" not in caplog.text


def test_one_peer_is_called_by_one_association_at_a_time() -> None:
    """A modality takes one association, and would refuse all others."""

    async def scenario(told: Inbox) -> None:
        reporter = Reporter({"MODALITY": told.peer}, _SOON)
        for _ in range(6):
            reporter.owe(_owed(2))
        await reached(lambda: not reporter.owing)

    with inbox() as told:
        asyncio.run(scenario(told))
    assert (len(told.reports), told.most_open) == (6, 1)


def test_no_more_is_owed_than_can_be_held(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A peer that asks and never listens would fill the memory."""
    monkeypatch.setattr(reporting, "_MOST_INSTANCES", 10)

    async def scenario() -> None:
        reporter = Reporter({"MODALITY": Peer(host="127.0.0.1", port=1, ae_title="MODALITY")}, (60.0,))
        for count in (6, 6, 4):
            reporter.owe(_owed(count))
        assert reporter.owing == 2
        await reporter.close()
        assert not reporter.owing
        reporter.owe(_owed(10))
        assert reporter.owing == 1
        await reporter.close()

    asyncio.run(scenario())
    assert "too many are owed" in caplog.text


def test_who_is_not_known_is_not_looked_for(caplog: pytest.LogCaptureFixture) -> None:
    """A site would look for the fault in the network."""

    async def scenario() -> None:
        reporter = Reporter({})
        reporter.owe(_owed())
        assert not reporter.owing

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert "its address is not known" in caplog.text


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
