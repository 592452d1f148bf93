"""The client against peers that misbehave: made from the protocol core, on real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fix_peers import Certificates
from pynetdicom import AE, evt
from pynetdicom import sop_class as sop
from pynetdicom_servers import pynetdicom_serving

from farm.dicom.syntaxes import EXPLICIT_LITTLE
from farm.errors import Reason, Unavailable
from farm.net import dimse, negotiation, query, services, tls
from farm.net.admission import fingerprint
from farm.net.association import Association, Event, Message, ReleaseRequested, Requested
from farm.net.client import Client, Peer, Timeouts, connect, getting, service
from farm.net.dimse import Command, Field, Tag
from farm.net.negotiation import Offer, Refusal
from farm.net.peers import MOST_CONTEXTS, Proposal, common_classes
from farm.net.query import Level
from farm.net.services import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, Status
from farm.net.storing import Arriving

SHORT = Timeouts(connect=5, association=0.2, response=0.2, release=0.2)
CT = "1.2.840.10008.5.1.4.1.1.2"
ASKED = {query.LEVEL: "STUDY", query.STUDY_UID: ""}
OFFER = Offer(supports=lambda _: True, scp_roles=True)


class Scripted:
    """An acceptor that does as it is told: `act` gets each event, once it has accepted the association."""

    def __init__(self, act: Callable[[Scripted, Event], None]) -> None:
        self.association = Association(is_requestor=False)
        self.heard: list[Event] = []
        self._act = act
        self._writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak to one client until it is gone, or the script is at its end."""
        self._writer = writer
        self.association.transport_open()
        while data := await reader.read(65_536):
            for event in self.association.receive(data):
                self.heard.append(event)
                self._act(self, event)
            self.send(self.association.outgoing())
            if self.association.done:
                break
        writer.close()

    def send(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        if self._writer is not None and data:
            self._writer.write(data)

    def cut(self) -> None:
        """Drop the connection."""
        if self._writer is not None:
            self._writer.transport.abort()

    def say(self, message: Message, status: int, data: bytes = b"", **counts: int) -> None:
        """Answer a request."""
        values = {Tag[name]: count for name, count in counts.items()}
        response = message.command.response(status, values, has_data=bool(data))
        self.association.send(message.context.id, response, data)


def accepting(act: Callable[[Scripted, Message], None], offer: Offer = OFFER) -> Callable[[Scripted, Event], None]:
    """Return a script that accepts, releases when asked, and leaves messages to `act`."""

    def script(peer: Scripted, event: Event) -> None:
        if isinstance(event, Requested):
            answer = negotiation.answer(event.request, offer)
            assert not isinstance(answer, Refusal)
            peer.association.accept(answer)
        elif isinstance(event, ReleaseRequested):
            peer.association.release_response()
        elif isinstance(event, Message):
            act(peer, event)

    return script


@asynccontextmanager
async def serving(
    script: Callable[[Scripted, Event], None], timeouts: Timeouts = SHORT
) -> AsyncIterator[tuple[Peer, Scripted]]:
    """Give a peer that follows a script."""
    scripted = Scripted(script)
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield Peer(host="127.0.0.1", port=port, ae_title="PEER", timeouts=timeouts), scripted


def told(script: Callable[[Scripted, Event], None], work: Callable[[Client], Coroutine[Any, Any, Any]]) -> Unavailable:
    """Return how an association ends that has this to do with a peer that follows a script."""

    async def run() -> Unavailable:
        async with serving(script) as (peer, _):
            with pytest.raises(Unavailable) as raised:
                async with connect(peer, service(services.VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_GET)) as client:
                    await work(client)
            return raised.value

    return asyncio.run(run())


async def echo(client: Client) -> int:
    """Verify."""
    return await client.echo()


async def find(client: Client) -> list[query.Identifier]:
    """Query."""
    return [match async for match in client.find(STUDY_ROOT_FIND, ASKED)]


def test_a_peer_that_never_answers_the_request_is_given_up() -> None:
    """Lost otherwise: one dead archive would stop a harvest for ever."""
    assert told(lambda *_: None, echo).reason is Reason.PEER_AWAY


def test_a_peer_that_never_responds_is_given_up() -> None:
    """Lost otherwise: the same, after a promising beginning."""
    assert told(accepting(lambda *_: None), echo).reason is Reason.PEER_AWAY


def test_a_peer_that_drips_is_given_up() -> None:
    """Lost otherwise: a byte now and then would hold an association for ever."""

    def drip(peer: Scripted, message: Message) -> None:
        del message
        loop = asyncio.get_running_loop()
        opening = bytes.fromhex("0400 00001000 00000ffc 01 01")  # a command's first 4090 bytes

        def once(left: int) -> None:
            peer.send(opening[400 - left : 401 - left] or b"\0")
            if left:
                loop.call_later(0.01, once, left - 1)

        once(400)

    assert told(accepting(drip), echo).reason is Reason.PEER_AWAY


def test_progress_within_a_response_keeps_it_alive() -> None:
    """Lost otherwise: a long C-MOVE would be given up while it runs."""

    def slowly(peer: Scripted, message: Message) -> None:
        loop = asyncio.get_running_loop()

        def respond(left: int) -> None:
            peer.say(message, Status.PENDING if left else Status.SUCCESS, REMAINING=left, COMPLETED=6 - left)
            peer.send(peer.association.outgoing())
            if left:
                loop.call_later(SHORT.response / 2, respond, left - 1)

        respond(6)

    async def run() -> list[int | None]:
        async with serving(accepting(slowly)) as (peer, _), connect(peer, service(STUDY_ROOT_MOVE)) as client:
            retrieval = client.move(STUDY_ROOT_MOVE, Level.STUDY, {query.STUDY_UID: "1.2"}, "THERE")
            seen = [progress.completed async for progress in retrieval]
            assert (retrieval.status, retrieval.progress.completed) == (Status.SUCCESS, 6)
            return seen

    assert asyncio.run(run()) == [0, 1, 2, 3, 4, 5]


def test_a_refusal_carries_its_codes() -> None:
    """Lost otherwise: nobody could tell a wrong title from a full archive."""

    def refuse(peer: Scripted, event: Event) -> None:
        if isinstance(event, Requested):
            peer.association.reject(Refusal.CALLED_TITLE)

    error = told(refuse, echo)
    assert error.reason is Reason.PEER_REFUSED
    assert error.fields == {"result": 1, "source": 1, "reason_code": 7}


def test_an_association_for_nothing_is_a_refusal() -> None:
    """Lost otherwise: the first request would fail for a reason that is none of its own."""
    nothing = accepting(lambda *_: None, Offer(supports=lambda _: False))
    assert told(nothing, echo).reason is Reason.PEER_REFUSED


def test_a_service_that_is_not_accepted_is_a_refusal() -> None:
    """Lost otherwise: a peer without the service would be asked all the same, and abort."""
    only_echo = accepting(lambda *_: None, Offer(supports=lambda uid: uid == services.VERIFICATION))
    assert told(only_echo, find).reason is Reason.PEER_REFUSED


def test_an_abort_is_told() -> None:
    """Lost otherwise: what the peer gave up would seem to be still on its way."""
    assert told(accepting(lambda peer, _: peer.association.abort()), echo).reason is Reason.PEER_ABORTED


def test_a_connection_that_drops_is_told() -> None:
    """Lost otherwise: the client would wait for one who is gone."""
    assert told(accepting(lambda peer, _: peer.cut()), echo).reason is Reason.PEER_ABORTED


def test_what_the_standard_does_not_allow_is_told_apart() -> None:
    """Lost otherwise: a broken peer would be tried again as if it were away."""
    assert told(accepting(lambda peer, _: peer.send(b"\x09\0\0\0\0\4abcd")), echo).reason is Reason.PEER_PROTOCOL


def test_an_identifier_that_cannot_be_read_is_told_apart() -> None:
    """Lost otherwise: half an answer would be taken for an answer."""
    broken = accepting(lambda peer, message: peer.say(message, Status.PENDING, b"\x08\0\x05\0CS\xff\x7f"))
    assert told(broken, find).reason is Reason.PEER_PROTOCOL


def test_a_peer_that_nobody_listens_for_is_away() -> None:
    """Lost otherwise: a closed port would be a fault of the program."""

    async def run() -> None:
        async with serving(lambda *_: None) as (peer, _):
            pass
        with pytest.raises(Unavailable) as raised:
            async with connect(peer):
                pass
        assert raised.value.reason is Reason.PEER_AWAY

    asyncio.run(run())


def test_a_status_of_failure_is_a_result() -> None:
    """Lost otherwise: a refused query would be tried again as if the peer were away."""

    async def run() -> None:
        failing = accepting(lambda peer, message: peer.say(message, Status.OUT_OF_RESOURCES))
        async with (
            serving(failing) as (peer, _),
            connect(peer, service(services.VERIFICATION, STUDY_ROOT_FIND)) as client,
        ):
            finds = client.find(STUDY_ROOT_FIND, ASKED)
            assert [match async for match in finds] == []
            assert finds.status == Status.OUT_OF_RESOURCES
            assert await client.echo() == Status.OUT_OF_RESOURCES

    asyncio.run(run())


def test_leaving_a_query_cancels_it_and_waits_for_its_end() -> None:
    """Lost otherwise: an archive would go on sending ten million matches that nobody reads."""
    asked: list[Message] = []

    def endless(peer: Scripted, message: Message) -> None:
        if message.command.field == Field.C_CANCEL_RQ:
            assert message.command.number(Tag.RESPONDED_TO) == asked[-1].command.message_id
            peer.say(asked[-1], Status.CANCELLED)
        elif message.command.field == Field.C_FIND_RQ:
            asked.append(message)
            for _ in range(2_000):
                peer.say(message, Status.PENDING, query.encode({query.STUDY_UID: "1.2"}, query.EXPLICIT))
        else:
            peer.say(message, Status.SUCCESS)

    async def run() -> None:
        async with serving(accepting(endless)) as (peer, scripted):
            async with connect(peer, service(services.VERIFICATION, STUDY_ROOT_FIND)) as client:
                finds = client.find(STUDY_ROOT_FIND, ASKED, limit=3)
                assert [match[query.STUDY_UID] async for match in finds] == ["1.2"] * 3
                assert finds.status == Status.CANCELLED
                left = client.find(STUDY_ROOT_FIND, ASKED)
                async for _ in left:
                    break
                assert await client.echo() == Status.SUCCESS
                assert left.status == Status.CANCELLED
            assert any(isinstance(event, ReleaseRequested) for event in scripted.heard)

    asyncio.run(run())


class Failing:
    """A receiver whose sinks fail at the given step; it counts what is abandoned."""

    def __init__(self, step: str, error: Exception | None = None) -> None:
        self.step, self.abandoned, self.ended = step, 0, 0
        self.error = error or Unavailable(Reason.NO_SPACE)

    def begin(self, arriving: Arriving) -> Failing:
        """Begin one."""
        assert arriving.sop_class == CT
        self._fail("begin")
        return self

    def write(self, data: memoryview) -> None:
        """Take a fragment."""
        assert data
        self._fail("write")

    async def end(self) -> int:
        """End it."""
        await asyncio.sleep(0)
        self.ended += 1
        self._fail("end")
        return Status.SUCCESS

    def abandon(self) -> None:
        """Count it."""
        self.abandoned += 1

    def _fail(self, step: str) -> None:
        if step == self.step:
            raise self.error


@pytest.mark.parametrize(("step", "answered"), [("begin", 0xA700), ("write", 0xA700), ("end", 0xA700), ("never", 0)])
def test_the_peer_hears_what_became_of_each_instance(step: str, answered: int) -> None:
    """Lost otherwise: an archive would count as delivered what the disk did not take."""
    asked: list[Message] = []
    heard: list[int] = []

    def deliver(peer: Scripted, message: Message) -> None:
        if message.command.field == Field.C_GET_RQ:
            asked.append(message)
            (context,) = (one for one in peer.association.contexts.values() if one.abstract_syntax == CT)
            command = dimse.request(Field.C_STORE_RQ, 9, CT, {Tag.AFFECTED_SOP_INSTANCE: "1.2.3"}, has_data=True)
            peer.association.send(context.id, command, bytes(300_000))
        else:
            heard.append(message.command.status)
            peer.say(asked[0], Status.SUCCESS, COMPLETED=1)

    async def run(receiver: Failing) -> None:
        async with serving(accepting(deliver)) as (peer, _):
            proposals = getting(STUDY_ROOT_GET, [CT], [EXPLICIT_LITTLE])
            async with connect(peer, proposals) as client:
                await client.get(STUDY_ROOT_GET, Level.STUDY, {query.STUDY_UID: "1.2"}, receiver).complete()

    receiver = Failing(step)
    asyncio.run(run(receiver))
    assert heard == [answered]
    assert receiver.ended == (step in {"end", "never"})
    assert receiver.abandoned == (step == "write")


def _torn(receiver: Failing) -> Reason:
    """Retrieve from a peer that sends half an instance and aborts; return how that ended."""

    def tear(peer: Scripted, message: Message) -> None:
        del message
        (context,) = (one for one in peer.association.contexts.values() if one.abstract_syntax == CT)
        command = dimse.request(Field.C_STORE_RQ, 9, CT, {Tag.AFFECTED_SOP_INSTANCE: "1.2.3"}, has_data=True)
        pdus = peer.association.message(context.id, command, [bytes(300_000)])
        peer.send(b"".join(next(pdus)) + b"".join(next(pdus)))
        peer.association.abort()

    async def run() -> Reason:
        async with serving(accepting(tear)) as (peer, _):
            with pytest.raises(Unavailable) as raised:
                async with connect(peer, getting(STUDY_ROOT_GET, [CT], [EXPLICIT_LITTLE])) as client:
                    await client.get(STUDY_ROOT_GET, Level.STUDY, {query.STUDY_UID: "1.2"}, receiver).complete()
            return raised.value.reason

    return asyncio.run(run())


def test_half_an_instance_is_abandoned() -> None:
    """Lost otherwise: a torn instance would lie in the spool for ever, or be taken for whole."""
    receiver = Failing("never")
    assert _torn(receiver) is Reason.PEER_ABORTED
    assert (receiver.abandoned, receiver.ended) == (1, 0)


def test_a_fault_of_ours_is_told_apart_and_tells_no_value(caplog: pytest.LogCaptureFixture) -> None:
    """Lost otherwise: the event loop would log what a patient is called, and the peer be blamed."""
    receiver = Failing("write", ValueError("DOE^JANE"))
    assert _torn(receiver) is Reason.INTERNAL_ERROR
    assert (receiver.abandoned, receiver.ended) == (1, 0)
    assert "an association is ended by a fault" in caplog.text
    assert "DOE" not in caplog.text


def test_an_error_of_ours_aborts_the_association() -> None:
    """Lost otherwise: a failed client would leave its peer waiting."""

    async def run() -> list[Event]:
        async with serving(accepting(lambda *_: None)) as (peer, scripted):
            with pytest.raises(ZeroDivisionError):
                async with connect(peer):
                    raise ZeroDivisionError
            return scripted.heard

    assert type(asyncio.run(run())[-1]).__name__ == "Aborted"


def test_a_request_that_is_not_for_a_client_is_answered_so() -> None:
    """Lost otherwise: a peer that asks back would wait, and the client with it."""
    heard: list[int] = []

    def ask_back(peer: Scripted, message: Message) -> None:
        if message.command.is_response:
            heard.append(message.command.status)
            return
        back: Command = dimse.request(Field.C_ECHO_RQ, 5, services.VERIFICATION, has_data=False)
        peer.association.send(message.context.id, back)
        peer.say(message, Status.SUCCESS)

    async def run() -> None:
        async with serving(accepting(ask_back)) as (peer, _), connect(peer) as client:
            assert await client.echo() == Status.SUCCESS

    asyncio.run(run())
    assert heard == [Status.UNRECOGNIZED_OPERATION]


def test_contexts_for_retrieval_fit_into_an_association() -> None:
    """Lost otherwise: a peer would refuse the association, or a common class would not come."""
    for classes in (None, [CT], [f"1.2.{number}" for number in range(200)]):
        proposals = getting(STUDY_ROOT_GET, classes)
        assert len(proposals) <= MOST_CONTEXTS
        assert len(set(proposals)) == len(proposals)
    assert {proposal.sop_class for proposal in getting(STUDY_ROOT_GET)} >= set(common_classes())
    assert (
        len([one for one in getting(STUDY_ROOT_GET, [CT]) if one.transfer_syntaxes == one.transfer_syntaxes[:1]]) > 15
    )
    with pytest.raises(Exception, match="128"):
        asyncio.run(_too_many())


async def _too_many() -> None:
    async with connect(Peer(host="127.0.0.1", port=1, ae_title="A"), [Proposal(sop_class=CT)] * 129):
        pass


def test_tls_between_the_two_sides_of_ours_and_pynetdicom(certificates: Certificates) -> None:
    """Lost otherwise: the server's profile would keep others out, or let strangers in."""
    seen: list[str] = []

    def note(event: evt.Event) -> None:
        seen.append(fingerprint(event.assoc.dul.socket.socket.getpeercert(binary_form=True)))

    entity = AE()
    entity.add_supported_context(sop.Verification)
    context = tls.server_context(identification=certificates.server, authority=certificates.authority)
    with pynetdicom_serving(entity, [(evt.EVT_ESTABLISHED, note)], ssl_context=context) as server:
        port = server.server_address[1]
        client = tls.client_context(authority=certificates.authority, identification=certificates.client)
        stranger = tls.client_context(authority=certificates.authority, identification=certificates.stranger)
        peer = Peer(host="127.0.0.1", port=port, ae_title="ANY", tls=client)
        assert asyncio.run(_echo(peer)) == Status.SUCCESS
        with pytest.raises(Unavailable):
            asyncio.run(_echo(Peer(host="127.0.0.1", port=port, ae_title="ANY", tls=stranger, timeouts=SHORT)))
    assert seen == _fingerprints(certificates)


async def _echo(peer: Peer) -> int:
    async with connect(peer) as client:
        return await client.echo()


def _fingerprints(certificates: Certificates) -> list[str]:
    der = ssl.PEM_cert_to_DER_cert(certificates.client.certificate.read_text())
    return [hashlib.sha256(der).hexdigest()]
