"""How bytes are cut on the wire says nothing, and what is declared but not sent is never kept."""

from __future__ import annotations

import itertools
import tracemalloc

import pdus
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.net.association import Association, Data, Limits, Message
from farm.net.errors import AbortReason
from farm.net.machine import State

_KIB = 1024


def heard(association: Association, pieces: list[bytes]) -> tuple[list[object], bytes, State, bool]:
    """Return all that pieces say to an association, what it answers of itself, and where it is then."""
    said: list[object] = []
    for piece in pieces:
        # Joined at once: a view is valid only until the next bytes come.
        said += [
            (bytes(event.data), event.last) if isinstance(event, Data) else event
            for event in association.receive(piece)
        ]
    return whole(said), association.outgoing(), association.state, association.timer


def whole(said: list[object]) -> list[object]:
    """Join the pieces of each data set."""
    found: list[object] = []
    for one in said:
        if type(one) is tuple and found and type(found[-1]) is tuple and not found[-1][1]:
            found[-1] = (found[-1][0] + one[0], one[1])
        else:
            found.append(one)
    return found


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at places, counted round."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[start:stop] for start, stop in itertools.pairwise([0, *at, len(data)])]


def spoil(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Change some bytes."""
    spoilt = bytearray(data)
    for place, change in changes:
        if spoilt:
            spoilt[place % len(spoilt)] ^= change
    return bytes(spoilt)


PLACES = st.lists(st.integers(0, 10_000), max_size=12)
CHANGES = st.just([]) | st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), max_size=3)


@settings(deadline=None)
@given(trace=pdus.traces(), places=PLACES, changes=CHANGES, is_requestor=st.booleans())
def test_cutting_says_nothing(
    trace: pdus.Trace,
    places: list[int],
    changes: list[tuple[int, int]],
    is_requestor: bool,  # noqa: FBT001 - drawn
) -> None:
    """Were it otherwise, a slow link would lose or repeat what a fast one brings; broken traces are no exception."""
    opening = pdus.ACCEPT_BYTES if is_requestor else pdus.REQUEST_BYTES
    after = spoil(b"".join(trace.pdus), changes)
    results = []
    for cut in (lambda data: [data], lambda data: cut_at(data, places), lambda data: [bytes((one,)) for one in data]):
        association = pdus.brought(
            State.AWAITING_ACCEPT if is_requestor else State.TRANSPORT_OPEN, is_requestor=is_requestor
        )
        opened = heard(association, cut(opening))
        if not is_requestor:
            association.accept(pdus.ACCEPT)
        results.append((opened, heard(association, cut(after))))
    assert results[0] == results[1] == results[2]


@settings(deadline=None)
@given(trace=pdus.traces(), places=PLACES)
def test_messages_come_as_they_were_sent(trace: pdus.Trace, places: list[int]) -> None:
    """Were a fragment lost or put to the wrong message, an instance would be stored that nobody sent."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=False)
    said, *_ = heard(association, cut_at(b"".join(trace.pdus), places))
    messages = [one.command for one in said if type(one) is Message]
    data = [one for one in said if type(one) is tuple]
    assert [command.field for command in messages] == [command.field for command, _ in trace.messages]
    assert data == [(content, True) for command, content in trace.messages if command.has_data]


@pytest.mark.parametrize(
    ("state", "is_requestor"), [place for place in pdus.WAYS if place[0] in {State.TRANSPORT_OPEN, State.ESTABLISHED}]
)
def test_declared_gibibytes_are_refused_at_the_header(state: State, is_requestor: bool) -> None:  # noqa: FBT001 - a column of the test's table
    """Were a declared length believed, anybody could fill the memory, before there is an association too."""
    content = bytes(64 * _KIB)
    for kind in range(256):
        association = pdus.brought(state, is_requestor=is_requestor)
        association.receive(pdus.header(kind, 0xFFFFFFFF))
        assert association.state is State.AWAITING_CLOSE
        assert association.outgoing()[0] == 7
        tracemalloc.start()
        said = [association.receive(content) for _ in range(16)]
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not any(said)
        assert association.outgoing() == b""
        assert kept < 4 * _KIB


@settings(deadline=None)
@given(trace=pdus.traces(), places=PLACES)
def test_between_is_where_no_pdu_is_begun(trace: pdus.Trace, places: list[int]) -> None:
    """Were a PDU that is not at its end not known, a peer that stalls within one would hold its place for ever."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=False)
    stream = b"".join(trace.pdus)
    borders = {0, *itertools.accumulate(len(one) for one in trace.pdus)}
    at = 0
    for piece in cut_at(stream, places):
        association.receive(piece)
        at += len(piece)
        if association.done or association.outgoing():  # what comes after the end is not looked at
            break
        assert association.is_between is (at in borders)


@pytest.mark.parametrize("length", range(4, 10))
def test_control_pdu_is_begun_at_its_header(length: int) -> None:
    """Were one whose body is as long as a header not known, a peer could stall there for ever."""
    association = pdus.brought(State.TRANSPORT_OPEN, is_requestor=False)
    assert association.is_between
    association.receive(pdus.header(1, length))
    assert not association.is_between


LIMITS = Limits(pdu=4096, control=600, command=300)


@pytest.mark.parametrize(("kind", "most"), [(1, LIMITS.control), (4, LIMITS.pdu)], ids=["control", "data"])
def test_limits_hold_to_the_byte(kind: int, most: int) -> None:
    """Were a limit one off, a peer that fills its PDUs as it was told to would be aborted, or memory not be bounded."""
    for length, is_taken in ((most, True), (most + 1, False)):
        association = Association(is_requestor=False, limits=LIMITS)
        association.transport_open()
        if kind == 4:
            association.receive(pdus.REQUEST_BYTES)
            association.accept(pdus.ACCEPT)
            association.outgoing()
        association.receive(pdus.header(kind, length))
        assert (association.outgoing() == b"") is is_taken


@pytest.mark.parametrize(
    "values",
    [
        b"\0\0\0",
        b"\0\0\0\2\1",
        b"\0\0\0\0\1\3",
        b"\0\0\0\1\1\3",
        b"\0\0\0\3\1\3",
        b"\xff\xff\xff\xff\1\3",
        b"\0\0\0\0" + bytes(20),
        b"\0\0\0\1\1" + bytes(20),
        b"\0\0\0\2\1\1" + b"\0\0\0\2",
        b"\0\0\0\2\1\1" + b"\0\0\0\3\1\3",
    ],
    ids=[
        "no header",
        "cut header",
        "length 0",
        "length 1",
        "beyond",
        "4 GiB",
        "0 of more",
        "1 of more",
        "cut second",
        "second beyond",
    ],
)
def test_value_has_to_lie_within_its_pdu(values: bytes) -> None:
    """Were a value longer than its PDU, the next PDU's header would be read as somebody's pixels."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=False)
    said = association.receive(pdus.p_data(values))
    assert association.state is State.AWAITING_CLOSE  # at once, whatever follows
    assert not any(isinstance(one, Message) for one in said)
    assert association.outgoing() == pdus.header(7, 4) + bytes((0, 0, 2, AbortReason.INVALID_PARAMETER))


def test_data_sets_are_views_of_what_came() -> None:
    """Were fragments copied, each byte of each instance would cost twice."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=False)
    buffer = bytearray(pdus.STORE_BYTES)
    pieces = [one.data for one in association.receive(memoryview(buffer)) if isinstance(one, Data)]
    assert [bytes(piece) for piece in pieces] == [b"data"]
    assert pieces[0].obj is buffer


def test_gibibyte_of_data_leaves_nothing() -> None:
    """Were a data set gathered, one large instance from each of many peers would fill the memory."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=False)
    association.receive(pdus.STORE_BYTES.removesuffix(b"data")[:-6] + pdus.value(1, 0, b"data"))
    pdu = pdus.p_data(pdus.value(1, 0, bytes(131_066)))
    parts = [memoryview(pdu + pdu[:100]), memoryview(pdu[100:])]  # a buffer that ends within a PDU, as buffers do
    tracemalloc.start()
    tracemalloc.reset_peak()
    came = sum(
        len(one.data) for _ in range(4096) for part in parts for one in association.receive(part) if type(one) is Data
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert came == 4096 * 2 * 131_066
    assert peak < 16 * _KIB
