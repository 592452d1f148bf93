"""Every cell of PS3.8 table 9-10, blank ones included: the table itself, and what an association does there.

pynetdicom's table is the oracle for which action a cell names and where it leads. What an action sends, tells and does
to the timer is written here from PS3.8 tables 9-6 to 9-9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pdus
import pytest

from farm.net.association import (
    Aborted,
    Accepted,
    Association,
    Event,
    Message,
    Rejected,
    Released,
    ReleaseRequested,
    Requested,
)
from farm.net.errors import AbortReason, Misuse
from farm.net.machine import NEXT, TABLE, State
from farm.net.machine import Event as Cause
from farm.net.negotiation import Refusal

fsm = pytest.importorskip("pynetdicom.fsm", reason="pynetdicom, the oracle, is not installed")

_USER, _PROVIDER = 0, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What an action does besides leading on: the type of the PDU sent, an abort's source, the event, the timer."""

    sent: int | None = None
    source: int | None = None
    told: type | None = None
    timer: bool | None = None


EFFECTS = {
    "AE-1": Effect(),
    "AE-2": Effect(sent=1),
    "AE-3": Effect(told=Accepted),
    "AE-4": Effect(told=Rejected),
    "AE-5": Effect(timer=True),
    "AE-6": Effect(told=Requested, timer=False),
    "AE-7": Effect(sent=2),
    "AE-8": Effect(sent=3, timer=True),
    "DT-1": Effect(sent=4),
    "DT-2": Effect(told=Message),
    "AR-1": Effect(sent=5),
    "AR-2": Effect(told=ReleaseRequested),
    "AR-3": Effect(told=Released),
    "AR-4": Effect(sent=6, timer=True),
    "AR-5": Effect(timer=False),
    "AR-6": Effect(told=Message),
    "AR-7": Effect(sent=4),
    "AR-8": Effect(told=ReleaseRequested),
    "AR-9": Effect(sent=6),
    "AR-10": Effect(told=Released),
    "AA-1": Effect(sent=7, source=_USER, timer=True),
    "AA-2": Effect(timer=False),
    "AA-3": Effect(told=Aborted),
    "AA-4": Effect(told=Aborted),
    "AA-5": Effect(timer=False),
    "AA-6": Effect(),
    "AA-7": Effect(sent=7, source=_PROVIDER, timer=True),
    "AA-8": Effect(sent=7, source=_PROVIDER, told=Aborted, timer=True),
}

_UNKNOWN = pdus.header(9, 4) + bytes(4)
ARRIVING = {
    Cause.ASSOCIATE_AC_PDU: pdus.ACCEPT_BYTES,
    Cause.ASSOCIATE_RJ_PDU: pdus.REJECT_BYTES,
    Cause.ASSOCIATE_RQ_PDU: pdus.REQUEST_BYTES,
    Cause.P_DATA_PDU: pdus.ECHO_BYTES,
    Cause.RELEASE_RQ_PDU: pdus.RELEASE_RQ,
    Cause.RELEASE_RP_PDU: pdus.RELEASE_RP,
    Cause.ABORT_PDU: pdus.ABORT,
    Cause.INVALID_PDU: _UNKNOWN,
}
PRIMITIVES: dict[Cause, Callable[[Association], list[Event] | None]] = {
    Cause.TRANSPORT_CONFIRM: lambda it: it.request(pdus.REQUEST),
    Cause.ASSOCIATE_ACCEPT: lambda it: it.accept(pdus.ACCEPT),
    Cause.ASSOCIATE_REJECT: lambda it: it.reject(Refusal.NO_REASON),
    Cause.P_DATA_REQUEST: lambda it: it.send(3, pdus.ECHO),
    Cause.RELEASE_REQUEST: Association.release,
    Cause.RELEASE_RESPONSE: Association.release_response,
    Cause.ABORT_REQUEST: Association.abort,
    Cause.TRANSPORT_CLOSED: Association.transport_closed,
    Cause.TIMER_EXPIRED: Association.timer_expired,
}
_OPENINGS = {Cause.ASSOCIATE_REQUEST: True, Cause.TRANSPORT_INDICATION: False}
SIDES = {True: "requestor", False: "acceptor"}
CELLS = [
    pytest.param(cause, state, side, id=f"{cause.value}-{state.value}-{SIDES[side]}")
    for cause in Cause
    for state, side in pdus.WAYS
    if not (state is State.IDLE and _OPENINGS.get(cause, side) is not side)  # each side has an opening of its own
]


