"""What is negotiated beside presentation contexts, between the two sides of ours and with pynetdicom's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fix_scp import OFFER, MemoryReceiver, Running
from fix_scp import serving as serving_scp
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom import sop_class as sop
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation, UserIdentityNegotiation
from pynetdicom_servers import pynetdicom_serving

from farm.dicom import part10
from farm.dicom.elements import IMPLICIT
from farm.dicom.syntaxes import TransferSyntax
from farm.errors import Reason, Unavailable
from farm.net import discovery, query
from farm.net.client import Beyond, Client, Peer, Stored, connect, getting, service
from farm.net.identity import Kind as Identification
from farm.net.identity import Users, identity
from farm.net.pdu import Identity
from farm.net.peers import AS_STORED, MOST_CONTEXTS, NATIVE
from farm.net.query import Level
from farm.net.sending import Kind, read, storing
from farm.net.services import (
    PATIENT_ROOT_FIND,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
    Status,
)
from farm.net.storing import SUCCESS

GE = "1.2.840.113619.5.2"
CT = "1.2.840.10008.5.1.4.1.1.2"
USERS = Users({b"ward-3": b"", b"research": b"staple"})


@contextmanager
def peering(**answers: Any) -> Iterator[Peer]:
    """Give a server of pynetdicom's that answers `user` and `extended`."""
    entity = AE()
    for one in (sop.Verification, sop.StudyRootQueryRetrieveInformationModelFind):
        entity.add_supported_context(one)
    handlers: list[Any] = [(evt.EVT_C_FIND, lambda _: iter([(0xFF00, _study())]))]
    if "user" in answers:
        handlers.append((evt.EVT_USER_ID, answers["user"]))
    if "extended" in answers:
        handlers.append((evt.EVT_SOP_EXTENDED, answers["extended"]))
    with pynetdicom_serving(entity, handlers) as server:
        yield Peer(host="127.0.0.1", port=server.server_address[1], ae_title="ANY")


def _study() -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.StudyInstanceUID = "1.2.3"
    return found


async def echo(peer: Peer, who: Identity | None) -> int:
    """Verify as somebody."""
    async with connect(replace(peer, identity=who)) as client:
        return await client.echo()


def refusal(peer: Peer, who: Identity | None) -> Unavailable:
    """Return why somebody is not let in."""
    with pytest.raises(Unavailable) as caught:
        asyncio.run(echo(peer, who))
    assert caught.value.reason is Reason.PEER_REFUSED
    return caught.value


# User identity.


def test_a_peer_hears_who_asks() -> None:
    """A name in the wrong field would be refused, or be somebody else's."""
    heard = []

    def note(event: evt.Event) -> tuple[bool, bytes | None]:
        heard.append((event.user_id_type, event.primary_field, event.secondary_field))
        return True, None

    with peering(user=note) as peer:
        assert asyncio.run(echo(peer, identity("Müller", "staple"))) == Status.SUCCESS
        assert asyncio.run(echo(peer, identity("ward-3"))) == Status.SUCCESS
    assert heard == [(2, "Müller".encode(), b"staple"), (1, b"ward-3", b"")]


def test_a_peer_that_does_not_say_that_it_knows_the_user_is_left() -> None:
    """Who asks for a response would send on to a peer that has looked at no passcode."""
    with peering() as peer:
        assert asyncio.run(echo(peer, identity("n"))) == Status.SUCCESS
        assert "knows the user" in refusal(peer, identity("n", response_requested=True)).hint
    token = Identity(kind=Identification.JWT, primary=b"token", response_requested=True)  # names it never answers
    with peering(user=lambda _: (True, b"known")) as peer:
        assert asyncio.run(echo(peer, token)) == Status.SUCCESS
    with peering(user=lambda _: (False, None)) as peer:
        assert refusal(peer, token).fields["source"] == 2


