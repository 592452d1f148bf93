"""What bounds a server: caps, deadlines, memory, and peers that mean it harm."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fix_scp import MemoryReceiver, Peer, Running, parts, reached, serving
from pdus import REQUEST_BYTES, p_data, value

from farm.net.association import Aborted, Accepted, Rejected
from farm.net.deadlines import Deadlines
from farm.net.negotiation import Refusal
from farm.net.server import Caps, Port, listen
from farm.net.slots import Slots
from farm.net.storing import SUCCESS

_MEMORY = Path(__file__).with_name("server_memory.py")


@pytest.fixture(autouse=True)
def _ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server look at its deadlines often: the tests' are short."""
    monkeypatch.setattr("farm.net.server._TICK", 0.01)


def _port(*, slots: Slots | None = None, row: int = 0, **caps: float) -> Port:
    return Port(listener=listen("127.0.0.1", 0), caps=Caps(**caps), slots=slots, row=row)  # type: ignore[arg-type]


async def _asked(port: int, calling: str = "PEER", at: str = "127.0.0.1") -> tuple[Peer, object]:
    peer = await Peer.connected(port, at=at)
    return peer, await peer.request(calling=calling)


@asynccontextmanager
async def _waiting(**server: object) -> AsyncIterator[tuple[Running, Peer, asyncio.Event, asyncio.Future[int]]]:
    """Have a peer wait for us, whose instance is whole: give the server, the peer, what ends the wait, the status."""
    gate = asyncio.Event()
    async with serving(MemoryReceiver(before_end=gate.wait), **server) as running:  # type: ignore[arg-type]
        peer = await Peer.associated(running.port)
        yield running, peer, gate, asyncio.ensure_future(peer.store("1.2.3", b"data"))


def test_one_peer_gets_its_share_from_all_processes_together() -> None:
    """One modality that opens an association for each instance would shut out the others."""

    async def scenario() -> None:
        slots = Slots(-1, processes=2, each=8)
        first, second = (_port(per_peer=3, slots=slots, row=row) for row in range(2))
        async with serving(MemoryReceiver(), port=first) as one, serving(MemoryReceiver(), port=second) as two:
            peers = [await Peer.associated(port) for port in (one.port, two.port, two.port)]
            for port in (one.port, two.port):
                peer, answered = await _asked(port)
                assert isinstance(answered, Rejected)
                assert answered.reject == Refusal.LOCAL_LIMIT.pdu
                await peer.close()
            other = await Peer.associated(one.port, calling="OTHER")
            assert slots.taken() == 4
            await peers.pop().release()
            await reached(lambda: slots.taken() == 3)
            peers += [other, await Peer.associated(one.port)]
            for peer in peers:
                await peer.release()
            await reached(lambda: slots.taken() == 0)

    asyncio.run(scenario())


def test_who_waits_longest_without_an_association_makes_room() -> None:
    """A handful of silent sockets would keep out everybody."""

    async def scenario() -> None:
        async with serving(MemoryReceiver(), port=_port(connections=4)) as running:
            honest = await Peer.associated(running.port)
            silent = [await Peer.connected(running.port) for _ in range(3)]
            await reached(lambda: len(running.server._acceptors) == 4)
            late = await Peer.associated(running.port)
            assert isinstance(await silent[0].ended(), Aborted)
            assert await honest.echo() == await late.echo() == SUCCESS
            assert running.server.connections == 4
            for peer in silent[1:]:
                await peer.close()
            await honest.release()
            await late.release()

    asyncio.run(scenario())


def test_a_rush_does_not_go_beyond_the_cap() -> None:
    """Each of many connections at once would push out the same one, and the cap be no cap."""

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver, port=_port(connections=4)) as running:
            most = 0

            def seen() -> bool:
                nonlocal most
                most = max(most, running.server.connections)
                return True

            for _ in range(4):
                rush = await asyncio.gather(*(Peer.connected(running.port) for _ in range(40)))
                await reached(seen)
                honest = await Peer.associated(running.port)
                assert await honest.echo() == SUCCESS
                await reached(seen)
                await honest.release()
                for peer in rush:
                    await peer.close()
            assert most <= 4
            await running.emptied()

    asyncio.run(scenario())


@pytest.mark.parametrize(("other", "quiet"), [("127.0.0.2", 60), ("127.0.0.1", 0)])
def test_one_address_cannot_hold_all_places_by_its_titles(other: str, quiet: float) -> None:
    """Titles are free to choose: one host could keep out a whole department, its own other programs among them."""

    async def scenario() -> None:
        async with serving(MemoryReceiver(), port=_port(connections=60, per_address=40, quiet=quiet)) as running:
            hostile = [await _asked(running.port, f"T{number}") for number in range(70)]
            seated = [peer for peer, answered in hostile if isinstance(answered, Accepted)]
            assert running.server._slots.taken() == 40
            assert len(seated) == (40 if quiet else 70)  # the quiet made room for others of their address
            peer, answered = await _asked(running.port, "HONEST", other)
            assert isinstance(answered, Accepted)
            assert await peer.echo() == SUCCESS
            await peer.release()
            for one, _ in hostile:
                await one.close()
            await running.emptied()

    asyncio.run(scenario())


