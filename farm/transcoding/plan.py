"""The plan: what becomes of an instance's frames on the way from one transfer syntax to another.

There are three ways. *Copy*: the frames stay as they are, byte for byte. *Rewrite*: the bitstream of each becomes that
of another syntax that holds the same coded picture, and back again byte for byte (JPEG Baseline within JPEG XL).
*Encode*: each is decoded, blanked where it has to be, and written anew; into a native syntax that is all of decoding.
`RULES` says which, top to bottom, the first that fits.

What was lossy once is not made lossy again behind anybody's back: errors add up, and the second method would be the
only one that a reader suspects. It stays as it is, unless the order says `again`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from farm.dicom import syntaxes

_UID = "1.2.840.10008.1.2."
NATIVE = frozenset(
    {syntaxes.IMPLICIT_LITTLE, syntaxes.EXPLICIT_LITTLE, syntaxes.EXPLICIT_BIG, syntaxes.DEFLATED_LITTLE}
)
COSINE = frozenset(f"{_UID}4.{n}" for n in (*range(50, 57), *range(59, 65), 111))
"""JPEG by cosine transform: it always loses something."""
VIDEO = frozenset(f"{_UID}4.{n}" for n in range(100, 109)) | frozenset(f"{_UID}4.{n}.1" for n in range(100, 107))
MAY_LOSE = frozenset(f"{_UID}4.{n}" for n in (81, 91, 93, 203, 112))
"""Syntaxes that hold lossless bitstreams as well."""


class Action(StrEnum):
    """What is done with the frames."""

    COPY = "copy"
    REWRITE = "rewrite"
    ENCODE = "encode"
    REFUSE = "refuse"


class Case(NamedTuple):
    """An instance and what is wanted of it. All that `RULES` look at.

    `source` and `target` are transfer syntax UIDs; an empty target: whatever it has. `frames`: it has any, and what
    describes them can be true. `lossy`: something was lost already, as its syntax or its attributes say. `readable`: a
    codec reads the source. `writable`: a codec writes the target, and it can hold these samples. `rewritable`: the
    bitstreams can be rewritten. `loses`: the target loses something.
    """

    source: str
    target: str
    redacting: bool
    frames: bool = True
    lossy: bool = False
    readable: bool = True
    writable: bool = True
    rewritable: bool = False
    loses: bool = False
    again: bool = False
    refuse: bool = False


class Rule(NamedTuple):
    """One line of the table."""

    when: Callable[[Case], bool]
    action: Action
    why: str


def _same(case: Case) -> bool:
    return case.target in {"", case.source} or {case.source, case.target} <= NATIVE - {syntaxes.EXPLICIT_BIG}


RULES: tuple[Rule, ...] = (
    # Without frames there is nothing to code; what cannot be described cannot be redacted either.
    Rule(lambda case: not case.frames and not case.redacting, Action.COPY, "it has no frames that can be coded"),
    Rule(lambda case: not case.frames, Action.REFUSE, "it has no frames that can be redacted"),
    # Redacting needs the samples, and a way to write them again; how, `plan` chooses.
    Rule(lambda case: case.redacting and not case.readable, Action.REFUSE, "no codec reads it, so nothing is blanked"),
    Rule(lambda case: case.redacting, Action.ENCODE, "regions are blanked"),
    Rule(_same, Action.COPY, "its frames are in that transfer syntax already"),
    Rule(lambda case: case.rewritable, Action.REWRITE, "the same coded picture fits into the other syntax"),
    # Video is one stream for all frames: it is taken apart only by those who ask for another video, or for frames.
    Rule(lambda case: case.source in VIDEO and not case.again, Action.COPY, "video is passed on"),
    Rule(lambda case: case.lossy and case.loses and not case.again, Action.COPY, "it was lossy already"),
    # What cannot be had in the target stays as it is, or is refused.
    Rule(lambda case: not (case.readable and case.writable) and case.refuse, Action.REFUSE, "no codec can do it"),
    Rule(lambda case: not case.readable, Action.COPY, "no codec reads it"),
    Rule(lambda case: not case.writable, Action.COPY, "the transfer syntax cannot hold it"),
    Rule(lambda _: True, Action.ENCODE, "it is encoded"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done with the frames, the transfer syntax that they have afterwards, and the rule that says so."""

    action: Action
    target: str
    why: str


def plan(case: Case) -> Plan:
    """Return what is to be done with an instance."""
    rule = next(rule for rule in RULES if rule.when(case))
    return Plan(action=rule.action, target=_target(case, rule.action), why=rule.why)


def _target(case: Case, action: Action) -> str:
    """Return the transfer syntax that frames have afterwards.

    What is redacted without a target goes back to its own syntax where that is lossless and can be written, and is
    native otherwise: nothing more is lost than what had to go.
    """
    if action in {Action.REWRITE, Action.REFUSE}:
        return case.target or case.source
    if action is Action.COPY:
        return _copied(case)
    target = case.target or case.source
    lost = case.lossy and case.loses and not case.again
    retired = target in {syntaxes.IMPLICIT_LITTLE, syntaxes.EXPLICIT_BIG}  # what is written is explicit little endian
    return target if case.writable and not lost and not retired else syntaxes.EXPLICIT_LITTLE


def _copied(case: Case) -> str:
    """Return the transfer syntax of an instance whose frames stay: another one where only headers differ."""
    if case.source not in NATIVE - {syntaxes.EXPLICIT_BIG} or not case.target:  # big endian samples would be turned
        return case.source
    if case.target in NATIVE:
        return case.target
    return case.source if case.source == syntaxes.DEFLATED_LITTLE else syntaxes.EXPLICIT_LITTLE
