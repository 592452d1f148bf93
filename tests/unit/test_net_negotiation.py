"""Negotiation: what an acceptor answers to a proposal, and what both sides then hold to be agreed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pdus
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.dicom import syntaxes
from farm.net import negotiation, pdu
from farm.net.negotiation import Context, Offer, Refusal
from farm.net.pdu import (
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    ContextResult,
    Identity,
    ProposedContext,
    Role,
    User,
)

JPEG = "1.2.840.10008.1.2.4.50"
BIG = "1.2.840.10008.1.2.2"
PRIVATE = "1.3.999.1"


def proposed(*transfer: tuple[str, ...], abstract: str = pdus.CT, user: User | None = None) -> AssociateRequest:
    """Return a request with a context for each tuple of transfer syntaxes."""
    contexts = tuple(
        ProposedContext(id=2 * n + 1, abstract_syntax=abstract, transfer_syntaxes=one) for n, one in enumerate(transfer)
    )
    return dataclasses.replace(pdus.REQUEST, contexts=contexts, user=user or User())


def accepted(request: AssociateRequest, offer: Offer = pdus.OFFER) -> AssociateAccept:
    """Return the answer to a request that is not refused."""
    answer = negotiation.answer(request, offer)
    assert isinstance(answer, AssociateAccept)
    return answer


def results(accept: AssociateAccept) -> list[tuple[int, str]]:
    """Return each context's result and transfer syntax."""
    return [(context.result, context.transfer_syntax) for context in accept.contexts]


def test_128_contexts_are_answered() -> None:
    """Were the last of the ids left out, a requestor that proposes all could not send its rarer instances."""
    request = proposed(*[(pdus.EXPLICIT,)] * 128)
    assert request.contexts[-1].id == 255
    accept = accepted(pdu.parse_request(pdu.request(request)[6:]))
    assert [context.id for context in accept.contexts] == list(range(1, 256, 2))
    agreed = negotiation.agreed(request, pdu.parse_accept(pdu.accept(accept)[6:]))
    assert sorted(agreed) == list(range(1, 256, 2))


@pytest.mark.parametrize(
    ("transfer", "taken", "chosen"),
    [
        ((JPEG, pdus.EXPLICIT), None, JPEG),
        ((pdus.EXPLICIT, pdus.IMPLICIT), None, pdus.EXPLICIT),
        ((pdus.IMPLICIT, pdus.EXPLICIT), None, pdus.EXPLICIT),
        ((pdus.IMPLICIT, JPEG, pdus.EXPLICIT), None, pdus.EXPLICIT),
        ((JPEG, pdus.IMPLICIT, pdus.EXPLICIT), None, JPEG),
        ((pdus.IMPLICIT, BIG), None, pdus.IMPLICIT),
        ((pdus.IMPLICIT,), None, pdus.IMPLICIT),
        ((PRIVATE, JPEG), None, JPEG),
        ((pdus.IMPLICIT, pdus.EXPLICIT), frozenset({pdus.IMPLICIT}), pdus.IMPLICIT),
        ((JPEG, pdus.EXPLICIT), frozenset({pdus.EXPLICIT}), pdus.EXPLICIT),
        ((PRIVATE,), frozenset({PRIVATE}), PRIVATE),
    ],
)
def test_choice_of_transfer_syntax(transfer: tuple[str, ...], taken: frozenset[str] | None, chosen: str) -> None:
    """Were its order not kept, a requestor would have to recode; in implicit VR private attributes lose theirs."""
    accept = accepted(proposed(transfer), Offer(supports=lambda _: True, transfer_syntaxes=taken))
    assert results(accept) == [(ContextResult.ACCEPTED, chosen)]


def test_unknown_syntaxes_are_answered_with_their_reason() -> None:
    """Were the reasons mixed up, a requestor could not tell what to propose instead."""
    offer = Offer(supports={pdus.CT}.__contains__)
    assert results(accepted(proposed((PRIVATE, "1.9"), (JPEG,)), offer)) == [
        (ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, PRIVATE),
        (ContextResult.ACCEPTED, JPEG),
    ]
    unknown = accepted(proposed((JPEG,), abstract=PRIVATE), offer)
    assert results(unknown) == [(ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, JPEG)]
    assert negotiation.agreed(proposed((JPEG,), abstract=PRIVATE), unknown) == {}


@pytest.mark.parametrize("scp_roles", [True, False])
@pytest.mark.parametrize(("scu", "scp"), [(True, True), (False, True), (True, False), (False, False)])
def test_roles(scu: bool, scp: bool, scp_roles: bool) -> None:  # noqa: FBT001 - columns of the test's table
    """Were a role granted that is not offered, a C-GET's sub-operations would come to who cannot store."""
    user = User(roles=(Role(sop_class=pdus.CT, scu=scu, scp=scp), Role(sop_class=PRIVATE, scu=True, scp=True)))
    request = proposed((JPEG,), user=user)
    accept = accepted(request, Offer(supports={pdus.CT}.__contains__, scp_roles=scp_roles))
    assert accept.user.roles == (Role(sop_class=pdus.CT, scu=scu, scp=scp and scp_roles),)
    assert negotiation.agreed(request, accept)[1] == Context(
        id=1, abstract_syntax=pdus.CT, transfer_syntax=JPEG, scu=scu, scp=scp and scp_roles
    )