def test_who_is_quiet_makes_room_first_where_most_are_of_one_address() -> None:
    """Associations that nobody uses would keep out an honest peer for minutes, or cost another one its own."""

    async def scenario() -> None:
        async with serving(MemoryReceiver(), port=_port(connections=4)) as running:
            honest = await Peer.associated(running.port, at="127.0.0.2")
            first, second, last = [await Peer.associated(running.port, calling=f"T{number}") for number in range(3)]
            await last.send(last.command("1.2.3") + next(iter(parts(bytes(100), 50))))
            await reached(lambda: any(one.is_busy for one in running.server._acceptors))
            for acceptor in running.server._acceptors:
                acceptor.watch.heard -= 60  # as if that long ago
            assert await first.echo() == SUCCESS
            late = await Peer.associated(running.port, at="127.0.0.3")
            assert isinstance(await second.ended(), Aborted)
            assert await honest.echo() == await first.echo() == await late.echo() == SUCCESS
            later = await Peer.associated(running.port, at="127.0.0.4")
            assert isinstance(await last.ended(), Aborted)  # in the middle of an instance, and silent
            for peer in (honest, first, late, later):
                await peer.release()

    asyncio.run(scenario())


def test_who_waits_for_us_makes_no_room() -> None:
    """A slow disk would cost those whose instances are on their way to it."""

    async def scenario() -> None:
        async with _waiting(port=_port(connections=1, quiet=0.05)) as (running, peer, gate, waiting):
            await asyncio.sleep(0.2)
            late = await Peer.connected(running.port)
            assert isinstance(await late.ended(), Aborted)
            gate.set()
            assert await waiting == SUCCESS
            await peer.release()

    asyncio.run(scenario())


def test_where_all_are_seated_nobody_is_ended_at_once() -> None:
    """An association in the middle of its work would make room for one that has not even asked."""

    async def scenario() -> None:
        async with serving(MemoryReceiver(), port=_port(connections=2)) as running:
            seated = [await Peer.associated(running.port) for _ in range(2)]
            late = await Peer.connected(running.port)
            assert isinstance(await late.ended(), Aborted)
            for peer in seated:
                assert await peer.echo() == SUCCESS
                await peer.release()

    asyncio.run(scenario())


async def _silent(running: Running) -> Peer:
    return await Peer.connected(running.port)


async def _half_a_request(running: Running) -> Peer:
    peer = await Peer.connected(running.port)
    await peer.send(REQUEST_BYTES[:40])
    return peer


async def _idle(running: Running) -> Peer:
    return await Peer.associated(running.port)


async def _half_a_pdu(running: Running) -> Peer:
    peer = await Peer.associated(running.port)
    await peer.send(peer.command("1.2.3")[:20])
    return peer


async def _half_a_data_set(running: Running) -> Peer:
    peer = await Peer.associated(running.port)
    await peer.send(peer.command("1.2.3") + next(iter(parts(bytes(100), 50))))
    return peer


async def _unclosed(running: Running) -> Peer:
    peer = await Peer.associated(running.port)
    peer.core.release()
    await peer.send(peer.core.outgoing())
    return peer


@pytest.mark.parametrize(
    ("way", "short"),
    [
        (_silent, {"request": 0.05}),
        (_half_a_request, {"request": 0.05}),
        (_unclosed, {"request": 0.05}),
        (_half_a_pdu, {"pdu": 0.05, "request": 0.1}),
        (_half_a_data_set, {"idle": 0.05, "request": 0.1}),
        (_idle, {"idle": 0.05, "request": 0.1}),
    ],
)
def test_each_wait_has_an_end(way: Callable[[Running], Awaitable[Peer]], short: dict[str, float]) -> None:
    """Connections of peers that are gone would pile up for ever."""

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving(receiver, deadlines=Deadlines(**{"request": 30, "pdu": 30, "idle": 30} | short)) as running:
            peer = await way(running)
            await running.emptied()  # the peer does nothing
            await peer.close()
        assert receiver.kept == []

    asyncio.run(scenario())


async def _aborted(running: Running, doing: Callable[[Peer], Coroutine[None, None, None]]) -> None:
    """Have a peer do what it does until its association is aborted, and nothing is left of it."""
    peer = await Peer.associated(running.port)
    at_it = asyncio.ensure_future(doing(peer))
    assert isinstance(await peer.ended(), Aborted)
    at_it.cancel()
    await asyncio.gather(at_it, return_exceptions=True)
    await running.emptied()


