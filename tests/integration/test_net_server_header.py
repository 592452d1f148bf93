"""A look at the first elements of what arrives: refused, or sent elsewhere, before its pixels have come."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from fix_scp import MemoryReceiver, Peer, parts, serving

from farm.dicom.elements import EXPLICIT as DIALECT
from farm.errors import Reason, Unavailable
from farm.net.acceptor import HeaderRule
from farm.net.association import Limits
from farm.net.services import Status
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS, Arriving

_MODALITY = 0x00080060


def _only_ct(_: Arriving, found: Mapping[int, bytes]) -> int | None:
    return None if found.get(_MODALITY) == b"CT" else Status.NOT_AUTHORIZED


def _instance(modality: bytes) -> bytes:
    """Return an instance with a large header and larger pixels."""
    text = b"".join(DIALECT.element(0x00181000 + 2 * number, "LO", b"text") for number in range(20))
    return DIALECT.element(_MODALITY, "CS", modality) + text + DIALECT.element(0x7FE00010, "OW", bytes(200_000))


@pytest.mark.parametrize("size", [100, 16_000])
def test_a_header_rule_refuses_before_the_pixels_have_come(size: int) -> None:
    """Gigabytes that nobody wants would be written to the spool first."""

    async def scenario() -> None:
        begun: list[str] = []
        receiver = MemoryReceiver(on_begin=lambda arriving: begun.append(arriving.sop_instance))
        refused = asyncio.Event()

        def decide(arriving: Arriving, found: Mapping[int, bytes]) -> int | None:
            status = _only_ct(arriving, found)
            if status is not None:
                refused.set()
            return status

        async with serving(receiver, header=HeaderRule(tags=frozenset({_MODALITY}), decide=decide)) as running:
            peer = await Peer.associated(running.port)
            assert await peer.store("1.2.1", _instance(b"CT"), size) == SUCCESS
            first, *rest = parts(_instance(b"MR"), size)
            await peer.send(peer.command("1.2.2") + first)
            for part in rest[:5]:
                await peer.send(part)
            await refused.wait()
            for part in rest[5:]:
                await peer.send(part)
            assert (await peer.response()).status == Status.NOT_AUTHORIZED
            assert await peer.store("1.2.3", b"", size) == Status.NOT_AUTHORIZED
            await peer.release()
        assert begun == [arriving.sop_instance for arriving, _ in receiver.kept] == ["1.2.1"]

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [100, 16_000, 131_000])
def test_a_header_rule_sends_an_instance_elsewhere(size: int) -> None:
    """What one project may have would lie in another's spool, or arrive without the bytes that were looked at."""

    async def scenario() -> None:
        usual, other = MemoryReceiver(), MemoryReceiver()

        def decide(_: Arriving, found: Mapping[int, bytes]) -> MemoryReceiver | None:
            return None if found.get(_MODALITY) == b"CT" else other

        rule = HeaderRule(tags=frozenset({_MODALITY}), decide=decide)
        async with serving(usual, header=rule, limits=Limits(pdu=131_072)) as running:
            peer = await Peer.associated(running.port)
            bodies = {"1.2.1": _instance(b"CT"), "1.2.2": _instance(b"MR"), "1.2.3": b""}
            for uid, body in bodies.items():
                assert await peer.store(uid, body, size) == SUCCESS
            await peer.release()
        assert {arriving.sop_instance: data for arriving, data in usual.kept} == {"1.2.1": bodies.pop("1.2.1")}
        assert {arriving.sop_instance: data for arriving, data in other.kept} == bodies

    asyncio.run(scenario())


def test_where_it_is_sent_may_be_full() -> None:
    """A full disk of the second receiver would end the association."""

    def fail(_: Arriving) -> None:
        raise Unavailable(Reason.NO_SPACE)

    async def scenario() -> None:
        full = MemoryReceiver(on_begin=fail)
        rule = HeaderRule(tags=frozenset(), decide=lambda arriving, _: full if arriving.calling == "CT1" else None)
        async with serving(MemoryReceiver(), header=rule) as running:
            for calling, status in (("CT1", OUT_OF_RESOURCES), ("CT2", SUCCESS)):
                peer = await Peer.associated(running.port, calling=calling)
                assert await peer.store("1.2.3", _instance(b"CT")) == status
                assert await peer.store("1.2.4", b"") == status
                await peer.release()

    asyncio.run(scenario())
