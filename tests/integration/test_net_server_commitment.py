"""Storage commitment and TLS: what a peer may rely on, and who it is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from fix_peers import Certificates
from fix_scp import MemoryReceiver, Peer, parts, serving

from farm.dicom.elements import EXPLICIT
from farm.errors import Reason, Unavailable
from farm.net import commitment
from farm.net.admission import Rule
from farm.net.association import Accepted, Rejected
from farm.net.dimse import Field, Tag
from farm.net.negotiation import Refusal
from farm.net.server import Caps, Port, listen
from farm.net.services import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, Status
from farm.net.storing import SUCCESS
from farm.net.tls import Identification, client_context, server_context

_CLASS, _FAILED, _REFERENCED = "1.2.840.10008.5.1.4.1.1.2", 0x00081198, 0x00081199


@dataclass
class Shelf:
    """Says which instances are held."""

    held: set[str]
    asked: list[tuple[tuple[str, str], ...]] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def holds(self, instances: tuple[tuple[str, str], ...]) -> list[bool]:
        """Tell of each."""
        self.asked.append(instances)
        if self.gate is not None:
            await self.gate.wait()
        if "away" in self.held:
            raise Unavailable(Reason.DATABASE_AWAY)
        return [uid in self.held for _, uid in instances]


def _request(*uids: str) -> bytes:
    of_class = EXPLICIT.element(0x00081150, "UI", _CLASS.encode())
    items = [of_class + EXPLICIT.element(0x00081155, "UI", uid.encode()) for uid in uids]
    return EXPLICIT.element(0x00081195, "UI", b"1.2.99") + EXPLICIT.sequence(_REFERENCED, *items)


def test_what_is_held_is_committed() -> None:
    """A peer deletes what it is told is safe, and keeps for ever what nobody tells it about."""

    async def scenario() -> None:
        shelf = Shelf({"1.2.1", "1.2.2"})
        async with serving(MemoryReceiver(), keeper=shelf) as running:
            peer = await Peer.associated(running.port)
            for uids, event in ((("1.2.1", "1.2.2"), 1), (("1.2.1", "1.2.3"), 2)):
                answered = await peer.commit(_request(*uids))
                assert (answered.field, answered.status) == (Field.N_ACTION_RSP, SUCCESS)
                assert (answered.sop_class, answered.sop_instance) == (STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE)
                command, data = await peer.report()
                assert (command.field, command.number(Tag.EVENT_TYPE)) == (Field.N_EVENT_REPORT_RQ, event)
                assert command.sop_instance == STORAGE_COMMITMENT_INSTANCE
                told = commitment.parse(data, "1.2.840.10008.1.2.1")
                assert told.transaction == "1.2.99"
                assert told.instances == tuple((_CLASS, uid) for uid in uids if uid in shelf.held)
                assert (b"1.2.3\0" in data) == ("1.2.3" in uids)
            assert await peer.echo() == SUCCESS
            await peer.release()
        assert shelf.asked[0] == ((_CLASS, "1.2.1"), (_CLASS, "1.2.2"))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "action", "held", "status"),
    [
        (_request("1.2.1"), 2, {"1.2.1"}, Status.UNRECOGNIZED_OPERATION),
        (b"no data set", 1, {"1.2.1"}, Status.PROCESSING_FAILURE),
        (b"", 1, {"1.2.1"}, Status.PROCESSING_FAILURE),
        (_request("1.2.1"), 1, {"away"}, Status.OUT_OF_RESOURCES),
    ],
)
def test_what_cannot_be_answered_is_no_commitment(data: bytes, action: int, held: set[str], status: int) -> None:
    """An instance would be deleted at its source on a promise that nobody made."""

    async def scenario() -> None:
        async with serving(MemoryReceiver(), keeper=Shelf(held)) as running:
            peer = await Peer.associated(running.port)
            assert (await peer.commit(data, action)).status == status
            assert await peer.echo() == SUCCESS
            await peer.release()

    asyncio.run(scenario())


def test_without_a_keeper_nothing_is_committed() -> None:
    """A receiver that keeps nothing would commit itself to all."""

    async def scenario() -> None:
        async with serving(MemoryReceiver()) as running:
            peer = await Peer.associated(running.port)
            assert (await peer.commit(_request("1.2.1"))).status == Status.UNRECOGNIZED_OPERATION
            await peer.release()

    asyncio.run(scenario())


def test_the_answer_to_a_report_may_come_while_an_instance_is_stored() -> None:
    """Peers store in one thread and answer reports in another: the association would be aborted between them."""

    async def scenario() -> None:
        gate = asyncio.Event()
        async with serving(MemoryReceiver(before_end=gate.wait), keeper=Shelf({"1.2.1"})) as running:
            peer = await Peer.associated(running.port)
            await peer.commit(_request("1.2.1"))
            storing = asyncio.ensure_future(_stored_before_the_report(peer, gate))
            assert await storing == SUCCESS
            await peer.release()

    asyncio.run(scenario())


async def _stored_before_the_report(peer: Peer, gate: asyncio.Event) -> int:
    await peer.send(peer.command("1.2.5") + b"".join(parts(b"data", 100)))
    await peer.report()
    gate.set()
    return (await peer.response()).status


def test_a_request_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only data set that is held in memory would be as long as a peer likes."""
    monkeypatch.setattr(commitment, "MOST_BYTES", 1000)

    async def scenario() -> None:
        async with serving(MemoryReceiver(), keeper=Shelf(set())) as running:
            peer = await Peer.associated(running.port)
            with pytest.raises(AssertionError, match="Aborted"):
                await peer.commit(bytes(1002))
            await peer.close()
            await running.emptied()

    asyncio.run(scenario())