def test_dripping_bytes_does_not_put_off_the_end() -> None:
    """A PDU of one byte a second would last for ever."""

    async def drip(peer: Peer) -> None:
        for byte in peer.command("1.2.3"):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        deadlines = Deadlines(request=0.05, pdu=0.1, idle=30)
        async with serving(MemoryReceiver(), deadlines=deadlines) as running:
            await _aborted(running, drip)

    asyncio.run(scenario())


def test_an_instance_that_trickles_in_has_an_end() -> None:
    """Whole PDUs of two bytes, each in time, would keep an instance and its association on their way for ever."""

    async def trickle(peer: Peer) -> None:
        await peer.send(peer.command("1.2.3"))
        while True:
            await peer.send(p_data(value(1, 0, b"\0\0")))
            await asyncio.sleep(0.02)

    async def scenario() -> None:
        receiver = MemoryReceiver()
        deadlines = Deadlines(request=0.05, idle=0.2, least_rate=100_000)
        async with serving(receiver, deadlines=deadlines) as running:
            await _aborted(running, trickle)
        assert (receiver.kept, receiver.abandoned) == ([], ["1.2.3"])

    asyncio.run(scenario())


def test_an_association_has_an_end_and_an_instance_on_its_way_none() -> None:
    """A C-ECHO now and then would hold a place for ever; and the end must not cost an instance."""

    async def scenario() -> None:
        deadlines = Deadlines(request=0.05, longest=0.1)
        async with _waiting(deadlines=deadlines) as (running, sending, gate, waiting):
            echoing = await Peer.associated(running.port)
            ended = False
            while not ended:
                try:
                    assert await echoing.echo() == SUCCESS
                except (AssertionError, ConnectionError):
                    ended = True
            await echoing.close()
            gate.set()
            assert await waiting == SUCCESS
            assert isinstance(await sending.ended(), Aborted)
            await running.emptied()

    asyncio.run(scenario())


def test_what_we_wait_for_has_an_end_too() -> None:
    """A disk that never answers would hold every association that has brought something."""

    async def scenario() -> None:
        gate = asyncio.Event()
        receiver = MemoryReceiver(before_end=gate.wait)
        async with serving(receiver, deadlines=Deadlines(request=0.05, answer=0.1)) as running:
            peer = await Peer.associated(running.port)
            with pytest.raises(AssertionError, match="Aborted"):
                await peer.store("1.2.3", b"data")
            await peer.close()
            await running.emptied()
            gate.set()
            await reached(lambda: receiver.kept)

    asyncio.run(scenario())


def test_a_peer_that_waits_for_us_is_not_ended() -> None:
    """A slow database would cost the association, and with it the answer that says to come again."""

    async def scenario() -> None:
        async with _waiting(deadlines=Deadlines(idle=0.05)) as (_, peer, gate, waiting):
            await asyncio.sleep(0.3)
            gate.set()
            assert await waiting == SUCCESS
            await peer.close()

    asyncio.run(scenario())


async def _hostile(number: int, running: Running) -> Peer:
    """Return one of six kinds of peer that mean harm."""
    kind = number % 6
    peer = await (Peer.associated(running.port, calling=f"H{number}") if kind == 5 else Peer.connected(running.port))
    said = {1: REQUEST_BYTES[: len(REQUEST_BYTES) // 2], 2: b"\1", 3: b"\1\0\xff\xff\xff\xff", 4: os.urandom(300)}
    await peer.send(peer.command("1.2.3")[:-9] if kind == 5 else said.get(kind, b""))
    return peer


async def _dripped(peers: list[Peer]) -> None:
    """Send a byte now and then from the peers that drip."""
    for byte in REQUEST_BYTES[1:]:
        for peer in peers:
            peer.writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


def test_two_hundred_hostile_sockets_and_an_honest_peer() -> None:
    """Whoever can reach the port could stop a department's modalities from storing."""

    async def scenario() -> None:
        async with serving(MemoryReceiver()) as running:
            before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
            hostile = [await _hostile(number, running) for number in range(200)]
            dripping = asyncio.ensure_future(_dripped(hostile[2::6]))
            loop, took = asyncio.get_running_loop(), []
            for _ in range(100):
                start = loop.time()
                peer, answered = await _asked(running.port, "HONEST")
                assert isinstance(answered, Accepted)
                assert await peer.echo() == SUCCESS
                took.append(loop.time() - start)
                await peer.release()
            print(f"C-ECHO with association, p99 {sorted(took)[98] * 1000:.1f} ms")
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
            for one in hostile:
                await one.close()
            await running.emptied()
            assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - likewise

    asyncio.run(scenario())


def test_memory_is_flat() -> None:
    """Instances are as large as a peer likes, and as many at once: memory must not depend on it."""
    said = subprocess.run([sys.executable, _MEMORY], capture_output=True, check=True, timeout=120)
    figures = json.loads(said.stdout)
    print(figures)
    assert figures["received"] == 4 * 100_000_000
    assert figures["large"] - figures["base"] <= 2 << 20
    assert figures["idle"] <= 200 * (64 << 10)
