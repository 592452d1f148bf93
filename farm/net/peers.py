"""Whom a client speaks to, how long it waits, and what it proposes (PS3.7 annex D.3, PS3.8 section 7.1.1.13).

A transfer syntax that must not be changed on its way needs a presentation context of its own: of several in one
context the peer picks one, and an instance that is stored in another is then transcoded or not sent at all. So contexts
are spread: one for each SOP class and transfer syntax, as far as 128 of them go.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final, NamedTuple

from farm.dicom.syntaxes import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from farm.errors import BadRecipe, Reason
from farm.net import services
from farm.net.pdu import AssociateRequest, Identity, ProposedContext, Role, User
from farm.net.services import Beyond

MOST_CONTEXTS: Final = 128  # odd ids of one byte (PS3.8 section 9.3.2.2)
NATIVE: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
_JPEG = "1.2.840.10008.1.2.4."
AS_STORED: Final = (
    *NATIVE,
    f"{_JPEG}70",  # JPEG lossless, first-order prediction
    f"{_JPEG}90",  # JPEG 2000 lossless
    f"{_JPEG}50",  # JPEG baseline
    f"{_JPEG}80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.5",  # RLE
    f"{_JPEG}91",  # JPEG 2000
    f"{_JPEG}57",  # JPEG lossless
    f"{_JPEG}51",  # JPEG extended
    f"{_JPEG}81",  # JPEG-LS near lossless
    f"{_JPEG}201",  # HTJ2K lossless
    f"{_JPEG}202",
    f"{_JPEG}203",  # HTJ2K
    DEFLATED_LITTLE,
    f"{_JPEG}102",  # MPEG-4 AVC/H.264
    f"{_JPEG}103",
    f"{_JPEG}100",  # MPEG-2
    f"{_JPEG}107",  # HEVC
    EXPLICIT_BIG,
)
"""The transfer syntaxes in which archives hold instances, the common ones first."""

_ADDRESS = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>\[[^\]]+\]|[^:]+):(?P<port>\d{1,5})")
_IMAGE = "1.2.840.10008.5.1.4.1.1."
_OFTEN = (
    *("2", "4", "1", "1.1", "1.2", "6.1", "3.1", "7", "128", "20", "12.1", "12.2", "2.1", "4.1", "130"),
    *("88.11", "88.22", "88.33", "88.34", "88.59", "88.67", "88.50", "104.1", "11.1", "11.2", "66.4", "66.1", "66"),
    *("481.1", "481.2", "481.3", "481.5", "481.4", "7.1", "7.2", "7.3", "7.4", "4.2", "4.3", "1.1.1", "1.2.1"),
    *("1.3", "13.1.3", "13.1.1", "77.1.4", "77.1.1", "77.1.2", "77.1.6", "77.1.5.1", "77.1.5.4", "9.1.1", "9.1.2"),
    *("6.2", "66.2", "66.3", "30", "12.1.1", "12.2.1", "67", "88.65"),
)


def common_classes(most: int = 60) -> tuple[str, ...]:
    """Return the storage SOP classes that archives hold most, the common ones first."""
    often = [_IMAGE + suffix for suffix in _OFTEN]
    others = [uid for uid in services.storage_classes() if uid not in often]
    return tuple([*often, *others][:most])


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long a client waits, in seconds.

    `connect`: for the transport, TLS included. `association`: for the answer to the A-ASSOCIATE-RQ. `response`: while
    no new PDU begins, or the peer takes nothing. `release`: for the A-RELEASE-RP and for the end of an A-ABORT.
    """

    connect: float = 10.0
    association: float = 30.0
    response: float = 120.0
    release: float = 5.0


class Address(NamedTuple):
    """Where an application entity is."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `TITLE@HOST:PORT`, an IPv6 address in brackets; raise `BadRecipe` where it is not written so."""
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found["port"]) < 1 << 16:
            raise BadRecipe(Reason.BAD_OPTION, "A peer is written as AET@HOST:PORT.")
        return cls(found["title"], found["host"].strip("[]"), int(found["port"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An application entity that the client speaks to.

    `identity`: who we say to be; where it asks for a response, there is no association without one.
    """

    host: str
    port: int
    ae_title: str
    calling_ae_title: str = "FARM"
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)
    timeouts: Timeouts = Timeouts()
    identity: Identity | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A presentation context to propose.

    `receives`: the client is the SCP of its SOP class (C-GET). `extended`: what is asked of the SOP class by extended
    negotiation, a flag a byte; there is no association unless the peer grants them all.
    """

    sop_class: str
    transfer_syntaxes: tuple[str, ...] = NATIVE
    receives: bool = False
    extended: bytes = b""


VERIFICATION: Final = Proposal(sop_class=services.VERIFICATION)


_BASELINE: Final = Beyond()


def service(*sop_classes: str, beyond: Beyond = _BASELINE) -> tuple[Proposal, ...]:
    """Return what to propose for verification and the query and retrieve services, by SOP class."""
    return tuple(Proposal(sop_class=uid, extended=beyond.information(uid)) for uid in sop_classes)


def getting(
    model: str,
    classes: Sequence[str] | None = None,
    syntaxes: Sequence[str] = AS_STORED,
    *,
    private: Sequence[str] = (),
    beyond: Beyond = _BASELINE,
) -> tuple[Proposal, ...]:
    """Return what to propose for C-GET: the model, and the storage SOP classes with the role of an SCP (PS3.4 C.5.3).

    Where 128 contexts do not suffice for a context for each transfer syntax, the last of them are left out; beyond 63
    classes the two native syntaxes share a context. `private` transfer syntaxes are never left out: where the classes
    are not known, fewer of them are then proposed, and where there are too many, all syntaxes of one share a context.
    """
    room = MOST_CONTEXTS - 1
    wanted = list(dict.fromkeys(classes or common_classes()[: room // (2 + len(private))]))[:room]
    each = room // max(len(wanted), 1)
    if each < 2 + len(private):
        groups = [(*NATIVE, *private)]
    else:
        groups = [(uid,) for uid in (*syntaxes[: each - len(private)], *private)]
    storage = (
        Proposal(sop_class=uid, transfer_syntaxes=group, receives=True) for uid, group in product(wanted, groups)
    )
    return (*service(model, beyond=beyond), *storage)


def associate_request(peer: Peer, proposals: Iterable[Proposal], maximum_length: int) -> AssociateRequest:
    """Return the A-ASSOCIATE-RQ; `maximum_length`: of the P-DATA-TF PDUs that the client takes, in bytes."""
    proposals = tuple(proposals)
    contexts = tuple(
        ProposedContext(id=2 * number + 1, abstract_syntax=one.sop_class, transfer_syntaxes=one.transfer_syntaxes)
        for number, one in enumerate(proposals)
    )
    received = dict.fromkeys(one.sop_class for one in proposals if one.receives)
    roles = tuple(Role(sop_class=uid, scu=False, scp=True) for uid in received)
    extended = tuple(dict.fromkeys((one.sop_class, one.extended) for one in proposals if one.extended))
    user = User(maximum_length=maximum_length, roles=roles, extended=extended, identity=peer.identity)
    return AssociateRequest(called=peer.ae_title, calling=peer.calling_ae_title, contexts=contexts, user=user)