def test_users_are_judged() -> None:
    """A server that is told to ask who comes would let in everybody, or nobody."""

    async def scenario() -> None:
        async with serving_scp(MemoryReceiver(), offer=replace(OFFER, judge=USERS)) as running:
            peer = _ours(running)
            for who in (identity("ward-3"), identity("research", "staple", response_requested=True)):
                assert await echo(peer, who) == Status.SUCCESS
            for stranger in (None, identity("research", "wrong"), identity("research"), identity("nobody")):
                with pytest.raises(Unavailable) as caught:
                    await echo(peer, stranger)
                assert caught.value.fields == {"result": 1, "source": 2, "reason_code": 1}
            for name, answers in (("ward-3", True), ("nobody", False)):
                assert await asyncio.to_thread(_asked_by_pynetdicom, running.port, name) == (answers, answers)

    asyncio.run(scenario())


def _ours(running: Running) -> Peer:
    return Peer(host="127.0.0.1", port=running.port, ae_title="FARM")


def _asked_by_pynetdicom(port: int, name: str) -> tuple[bool, bool]:
    """Return whether pynetdicom is let in, and whether it gets the response that it asks for."""
    entity = AE()
    entity.add_requested_context(sop.Verification)
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field = 1, name.encode()
    item.positive_response_requested = True
    association = entity.associate("127.0.0.1", port, ext_neg=[item])
    is_let_in, answered = association.is_established, association.acceptor.user_identity is not None
    if is_let_in:
        association.release()
    return is_let_in, answered


# Extended negotiation.


@pytest.mark.parametrize(
    ("beyond", "information"),
    [
        (Beyond(), (b"", b"")),
        (Beyond(relational=True), (b"\1", b"\1")),
        (Beyond(fuzzy=True), (b"\0\0\1", b"")),
        (Beyond(relational=True, date_time=True), (b"\1\1", b"\1")),
    ],
)
def test_each_service_is_asked_for_what_it_has(beyond: Beyond, information: tuple[bytes, bytes]) -> None:
    """A flag in another's place would ask for something else (PS3.4 sections C.5.1.1 to C.5.3.1)."""
    for finds in (STUDY_ROOT_FIND, PATIENT_ROOT_FIND):
        assert (beyond.information(finds), beyond.information(STUDY_ROOT_MOVE)) == information
    assert beyond.information(CT) == beyond.information(VERIFICATION) == b""


def test_what_is_asked_for_has_to_be_granted() -> None:
    """Names that only sound alike would be missed, and nobody would know that the peer does not look for them."""
    heard = []

    async def found(peer: Peer, beyond: Beyond) -> bytes:
        async with connect(peer, service(STUDY_ROOT_FIND, beyond=beyond)) as client:
            assert [match async for match in client.find(STUDY_ROOT_FIND, {query.LEVEL: "STUDY", query.STUDY_UID: ""})]
            return dict(client.answered.extended).get(STUDY_ROOT_FIND, b"")

    def grant(event: evt.Event) -> dict[str, bytes]:
        heard.append(dict(event.app_info))
        return {uid: bytes([1, 1, 0]) for uid in event.app_info}

    with peering(extended=grant) as peer:
        assert asyncio.run(found(peer, Beyond(relational=True, date_time=True))) == b"\1\1\0"
        with pytest.raises(Unavailable, match="grant"):
            asyncio.run(found(peer, Beyond(relational=True, fuzzy=True)))
        assert asyncio.run(found(peer, Beyond())) == b""
    assert heard[0] == {STUDY_ROOT_FIND: b"\1\1"}
    with peering() as silent, pytest.raises(Unavailable, match="grant"):
        asyncio.run(found(silent, Beyond(relational=True)))


class _Asked(Client):
    """A client whose queries are noted, and answered by nothing."""

    def __init__(self) -> None:
        self.finds = 0

    def find(self, *_: object, **__: object) -> Any:
        """Find nothing."""
        self.finds += 1
        return _none()


async def _none() -> Any:
    for nothing in ():
        yield nothing


