"""The plan over every combination of what it looks at, and the targets beside what can be written."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from farmside import BASIC
from hypothesis import given
from hypothesis import strategies as st

from farm.codecs import registry, uids
from farm.dicom import syntaxes
from farm.dicom.syntaxes import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from farm.errors import BadInput, Reason
from farm.frames.codec import Doubt, Region
from farm.recipe.schema import schema
from farm.transcoding import dataset
from farm.transcoding.dataset import Parts
from farm.transcoding.pixels import Pixels
from farm.transcoding.plan import COSINE, MAY_LOSE, NATIVE, RULES, VIDEO, Action, Case, Frames, Plan, plan
from farm.transcoding.targets import EXPLICIT, KEEP, NAMES, TARGETS, Wanted
from tests import images
from tests.images import BYTE, GREY

MPEG2 = TARGETS["mpeg2-main"]
SOURCES = (*sorted(NATIVE), uids.RLE, uids.J2K, uids.JPEG_BASELINE, uids.JPEG_XL_JPEG, MPEG2, uids.J2K_PART2)
ASKED = ("", *(TARGETS[name] for name in ("native", "deflated", "rle", "htj2k-lossless")))
ASKED += tuple(TARGETS[name] for name in ("jpeg-baseline", "jpeg-xl-jpeg", "j2k", "mpeg2-main"))
FLAGS = ("redacting", "lossy", "readable", "writable", "rewritable", "loses", "again", "refuse")
ODD: tuple[dict[str, Any], ...] = (
    {},
    *({"frames": frames} for frames in Frames if frames is not Frames.SOUND),
    *({"doubt": doubt} for doubt in Doubt),
    {"icon": True},
    {"numbers": True},
    {"numbers": True, "doubt": Doubt.BITS},
)
"""What may be amiss with an instance."""
LITTLE = NATIVE - {EXPLICIT_BIG}


@cache
def planned() -> list[tuple[Case, Plan]]:
    """Return every case with its plan: 207,360."""
    combinations = product(SOURCES, ASKED, ODD, *[(False, True)] * len(FLAGS))
    cases = (
        Case(source, target, **odd, **dict(zip(FLAGS, flags, strict=True)))
        for source, target, odd, *flags in combinations
    )
    return [(case, plan(case)) for case in cases]


def where(*actions: Action) -> list[tuple[Case, Plan]]:
    """Return the cases that have one of these actions."""
    return [(case, found) for case, found in planned() if found.action in actions]


def is_same(case: Case) -> bool:
    """Tell whether frames are in the wanted syntax already."""
    return case.target in {"", case.source} or (case.source in LITTLE and case.target in LITTLE)


def test_what_lost_something_is_not_made_to_lose_more_unasked() -> None:
    """Lost: errors would add up behind everybody's back."""
    for case, found in where(Action.ENCODE):
        if case.loses and (case.numbers or (case.lossy and not case.again)):
            assert case.redacting, case
            assert found.target == EXPLICIT_LITTLE, case


def test_what_has_to_be_redacted_is_neither_copied_nor_rewritten() -> None:
    """Lost: burnt-in names would be released because a bitstream could be passed on."""
    assert {found.action for case, found in planned() if case.redacting} == {Action.ENCODE, Action.REFUSE}
    for case, found in where(Action.REFUSE):
        if case.redacting:
            sound = case.frames is Frames.SOUND and case.readable
            assert not sound or case.doubt or case.icon, case
        else:
            assert found.target == (case.target or case.source)


def test_only_what_can_be_done_is_done() -> None:
    """Lost: a plan would fail when it is carried out, or name a transfer syntax that the output is not in."""
    for case, found in where(Action.ENCODE):
        assert (case.frames, case.doubt, case.icon) == (Frames.SOUND, None, False), case
        assert case.readable, case
        assert found.target not in {IMPLICIT_LITTLE, EXPLICIT_BIG}, case
        assert found.target == EXPLICIT_LITTLE or (case.writable and found.target == (case.target or case.source)), case
        assert found.target == case.target or case.redacting, case
    for case, found in where(Action.REWRITE):
        assert case.rewritable, case
        assert (case.frames, case.icon) == (Frames.SOUND, False), case
        assert found.target == case.target, case