def test_roles_that_nobody_speaks_of_are_the_default() -> None:
    """Were they not, no plain C-STORE would be allowed (PS3.7 D.3.3.4)."""
    request = proposed((JPEG,))
    context = negotiation.agreed(request, accepted(request))[1]
    assert (context.scu, context.scp) == (True, False)
    asked = proposed((JPEG,), user=User(roles=(Role(sop_class=pdus.CT, scu=False, scp=True),)))
    silent = dataclasses.replace(accepted(asked), user=User())
    context = negotiation.agreed(asked, silent)[1]
    assert (context.scu, context.scp) == (True, False)


def test_extended_negotiation_is_answered_where_asked() -> None:
    """Were an answer given unasked, PS3.7 D.3.3.5 would be broken; were none given, relational queries would fail."""
    offer = Offer(supports=lambda _: True, extended=((pdus.CT, b"\1"), (PRIVATE, b"\2")))
    asked = proposed((JPEG,), user=User(extended=((pdus.CT, b"\1\1"), ("1.9", b"\1"))))
    assert accepted(asked, offer).user.extended == ((pdus.CT, b"\1"),)
    assert accepted(proposed((JPEG,)), offer).user.extended == ()


def test_private_syntaxes_are_taken_beside_those_of_the_standard() -> None:
    """Were they not, what a modality holds in its maker's own syntax would never come."""
    offer = Offer(supports=lambda _: True, private_syntaxes=frozenset({PRIVATE}))
    assert results(accepted(proposed((PRIVATE,), ("1.9",), (JPEG,), ("1.9", PRIVATE)), offer)) == [
        (ContextResult.ACCEPTED, PRIVATE),
        (ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, "1.9"),
        (ContextResult.ACCEPTED, JPEG),
        (ContextResult.ACCEPTED, PRIVATE),
    ]


def identified(identity: Identity | None) -> AssociateRequest:
    """Return a request of somebody."""
    return proposed((JPEG,), user=User(identity=identity))


def test_user_identity_is_answered_by_a_judge_alone() -> None:
    """Were it answered of itself, a requestor would believe that somebody has looked at it."""
    asked, unasked = (Identity(kind=1, primary=b"n", response_requested=wanted) for wanted in (True, False))
    assert accepted(identified(asked)).user.identity_response is None
    judging = Offer(supports=lambda _: True, judge=lambda told: told and b"yes")
    assert accepted(identified(asked), judging).user.identity_response == b"yes"
    assert accepted(identified(unasked), judging).user.identity_response is None
    assert accepted(identified(asked), judging).user.identity is None


def test_whom_the_judge_does_not_know_is_refused() -> None:
    """Were it not, everybody would be let in by leaving the name out."""
    judging = Offer(supports=lambda _: True, judge=lambda told: b"" if told and told.primary == b"n" else None)
    for identity in (None, Identity(kind=1, primary=b"other", response_requested=True)):
        assert negotiation.answer(identified(identity), judging) is Refusal.IDENTITY
    known = Identity(kind=1, primary=b"n", response_requested=True)
    assert accepted(identified(known), judging).user.identity_response == b""
    assert pdu.reject(Refusal.IDENTITY.pdu)[-3:] == b"\1\2\1"  # PS3.7 D.3.3.7.3


@pytest.mark.parametrize(("window", "answer"), [(None, None), ((0, 0), (1, 1)), ((8, 9), (1, 1)), ((1, 1), (1, 1))])
def test_asynchronous_operations_are_one_at_a_time(window: Any, answer: Any) -> None:
    """Were more allowed, messages would come in an order that nobody here waits for."""
    assert accepted(proposed((JPEG,), user=User(asynchronous_operations=window))).user.asynchronous_operations == answer


@pytest.mark.parametrize(
    ("changes", "refusal", "bytes_"),
    [
        ({"protocol_version": 2}, Refusal.PROTOCOL_VERSION, b"\1\2\2"),
        ({"protocol_version": 0}, Refusal.PROTOCOL_VERSION, b"\1\2\2"),
        ({"application_context": "1.2.3"}, Refusal.APPLICATION_CONTEXT, b"\1\1\2"),
        ({"application_context": ""}, Refusal.APPLICATION_CONTEXT, b"\1\1\2"),
        ({"called": "SOMEBODY"}, Refusal.CALLED_TITLE, b"\1\1\7"),
    ],
)
def test_refusals(changes: dict[str, Any], refusal: Refusal, bytes_: bytes) -> None:
    """Were a refusal's numbers wrong, the other side's staff would look for another fault than there is."""
    offer = Offer(supports=lambda _: True, titles=frozenset({"ACCEPTOR"}))
    assert negotiation.answer(dataclasses.replace(pdus.REQUEST, **changes), offer) is refusal
    assert pdu.reject(refusal.pdu) == b"\3\0\0\0\0\4\0" + bytes_


