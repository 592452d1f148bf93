"""The policy against an independent reading of table E.1-1, under every combination of its options."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path

import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.deid import resolve
from farm.deid.policy import CODES, EXCLUSIVE, ICC_PROFILE, OPTIONS, PALETTES, Action, Policy
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of

ROOT = Path(__file__).parents[2]
TABLE = ROOT.parent / "shared" / "standard" / "e1_1_2026d.json"
needs_standard = pytest.mark.skipif(not TABLE.exists(), reason="the standard's data are not at hand")

CT, ENHANCED_CT, RETIRED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.5"
NOWHERE = resolve.types(RETIRED)
CHOICES = [frozenset[str](), *(frozenset(pair) for n in (1, 2) for pair in combinations(sorted(OPTIONS), n))]
CHOICES = [chosen for chosen in CHOICES if not chosen >= EXCLUSIVE]
NO_TEXT = {"FL", "FD", "SL", "SS", "UL", "US", "OW", "OF", "OD", "OL", "OV", "SV", "UV", "AT", "SQ"}
BULK = {"OW", "OF", "OD", "OL", "OV"}
SINGLE = [(int(row[0], 16), row[1], row[2]) for row in ROWS if "x" not in row[0] and row[0] != "odd"]
WHOLE = {0x0000, 0x0002, 0x0004}  # groups that do not belong into a data set


def action(tag: int, *, policy: Policy | None = None, vr: str = "", path: tuple[int, ...] = ()) -> Action:
    """Return what a policy does where no Types are known."""
    return (policy or Policy()).decide(tag, vr or vr_of(tag), path, NOWHERE).action


def expected(tag: int, code: str, columns: str, options: frozenset[str]) -> str:
    """Return what a row says, read column by column: cleaning, then keeping, then what every Type allows."""
    named = dict(cell.split("=") for cell in columns.split())
    letters = {named.get(option.replace("-", "_"), "") for option in options}
    choices = code.split("/")
    if tag >> 16 in WHOLE:
        return "X"
    if "C" in letters and vr_of(tag) not in NO_TEXT - {"SQ"} | {"UI", "OB", "UN"}:
        return "C"
    if "K" in letters or "U*" in choices:
        return "K"
    return "Z" if vr_of(tag) == "SQ" and "Z" in choices else choices[-1]


@pytest.mark.parametrize("options", CHOICES, ids=lambda options: "+".join(sorted(options)))
def test_every_row_does_what_the_table_says(options: frozenset[str]) -> None:
    """Lost otherwise: an attribute of the table would be kept, or an option reach what it does not name."""
    policy = Policy(options=options)
    for tag, code, columns in SINGLE:
        assert action(tag, policy=policy) == expected(tag, code, columns, options), f"{tag:08x}"


@needs_standard
@pytest.mark.parametrize("unlisted_removed", [False, True])
def test_every_row_of_the_standards_own_data_is_followed(unlisted_removed: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a table generated wrongly would be followed rightly."""
    rows = json.loads(TABLE.read_text())["rows"]
    assert len(rows) == len(ROWS)
    for row in rows:
        pattern = row["tag"].strip("()").replace(",", "").lower()
        if not re.fullmatch("[0-9a-f]{8}", pattern) or int(pattern[:4], 16) in WHOLE:
            continue
        tag, basic = int(pattern, 16), row["basic_profile"]
        assert action(tag, policy=Policy(unlisted_removed=unlisted_removed)).value in (
            {"K"} if "U*" in basic else set(basic.split("/"))
        ), pattern
        for option in OPTIONS:
            said = row["options"].get(option.replace("-", "_"))
            found = action(tag, policy=Policy(options=frozenset({option}), unlisted_removed=unlisted_removed))
            assert not said or said == found or (said == "C" and vr_of(tag) in {"OB", "OW", "UI", "UN"}), pattern


def test_cleaning_wins_over_keeping() -> None:
    """Lost otherwise: what one option cleans would be kept as it is by another."""
    both = [tag for tag, _, columns in SINGLE if "=C" in columns and "=K" in columns]
    assert len(both) > 100
    for tag in both:
        letter = action(tag, policy=Policy(options=frozenset(OPTIONS)))
        assert letter in ("C" if vr_of(tag) in {"DA", "DT", "TM", "SH", "LO", "SQ"} else "DX"), f"{tag:08x}"


