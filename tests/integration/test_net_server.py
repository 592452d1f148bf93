"""The server and its associations over real sockets: instances, statuses, misbehaviour, and who is let in."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
from contextlib import AsyncExitStack, suppress

import pytest
from fix_scp import CONTEXTS, CT, EXPLICIT, IMPLICIT, MemoryReceiver, Peer, parts, reached, serving
from pdus import p_data, value

from farm.errors import Reason, Unavailable
from farm.net import dimse
from farm.net.admission import Rule
from farm.net.association import Aborted, Accepted, Limits, Rejected
from farm.net.dimse import Command, Field, Tag
from farm.net.errors import AbortReason
from farm.net.negotiation import Offer, Refusal
from farm.net.pdu import ProposedContext
from farm.net.services import Status, is_storage
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS, Arriving


@pytest.mark.parametrize("size", [2, 126, 16_000, 131_070])
def test_instances_arrive_whole(size: int) -> None:
    """A byte lost or doubled at the border of two PDUs, or of two associations, is a damaged instance."""
    random.seed(size)
    bodies = {f"1.2.{number}": random.randbytes(min(900 * size, 300_000) + number) for number in range(8)}

    async def send(port: int, uids: list[str]) -> None:
        peer = await Peer.associated(port)
        for uid in uids:
            assert await peer.store(uid, bodies[uid], size) == SUCCESS
        await peer.release()

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver, limits=Limits(pdu=131_076)) as running:
            uids = list(bodies)
            await asyncio.gather(*(send(running.port, uids[at::4]) for at in range(4)))
            await running.emptied()
        assert {arriving.sop_instance: data for arriving, data in receiver.kept} == bodies
        assert receiver.abandoned == []

    asyncio.run(scenario())


def test_what_is_known_before_the_first_byte() -> None:
    """A receiver would file an instance under another peer's name, or in another syntax."""

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver) as running:
            peer = await Peer.connected(running.port)
            assert isinstance(await peer.request(calling="CT1", called="LAKE"), Accepted)
            await peer.store("1.2.3", b"")
            await peer.release()
        [(arriving, data)] = receiver.kept
        assert data == b""
        assert arriving == Arriving(
            sop_class=CT,
            sop_instance="1.2.3",
            transfer_syntax=EXPLICIT,
            calling="CT1",
            called="LAKE",
            address="127.0.0.1",
        )

    asyncio.run(scenario())


@pytest.mark.parametrize("where", ["on_begin", "on_write", "before_end"])
def test_what_cannot_be_kept_now_is_refused_and_the_association_lives(where: str) -> None:
    """A full disk would be told as success, or end the association and with it every other instance."""
    is_full = True

    def fail(*_: object) -> None:
        if is_full:
            raise Unavailable(Reason.NO_SPACE)

    async def fail_later() -> None:
        fail()

    async def scenario() -> None:
        nonlocal is_full
        receiver = MemoryReceiver(**{where: fail_later if where == "before_end" else fail})
        async with serving(receiver) as running:
            peer = await Peer.associated(running.port)
            assert await peer.store("1.2.3", bytes(50_000)) == OUT_OF_RESOURCES
            assert receiver.abandoned == (["1.2.3"] if where == "on_write" else [])
            is_full = False
            assert await peer.store("1.2.3", bytes(50_000)) == SUCCESS
            await peer.release()

    asyncio.run(scenario())


def test_a_fault_of_a_sink_is_an_answer_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours would leave the peer waiting, or write what the instance holds into a log."""

    async def fail() -> None:
        raise ValueError("DOE^JANE")

    async def scenario() -> None:
        receiver = MemoryReceiver(before_end=fail)
        async with serving(receiver) as running:
            peer = await Peer.associated(running.port)
            assert await peer.store("1.2.3", b"data") == Status.PROCESSING_FAILURE
            assert receiver.abandoned == ["1.2.3"]
            assert await peer.echo() == SUCCESS
            await peer.release()

    asyncio.run(scenario())
    assert "could not be stored: ValueError" in caplog.text
    assert "DOE^JANE" not in caplog.text


class AtOnce:
    """A receiver, and its own sink, that knows the status without waiting."""

    def __init__(self, said: int | Exception) -> None:
        self.said, self.data, self.abandoned = said, bytearray(), 0

    def begin(self, _arriving: Arriving) -> AtOnce:
        """Return itself."""
        return self

    def write(self, data: memoryview) -> None:
        """Keep a fragment."""
        self.data += data

    def end(self) -> int:
        """Say at once what is to be said."""
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    def abandon(self) -> None:
        """Count."""
        self.abandoned += 1


@pytest.mark.parametrize(
    ("said", "status", "abandoned"),
    [
        (SUCCESS, SUCCESS, 0),
        (Unavailable(Reason.NO_SPACE), OUT_OF_RESOURCES, 0),
        (ValueError("DOE^JANE"), Status.PROCESSING_FAILURE, 1),
    ],
)
def test_a_sink_that_knows_at_once_is_heard(
    said: int | Exception, status: int, abandoned: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The short way to the response would lose what the long one sees to: refusals, faults, and the next instance."""

    async def scenario() -> None:
        receiver = AtOnce(said)
        async with serving(receiver) as running:
            peer = await Peer.associated(running.port)
            assert await peer.store("1.2.3", b"data") == await peer.store("1.2.4", b"more") == status
            assert (bytes(receiver.data), receiver.abandoned) == (b"datamore", 2 * abandoned)
            await peer.release()

    asyncio.run(scenario())
    assert "DOE^JANE" not in caplog.text