def test_what_is_copied_stays_in_a_syntax_that_its_frames_are_in() -> None:
    """Lost: frames would stand under the name of another transfer syntax, or in another byte order."""
    for case, found in where(Action.COPY):
        if found.target != case.source:
            assert {case.source, found.target} <= LITTLE, case
        if case.source in LITTLE and case.target in NATIVE:
            assert found.target == case.target, case
        if case.source == IMPLICIT_LITTLE and case.target:
            assert found.target != IMPLICIT_LITTLE, case


def test_refused_is_what_cannot_be_had_and_only_where_that_is_asked() -> None:
    """Lost: instances would be quarantined that may stay as they are, or pass that may not."""
    for case, found in planned():
        if case.redacting:
            continue
        described = case.frames is Frames.SOUND and not case.icon
        left = case.frames is Frames.NONE or is_same(case) or (described and case.rewritable)
        kept = (not case.again and (case.source in VIDEO or (case.lossy and case.loses))) or case.numbers & case.loses
        left = left or (described and kept)
        able = case.readable and case.writable and described and not case.doubt
        expected = Action.ENCODE if able else Action.REFUSE if case.refuse else Action.COPY
        assert found.action in {Action.COPY, Action.REWRITE} if left else found.action is expected, case
        assert (found.reason is None) == (found.action is not Action.REFUSE), case


def test_every_rule_decides_some_case_and_says_why_in_its_own_words() -> None:
    """Lost: a rule could stand where no case reaches it, or a report name the wrong one."""
    reached = Counter(found.why for _, found in planned())
    assert [rule.why for rule in RULES if not reached[rule.why]] == []
    assert len({rule.why for rule in RULES}) == len(RULES)