@pytest.mark.parametrize("vr", ["DS", "IS", "OB", "OW", "UI", "UL", "UN"])
def test_what_cannot_be_cleaned_is_not_kept_instead(vr: str) -> None:
    """Lost otherwise: a date of the device that is written with another VR would stay, where dates are modified."""
    policy = Policy(options=frozenset({"retain-device-identity", "retain-longitudinal-modified-dates"}))
    assert policy.decide(0x00181200, "DA", (), NOWHERE).action is Action.CLEAN  # Date of Last Calibration
    assert policy.decide(0x00181200, vr, (), NOWHERE).action is Action.REMOVE
    assert policy.decide(0x00181000, vr, (), NOWHERE).action is Action.KEEP  # Device Serial Number


def test_types_decide_compound_codes() -> None:
    """Lost otherwise: a required attribute would be removed, or one that is not be left behind as a dummy."""
    policy = Policy()
    for sop_class, tag, letter in (
        (CT, 0x00080023, "Z"),
        (CT, 0x00181000, "X"),
        (ENHANCED_CT, 0x00181000, "D"),
        (RETIRED, 0x00181000, "D"),
    ):
        found = policy.decide(tag, vr_of(tag), (), resolve.types(sop_class))
        assert found.action == letter, (sop_class, f"{tag:08x}")


def test_the_references_of_images_go_where_their_items_could_say_more() -> None:
    """Lost otherwise: X/Z/U* would keep items whose other attributes nobody looks at."""
    for tag in (0x00081140, 0x00082112):
        assert action(tag) is Action.KEEP
        assert action(tag, policy=Policy(unlisted_removed=True)) is Action.KEEP


@pytest.mark.parametrize(
    "tag", [0x00080000, 0x00100000, 0x00020010, 0x00041500, 0x00000002, 0x50103000, 0x60023000, 0x60000022, 0x00290010]
)
@pytest.mark.parametrize("options", [frozenset[str](), frozenset({"clean-graphics", "retain-uids"})])
def test_what_the_prose_removes_is_removed(tag: int, options: frozenset[str]) -> None:
    """Lost otherwise: group lengths, file-set elements, overlays, curves or private elements would stay."""
    assert action(tag, policy=Policy(options=options)) is Action.REMOVE


@given(group=st.integers(4, 0x7FFF).map(lambda half: 2 * half + 1), element=st.integers(1, 0xFFFF))
def test_odd_groups_go_or_are_judged(group: int, element: int) -> None:
    """Lost otherwise: some private element would be kept because of its number."""
    tag = group << 16 | element
    everything = Policy(options=frozenset(OPTIONS) - {"retain-safe-private"}, keep=frozenset({tag}))
    for policy in (Policy(), everything, Policy(unlisted_removed=True)):
        assert action(tag, policy=policy, vr="UN") is Action.REMOVE
    assert action(tag, policy=Policy(options=frozenset({"retain-safe-private"})), vr="UN") is Action.CLEAN


@pytest.mark.parametrize("tag", [0x00080060, 0x00080016, 0x00280010, 0x7FE00010, 0x00180050, 0x00400260])
def test_what_the_table_does_not_list_is_kept(tag: int) -> None:
    """Lost otherwise: images would lose what makes them images."""
    assert action(tag) is Action.KEEP


REMOVING = Policy(unlisted_removed=True, keep=frozenset({0x00181210}))


@pytest.mark.parametrize(
    ("tag", "letter"),
    [
        (0x00180022, "C"),  # Scan Options, CS
        (0x00181210, "K"),  # Convolution Kernel, on the keep-list
        (0x00181160, "X"),  # Filter Type, SH
        (0x00280107, "K"),  # a number
        (0x00180050, "C"),  # DS: numbers stay
        (0x00189004, "C"),  # Content Qualification, CS
        (0x00080005, "C"),  # Specific Character Set: its terms stay
        (0x00080016, "K"),
        (0x7FE00010, "K"),
        (0x00080100, "C"),  # Code Value, SH
        (0x00080104, "C"),
        (ICC_PROFILE, "C"),
        (0x00281201, "C"),
        (0x00089215, "K"),  # Derivation Code Sequence
        (0x00185010, "X"),  # Transducer Data, LO
    ],
)
def test_unlisted_attributes_go_where_they_could_carry_text(tag: int, letter: str) -> None:
    """Lost otherwise: a vendor's free text would stay, or a number go that images need."""
    assert action(tag, policy=REMOVING) == letter
    assert action(tag) == ("X" if tag == 0x00282000 and letter == "X" else action(tag))


@given(st.sampled_from(sorted(oracle.LONG | oracle.SHORT)))
def test_no_vr_that_carries_text_or_dates_is_left_unlooked_at(vr: str) -> None:
    """Lost otherwise: an attribute that no dictionary knows could carry a name out."""
    found = action(0x0018FFF0, policy=REMOVING, vr=vr)
    safe = vr in NO_TEXT - BULK
    assert found == ("K" if safe else "U" if vr == "UI" else "C" if vr in {"AS", "CS", "DS", "IS"} else found)
    assert safe or found is not Action.KEEP


