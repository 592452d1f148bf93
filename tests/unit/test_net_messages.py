"""Messages: what may follow what in DIMSE, and how a message is cut into PDUs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import pdus
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pdus import p_data, value

from farm.net import dimse, pdu
from farm.net.association import Aborted, Association, Data, Limits, Message
from farm.net.dimse import Command
from farm.net.errors import AbortReason
from farm.net.machine import State

_ECHO, _STORE = dimse.encode(pdus.ECHO), dimse.encode(pdus.STORE)
_NO_FIELD = b"\0\0\0\1\4\0\0\0\1\0\0\0"
_UNEXPECTED, _INVALID = AbortReason.UNEXPECTED_PARAMETER, AbortReason.INVALID_PARAMETER
SEQUENCES = {
    "data without a command": (value(1, 2, b"data"), _UNEXPECTED),
    "data on context 0 without a command": (value(0, 2, b"data"), _UNEXPECTED),
    "data after a data set": (value(1, 3, _STORE) + value(1, 2, b"data") + value(1, 2, b"more"), _UNEXPECTED),
    "data within a command set": (value(1, 1, _STORE[:50]) + value(1, 2, b"data"), _UNEXPECTED),
    "data where the command says none": (value(3, 3, _ECHO) + value(3, 2, b"data"), _UNEXPECTED),
    "a command within a data set": (value(1, 3, _STORE) + value(1, 0, b"data") + value(3, 3, _ECHO), _UNEXPECTED),
    "a command in place of a data set": (value(1, 3, _STORE) + value(1, 3, _STORE), _UNEXPECTED),
    "a command on another context within": (value(1, 1, _ECHO[:40]) + value(3, 3, _ECHO[40:]), _UNEXPECTED),
    "data on another context": (value(1, 3, _STORE) + value(3, 2, b"data"), _UNEXPECTED),
    "data on context 0": (value(1, 3, _STORE) + value(0, 2, b"data"), _UNEXPECTED),
    "a context that is not agreed": (value(5, 3, _ECHO), _UNEXPECTED),
    "context 0": (value(0, 3, _ECHO), _UNEXPECTED),
    "a command set that is none": (value(3, 3, b"nothing"), _INVALID),
    "a command set without a command": (value(3, 3, _NO_FIELD), _INVALID),
    "an empty command set": (value(3, 3, b""), _INVALID),
    "too long a command set": (value(3, 1, bytes(9000)) + value(3, 1, bytes(9000)), _INVALID),
}
_UNLIMITED = 131_072  # bytes in a PDU to a peer that takes any
_FLOWS = [(State.ESTABLISHED, True), (State.ESTABLISHED, False), (State.AWAITING_RELEASE, True)]


@pytest.mark.parametrize(("values", "reason"), SEQUENCES.values(), ids=SEQUENCES)
@pytest.mark.parametrize(("state", "is_requestor"), _FLOWS)
def test_broken_sequence_ends_the_association(
    values: bytes,
    reason: AbortReason,
    state: State,
    is_requestor: bool,  # noqa: FBT001 - a column of the test's table
) -> None:
    """Were messages taken apart wrongly, one instance's pixels would be stored as another's."""
    association = pdus.brought(state, is_requestor=is_requestor)
    events = association.receive(p_data(values))
    assert isinstance(events[-1], Aborted)
    assert (events[-1].by_peer, events[-1].abort) == (False, pdu.Abort(source=2, reason=reason))
    assert association.outgoing() == pdus.header(7, 4) + bytes((0, 0, 2, reason))
    assert association.state is State.AWAITING_CLOSE
    assert association.receive(pdus.ECHO_BYTES) == []
    assert association.outgoing() == b""


def test_command_set_may_be_as_long_as_the_limit() -> None:
    """Were the limit one off, a command set that is allowed would end the association, or one that is not be held."""
    for limit, is_taken in ((len(_ECHO), True), (len(_ECHO) - 1, False)):
        association = Association(is_requestor=False, limits=Limits(command=limit))
        association.transport_open()
        association.receive(pdus.REQUEST_BYTES)
        association.accept(pdus.ACCEPT)
        events = association.receive(p_data(value(3, 1, _ECHO[:40])) + p_data(value(3, 3, _ECHO[40:])))
        assert [type(event) for event in events] == [Message if is_taken else Aborted]


def test_messages_on_several_contexts_follow_each_other() -> None:
    """Were the state of one message left behind, the next would be refused."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=True)
    events = association.receive((pdus.STORE_BYTES + pdus.ECHO_BYTES) * 3)
    assert [type(event) for event in events] == [Message, Data, Message] * 3
    assert [event.context.id for event in events if isinstance(event, Message)] == [1, 3] * 3
    assert events[0].context.abstract_syntax == pdus.CT