def test_the_readme_tells_why_instances_stay_as_they_are() -> None:
    """Lost: people would look for a rule, or for a reason code, that is another by now."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [section] = re.findall(r"^## Transfer syntaxes$(.*?)^##", readme, re.DOTALL | re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    told = [tuple(cell.strip().strip("`") for cell in line.split("|")[1:-1]) for line in lines]
    assert told == [(rule.why, rule.reason or "no") for rule in RULES if rule.action is Action.COPY]


def test_a_plan_is_made_again_from_what_it_made() -> None:
    """Lost: an output would be transcoded again and again, and each time be another."""
    for case, found in where(Action.ENCODE, Action.REWRITE):
        if not case.redacting:
            assert plan(case._replace(source=found.target, redacting=False)).action is Action.COPY, case


def test_targets_are_what_can_be_written() -> None:
    """Lost: a recipe could ask for what nothing writes, or could not ask for what something does."""
    written = {row.uid for row in registry.table() if row.encoder} - {IMPLICIT_LITTLE, EXPLICIT_BIG}
    assert written - VIDEO == set(TARGETS.values()) - VIDEO
    # A fragmentable video is written too, but not asked for.
    assert {uid.removesuffix(".1") for uid in written & VIDEO} <= set(TARGETS.values())
    assert len(NAMES) == len(TARGETS)
    assert all(syntaxes.find(uid) for uid in TARGETS.values())
    described = schema()["properties"]["output"]["properties"]["transfer_syntax"]["enum"]
    assert described == [KEEP, EXPLICIT, *TARGETS]
    assert BASIC.wanted.syntax == ""


def test_what_a_syntax_loses_is_what_its_codec_claims() -> None:
    """Lost: a lossy bitstream could be taken for one that is exact."""
    lossy = {row.uid for row in registry.table() if row.claim and not row.claim.lossless}
    assert lossy == (COSINE | MAY_LOSE | VIDEO) & {row.uid for row in registry.table() if row.claim}
    assert COSINE.isdisjoint(MAY_LOSE | VIDEO | NATIVE)


# What an instance says of itself makes the case.


def parts(source: str, layout: images.Layout = GREY, *, head: bytes = b"") -> Parts:
    """Return a data set of one frame."""
    said = images.trees.encode(images.described(layout))
    if source in NATIVE:
        data = images.native(layout, images.noise(layout))
        return Parts(head=head + said, pixels=Pixels(data=data, start=0, end=len(data), encapsulated=False))
    name = NAMES[source]
    (stream,), after = images.coded(name, layout, images.slope(layout))
    value = images.item(b"") + images.item(stream + b"\0" * (len(stream) % 2)) + bytes.fromhex("feffdde000000000")
    said = images.trees.encode(images.described(after))
    return Parts(head=head + said, pixels=Pixels(data=value, start=0, end=len(value), encapsulated=True))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (EXPLICIT_LITTLE, EXPLICIT_LITTLE),
        (IMPLICIT_LITTLE, EXPLICIT_LITTLE),
        (EXPLICIT_BIG, EXPLICIT_LITTLE),
        (DEFLATED_LITTLE, DEFLATED_LITTLE),
        (uids.RLE, uids.RLE),
        (uids.HTJ2K_LOSSLESS, uids.HTJ2K_LOSSLESS),
        (uids.JPEG_LS_NEAR, EXPLICIT_LITTLE),
        (uids.J2K, EXPLICIT_LITTLE),
    ],
)
def test_what_is_redacted_goes_back_to_its_own_syntax_where_nothing_more_is_lost(source: str, expected: str) -> None:
    """Lost: what is only to be blanked would grow to its native size, or be coded lossily again."""
    ready = dataset.prepare(parts(source), source, Wanted(), [Region(0, 0, 2, 2)])
    assert (ready.plan.action, ready.plan.target) == (Action.ENCODE, expected)
    assert ready.work is not None
    assert ready.work.job.blank == (Region(0, 0, 2, 2),)
    (result,) = images.INLINE.run([ready.work])
    assert not isinstance(result, BadInput)
    assert dataset.finish(ready, result, "1.2.3").syntax == expected


def test_what_cannot_be_described_is_not_redacted() -> None:
    """Lost: regions would be blanked in samples that nobody can place."""
    broken = Parts(head=b"", pixels=parts(EXPLICIT_LITTLE).pixels)
    for given_parts, source in ((broken, EXPLICIT_LITTLE), (parts(EXPLICIT_LITTLE), uids.J2K_PART2)):
        with pytest.raises(BadInput) as refused:
            dataset.prepare(given_parts, source, Wanted(), [Region(0, 0, 1, 1)])
        assert refused.value.reason is Reason.CODEC_ABSENT


@given(said=st.sampled_from([None, b"00", b"01", b"01 ", b"", b"02"]), source=st.sampled_from(SOURCES))
def test_lossy_is_what_says_so_or_cannot_be_otherwise(said: bytes | None, source: str) -> None:
    """Lost: what JPEG has spoilt would pass for exact, or a lossless JPEG 2000 stream for lossy."""
    found = dataset.attributes.lossy(source, {} if said is None else {0x00282110: said})
    always = source in COSINE | VIDEO
    assert found == (always or said in {b"01", b"01 "} or (source in MAY_LOSE and said != b"00"))


def test_what_is_compressed_within_an_instance_binds_it_to_its_syntax() -> None:
    """Lost: the icon's pixels, which share the transfer syntax, would become unreadable (PS3.5 A.4)."""
    icon = bytes.fromhex("e07f1000") + b"OB\0\0" + b"\xff" * 4
    for source, target in ((uids.JPEG_BASELINE, uids.JPEG_XL_JPEG), (uids.RLE, uids.HTJ2K_LOSSLESS)):
        there = parts(source, BYTE)
        assert dataset.prepare(there, source, Wanted(syntax=target)).plan.action is not Action.COPY
        sequence = icon + images.item(b"") + bytes.fromhex("feffdde000000000")
        private = bytes.fromhex("09001000") + b"LO\4\0ACME" + bytes.fromhex("09000110") + b"SQ\0\0"
        nested = private + (len(sequence) + 8).to_bytes(4, "little") + images.item(sequence)
        held = Parts(head=nested + there.head, pixels=there.pixels)
        found = dataset.prepare(held, source, Wanted(syntax=target)).plan
        assert (found.action, found.why) == (Action.COPY, "an image within it has its transfer syntax")
        with pytest.raises(BadInput):
            dataset.prepare(held, source, Wanted(syntax=target, refuse=True))
        with pytest.raises(BadInput):
            dataset.prepare(held, source, Wanted(syntax=target), [Region(0, 0, 1, 1)])
