from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.harvest.verdicts import (
    MEANING,
    Ending,
    Judgement,
    Listed,
    StudyFacts,
    Verdict,
    ending_of,
    judge_row,
    judge_study,
    together,
)

KEYS = [b"1", b"2", b"3", b"4"]
SETS = st.frozensets(st.sampled_from(KEYS))
LISTED = st.none() | st.builds(Listed, keys=SETS, whole=st.booleans())


def keys(text: str) -> frozenset[bytes]:
    """Return the instances that a text names, a letter each."""
    return frozenset(letter.encode() for letter in text)


def facts(**changes: object) -> StudyFacts:
    """Return the facts of a study of three instances, all of which arrived."""
    whole: dict[str, object] = {"query": Ending.SUCCESS, "matches": 1, "before": Listed(keys=keys("123"))}
    whole |= {"retrieve": Ending.SUCCESS, "arrived": keys("123")}
    return StudyFacts(**whole | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "complete"),
        ({"retrieve": Ending.WARNING}, "complete"),
        ({"retrieve": Ending.FAILED}, "complete"),
        ({"retrieve": Ending.NOT_TRIED}, "complete"),
        ({"arrived": keys("1234")}, "complete"),
        ({"availability": "OFFLINE"}, "complete"),
        ({"arrived": keys("12")}, "short by 1"),
        ({"arrived": keys("")}, "short by 3"),
        ({"arrived": keys("1"), "retrieve": Ending.FAILED}, "short by 2"),
        ({"arrived": keys("1"), "availability": "OFFLINE"}, "short by 2"),
        ({"arrived": keys(""), "retrieve": Ending.LOST}, "short by 3"),
        ({"arrived": keys(""), "retrieve": Ending.FAILED}, "refused"),
        ({"arrived": keys(""), "availability": "NEARLINE"}, "offline"),
        ({"arrived": keys(""), "availability": "OFFLINE", "retrieve": Ending.FAILED}, "offline"),
        ({"arrived": keys("1"), "retrieve": Ending.NOT_TRIED}, "pending"),
        # The PACS listed other instances after the retrieval.
        ({"after": Listed(keys=keys("12"))}, "complete"),
        ({"after": Listed(keys=keys("1234"))}, "short by 1"),
        ({"after": Listed(keys=keys("1234")), "arrived": keys("1234")}, "complete"),
        ({"after": Listed(keys=keys("1234")), "arrived": keys("12")}, "changed"),
        ({"after": Listed(keys=keys("234")), "arrived": keys("12")}, "changed"),
        ({"after": Listed(keys=keys("123")), "arrived": keys("12")}, "short by 1"),
        # It cannot say, or not all.
        ({"before": None}, "unverified"),
        ({"before": Listed(keys=keys(""))}, "unverified"),
        ({"before": Listed(keys=keys("123"), whole=False)}, "unverified"),
        ({"before": Listed(keys=keys("123"), whole=False), "arrived": keys("1")}, "short by 2"),
        ({"before": None, "arrived": keys(""), "retrieve": Ending.FAILED}, "refused"),
        ({"before": None, "after": Listed(keys=keys("123"))}, "complete"),
        ({"after": Listed(keys=keys("4"), whole=False)}, "short by 1"),
        ({"after": Listed(keys=keys(""))}, "unverified"),
    ],
)
def test_what_is_said_of_a_study(changes: dict[str, object], verdict: str) -> None:
    """Lost otherwise: a study would be given up, fetched again, or believed, against the facts."""
    judged = judge_study(facts(**changes))
    said = judged.verdict.value
    assert (f"{said} by {len(judged.missing)}" if judged.verdict is Verdict.SHORT else said) == verdict


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, None),
        ({"query": Ending.NOT_TRIED}, "pending"),
        ({"query": Ending.LOST}, "pending"),
        ({"matches": 0}, "not-found"),
        ({"matches": 0, "query": Ending.FAILED}, "refused"),
        ({"matches": 0, "capped": True}, "unverified"),
        ({"matches": 0, "query": Ending.CANCELLED}, "unverified"),
        ({"matches": 2}, "ambiguous"),
        ({"matches": 2, "capped": True}, "ambiguous"),
        ({"matches": 2, "means_many": True}, None),
        ({"capped": True}, "unverified"),
        ({"query": Ending.CANCELLED}, "unverified"),
        ({"query": Ending.WARNING}, "unverified"),
    ],
)
def test_what_is_said_of_a_row(changes: dict[str, object], verdict: str | None) -> None:
    """Lost otherwise: a row would be called found, or not, against what the PACS answered."""
    assert judge_row(facts(**changes)) == verdict


