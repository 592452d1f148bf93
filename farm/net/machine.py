"""The upper layer's state machine, as a table that reads like the standard's (PS3.8 section 9.2, table 9-10).

The table says for each event and state which action is taken; `NEXT` says where an action leads. What an action does
is in `association`: the table alone decides whether it may happen. A blank cell is an event that cannot happen there.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final


class State(Enum):
    """The states of PS3.8 section 9.2.2."""

    __hash__ = object.__hash__  # members are one of a kind, and Enum's own hash costs more than a look into the table

    IDLE = "Sta1"
    TRANSPORT_OPEN = "Sta2"  # an acceptor that waits for the A-ASSOCIATE-RQ
    AWAITING_LOCAL_RESPONSE = "Sta3"
    AWAITING_TRANSPORT = "Sta4"
    AWAITING_ACCEPT = "Sta5"
    ESTABLISHED = "Sta6"
    AWAITING_RELEASE = "Sta7"
    AWAITING_LOCAL_RELEASE = "Sta8"
    COLLISION_REQUESTOR_LOCAL = "Sta9"
    COLLISION_ACCEPTOR = "Sta10"
    COLLISION_REQUESTOR = "Sta11"
    COLLISION_ACCEPTOR_LOCAL = "Sta12"
    AWAITING_CLOSE = "Sta13"


class Event(Enum):
    """The events of PS3.8 table 9-10: primitives of the local user, what the transport says, PDUs, the timer."""

    __hash__ = object.__hash__

    ASSOCIATE_REQUEST = "Evt1"
    TRANSPORT_CONFIRM = "Evt2"
    ASSOCIATE_AC_PDU = "Evt3"
    ASSOCIATE_RJ_PDU = "Evt4"
    TRANSPORT_INDICATION = "Evt5"
    ASSOCIATE_RQ_PDU = "Evt6"
    ASSOCIATE_ACCEPT = "Evt7"
    ASSOCIATE_REJECT = "Evt8"
    P_DATA_REQUEST = "Evt9"
    P_DATA_PDU = "Evt10"
    RELEASE_REQUEST = "Evt11"
    RELEASE_RQ_PDU = "Evt12"
    RELEASE_RP_PDU = "Evt13"
    RELEASE_RESPONSE = "Evt14"
    ABORT_REQUEST = "Evt15"
    ABORT_PDU = "Evt16"
    TRANSPORT_CLOSED = "Evt17"
    TIMER_EXPIRED = "Evt18"
    INVALID_PDU = "Evt19"


_TABLE: Final = """
       Sta1 Sta2 Sta3 Sta4 Sta5 Sta6 Sta7 Sta8 Sta9 Sta10 Sta11 Sta12 Sta13
Evt1   AE-1 -    -    -    -    -    -    -    -    -     -     -     -
Evt2   -    -    -    AE-2 -    -    -    -    -    -     -     -     -
Evt3   -    AA-1 AA-8 -    AE-3 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt4   -    AA-1 AA-8 -    AE-4 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt5   AE-5 -    -    -    -    -    -    -    -    -     -     -     -
Evt6   -    AE-6 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-7
Evt7   -    -    AE-7 -    -    -    -    -    -    -     -     -     -
Evt8   -    -    AE-8 -    -    -    -    -    -    -     -     -     -
Evt9   -    -    -    -    -    DT-1 -    AR-7 -    -     -     -     -
Evt10  -    AA-1 AA-8 -    AA-8 DT-2 AR-6 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt11  -    -    -    -    -    AR-1 -    -    -    -     -     -     -
Evt12  -    AA-1 AA-8 -    AA-8 AR-2 AR-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-6
Evt13  -    AA-1 AA-8 -    AA-8 AA-8 AR-3 AA-8 AA-8 AR-10 AR-3  AA-8  AA-6
Evt14  -    -    -    -    -    -    -    AR-4 AR-9 -     -     AR-4  -
Evt15  -    -    AA-1 AA-2 AA-1 AA-1 AA-1 AA-1 AA-1 AA-1  AA-1  AA-1  -
Evt16  -    AA-2 AA-3 -    AA-3 AA-3 AA-3 AA-3 AA-3 AA-3  AA-3  AA-3  AA-2
Evt17  -    AA-5 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4 AA-4  AA-4  AA-4  AR-5
Evt18  -    AA-2 -    -    -    -    -    -    -    -     -     -     AA-2
Evt19  -    AA-1 AA-8 -    AA-8 AA-8 AA-8 AA-8 AA-8 AA-8  AA-8  AA-8  AA-7
"""


def _read(text: str) -> dict[tuple[Event, State], str]:
    head, *rows = [line.split() for line in text.strip().splitlines()]
    states = [State(name) for name in head]
    return {
        (Event(event), state): action
        for event, *actions in rows
        for state, action in zip(states, actions, strict=True)
        if action != "-"
    }


TABLE: Final = MappingProxyType(_read(_TABLE))

# Where each action leads (PS3.8 tables 9-6 to 9-9). Of AR-8's two states the first is the requestor's, the second the
# acceptor's. AE-6 has a second one too, for a request that the provider itself refuses; here the local user refuses it.
NEXT: Final = MappingProxyType(
    {
        "AE-1": (State.AWAITING_TRANSPORT,),
        "AE-2": (State.AWAITING_ACCEPT,),
        "AE-3": (State.ESTABLISHED,),
        "AE-4": (State.IDLE,),
        "AE-5": (State.TRANSPORT_OPEN,),
        "AE-6": (State.AWAITING_LOCAL_RESPONSE,),
        "AE-7": (State.ESTABLISHED,),
        "AE-8": (State.AWAITING_CLOSE,),
        "DT-1": (State.ESTABLISHED,),
        "DT-2": (State.ESTABLISHED,),
        "AR-1": (State.AWAITING_RELEASE,),
        "AR-2": (State.AWAITING_LOCAL_RELEASE,),
        "AR-3": (State.IDLE,),
        "AR-4": (State.AWAITING_CLOSE,),
        "AR-5": (State.IDLE,),
        "AR-6": (State.AWAITING_RELEASE,),
        "AR-7": (State.AWAITING_LOCAL_RELEASE,),
        "AR-8": (State.COLLISION_REQUESTOR_LOCAL, State.COLLISION_ACCEPTOR),
        "AR-9": (State.COLLISION_REQUESTOR,),
        "AR-10": (State.COLLISION_ACCEPTOR_LOCAL,),
        "AA-1": (State.AWAITING_CLOSE,),
        "AA-2": (State.IDLE,),
        "AA-3": (State.IDLE,),
        "AA-4": (State.IDLE,),
        "AA-5": (State.IDLE,),
        "AA-6": (State.AWAITING_CLOSE,),
        "AA-7": (State.AWAITING_CLOSE,),
        "AA-8": (State.AWAITING_CLOSE,),
    }
)