def test_a_title_belongs_to_a_certificate(certificates: Certificates) -> None:
    """Any client of the authority could call itself by the title of another, and store as that."""
    one, two = certificates.client, certificates.server
    certificate = x509.load_pem_x509_certificate(one.certificate.read_bytes())
    rules = (Rule.parse("CT1#" + certificate.fingerprint(SHA256()).hex(":").upper()),)

    async def asked(port: int, client: Identification, calling: str) -> object:
        tls = client_context(authority=certificates.authority, identification=client)
        peer = await Peer.connected(port, tls=tls)
        answered = await peer.request(calling=calling)
        if isinstance(answered, Accepted):
            assert await peer.store("1.2.3", bytes(300_000)) == SUCCESS
            await peer.release()
            return None
        assert isinstance(answered, Rejected)
        await peer.close()
        return answered.reject

    async def scenario() -> None:
        receiver = MemoryReceiver()
        tls = server_context(identification=certificates.server, authority=certificates.authority)
        port = Port(listener=listen("127.0.0.1", 0), tls=tls)
        async with serving(receiver, port=port, rules=rules) as running:
            assert await asked(running.port, one, "CT1") is None
            assert await asked(running.port, one, "CT2") == Refusal.CALLING_TITLE.pdu
            assert await asked(running.port, two, "CT1") == Refusal.CALLING_TITLE.pdu
            await running.emptied()
        assert [data for _, data in receiver.kept] == [bytes(300_000)]

    asyncio.run(scenario())


def test_strangers_do_not_get_past_the_handshake(certificates: Certificates) -> None:
    """Whoever has no certificate, or speaks no TLS, would be read and answered."""

    async def scenario() -> None:
        tls = server_context(identification=certificates.server, authority=certificates.authority)
        async with serving(MemoryReceiver(), port=Port(listener=listen("127.0.0.1", 0), tls=tls)) as running:
            plain = await Peer.connected(running.port)
            assert not isinstance(await plain.request(), Accepted)
            await plain.close()
            for client in (None, certificates.stranger):
                tls = client_context(authority=certificates.authority, identification=client)
                stranger = await Peer.connected(running.port, tls=tls)
                assert not isinstance(await stranger.request(), Accepted)
                await stranger.close()
            await running.emptied()

    asyncio.run(scenario())


def test_handshakes_make_room(certificates: Certificates) -> None:
    """Silent sockets would hold all places of a TLS port until their handshakes are given up."""

    async def scenario() -> None:
        tls = server_context(identification=certificates.server, authority=certificates.authority)
        port = Port(listener=listen("127.0.0.1", 0), tls=tls, caps=Caps(connections=3))
        async with serving(MemoryReceiver(), port=port) as running:
            silent = [await Peer.connected(running.port) for _ in range(6)]
            context = client_context(authority=certificates.authority, identification=certificates.client)
            honest = await Peer.associated(running.port, tls=context)
            assert await honest.echo() == SUCCESS
            assert running.server.connections <= 3
            await honest.close()
            for peer in silent:
                await peer.close()
            await running.emptied()

    asyncio.run(scenario())