@pytest.mark.parametrize("where", ["on_begin", "on_write"])
def test_a_fault_in_the_middle_ends_that_association_alone(where: str, caplog: pytest.LogCaptureFixture) -> None:
    """The event loop logs the text of what it catches, which may be a name."""

    def fail(*_: object) -> None:
        raise ValueError("DOE^JANE")

    async def scenario() -> None:
        receiver = MemoryReceiver(**{where: fail})
        async with serving(receiver) as running:
            other = await Peer.associated(running.port)
            peer = await Peer.associated(running.port)
            await peer.send(peer.command("1.2.3") + b"".join(parts(bytes(100), 100)))
            assert isinstance(await peer.ended(), Aborted)
            assert await other.echo() == SUCCESS
            await other.release()
            await running.emptied()

    asyncio.run(scenario())
    assert "ended by a fault" in caplog.text
    assert "DOE^JANE" not in caplog.text


def test_one_slow_sink_holds_up_nobody_else() -> None:
    """One slow disk, or one database statement, would stop every association of the process."""

    async def scenario() -> None:
        gate = asyncio.Event()
        receiver = MemoryReceiver(before_end=gate.wait)
        async with serving(receiver) as running:
            slow, other = await Peer.associated(running.port), await Peer.associated(running.port)
            waiting = asyncio.ensure_future(slow.store("1.2.3", b"data"))
            for _ in range(20):
                assert await other.echo() == SUCCESS
            assert not waiting.done()
            gate.set()
            assert await waiting == SUCCESS
            await slow.release()
            await other.release()

    asyncio.run(scenario())


def test_sending_on_before_the_response_ends_the_association() -> None:
    """Two instances at once would share one sink, though one operation at a time was negotiated."""

    async def scenario() -> None:
        gate = asyncio.Event()
        receiver = MemoryReceiver(before_end=gate.wait)
        async with serving(receiver) as running:
            peer = await Peer.associated(running.port)
            first = peer.command("1.2.3") + b"".join(parts(b"data", 100))
            await peer.send(first + peer.command("1.2.4") + b"".join(parts(b"more", 100)))
            assert isinstance(await peer.ended(), Aborted)
            gate.set()
            await running.emptied()
            await reached(lambda: receiver.kept)
        assert [data for _, data in receiver.kept] == [b"data"]

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["close", "reset", "abort", "release"])
def test_an_instance_that_breaks_off_is_abandoned_once(how: str) -> None:
    """Each peer that goes away would leave a piece of an identified instance in the spool."""

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver) as running:
            peer = await Peer.associated(running.port)
            first, *_ = parts(bytes(40_000), 16_000)
            await peer.send(peer.command("1.2.3") + first)
            if how == "abort":
                peer.core.abort()
                await peer.send(peer.core.outgoing())
            elif how == "release":
                peer.core.release()
                await peer.send(peer.core.outgoing())
            elif how == "reset":
                peer.writer.transport.abort()
            if how in {"abort", "close"}:
                await peer.close()
            elif how == "release":
                await peer.event()
                await peer.close()
            await running.emptied()
            assert receiver.abandoned == ["1.2.3"]
            assert receiver.kept == []

    asyncio.run(scenario())