def test_codes_and_palettes_are_cleaned_by_tag_whatever_their_vr() -> None:
    """Lost otherwise: what is cleaned by looking it up would go because of its VR."""
    for tag in CODES | PALETTES | {ICC_PROFILE}:
        assert action(tag, policy=REMOVING) in {"C", "X", "U", "D"}
        assert action(tag, policy=REMOVING) is not Action.KEEP


def test_a_rule_of_the_recipes_own_stands_above_all() -> None:
    """Lost otherwise: a site could not remove more than the profile does."""
    own = ((0x00080060, Action.REMOVE), (0x00100010, Action.EMPTY), (0x00181030, Action.CLEAN))
    policy = Policy(own=own, options=frozenset({"clean-descriptors"}), keep=frozenset({0x00080060}))
    for tag, letter in own:
        for path in ((), (0x00400275,)):
            found = policy.decide(tag, vr_of(tag), path, NOWHERE)
            assert (found.action, found.layer) == (letter, "recipe")
            assert policy.settled(tag, vr_of(tag), path, NOWHERE) == Policy(
                options=policy.options, keep=policy.keep
            ).decide(tag, vr_of(tag), path, NOWHERE)


@given(st.sampled_from(Action), st.sampled_from(Action), st.sampled_from(Action))
def test_weakening_is_an_order(one: Action, two: Action, three: Action) -> None:
    """Lost otherwise: a rule could be weakened in two steps where one is refused."""
    weakens = Policy().weakens
    assert not weakens(one, one)
    assert not (weakens(one, two) and weakens(two, one))
    assert weakens(one, three) or not (weakens(one, two) and weakens(two, three))
    assert weakens(Action.KEEP, one) == (one is not Action.KEEP)
    assert not weakens(Action.REMOVE, one)


@pytest.mark.parametrize(
    ("settings", "cleans"),
    [
        (Policy(), False),
        (Policy(options=frozenset({"retain-uids"})), False),
        (Policy(unlisted_removed=True), True),
        (Policy(own=((0x00100010, Action.CLEAN),)), True),
        (Policy(own=((0x00100010, Action.REMOVE),)), False),
        *((Policy(options=frozenset({option})), True) for option in sorted(OPTIONS) if option != "retain-uids"),
    ],
)
def test_a_policy_knows_whether_it_looks_at_values(settings: Policy, cleans: bool) -> None:  # noqa: FBT001
    """Lost otherwise: text would be cleaned without knowing the names that must not be in it."""
    assert settings.cleans is cleans


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("", "REMOVED"),
        ("retain-longitudinal-full-dates", "UNMODIFIED"),
        ("retain-longitudinal-modified-dates", "MODIFIED"),
    ],
)
def test_what_became_of_dates_is_told(option: str, told: str) -> None:
    """Lost otherwise: a reader would take shifted dates for true ones."""
    assert Policy(options=frozenset({option} - {""})).temporal == told


def test_every_decision_names_its_rule() -> None:
    """Lost otherwise: `farm recipe explain` would leave somebody without an answer."""
    for options in CHOICES:
        policy = Policy(options=options, unlisted_removed=True, own=((0x00080060, Action.REMOVE),))
        for tag in (0x00080060, 0x00080020, 0x00091001, 0x00180050, 0x00180022, 0x60000022, 0x00080000):
            found = policy.decide(tag, vr_of(tag), (), NOWHERE)
            assert found.layer
            assert found.rule


@needs_standard
def test_the_dictionary_knows_every_row() -> None:
    """Lost otherwise: in implicit VR an unknown sequence would hide its items from the profile."""
    for row in json.loads(TABLE.read_text())["rows"]:
        pattern = row["tag"].strip("()").replace(",", "").lower()
        if re.fullmatch("[0-9a-f]{8}", pattern):
            vr = vr_of(int(pattern, 16))
            assert vr != "UN" or pattern == "0072006d", row["tag"]
            assert (vr == "SQ") == bool(re.search(r"Sequence( \(|$)", row["name"])), row["tag"]


def test_the_dictionary_agrees_with_the_oracles_where_that_knows() -> None:
    """Lost otherwise: the overlay could contradict the standard's dictionary."""
    for pattern, _, _ in ROWS:
        if "x" not in pattern and pattern != "odd" and (known := oracle.vr_of(int(pattern, 16))) != "UN":
            assert vr_of(int(pattern, 16)) == known
