"""Stretches are a shortcut: whatever they skip, the plain walk would have done the same."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from farm.deid.markers import INSERTS
from farm.deid.policy import Policy
from farm.deid.rules import PolicyRules
from farm.dicom import part10
from farm.dicom.grammar import Plan
from farm.dicom.splice import Walk
from farm.dicom.stretch import Lessons, TracedWalk
from farm.errors import BadInput
from tests.generate import ct, encode, enhanced_mr

MUTANTS = int(os.environ.get("STRETCH_MUTANTS", "6"))  # of each instance


class _Editor:
    """Answers that differ in length from what they replace, as new UIDs do."""

    answers = None

    def ask(self, tag: int, vr: str, value: bytes) -> bytes:
        del tag, vr
        return b"2.25." + str(sum(value) * 7919 % 10 ** (1 + len(value) % 7)).encode()

    def insert(self, phase: int, dialect: object) -> bytes:
        del dialect
        return b"" if phase > 1 else bytes([phase]) * 6

    def judge(self, tag: int, vr: str, value: bytes, item: int) -> bool:
        del tag, vr, value, item
        return True

    def kind(self, tag: int, start: int, end: int) -> int:
        del tag, start, end
        return 0

    def settle(self, tag: int, vr: str) -> str:
        del tag
        return vr


def _result(walk: Walk, start: int, end: int) -> object:
    """Return all that a walk found: edits by what they change, notes, end; or that the data set is refused."""
    try:
        walk.run(start, end)
    except BadInput:
        return "refused"
    cut: list[tuple[int, int, bytes]] = []
    for first, last, new in sorted(walk.edits):
        if cut and cut[-1][1] == first:
            before = cut.pop()
            cut.append((before[0], last, before[2] + new))
        else:
            cut.append((first, last, new))
    return cut, walk.notes, walk.end


def _mutants(data: bytes, seed: int) -> Iterator[bytes]:
    """Yield the data with a few bytes changed, most of them in headers, or with a piece cut out or doubled."""
    pick = random.Random(seed)
    for _ in range(MUTANTS):
        mutant = bytearray(data)
        for _ in range(pick.randrange(3)):
            at = pick.randrange(132, min(len(mutant), 9000))
            mutant[at] = pick.choice((0, 1, 2, 0x20, 0xFF, mutant[at] ^ 2))
        if pick.random() < 0.3:
            at = pick.randrange(400, min(len(mutant), 6000))
            del mutant[at : at + pick.randrange(1, 40)]
        yield bytes(mutant)


SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=["explicit", "implicit", "big-endian"])
def test_a_walk_with_lessons_finds_what_the_plain_walk_finds(syntax: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost if it fails: an element could slip through de-identification because its neighbours looked familiar."""
    instances = [encode(ct(1, n, side=8), syntax=syntax, undefined_lengths=undefined) for n in range(14)]
    instances += [encode(enhanced_mr(n, frames=12), syntax=syntax, undefined_lengths=undefined) for n in range(4)]
    instances += [encode(ct(2, n, side=8), syntax=syntax, undefined_lengths=undefined) for n in range(4)]
    mutants = [mutant for n, data in enumerate(instances) for mutant in (data, *_mutants(data, n))]
    source = part10.parse(instances[0])
    lessons = Lessons(Plan(PolicyRules(Policy(), ""), source.dialect, INSERTS))
    stretched = traced = 0
    for data in mutants:
        try:
            start = part10.parse(data).start
        except BadInput:
            continue
        plain = _result(
            Walk(data, Plan(PolicyRules(Policy(), ""), source.dialect, INSERTS), _Editor()), start, len(data)
        )
        walk = lessons.walk(data, _Editor())
        assert _result(walk, start, len(data)) == plain
        stretched += walk.stretched
        traced += isinstance(walk, TracedWalk)
        if not isinstance(plain, str):
            lessons.learn(walk, start)
    assert stretched, "no stretch was ever used: the comparison would prove nothing"
    assert traced > 1