@given(
    st.builds(
        StudyFacts,
        query=st.sampled_from(Ending),
        matches=st.integers(0, 3),
        capped=st.booleans(),
        means_many=st.booleans(),
        availability=st.sampled_from(["", "ONLINE", "NEARLINE", "OFFLINE", "UNAVAILABLE", "other"]),
        before=LISTED,
        after=LISTED,
        retrieve=st.sampled_from(Ending),
        arrived=SETS,
    )
)
def test_complete_is_never_said_without_proof(known: StudyFacts) -> None:
    """Lost otherwise: images would be lost in silence, the thing that a harvest is there to prevent."""
    _check(known, judge_study(known))


def test_the_lists_in_all_combinations() -> None:
    """Lost otherwise: one combination of lists, arrivals and endings that chance did not draw could be believed."""
    sets = [frozenset(k for k, has in zip(KEYS[:3], bits, strict=True) if has) for bits in product([0, 1], repeat=3)]
    lists = [None, *(Listed(keys=one, whole=whole) for one in sets for whole in (True, False))]
    for before, after, arrived, retrieve in product(lists, lists, sets, Ending):
        known = facts(before=before, after=after, arrived=arrived, retrieve=retrieve)
        _check(known, judge_study(known))


def _check(known: StudyFacts, judged: Judgement) -> None:
    newest = known.after or known.before
    if judged.verdict is Verdict.COMPLETE:
        whole = next(one for one in (known.after, known.before) if one and one.whole)
        assert newest is not None
        assert newest.keys | whole.keys <= known.arrived
        assert whole.keys
        assert not judged.missing
    if judged.verdict in {Verdict.SHORT, Verdict.CHANGED}:
        assert judged.missing or (known.after and not known.after.keys)
    assert not judged.missing & known.arrived


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({}, False),
        ({"arrived": keys("1")}, True),
        ({"arrived": keys(""), "retrieve": Ending.FAILED}, True),
        ({"arrived": keys(""), "availability": "NEARLINE"}, True),
        ({"arrived": keys(""), "availability": "OFFLINE"}, False),
        ({"arrived": keys(""), "availability": "UNAVAILABLE"}, False),
        ({"before": None}, False),
    ],
)
def test_what_another_attempt_may_better(changes: dict[str, object], again: bool) -> None:  # noqa: FBT001 - a value
    """Lost otherwise: what the first request fetched from tape would be given up, or a mounted tape waited for."""
    assert judge_study(facts(**changes)).again is again


@pytest.mark.parametrize(
    ("status", "ending"),
    [
        (None, "lost"),
        (0x0000, "success"),
        (0xB000, "warning"),
        (0xB006, "warning"),
        (0x0107, "warning"),
        (0xFE00, "cancelled"),
        (0xA700, "failed"),
        (0xA801, "failed"),
        (0xC000, "failed"),
        (0x0122, "failed"),
        (0x0124, "failed"),
    ],
)
def test_statuses(status: int | None, ending: str) -> None:
    """Lost otherwise: a refusal would pass for an answer (PS3.7 annex C)."""
    assert ending_of(status) == ending


def test_the_worst_speaks_for_the_row() -> None:
    """Lost otherwise: a row with one study short would be called complete because of another."""
    assert together([]) is Verdict.PENDING
    assert together(["complete", "complete"]) is Verdict.COMPLETE
    assert together(["complete", "short"]) is Verdict.SHORT
    assert together(["unverified", "complete"]) is Verdict.UNVERIFIED
    assert together(["short", "pending"]) is Verdict.PENDING
    for one in Verdict:
        assert together([one, Verdict.COMPLETE]) is one


def test_every_verdict_has_a_meaning() -> None:
    """Lost otherwise: people would read a word that nothing explains."""
    assert list(MEANING) == list(Verdict)