def fire(association: Association, cause: Cause, *, is_requestor: bool) -> list[Event]:
    """Let an event happen by what really causes it; an opening of the other side has no cause but the event itself."""
    if cause in ARRIVING:
        return association.receive(ARRIVING[cause])
    if cause in PRIMITIVES:
        return PRIMITIVES[cause](association) or []
    if _OPENINGS[cause] is is_requestor:
        association.transport_open()
    else:
        association._act(cause)
    return []


def looks(association: Association) -> tuple[object, ...]:
    """Return all that an association holds."""
    framer = association._framer
    return (
        *(association.state, association.timer, dict(association.contexts), association._request, association._most),
        *(list(association._out), list(association._events), association._deaf),
        *(bytes(association._command), association._command_context, association._awaits_data),
        *(bytes(framer._held), framer._want, framer._in_pdu, framer._in_fragment),
    )


def test_table_is_the_standards() -> None:
    """Were a cell wrong, a peer that keeps to the standard would be aborted, or one that breaks it would be heard."""
    assert {(cause.value, state.value): action for (cause, state), action in TABLE.items()} == fsm.TRANSITION_TABLE
    assert len(Cause) * len(State) == 247


def test_actions_lead_where_the_standard_says() -> None:
    """Were a next state wrong, every later event would be judged by the wrong column."""
    told = {action: after if isinstance(after, tuple) else (after,) for action, (_, _, after) in fsm.ACTIONS.items()}
    ours = {action: tuple(state.value for state in after) for action, after in NEXT.items()}
    assert told.pop("AE-6") == (*ours.pop("AE-6"), "Sta13")  # here only the local user refuses a request
    assert ours == told


def test_every_state_is_reached() -> None:
    """Were a state left out, its column would have no test."""
    assert {state for state, _ in pdus.WAYS} == set(State)
    assert set(EFFECTS) == set(fsm.ACTIONS)


@pytest.mark.parametrize(("cause", "state", "is_requestor"), CELLS)
def test_cell(cause: Cause, state: State, is_requestor: bool) -> None:  # noqa: FBT001 - a column of the test's table
    """Were a cell done wrong, an association would hang, end twice, or send what its peer does not expect."""
    association = pdus.brought(state, is_requestor=is_requestor)
    action = fsm.TRANSITION_TABLE.get((cause.value, state.value))
    if action is None:
        _assert_blank(association, cause, is_requestor=is_requestor)
        return
    timer, effect = association.timer, EFFECTS[action]
    events = fire(association, cause, is_requestor=is_requestor)
    assert association.state.value == _after(action, is_requestor=is_requestor)
    assert [type(event) for event in events] == ([effect.told] if effect.told else [])
    assert association.timer is (timer if effect.timer is None else effect.timer)
    assert association.done is (association.state is State.IDLE)
    sent = list(pdus.cut(association.outgoing()))
    assert [pdu[0] for pdu in sent] == ([effect.sent] if effect.sent else [])
    if effect.sent == 7:
        assert sent[0][8] == effect.source
        assert effect.source or not sent[0][9]  # a user's abort has no reason (PS3.8 table 9-26)


def _after(action: str, *, is_requestor: bool) -> str:
    after = fsm.ACTIONS[action][2]
    if action == "AE-6":
        return "Sta3"
    return after if isinstance(after, str) else after[0 if is_requestor else 1]


def _assert_blank(association: Association, cause: Cause, *, is_requestor: bool) -> None:
    """Assert that an event which cannot happen changes nothing: the transport's are passed over, others are misuse."""
    before = looks(association)
    silent = association.state is State.IDLE and (cause in ARRIVING or cause is Cause.TRANSPORT_CLOSED)
    if silent:
        assert fire(association, cause, is_requestor=is_requestor) == []
    else:
        with pytest.raises(Misuse):
            fire(association, cause, is_requestor=is_requestor)
    assert looks(association) == before