def test_what_came_with_an_abort_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A peer that asks and aborts in one breath would be answered by a traceback in the log."""

    async def scenario() -> None:
        echo = p_data(value(3, 3, dimse.encode(dimse.request(Field.C_ECHO_RQ, 1, "1.2.840.10008.1.1", has_data=False))))
        async with serving(MemoryReceiver()) as running:
            peer = await Peer.associated(running.port)
            peer.core.abort()
            await peer.send(echo + peer.core.outgoing())
            await peer.close()
            await running.emptied()

    asyncio.run(scenario())
    assert caplog.records == []


def test_hanging_up_before_the_answer_takes_nothing_back() -> None:
    """What is being made durable would be removed under the one who does it."""

    async def scenario() -> None:
        gate = asyncio.Event()
        receiver = MemoryReceiver(before_end=gate.wait)
        async with serving(receiver) as running:
            peer = await Peer.associated(running.port)
            await peer.send(peer.command("1.2.3") + b"".join(parts(b"data", 100)))
            await peer.close()
            await running.emptied()
            gate.set()
            await reached(lambda: receiver.kept)
        assert receiver.abandoned == []

    asyncio.run(scenario())


def test_contexts_of_unknown_classes_are_refused() -> None:
    """A peer would send what nobody can take, or nothing at all for one class that is not known."""

    async def scenario() -> None:
        contexts = (
            *CONTEXTS,
            ProposedContext(id=7, abstract_syntax="1.2.3.4", transfer_syntaxes=(EXPLICIT,)),
            ProposedContext(id=9, abstract_syntax="1.2.840.10008.5.1.4.1.2.2.1", transfer_syntaxes=(EXPLICIT,)),
            ProposedContext(id=11, abstract_syntax=CT, transfer_syntaxes=("1.2.3",)),
            ProposedContext(id=13, abstract_syntax=CT, transfer_syntaxes=(IMPLICIT, EXPLICIT)),
        )
        async with serving(MemoryReceiver()) as running:
            peer = await Peer.connected(running.port)
            answered = await peer.request(contexts=contexts)
            assert isinstance(answered, Accepted)
            assert [context.result for context in answered.accept.contexts] == [0, 0, 0, 3, 3, 4, 0]
            assert peer.core.contexts[13].transfer_syntax == EXPLICIT
            assert await peer.store("1.2.3", b"data") == SUCCESS
            await peer.release()

    asyncio.run(scenario())


def test_a_class_other_than_the_contexts_is_refused() -> None:
    """An instance would be kept under a class that was never agreed on."""

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver) as running:
            peer = await Peer.associated(running.port)
            await peer.send(peer.command("1.2.3", "1.2.840.10008.5.1.4.1.1.4") + b"".join(parts(b"data", 100)))
            assert (await peer.response()).status == Status.SOP_CLASS_NOT_SUPPORTED
            assert await peer.store("", b"data") == Status.SOP_CLASS_NOT_SUPPORTED
            assert await peer.store("1.2.3", b"data") == SUCCESS
            await peer.release()
        assert len(receiver.kept) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("has_data", [True, False])
@pytest.mark.parametrize("field", [Field.C_FIND_RQ, Field.C_MOVE_RQ, Field.N_EVENT_REPORT_RQ, 0x0150])
def test_what_is_not_served_is_answered(field: int, has_data: bool) -> None:  # noqa: FBT001
    """A peer that asks for more than there is would wait for ever."""

    async def scenario() -> None:
        values: dict[int, int | str] = {Tag.AFFECTED_SOP_CLASS: CT, Tag.MESSAGE_ID: 9}
        values[Tag.DATA_SET_TYPE] = 1 if has_data else dimse.NO_DATA_SET
        async with serving(MemoryReceiver()) as running:
            peer = await Peer.associated(running.port)
            await peer.send(p_data(value(1, 3, dimse.encode(Command(field=field, values=values)))))
            if has_data:
                await peer.send(b"".join(parts(bytes(300), 100)))
            answered = await peer.response()
            assert (answered.status, answered.message_id) == (Status.UNRECOGNIZED_OPERATION, 9)
            assert await peer.echo() == SUCCESS
            await peer.release()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("changes", "calling", "called", "refusal"),
    [
        ({"offer": Offer(supports=is_storage, titles=frozenset({"LAKE"}))}, "PEER", "FARM", Refusal.CALLED_TITLE),
        ({"rules": (Rule(title="CT1"),)}, "CT2", "FARM", Refusal.CALLING_TITLE),
        ({"rules": (Rule(network="10.0.0.0/8"),)}, "CT1", "FARM", Refusal.CALLING_TITLE),
        ({"rules": (Rule(certificate="0" * 64),)}, "CT1", "FARM", Refusal.CALLING_TITLE),
    ],
)
def test_who_is_not_meant_is_told_why(
    changes: dict[str, object], calling: str, called: str, refusal: Refusal, caplog: pytest.LogCaptureFixture
) -> None:
    """Strangers would be let in; and a misspelt title is the first thing that goes wrong at a site."""
    caplog.set_level("INFO")

    async def scenario() -> None:
        async with serving(MemoryReceiver(), **changes) as running:
            peer = await Peer.connected(running.port)
            answered = await peer.request(calling=calling, called=called)
            assert isinstance(answered, Rejected)
            assert answered.reject == refusal.pdu
            await peer.close()
            await running.emptied()

    asyncio.run(scenario())
    assert refusal.name in caplog.text


def test_a_pdu_longer_than_agreed_is_refused_at_its_header() -> None:
    """A peer that announces 4 GiB would get memory for it."""

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver, limits=Limits(pdu=16_384)) as running:
            peer = await Peer.associated(running.port)
            await peer.send(peer.command("1.2.3") + b"\4\0\xff\xff\xff\xf0")
            ended = await peer.ended()
            assert isinstance(ended, Aborted)
            assert ended.abort is not None
            assert ended.abort.reason == AbortReason.INVALID_PARAMETER
            await running.emptied()
        assert receiver.abandoned == ["1.2.3"]

    asyncio.run(scenario())


def test_who_does_not_take_the_responses_is_not_heard_either() -> None:
    """A peer that asks and never listens would fill the memory with answers."""

    async def scenario() -> None:
        echo = p_data(value(3, 3, dimse.encode(dimse.request(Field.C_ECHO_RQ, 1, "1.2.840.10008.1.1", has_data=False))))
        async with serving(MemoryReceiver()) as running:
            peer = await Peer.associated(running.port)
            peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            flood = asyncio.ensure_future(peer.send(echo * 80_000))
            [acceptor] = running.server._acceptors
            await reached(lambda: acceptor._transport is not None and not acceptor._transport.is_reading())
            assert acceptor._transport is not None
            assert acceptor._transport.get_write_buffer_size() < 1 << 20
            other = await Peer.associated(running.port)
            assert await other.echo() == SUCCESS
            await other.release()
            peer.writer.transport.abort()
            with suppress(ConnectionError):
                await flood
            await running.emptied()
            await running.emptied()

    asyncio.run(scenario())


def test_stopping_lets_requests_finish_and_takes_no_more() -> None:
    """Ctrl-C would break off an instance that is nearly there, or wait for ever for a peer that goes on sending."""

    async def scenario() -> None:
        gate = asyncio.Event()
        receiver = MemoryReceiver(before_end=gate.wait)
        async with AsyncExitStack() as stack:
            running = await stack.enter_async_context(serving(receiver))
            idle, waiting = await Peer.associated(running.port), await Peer.associated(running.port)
            sending = await Peer.associated(running.port)
            answer = asyncio.ensure_future(waiting.store("1.2.1", b"data"))
            first, last = parts(bytes(20), 10)
            await sending.send(sending.command("1.2.2") + first)
            await reached(lambda: sum(acceptor.is_busy for acceptor in running.server._acceptors) == 2)
            running.stop.set()
            assert isinstance(await idle.ended(), Aborted)
            assert not running.task.done()
            await sending.send(last)
            gate.set()
            assert (await answer, (await sending.response()).status) == (SUCCESS, SUCCESS)
            for peer in (waiting, sending):
                assert isinstance(await peer.ended(), Aborted)
            await running.task
            assert running.server.connections == 0
        assert sorted(arriving.sop_instance for arriving, _ in receiver.kept) == ["1.2.1", "1.2.2"]

    asyncio.run(scenario())


def test_who_does_not_finish_is_ended_with_the_server() -> None:
    """A peer that stalls would keep a server from ending."""

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver) as running:
            stop = asyncio.Event()
            peer = await Peer.associated(running.port)
            await peer.send(peer.command("1.2.3"))
            await reached(lambda: any(acceptor.is_busy for acceptor in running.server._acceptors))
            stop.set()
            await running.server.serve(stop, drain_seconds=0.05)
            assert isinstance(await peer.ended(), Aborted)
            assert receiver.abandoned == ["1.2.3"]

    asyncio.run(scenario())


def test_no_descriptor_is_left() -> None:
    """A server that leaks a socket for each association stops after a thousand of them."""

    async def scenario() -> None:
        gc.collect()  # what other tests have left may hold descriptors
        async with serving(MemoryReceiver()) as running:
            before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, in a loop that may wait
            for _ in range(20):
                peer = await Peer.associated(running.port)
                await peer.store("1.2.3", b"data")
                await peer.release()
            await running.emptied()
            assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise

    asyncio.run(scenario())