@pytest.mark.parametrize(
    ("keys", "relational", "asks"),
    [
        ({query.SOP_INSTANCE: "1.2"}, False, True),
        ({query.SOP_INSTANCE: "1.2"}, True, False),
        ({query.SOP_INSTANCE: "1.2", query.STUDY_UID: "1"}, True, False),
        ({query.SOP_INSTANCE: "1.*"}, True, True),
        ({query.STUDY_UID: "1"}, True, True),
        ({query.SOP_INSTANCE: "1.2", query.PATIENT_ID: "1"}, True, True),
        ({query.SOP_INSTANCE: "1.2", query.STUDY_UID: "1", query.SERIES_UID: "1"}, False, False),
    ],
)
def test_a_relational_peer_needs_no_keys_of_the_levels_above(
    keys: dict[int, str],
    relational: bool,  # noqa: FBT001 - a column
    asks: bool,  # noqa: FBT001 - likewise
) -> None:
    """A peer that keeps to its hierarchy would be asked what it has to refuse; or each retrieval would cost a query."""
    client = _Asked()
    targets = asyncio.run(discovery.targets(client, Level.IMAGE, keys, relational=relational))
    assert (targets, client.finds) == ([] if asks else [keys], int(asks))


def test_pynetdicom_hears_no_answer_from_who_has_none() -> None:
    """An answer to extended negotiation that nobody means would be taken for a promise."""

    async def scenario() -> None:
        async with serving_scp(MemoryReceiver()) as running:
            assert await asyncio.to_thread(_negotiated, running.port) == {}

    asyncio.run(scenario())


def _negotiated(port: int) -> dict[str, bytes]:
    entity = AE()
    entity.add_requested_context(sop.CTImageStorage)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = sop.CTImageStorage, b"\2\0\3\0\1\0"
    association = entity.associate("127.0.0.1", port, ext_neg=[item])
    assert association.is_established
    answered = dict(association.acceptor.sop_class_extended)
    association.release()
    return answered


# Private transfer syntaxes.


def _private() -> bytes:
    """Return an instance in GE's private transfer syntax, whose headers are implicit VR little endian."""
    body = IMPLICIT.element(0x00080016, "UI", CT.encode()) + IMPLICIT.element(0x00080018, "UI", b"1.2.3")
    return (
        part10.header(TransferSyntax(uid=GE), CT.encode(), b"1.2.3") + body + IMPLICIT.element(0x7FE00010, "OW", b"ab")
    )


def test_a_private_syntax_is_sent_and_taken_as_it_is() -> None:
    """A modality's own instances would stay where they are."""
    found = read(_private())
    assert (found.transfer_syntax, found.sop_class, found.sop_instance) == (GE, CT, "1.2.3")
    [proposals] = storing([Kind(sop_class=CT, transfer_syntax=GE)])

    async def store(running: Running) -> Stored:
        async with connect(_ours(running), proposals) as client:
            return await client.store(_private())

    async def scenario() -> None:
        receiver = MemoryReceiver()
        async with serving_scp(receiver, offer=replace(OFFER, private_syntaxes=frozenset({GE}))) as running:
            assert await store(running) == Stored(status=SUCCESS, transfer_syntax=GE)
        [(arriving, data)] = receiver.kept
        assert (arriving.transfer_syntax, data) == (GE, _private()[found.start :])
        async with serving_scp(receiver) as running:
            with pytest.raises(Unavailable, match="no presentation context"):
                await store(running)

    asyncio.run(scenario())


@pytest.mark.parametrize("classes", [None, [CT], [f"1.2.{number}" for number in range(200)]])
@pytest.mark.parametrize("private", [(GE,), (GE, "1.2.3")])
def test_private_syntaxes_are_never_left_out_of_a_retrieval(
    classes: list[str] | None, private: tuple[str, ...]
) -> None:
    """What was asked for by name would silently not come."""
    proposals = getting(STUDY_ROOT_GET, classes, private=private)
    assert len(proposals) <= MOST_CONTEXTS
    assert len(set(proposals)) == len(proposals)
    for sop_class in {one.sop_class for one in proposals if one.receives}:
        syntaxes = [uid for one in proposals if one.sop_class == sop_class for uid in one.transfer_syntaxes]
        assert syntaxes[:2] == list(NATIVE)
        assert syntaxes[-len(private) :] == list(private)
        assert len(syntaxes) == (len(AS_STORED) + len(private) if classes == [CT] else len(syntaxes))