INVALID = {
    "unknown type": (_UNKNOWN, AbortReason.UNRECOGNIZED_PDU),
    "type 0": (pdus.header(0, 4), AbortReason.UNRECOGNIZED_PDU),
    "empty": (pdus.header(4, 0), AbortReason.INVALID_PARAMETER),
    "4 GiB of data": (pdus.header(4, 0xFFFFFFFF), AbortReason.INVALID_PARAMETER),
    "4 GiB of request": (pdus.header(1, 0xFFFFFFFF), AbortReason.INVALID_PARAMETER),
    "long release": (pdus.header(5, 5), AbortReason.INVALID_PARAMETER),
    "short abort": (pdus.header(7, 3), AbortReason.INVALID_PARAMETER),
}
_HEARING = [(state, side) for state, side in pdus.WAYS if state not in {State.IDLE, State.AWAITING_TRANSPORT}]


@pytest.mark.parametrize(("data", "reason"), INVALID.values(), ids=INVALID)
@pytest.mark.parametrize(("state", "is_requestor"), _HEARING)
def test_invalid_pdu_ends_the_hearing(state: State, is_requestor: bool, data: bytes, reason: AbortReason) -> None:  # noqa: FBT001 - a column of the test's table
    """Were a broken peer heard on, it would be answered for ever; by a wrong reason nobody could find the fault."""
    association = pdus.brought(state, is_requestor=is_requestor)
    events = association.receive(data)
    assert association.state is State.AWAITING_CLOSE
    sent = association.outgoing()
    is_early = state is State.TRANSPORT_OPEN
    assert sent == pdus.header(7, 4) + bytes((0, 0, _USER, 0) if is_early else (0, 0, _PROVIDER, reason))
    told = [] if state in {State.TRANSPORT_OPEN, State.AWAITING_CLOSE} else [Aborted]
    assert [type(event) for event in events] == told
    before = looks(association)
    for later in ARRIVING.values():
        assert association.receive(later) == []
    assert looks(association) == before
    association.transport_closed()
    assert association.done
    assert not association.timer


@pytest.mark.parametrize("data", ARRIVING.values(), ids=[cause.name for cause in ARRIVING])
@pytest.mark.parametrize("end", [Association.timer_expired, Association.transport_closed])
def test_bytes_after_the_end_say_nothing(end: Callable[[Association], object], data: bytes) -> None:
    """Were bytes that were on their way when the timer ran out an exception, it would be in the shell's event loop."""
    association = pdus.brought(State.TRANSPORT_OPEN, is_requestor=False)
    assert association.receive(data[:8]) == []
    if association.state is State.TRANSPORT_OPEN:
        end(association)
        assert association.receive(data[8:]) == []
        assert association.done


def test_message_of_no_context_is_misuse() -> None:
    """Were a message sent on a context that was not accepted, the peer would abort the association."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=True)
    before = looks(association)
    with pytest.raises(Misuse):
        association.send(5, pdus.ECHO)
    assert looks(association) == before


def test_message_ends_where_the_association_does() -> None:
    """Were a half-sent message sent on after an abort, its peer would take the rest for what it is not."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=True)
    sending = association.message(1, pdus.STORE, [bytes(100_000)])
    next(sending)
    next(sending)
    association.abort()
    before = looks(association)
    with pytest.raises(Misuse):
        next(sending)
    assert looks(association) == before


@pytest.mark.parametrize("is_requestor", [True, False])
def test_pdu_on_its_way_is_judged_where_it_ends(is_requestor: bool) -> None:  # noqa: FBT001 - a column of the test's table
    """Were a release that crosses ours judged by its first byte, the collision would not be seen."""
    association = pdus.brought(State.ESTABLISHED, is_requestor=is_requestor)
    assert association.receive(pdus.RELEASE_RQ[:7]) == []
    association.release()
    assert [type(event) for event in association.receive(pdus.RELEASE_RQ[7:])] == [ReleaseRequested]
    assert association.state is (State.COLLISION_REQUESTOR_LOCAL if is_requestor else State.COLLISION_ACCEPTOR)
