"""Laws of the release gate: it finds every survivor, lets clean instances go, and what it remembers changes nothing."""

from __future__ import annotations

import os
import random
from collections import Counter

import farmside
import gate_oracle
import oracle
import pytest
import trees
from gate_oracle import COMMENT, PLACES, Case, Person
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element
from trees import text

from farm.deid import gate
from farm.deid.gate import search
from farm.deid.gate.grammar import Grammar, Unreadable
from farm.deid.gate.reading import Heap
from farm.deid.gate.walk import Walk, grammar_of
from tests import generate

SURVIVORS = int(os.environ.get("GATE_SURVIVORS", "2000"))
CLEAN = int(os.environ.get("GATE_CLEAN", "250"))
EXAMPLES = int(os.environ.get("GATE_EXAMPLES", "50"))
_EACH = 20  # survivors planted in one output
_MOST_WITHHELD = 0.001


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", trees.SYNTAXES)
def test_every_planted_survivor_is_found(name: str) -> None:
    """Lost otherwise: the gate would vouch for outputs in which somebody is named."""
    rng = random.Random(f"survivors {name}")
    missed = []
    for number in range(SURVIVORS // len(trees.SYNTAXES) // _EACH + 1):
        person = Person(rng)
        case = person.case(name)
        assert case.verdict().outcome is gate.Outcome.RELEASE, number
        for _ in range(_EACH):
            secret, where = rng.choice(person.secrets), rng.choice(PLACES)
            if where in {"bytes", "meta"} and secret.vr == "TM":
                continue  # six digits among bytes are chance, and no time
            value = gate_oracle.encoded(rng, person, gate_oracle.spelt(rng, secret, where))
            if gate_oracle.plant(case, where, value).outcome is gate.Outcome.RELEASE:
                missed.append((secret, person.codec, where, value))
    assert missed == []


@pytest.mark.parametrize("where", [place for place in PLACES if place not in {"private", "meta"}])
def test_what_is_planted_is_found_for_what_it_is(where: str) -> None:
    """Lost otherwise: the law above could hold because anything put into an output is held back."""
    rng = random.Random(where)
    for _ in range(20):
        person = Person(rng)
        harmless = person.word(low=12, high=20).encode()
        assert gate_oracle.plant(person.case(), where, harmless).outcome is gate.Outcome.RELEASE


def test_an_original_uid_is_found_wherever_uids_stand() -> None:
    """Lost otherwise: an output could be linked with its source by any archive."""
    rng = random.Random("uids")
    for _ in range(50):
        person = Person(rng)
        case = person.case()
        uid = rng.choice([secret.text for secret in person.secrets if secret.vr == "UI"]).encode()
        reference = text(0x00081155, gate_oracle.padded(uid, "UI"))
        kept = text(0x00400558, gate_oracle.padded(uid, "UI"), "UI")
        for planted in (trees.sequence(0x00081140, [reference]), trees.sequence(0x0008114A, [kept])):
            verdict = case.planted(planted)
            assert verdict.outcome is gate.Outcome.WITHHOLD
            assert {finding.kind for finding in verdict.findings} == {"uid"}


def test_an_element_that_was_not_edited_is_found() -> None:
    """Lost otherwise: the plainest of mistakes, an edit left out, would pass."""
    rng = random.Random("left out")
    for _ in range(100):
        person = Person(rng)
        case = person.case()
        secret = rng.choice(person.secrets)
        value = gate_oracle.padded(person.written(secret.text), secret.vr)
        assert case.planted(text(secret.tag, value)).outcome is not gate.Outcome.RELEASE, secret


@pytest.mark.timeout(1800)
def test_clean_instances_are_released() -> None:
    """Lost otherwise: people would learn to wave through what the gate holds back."""
    outcomes: Counter[gate.Outcome] = Counter()
    for number in range(CLEAN):
        dataset = generate.ct(f"clean {number}", number % generate.SERIES_SIZE, side=8)
        outcomes[Case.of_file(generate.encode(dataset)).verdict().outcome] += 1
    assert outcomes[gate.Outcome.RELEASE] >= (1 - _MOST_WITHHELD) * CLEAN, outcomes


@pytest.mark.parametrize("undefined_lengths", [False, True])
def test_clean_instances_of_many_elements_are_released(undefined_lengths: bool) -> None:  # noqa: FBT001
    """Lost otherwise: enhanced multi-frame instances and reports could not be released at all."""
    for number in range(3):
        for dataset in (generate.enhanced_mr(number, frames=20), generate.report(number, elements=1500)):
            case = Case.of_file(generate.encode(dataset, undefined_lengths=undefined_lengths))
            assert case.verdict().findings == ()


# What the gate remembers.


def test_what_is_remembered_of_other_instances_changes_no_verdict() -> None:
    """Lost otherwise: an instance could be released because the one before was clean, or held for another's name."""
    rng = random.Random("remembered")
    people = [Person(rng) for _ in range(12)]
    cases = [person.case() for person in people]
    for _ in range(200):
        case, other = rng.choice(cases), rng.choice(people)
        secret = rng.choice(other.secrets)
        value = gate_oracle.padded(other.written(secret.text), "LO")
        warm = case.planted(text(COMMENT, value))
        known = search._MEMORIES.copy()
        search._MEMORIES.clear()
        grammar_of.cache_clear()
        assert case.planted(text(COMMENT, value)) == warm
        search._MEMORIES.update(known)


VRS = {
    0x00080005: "CS",
    0x00080018: "UI",
    0x00081030: "LO",
    0x00081140: "SQ",
    0x00081155: "UI",
    0x00090010: "LO",
    0x00091001: "UN",
    0x00104000: "LT",
    0x00189346: "SQ",
    0x00281201: "OW",
    0x00400260: "SQ",
    0x0040A160: "UT",
    0x0040A730: "SQ",
    0x00420011: "OB",
}
_DIALECTS = {name: gate_oracle.DIALECTS[syntax] for name, syntax in trees.SYNTAXES.items()}
_SIDES = {
    (name, is_output): Grammar(gate.Reading(), dialect, is_output=is_output)
    for name, dialect in _DIALECTS.items()
    for is_output in (False, True)
}


def walked(data: bytes, how: Grammar) -> tuple[list[set[bytes]], dict[int, bytes], list[object]] | None:
    """Return what a walk finds, without how often and in which order; None where it cannot read to the end."""
    walk = Walk(data)
    try:
        walk.run(0, len(data), how)
    except Unreadable:
        return None
    heaps = [set(heap) if number != Heap.NOTHING else set() for number, heap in enumerate(walk.heaps)]
    return heaps, walk.facts, sorted(set(map(str, walk.problems)))


def gone(elements: list[Element]) -> dict[str, set[bytes]]:
    """Return the values that the Basic Profile removes, by VR, the plain way."""
    found: dict[str, set[bytes]] = {}
    for where, element in oracle.leaves(elements):
        actions = ["X" if tag >> 16 & 1 else farmside.TABLE.get(tag, "K") for tag in where]
        if set(actions[:-1]) & set("XZD") or actions[-1] != "K":
            found.setdefault(element.vr, set()).add(bytes(element.value))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("is_output", [False, True])
@pytest.mark.parametrize("name", trees.SYNTAXES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_a_walk_that_remembers_finds_what_a_fresh_one_does(name: str, data: st.DataObject, is_output: bool) -> None:  # noqa: FBT001
    """Lost otherwise: chunks and remembered sequences could hide a value from the search."""
    drawn = data.draw(trees.elements(VRS, depth=3, unknown=name == "explicit"))
    encoded = trees.encode(trees.in_order(drawn), trees.SYNTAXES[name])
    dialect = _DIALECTS[name]
    fresh = Grammar(gate.Reading(), dialect, is_output=is_output, learns=False)
    expected = walked(encoded, fresh)
    warm = _SIDES[name, is_output]
    for _ in range(3):
        assert walked(encoded, warm) == expected


@pytest.mark.parametrize("name", trees.SYNTAXES)
@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.data())
def test_a_walk_finds_what_the_oracle_does(name: str, data: st.DataObject) -> None:
    """Lost otherwise: the gate's reader could pass over what it ought to look for."""
    drawn = trees.in_order(data.draw(trees.elements(VRS, depth=3, unknown=False)))
    found = walked(trees.encode(drawn, trees.SYNTAXES[name]), _SIDES[name, False])
    assert found is not None
    heaps, expected = found[0], gone(drawn)
    texts = set().union(*(expected.get(vr, set()) for vr in ("LO", "LT", "UT", "CS")))
    assert texts == heaps[Heap.IDENTIFIERS] | heaps[Heap.DESCRIPTIONS] | heaps[Heap.GONE_CHARSETS]
    assert expected.get("UI", set()) == heaps[Heap.UIDS]
    assert expected.get("OB", set()) | expected.get("OW", set()) <= heaps[Heap.BYTES]


@settings(max_examples=4 * EXAMPLES, deadline=None)
@given(data=st.binary(max_size=120), flips=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6))
def test_no_bytes_make_the_gate_fail(data: bytes, flips: list[tuple[int, int]]) -> None:
    """Lost otherwise: a hostile file would end as an internal error and not as a verdict."""
    case = _case()
    spoilt = bytearray(case.output[len(case.head) :])
    for at, value in flips:
        spoilt[at % len(spoilt)] = value
    assert case.verdict(body=bytes(spoilt)).outcome in gate.Outcome
    assert case.verdict(body=data).outcome is gate.Outcome.WITHHOLD


_CASES: list[Case] = []


def _case() -> Case:
    if not _CASES:
        _CASES.append(Person(random.Random("spoilt")).case())
    return _CASES[0]