def test_later_protocol_versions_are_taken() -> None:
    """Were the other bits looked at, a peer that speaks more than version 1 would be refused (PS3.8 section 9.3.2)."""
    accept = accepted(dataclasses.replace(pdus.REQUEST, protocol_version=0x8001))
    assert accept.protocol_version == 1


def test_any_title_is_answered_where_none_is_set() -> None:
    """Were it not, a receiver without a list would take nothing."""
    request = dataclasses.replace(pdus.REQUEST, called="ANYBODY")
    assert (accepted(request).called, accepted(request).calling) == ("ANYBODY", "REQUESTOR")


_FEW = st.sampled_from([pdus.CT, pdus.VERIFICATION, PRIVATE])
_SYNTAXES = st.sampled_from([pdus.IMPLICIT, pdus.EXPLICIT, JPEG, BIG, PRIVATE])
_ROLES = st.lists(st.builds(Role, sop_class=_FEW, scu=st.booleans(), scp=st.booleans()), max_size=3).map(tuple)


@st.composite
def _requests(draw: st.DrawFn) -> AssociateRequest:
    ids = draw(st.lists(st.sampled_from(range(1, 13, 2)), max_size=6, unique=True))
    transfer = st.lists(_SYNTAXES, min_size=1, max_size=4).map(tuple)
    contexts = tuple(
        ProposedContext(id=one, abstract_syntax=draw(_FEW), transfer_syntaxes=draw(transfer)) for one in ids
    )
    return dataclasses.replace(pdus.REQUEST, contexts=contexts, user=User(roles=draw(_ROLES)))


_OFFERS = st.builds(
    Offer,
    supports=st.frozensets(_FEW).map(lambda some: some.__contains__),
    transfer_syntaxes=st.none() | st.frozensets(_SYNTAXES),
    scp_roles=st.booleans(),
)


@settings(deadline=None)
@given(request=_requests(), offer=_OFFERS)
def test_what_is_accepted_was_proposed_and_offered(request: AssociateRequest, offer: Offer) -> None:
    """Were it not, a peer would have to send what it does not have, or we to take what we cannot."""
    accept = accepted(request, offer)
    assert [context.id for context in accept.contexts] == [context.id for context in request.contexts]
    for asked, answer in zip(request.contexts, accept.contexts, strict=True):
        if answer.result == ContextResult.ACCEPTED:
            assert answer.transfer_syntax in asked.transfer_syntaxes
            assert offer.supports(asked.abstract_syntax)
            taken = offer.transfer_syntaxes
            assert answer.transfer_syntax in taken if taken is not None else syntaxes.find(answer.transfer_syntax)
    # Both sides hold the same to be agreed, each from what it built or read.
    read = pdu.parse_accept(pdu.accept(accept)[6:])
    assert negotiation.agreed(request, read) == negotiation.agreed(pdu.parse_request(pdu.request(request)[6:]), accept)


def test_answers_to_nothing_are_left_out() -> None:
    """Were an acceptor believed in what nobody proposed, instances would be sent that it takes for something else."""
    request = proposed((JPEG,), (JPEG,), user=User(roles=(Role(sop_class=pdus.CT, scu=True, scp=False),)))
    answers = tuple(
        AnsweredContext(id=number, result=0, transfer_syntax=syntax)
        for number, syntax in ((1, JPEG), (3, pdus.EXPLICIT), (5, JPEG))
    )
    user = User(roles=(Role(sop_class=pdus.CT, scu=True, scp=True),))
    accept = AssociateAccept(called="", calling="", contexts=answers, user=user)
    assert negotiation.agreed(request, accept) == {
        1: Context(id=1, abstract_syntax=pdus.CT, transfer_syntax=JPEG, scu=True, scp=False)
    }


_ANSWERS = st.builds(
    AnsweredContext,
    id=st.integers(0, 12),
    result=st.sampled_from([0, 0, 0, 1, 2, 3, 4, 9]),
    transfer_syntax=_SYNTAXES | st.just(""),
)


@settings(deadline=None)
@given(request=_requests(), answers=st.lists(_ANSWERS, max_size=12).map(tuple), roles=_ROLES)
def test_what_is_agreed_was_proposed(
    request: AssociateRequest, answers: tuple[AnsweredContext, ...], roles: tuple[Role, ...]
) -> None:
    """Were it otherwise for any answer, an acceptor could make us send what it takes for something else."""
    accept = AssociateAccept(called="", calling="", contexts=answers, user=User(roles=roles))
    by_id = {context.id: context for context in request.contexts}
    for number, context in negotiation.agreed(request, accept).items():
        assert context.abstract_syntax == by_id[number].abstract_syntax
        assert context.transfer_syntax in by_id[number].transfer_syntaxes
        assert any(one.id == number and one.result == 0 for one in answers)
        granted = [one for one in request.user.roles if one.sop_class == context.abstract_syntax]
        assert not context.scp or any(one.scp for one in granted)
        answered = [one for one in roles if one.sop_class == context.abstract_syntax]
        if granted and answered:
            assert not context.scu or any(one.scu for one in granted)
