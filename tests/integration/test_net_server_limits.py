"""What bounds a server: caps, deadlines, memory, and peers that mean it harm."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fix_scp import MemoryReceiver, Peer, Running, parts, reached, serving
from pdus import REQUEST_BYTES

from farm.net.acceptor import Deadlines
from farm.net.association import Aborted, Accepted, Rejected
from farm.net.negotiation import Refusal
from farm.net.server import Caps, Port, listen
from farm.net.slots import Slots
from farm.net.storing import SUCCESS

_MEMORY = Path(__file__).with_name("server_memory.py")


@pytest.fixture(autouse=True)
def _ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the server look at its deadlines often: the tests' are short."""
    monkeypatch.setattr("farm.net.server._TICK", 0.01)


def _port(*, connections: int = 512, per_peer: int = 64, slots: Slots | None = None, row: int = 0) -> Port:
    caps = Caps(connections=connections, per_peer=per_peer)
    return Port(listener=listen("127.0.0.1", 0), caps=caps, slots=slots, row=row)


async def _asked(port: int, calling: str = "PEER") -> tuple[Peer, object]:
    peer = await Peer.connected(port)
    return peer, await peer.request(calling=calling)


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


def test_where_all_are_seated_nobody_is_ended() -> None:
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


def test_dripping_bytes_does_not_put_off_the_end() -> None:
    """A PDU of one byte a second would last for ever."""

    async def drip(peer: Peer) -> None:
        for byte in peer.command("1.2.3"):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.01)

    async def scenario() -> None:
        deadlines = Deadlines(request=0.05, pdu=0.1, idle=30)
        async with serving(MemoryReceiver(), deadlines=deadlines) as running:
            peer = await Peer.associated(running.port)
            dripping = asyncio.ensure_future(drip(peer))
            assert isinstance(await peer.ended(), Aborted)
            dripping.cancel()
            await asyncio.gather(dripping, return_exceptions=True)
            await running.emptied()

    asyncio.run(scenario())


def test_a_peer_that_waits_for_us_is_not_ended() -> None:
    """A slow database would cost the association, and with it the answer that says to come again."""

    async def scenario() -> None:
        gate = asyncio.Event()
        async with serving(MemoryReceiver(before_end=gate.wait), deadlines=Deadlines(idle=0.05)) as running:
            peer = await Peer.associated(running.port)
            waiting = asyncio.ensure_future(peer.store("1.2.3", b"data"))
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
