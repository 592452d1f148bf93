"""What an acceptor answers to a proposal: presentation contexts, roles, limits (PS3.7 annex D, PS3.8 section 7.1).

Negotiation is a function: a request and an `Offer` in, an accept or a reject out. Of the transfer syntaxes that a
context proposes the requestor's first stands, since that is how it holds its instances, but for implicit VR where
explicit VR is proposed too: the former loses the VR of private attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from farm.dicom import syntaxes
from farm.net.pdu import (
    APPLICATION_CONTEXT,
    AnsweredContext,
    AssociateAccept,
    AssociateReject,
    AssociateRequest,
    ContextResult,
    Identity,
    ProposedContext,
    Role,
    User,
)


class Refusal(IntEnum):
    """Why an association is refused: result, source and reason of PS3.8 table 9-21, a byte each."""

    NO_REASON = 0x010101
    APPLICATION_CONTEXT = 0x010102
    CALLING_TITLE = 0x010103
    CALLED_TITLE = 0x010107
    IDENTITY = 0x010201  # PS3.7 D.3.3.7.3; the provider has no reason for it but "no reason given"
    PROTOCOL_VERSION = 0x010202
    CONGESTED = 0x020301
    LOCAL_LIMIT = 0x020302

    @property
    def pdu(self) -> AssociateReject:
        """Return the A-ASSOCIATE-RJ."""
        return AssociateReject(result=self >> 16, source=self >> 8 & 0xFF, reason=self & 0xFF)


Judge = Callable[[Identity | None], bytes | None]
"""Takes who a requestor says to be, if it does; returns the server's response, or None: it is not let in.

The response to a name, with a passcode or without, is empty (PS3.7 table D.3-15).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an acceptor takes part in.

    `supports`: SOP classes by predicate. `transfer_syntaxes`: those it takes; None: any that the standard lists, and
    the `private_syntaxes` beside them. `titles`: called application entity titles it answers to; None: any.
    `scp_roles`: whether requestors may be SCP too. `extended`: answers to extended negotiation by SOP class.
    `maximum_length`: of P-DATA-TF PDUs, in bytes. `judge`: who looks at user identities; None: nobody, so that
    requests for a response go without one.
    """

    supports: Callable[[str], bool]
    transfer_syntaxes: frozenset[str] | None = None
    private_syntaxes: frozenset[str] = frozenset()
    titles: frozenset[str] | None = None
    scp_roles: bool = False
    extended: tuple[tuple[str, bytes], ...] = ()
    maximum_length: int = 131_072
    judge: Judge | None = None

    def takes(self, transfer_syntax: str) -> bool:
        """Tell whether instances may come in a transfer syntax."""
        if self.transfer_syntaxes is not None:
            return transfer_syntax in self.transfer_syntaxes
        return syntaxes.find(transfer_syntax) is not None or transfer_syntax in self.private_syntaxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """An accepted presentation context. `scu` and `scp` are the requestor's roles."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
    scu: bool = True
    scp: bool = False


def answer(request: AssociateRequest, offer: Offer) -> AssociateAccept | Refusal:
    """Return what to answer; no context need be accepted for an association to be."""
    if not request.protocol_version & 1:
        return Refusal.PROTOCOL_VERSION
    if request.application_context != APPLICATION_CONTEXT:
        return Refusal.APPLICATION_CONTEXT
    if offer.titles is not None and request.called not in offer.titles:
        return Refusal.CALLED_TITLE
    identity = request.user.identity
    response = offer.judge(identity) if offer.judge is not None else None
    if offer.judge is not None and response is None:
        return Refusal.IDENTITY
    supported = {context.abstract_syntax for context in request.contexts if offer.supports(context.abstract_syntax)}
    window = request.user.asynchronous_operations
    asked = {uid for uid, _ in request.user.extended}
    user = User(
        maximum_length=offer.maximum_length,
        asynchronous_operations=None if window is None else (1, 1),
        roles=tuple(_role(role, offer) for role in request.user.roles if role.sop_class in supported),
        extended=tuple(answer for answer in offer.extended if answer[0] in asked),
        identity_response=response if identity is not None and identity.response_requested else None,
    )
    contexts = tuple(_answered(context, offer, supported) for context in request.contexts)
    return AssociateAccept(called=request.called, calling=request.calling, contexts=contexts, user=user)


def _role(role: Role, offer: Offer) -> Role:
    return Role(sop_class=role.sop_class, scu=role.scu, scp=role.scp and offer.scp_roles)


def _answered(context: ProposedContext, offer: Offer, supported: set[str]) -> AnsweredContext:
    if context.abstract_syntax not in supported:
        # The transfer syntax says nothing here, but the item has to hold one (PS3.8 table 9-18).
        first = context.transfer_syntaxes[0]
        return AnsweredContext(id=context.id, result=ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, transfer_syntax=first)
    chosen = _chosen(context.transfer_syntaxes, offer)
    if chosen is None:
        first = context.transfer_syntaxes[0]
        result = ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
        return AnsweredContext(id=context.id, result=result, transfer_syntax=first)
    return AnsweredContext(id=context.id, result=ContextResult.ACCEPTED, transfer_syntax=chosen)


def _chosen(proposed: tuple[str, ...], offer: Offer) -> str | None:
    able = [uid for uid in proposed if offer.takes(uid)]
    if not able:
        return None
    if able[0] == syntaxes.IMPLICIT_LITTLE and syntaxes.EXPLICIT_LITTLE in able:
        return syntaxes.EXPLICIT_LITTLE
    return able[0]


def agreed(request: AssociateRequest, accept: AssociateAccept) -> dict[int, Context]:
    """Return the accepted contexts by id, with their roles; what was never proposed is left out."""
    proposed = {context.id: context for context in request.contexts}
    roles = _granted(request, accept)
    found = {}
    for context in accept.contexts:
        asked = proposed.get(context.id)
        if context.result != ContextResult.ACCEPTED or asked is None:
            continue
        if context.transfer_syntax not in asked.transfer_syntaxes:
            continue
        abstract = asked.abstract_syntax
        role = roles.get(abstract, Role(sop_class=abstract, scu=True, scp=False))
        found[context.id] = Context(
            id=context.id,
            abstract_syntax=abstract,
            transfer_syntax=context.transfer_syntax,
            scu=role.scu,
            scp=role.scp,
        )
    return found


def _granted(request: AssociateRequest, accept: AssociateAccept) -> dict[str, Role]:
    """Return by SOP class the roles that were both proposed and accepted.

    Without an answer the default roles hold: the requestor is SCU (PS3.7 D.3.3.4).
    """
    asked = {role.sop_class: role for role in request.user.roles}
    return {
        role.sop_class: Role(
            sop_class=role.sop_class,
            scu=role.scu and asked[role.sop_class].scu,
            scp=role.scp and asked[role.sop_class].scp,
        )
        for role in accept.user.roles
        if role.sop_class in asked
    }
