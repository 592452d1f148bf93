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
from farm.errors import Reason
from farm.frames.codec import Doubt

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


class Frames(StrEnum):
    """What an instance has of frames, as far as that can be told without reading any."""

    SOUND = "sound"
    NONE = "none"
    UNDESCRIBED = "undescribed"
    """What describes them cannot be true."""
    LARGE = "large"
    """Their samples take more bytes than they may."""


class Case(NamedTuple):
    """An instance and what is wanted of it. All that `RULES` look at.

    `source` and `target` are transfer syntax UIDs; an empty target: whatever it has. `doubt`: its samples are not all
    that its frames say; mostly it shows only when these are read. `icon`: another image within it is in its transfer
    syntax and stays. `numbers`: its values are labels or quantities. `lossy`: something was lost already, as its syntax
    or its attributes say. `readable`: a codec reads the source. `writable`: a codec writes the target, and it can hold
    these samples. `rewritable`: the bitstreams can be rewritten. `loses`: the target loses something.
    """

    source: str
    target: str
    redacting: bool
    frames: Frames = Frames.SOUND
    doubt: Doubt | None = None
    icon: bool = False
    numbers: bool = False
    lossy: bool = False
    readable: bool = True
    writable: bool = True
    rewritable: bool = False
    loses: bool = False
    again: bool = False
    refuse: bool = False


class Rule(NamedTuple):
    """One line of the table; with a `reason`, what is copied by it is refused where that is asked for."""

    when: Callable[[Case], bool]
    action: Action
    why: str
    reason: Reason | None = None


def _same(case: Case) -> bool:
    return case.target in {"", case.source} or {case.source, case.target} <= NATIVE - {syntaxes.EXPLICIT_BIG}


RULES: tuple[Rule, ...] = (
    # Without frames there is nothing to code; what cannot be described cannot be redacted either.
    Rule(lambda case: case.frames is Frames.NONE and not case.redacting, Action.COPY, "it has no Pixel Data"),
    Rule(
        lambda case: case.redacting and case.frames is not Frames.SOUND,
        Action.REFUSE,
        "it has no frames that can be redacted",
        Reason.CODEC_ABSENT,
    ),
    # Redacting needs the samples, all of them, and a way to write them again; how, `plan` chooses.
    Rule(
        lambda case: case.redacting and not case.readable,
        Action.REFUSE,
        "no codec reads it, so nothing is blanked",
        Reason.CODEC_ABSENT,
    ),
    Rule(
        lambda case: case.redacting and (case.doubt is not None or case.icon),
        Action.REFUSE,
        "what is to be blanked may be seen elsewhere in it",
        Reason.PIXELS_UNDECODABLE,
    ),
    Rule(lambda case: case.redacting, Action.ENCODE, "regions are blanked"),
    Rule(_same, Action.COPY, "its frames are in that transfer syntax already"),
    # What nobody can make sense of stays as it is.
    Rule(
        lambda case: case.frames is Frames.UNDESCRIBED,
        Action.COPY,
        "what describes its frames cannot be true",
        Reason.PIXELS_UNDECODABLE,
    ),
    Rule(
        lambda case: case.frames is Frames.LARGE,
        Action.COPY,
        "its frames are larger than the limit",
        Reason.PIXELS_TOO_LARGE,
    ),
    Rule(lambda case: case.icon, Action.COPY, "an image within it has its transfer syntax", Reason.CODEC_ABSENT),
    Rule(lambda case: case.rewritable, Action.REWRITE, "the same coded picture fits into the other syntax"),
    # Video is one stream for all frames: it is taken apart only by those who ask for another video, or for frames.
    Rule(lambda case: case.source in VIDEO and not case.again, Action.COPY, "video is passed on"),
    Rule(lambda case: case.lossy and case.loses and not case.again, Action.COPY, "it was lossy already"),
    # A label or a dose that is almost right is wrong.
    Rule(lambda case: case.numbers and case.loses, Action.COPY, "its values are no picture"),
    # What would be lost without a word stays where it is.
    Rule(
        lambda case: case.doubt is Doubt.BITS,
        Action.COPY,
        "something stands in unused bits of its samples",
        Reason.PIXELS_UNDECODABLE,
    ),
    Rule(
        lambda case: case.doubt is Doubt.COLOURS,
        Action.COPY,
        "its attributes and its frames tell of different colours",
        Reason.PIXELS_UNDECODABLE,
    ),
    # What cannot be had in the target stays as it is too.
    Rule(lambda case: not case.readable, Action.COPY, "no codec reads it", Reason.CODEC_ABSENT),
    Rule(lambda case: not case.writable, Action.COPY, "the transfer syntax cannot hold it", Reason.CODEC_ABSENT),
    Rule(lambda _: True, Action.ENCODE, "it is encoded"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is done with the frames, the transfer syntax that they have afterwards, and the rule that says so.

    `reason`: why it is refused, where it is.
    """

    action: Action
    target: str
    why: str
    reason: Reason | None = None


def plan(case: Case) -> Plan:
    """Return what is to be done with an instance."""
    rule = next(rule for rule in RULES if rule.when(case))
    refused = rule.reason is not None and (case.refuse or rule.action is Action.REFUSE)
    action = Action.REFUSE if refused else rule.action
    return Plan(action=action, target=_target(case, action), why=rule.why, reason=rule.reason if refused else None)


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
    lost = case.loses and (case.numbers or (case.lossy and not case.again))
    retired = target in {syntaxes.IMPLICIT_LITTLE, syntaxes.EXPLICIT_BIG}  # what is written is explicit little endian
    return target if case.writable and not lost and not retired else syntaxes.EXPLICIT_LITTLE


def _copied(case: Case) -> str:
    """Return the transfer syntax of an instance whose frames stay: another one where only headers differ."""
    if case.source not in NATIVE - {syntaxes.EXPLICIT_BIG} or not case.target:  # big endian samples would be turned
        return case.source
    if case.target in NATIVE:
        return case.target
    return case.source if case.source == syntaxes.DEFLATED_LITTLE else syntaxes.EXPLICIT_LITTLE
