"""Whatever comes, in whatever state: no exception, one A-ABORT at most, then silence, and nothing is kept.

`NET_MUTATIONS` says how many streams are tried; each is drawn from its own number, so that a failing one can be run
again alone.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import tracemalloc
from collections.abc import Callable, Iterator

import pdus

from farm.net import pdu
from farm.net.association import Association, Limits
from farm.net.errors import Misuse
from farm.net.machine import State
from farm.net.pdu import AssociateRequest, Identity, ProposedContext, Role, User

MUTATIONS = int(os.environ.get("NET_MUTATIONS", "5000"))
_EXTREMES = (0, 1, 2, 3, 5, 6, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
RICH = pdu.request(
    AssociateRequest(
        called="ACCEPTOR",
        calling="REQUESTOR",
        contexts=tuple(
            ProposedContext(id=one, abstract_syntax=pdus.CT, transfer_syntaxes=(pdus.EXPLICIT, pdus.IMPLICIT))
            for one in range(1, 20, 2)
        ),
        user=User(
            asynchronous_operations=(3, 4),
            roles=(Role(sop_class=pdus.CT, scu=True, scp=True),),
            extended=((pdus.CT, b"\1\2"),),
            common_extended=((pdus.CT, pdus.VERIFICATION, (pdus.CT, pdus.CT)),),
            identity=Identity(kind=2, primary=b"name", secondary=b"word", response_requested=True),
        ),
    )
)
_PDUS = (
    *(pdus.REQUEST_BYTES, RICH, pdus.ACCEPT_BYTES, pdus.REJECT_BYTES, pdus.RELEASE_RQ, pdus.RELEASE_RP, pdus.ABORT),
    *(pdus.ECHO_BYTES, pdus.STORE_BYTES, pdus.p_data(pdus.value(1, 1, b"")), pdus.p_data(pdus.value(1, 0, bytes(99)))),
)
_FITTING = {
    State.TRANSPORT_OPEN: (pdus.REQUEST_BYTES, RICH),
    State.AWAITING_ACCEPT: (pdus.ACCEPT_BYTES, pdus.REJECT_BYTES),
    State.ESTABLISHED: (pdus.ECHO_BYTES, pdus.STORE_BYTES),
    State.AWAITING_RELEASE: (pdus.ECHO_BYTES, pdus.STORE_BYTES, pdus.RELEASE_RQ),
}
_PLACES = [place for place in pdus.WAYS if place[0] not in {State.IDLE, State.AWAITING_TRANSPORT}]

# Mutations: each changes a stream in place.


def _flip(draw: random.Random, data: bytearray) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _insert(draw: random.Random, data: bytearray) -> None:
    at = draw.randrange(len(data) + 1)
    data[at:at] = draw.randbytes(draw.randint(1, 9))


def _delete(draw: random.Random, data: bytearray) -> None:
    at = draw.randrange(len(data))
    del data[at : at + draw.randint(1, 9)]


def _truncate(draw: random.Random, data: bytearray) -> None:
    del data[draw.randrange(len(data)) :]


def _lengthen(draw: random.Random, data: bytearray) -> None:
    """Put an extreme where a length may stand: of the first PDU, of its first value, or of any item."""
    size = draw.choice((2, 4))
    at = draw.choice((2, 6, 76, draw.randrange(len(data))))
    data[at : at + size] = (draw.choice(_EXTREMES) & (1 << 8 * size) - 1).to_bytes(size, "big")


_MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (_flip, _insert, _delete, _truncate, _lengthen)


def mutated(draw: random.Random, state: State) -> bytes:
    """Draw a stream of PDUs, those that fit the state first and in any order, with some faults in it."""
    stream = draw.choices(_FITTING.get(state, _PDUS), k=draw.randint(1, 3)) + draw.choices(_PDUS, k=draw.randint(0, 3))
    if not draw.randrange(4):
        draw.shuffle(stream)
    data = bytearray(b"".join(stream))
    for _ in range(draw.randint(0, 3)):
        if data:
            draw.choice(_MUTATIONS)(draw, data)
    return bytes(data)


def pieces(draw: random.Random, data: bytes) -> Iterator[bytes]:
    """Cut a stream as the wire might."""
    most = draw.choice((1, 7, 64, 100_000))
    while data:
        size = draw.randint(1, most)
        yield data[:size]
        data = data[size:]


def answer(draw: random.Random, association: Association) -> None:
    """Do what a local user might do in the state, or something that it must not."""
    if association.state is State.AWAITING_LOCAL_RESPONSE:
        association.accept(pdus.ACCEPT)
        return
    primitive = draw.choice((Association.release, Association.release_response, lambda it: it.send(3, pdus.ECHO)))
    try:
        primitive(association)
    except Misuse:
        return


def attempt(number: int) -> None:
    """Feed one stream; assert what has to hold of any."""
    draw = random.Random(number)
    state, is_requestor = draw.choice(_PLACES)
    association = pdus.brought(state, is_requestor=is_requestor)
    sent, silent = b"", False
    for piece in pieces(draw, mutated(draw, state)):
        before = association.state, association.timer
        events = association.receive(piece)
        out = association.outgoing()
        if silent:
            assert not events
            assert not out
            assert (association.state, association.timer) == before
        silent = silent or out[:1] == b"\7" or association.done
        sent += out
        if not silent and not draw.randrange(4):
            answer(draw, association)
            sent += association.outgoing()
    assert [one[0] for one in pdus.cut(sent)].count(7) <= 1
    assert_little_kept(association)
    association.transport_closed()
    assert association.done
    assert not association.timer


def assert_little_kept(association: Association) -> None:
    """Assert that what is gathered is within the limits."""
    limits = Limits()
    assert len(association._framer._held) <= limits.control
    assert len(association._command) <= limits.command
    assert not association._events


def test_mutated_streams_do_no_harm() -> None:
    """Were there an exception or a hang, anybody who reaches the port could stop the receiver."""
    for number in range(200):
        attempt(number)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(MUTATIONS):
        attempt(number)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 16 * 1024  # KiB


def test_mutated_streams_leave_nothing() -> None:
    """Were memory kept for each broken peer, a scanner that calls each minute would fill it in the end."""
    for number in range(100):
        attempt(number)
    gc.collect()
    tracemalloc.start()
    for number in range(500):
        attempt(number)
    gc.collect()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 64 * 1024
    assert peak < 2 * 1024 * 1024


def test_mutations_reach_far() -> None:
    """Were every stream refused at its first header, the law above would say little."""
    reached = set()
    for number in range(400):
        draw = random.Random(number)
        state, is_requestor = draw.choice(_PLACES)
        association = pdus.brought(state, is_requestor=is_requestor)
        events = [type(event).__name__ for event in association.receive(mutated(draw, state))]
        reached |= {(state, *events[:2])}
    assert {state for state, *_ in reached} == {state for state, _ in _PLACES}
    assert len(reached) > 30