def test_empty_data_set_is_told() -> None:
    """Were the end of an empty data set not told, its receiver would wait for ever."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=True)
    events = association.receive(p_data(value(1, 3, _STORE), value(1, 2, b"")))
    assert [(bytes(event.data), event.last) for event in events if isinstance(event, Data)] == [(b"", True)]


# Sending.


def to_peer_of(maximum_length: int) -> Association:
    """Return an established requestor whose peer takes PDUs of so many bytes."""
    association = Association(is_requestor=True)
    association.transport_open()
    association.request(pdus.REQUEST)
    user = dataclasses.replace(pdus.ACCEPT.user, maximum_length=maximum_length)
    association.receive(pdu.accept(dataclasses.replace(pdus.ACCEPT, user=user)))
    association.outgoing()
    return association


@settings(deadline=None)
@given(
    most=st.integers(8, 300) | st.integers(8, 200_000) | st.just(0),
    cuts=st.lists(st.integers(0, 400_000), max_size=6),
    size=st.integers(0, 600).map(lambda half: 2 * half) | st.integers(0, 200_000).map(lambda half: 2 * half),
)
@example(most=8, cuts=[3], size=12)
@example(most=0, cuts=[], size=131_066 * 2)
@example(most=16_384, cuts=[16_378], size=16_378)
def test_pdus_are_filled_and_never_over(most: int, cuts: list[int], size: int) -> None:
    """Were a PDU longer than the peer takes, it would abort; were it shorter, each instance would cost more of them."""
    size = min(size, 400 * (most or _UNLIMITED))
    data = bytes(range(256)) * (size // 256 + 1)
    places = sorted({0, size, *(place % (size + 1) for place in cuts)})
    pieces = [data[start:stop] for start, stop in itertools.pairwise(places)]
    full = ((most or _UNLIMITED) - 6 & ~1) + 6
    sent = [b"".join(buffers) for buffers in to_peer_of(most).message(1, pdus.STORE, pieces)]
    for whole in sent:
        length = len(whole) - 6
        assert length <= (most or _UNLIMITED)
        assert length % 2 == 0
        assert whole[:11] == pdus.header(4, length) + (length - 4).to_bytes(4, "big") + b"\1"
    for flag, content in ((1, _STORE), (0, data[:size])):
        parts = [whole for whole in sent if whole[11] & 1 == flag]
        assert [whole[11] & 2 for whole in parts] == [0] * (len(parts) - 1) + [2]
        assert all(len(whole) - 6 == full for whole in parts[:-1])
        assert len(parts) == 1 or len(parts[-1]) > 12
        assert b"".join(whole[12:] for whole in parts) == content
    assert [whole[11] & 1 for whole in sent] == sorted([whole[11] & 1 for whole in sent], reverse=True)


@pytest.mark.parametrize("most", [0, 8, 37, 16_384])
def test_nothing_is_copied(most: int) -> None:
    """Were a data set copied, sending would cost twice, and a mapped instance would be read into memory."""
    pieces = [bytearray(b"ab" * 500), bytes(30_000), memoryview(bytearray(6))]
    held = [id(piece.obj if isinstance(piece, memoryview) else piece) for piece in pieces]
    for buffers in to_peer_of(most).message(1, pdus.STORE, pieces):
        assert len(buffers[0]) == 12
        if not buffers[0][11] & 1:
            assert all(isinstance(view, memoryview) and id(view.obj) in held for view in buffers[1:])


def test_data_set_is_drawn_as_it_is_sent() -> None:
    """Were it drawn before, a large instance would be read into memory before its first byte is sent."""
    drawn = []

    def pieces() -> Iterator[bytes]:
        for number in range(10):
            drawn.append(number)
            yield bytes(16_378)

    sending = to_peer_of(16_384).message(1, pdus.STORE, pieces())
    for count in range(11):
        next(sending)
        assert len(drawn) <= count + 1


def test_data_set_is_sent_where_the_command_says_so_alone() -> None:
    """Were data sent with a command that says it has none, the peer would abort."""
    association = to_peer_of(16_384)
    association.send(3, pdus.ECHO, b"data")
    assert association.outgoing() == pdus.ECHO_BYTES


def test_message_after_a_release_request_of_the_peer() -> None:
    """Were it not allowed (AR-7), responses under way would be lost when a peer is in a hurry."""
    association = pdus.brought(State.AWAITING_LOCAL_RELEASE, is_requestor=False)
    association.send(3, pdus.ECHO)
    assert association.outgoing() == pdus.ECHO_BYTES
    assert association.state is State.AWAITING_LOCAL_RELEASE


@settings(deadline=None)
@given(
    commands=st.lists(pdus.commands(), max_size=4),
    data=st.binary(max_size=500),
    most=st.integers(8, 200),
    is_back=st.booleans(),
)
def test_one_end_hears_what_the_other_says(commands: list[Command], data: bytes, most: int, is_back: bool) -> None:  # noqa: FBT001 - drawn
    """Were the two ends of this code at odds, nothing that it sends to itself would arrive."""
    requestor, acceptor = Association(is_requestor=True), Association(is_requestor=False)
    for one in (requestor, acceptor):
        one.transport_open()
    user = dataclasses.replace(pdus.REQUEST.user, maximum_length=most)
    requestor.request(dataclasses.replace(pdus.REQUEST, user=user))
    acceptor.receive(requestor.outgoing())
    acceptor.accept(dataclasses.replace(pdus.ACCEPT, user=user))
    requestor.receive(acceptor.outgoing())
    sender, hearer = (acceptor, requestor) if is_back else (requestor, acceptor)
    for command in commands:
        sender.send(1, command, data)
        events = hearer.receive(sender.outgoing())
        assert [event.command for event in events if isinstance(event, Message)] == [command]
        pieces = [event for event in events if isinstance(event, Data)]
        assert b"".join(event.data for event in pieces) == (data if command.has_data else b"")
        assert [event.last for event in pieces] == [False] * (len(pieces) - 1) + [True] * command.has_data
    assert hearer.state is State.ESTABLISHED
