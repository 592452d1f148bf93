"""Annex E of PS3.15, clause by clause: what no other test holds, and that no clause is forgotten (`annex_e`)."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import annex_e
import farmside
import oracle
import pydicom
import pytest
import trees
from oracle import Element
from trees import sequence, text

from farm.deid.mapping import KeyedMapping
from farm.deid.policy import OPTIONS, REFERENCES
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.errors import BadInput, BadRecipe, Reason
from farm.recipe.recipe import Recipe, preset, presets

TESTS = Path(__file__).parents[1]
PROSE = TESTS.parents[1] / "shared" / "standard" / "annexE_2026c.txt"
MARK = b"ZQXJVWKY"
TABLE = {int(pattern, 16): (code, options) for pattern, code, options in ROWS if re.fullmatch("[0-9a-f]{8}", pattern)}
UID = b"1.2.3.77"
FULL, MODIFIED = "retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"
CONTENT, CONTEXT, PREPARATION, STEPS = 0x0040A730, 0x00400555, 0x00400610, 0x00400612
VALUES = {
    "AS": b"033Y",
    "DA": b"20010203",
    "DS": b"7.25",
    "DT": b"20010203101112",
    "IS": b"7250",
    "OB": MARK,
    "TM": b"101112",
    "UI": UID,
    "UN": MARK,
    "US": b"ZQ",
}
DATES = frozenset({"DA", "DT", "TM"})


def basic(*options: str, **policy: object) -> Recipe:
    """Return the Basic Profile with options."""
    return Recipe.from_dict({"policy": {"options": list(options), **policy}})


def made(*elements: Element, recipe: Recipe = farmside.BASIC, sop_class: bytes = trees.SOP_CLASS) -> list[Element]:
    """Return what becomes of an instance that has these elements."""
    given = {element.tag: element for element in [*trees.identity(), *elements]}
    if sop_class != trees.SOP_CLASS:
        given[0x00080016] = text(0x00080016, sop_class)
    output = farmside.joined(farmside.run(trees.file(list(given.values())), recipe))
    return oracle.read(farmside.body(output), oracle.EXPLICIT)[0]


def found(elements: list[Element], tag: int) -> Element | None:
    """Return the element of a tag."""
    return next((element for element in elements if element.tag == tag), None)


def value(elements: list[Element], tag: int) -> bytes | None:
    """Return a value without padding; None where the attribute is absent."""
    element = found(elements, tag)
    return element.value.strip(b"\0 ") if element and isinstance(element.value, bytes) else None


def written(elements: list[Element]) -> bytes:
    """Return all values of all levels, one behind the other."""
    return b"\n".join(bytes(leaf.value) for _, leaf in oracle.leaves(elements) if isinstance(leaf.value, bytes))


def planted(tag: int) -> Element:
    """Return an attribute of the table with a value that must not be left; a sequence has it in its item."""
    vr = vr_of(tag)
    if vr == "SQ":
        return sequence(tag, [text(0x00080050, MARK), text(0x00081155, UID)])
    return text(tag, VALUES.get(vr, MARK), vr)


def options_of(tag: int) -> dict[str, str]:
    """Return the letters of the options in an attribute's row."""
    pairs = (option.split("=") for option in TABLE[tag][1].split())
    return {name.replace("_", "-"): letter for name, letter in pairs}


def rows(letter: str, option: str, *, sequences: bool = False) -> list[int]:
    """Return the attributes of a data set for which an option has a letter."""
    chosen = [tag for tag in TABLE if options_of(tag).get(option) == letter and tag >> 16 > 4]
    return [tag for tag in chosen if (vr_of(tag) == "SQ") == sequences]


def content(value_type: bytes, name: tuple[bytes, bytes], *elements: Element) -> list[Element]:
    """Return a content item with a concept name."""
    concept = [text(0x00080100, name[0]), text(0x00080102, name[1]), text(0x00080104, b"Concept")]
    given = [
        text(0x0040A010, b"CONTAINS"),
        text(0x0040A040, value_type),
        sequence(0x0040A043, concept),
        *elements,
    ]
    return trees.in_order(given)


# The table of clauses.


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names of the tests that a module defines."""
    parsed = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in parsed.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("clause", annex_e.CLAUSES, ids=lambda clause: clause.section)
def test_every_clause_is_held_by_a_test_that_exists_or_says_why_not(clause: annex_e.Clause) -> None:
    """Lost otherwise: a clause would count as held by a test that is long gone."""
    assert clause.tests or clause.why_not
    assert clause.says
    for node in clause.tests:
        module, name = node.split("::")
        assert name.startswith("test_")
        assert name in names_in(TESTS / module), node


@pytest.mark.skipif(not PROSE.exists(), reason="the shared prose of the standard is not at hand")
def test_no_shall_of_the_annex_is_forgotten() -> None:
    """Lost otherwise: a demand of the standard would stand in no row, and nobody would miss it."""
    counted: Counter[str] = Counter()
    section = ""
    for line in PROSE.read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            section = line.removeprefix("== ").strip()
        counted[section] += len(re.findall(r"\bshall\b", line))
    listed: Counter[str] = Counter()
    for clause in annex_e.CLAUSES:
        listed[clause.section] += clause.shalls
    assert +listed == +counted


# E.1.1: what is protected, and at which level.


@pytest.mark.parametrize("name", presets())
def test_a_protected_value_is_removed_or_replaced_at_every_level(name: str) -> None:
    """Lost otherwise: an identifying value would stay where an item holds it."""
    recipe = preset(name)
    for tag, (code, _) in TABLE.items():
        letters = {letter for option, letter in options_of(tag).items() if recipe.policy.has(option)}
        if letters or code == "X/Z/U*":
            continue  # what is not protected by this recipe, or holds a reference that has to resolve
        inner = sequence(0x00081115, [sequence(0x00081199, [planted(tag)]), planted(tag)])
        for elements in [[inner], [planted(tag), inner]] if tag >> 16 > 4 else [[inner]]:
            for path, leaf in oracle.leaves(made(*elements, recipe=recipe)):
                if path[-1] == tag or tag in path:
                    assert leaf.value not in {MARK, UID, VALUES.get(leaf.vr)}, (f"{tag:08x}", leaf.vr)


@pytest.mark.parametrize("option", OPTIONS)
def test_what_an_option_retains_stays_to_the_byte(option: str) -> None:
    """Lost otherwise: an option would be claimed whose attributes are gone."""
    for tag in rows("K", option):
        if vr_of(tag) != "SQ":
            kept = made(planted(tag), recipe=basic(option))
            assert value(kept, tag) == planted(tag).value, f"{tag:08x}"


@pytest.mark.parametrize("option", OPTIONS)
def test_a_retained_sequence_keeps_its_items_by_the_profile(option: str) -> None:
    """Lost otherwise: a kept sequence would be emptied, or carry what the profile removes (K of a sequence, E.1.1)."""
    for tag in rows("K", option, sequences=True):
        kept = found(made(planted(tag), recipe=basic(option)), tag)
        assert kept is not None, f"{tag:08x}"
        assert len(kept.items) == 1, f"{tag:08x}"
        assert MARK not in written([kept]), f"{tag:08x}"
        assert (value(kept.items[0].elements, 0x00081155) == UID) == (option == "retain-uids")


@pytest.mark.parametrize("name", presets())
def test_the_instance_and_every_reference_to_one_gets_another_uid(name: str) -> None:
    """Lost otherwise: whoever has the originals would find them by the UID."""
    reference = [text(0x00081150, trees.SOP_CLASS), text(0x00081155, UID)]
    nested = sequence(0x00081115, [sequence(0x0008114A, reference), text(0x0020000E, b"1.2.3.5")])
    unlisted = [text(tag, UID) for tag in sorted(REFERENCES)]
    many = text(0x00080058, b"1.2.3.77\\1.2.3.78")
    kept = made(nested, sequence(0x00081140, reference), many, *unlisted, recipe=preset(name))
    for _, leaf in oracle.leaves(kept):
        if leaf.vr == "UI":
            parts = bytes(leaf.value).split(b"\\")  # type: ignore[arg-type]
            assert not {part.strip(b"\0 ") for part in parts} & {UID, b"1.2.3", b"1.2.3.4", b"1.2.3.5", b"1.2.3.78"}


@pytest.mark.parametrize("name", presets())
def test_the_markers_say_yes_and_name_profile_and_options(name: str) -> None:
    """Lost otherwise: nobody could tell that, and how, an instance was de-identified."""
    options = preset(name).policy.options
    kept = made(text(0x00120062, b"NO"), recipe=preset(name))
    assert value(kept, 0x00120062) == b"YES"
    assert value(kept, 0x00120063) == farmside.METHOD
    codes = found(kept, 0x00120064)
    assert codes is not None
    said = [(value(item.elements, 0x00080100), value(item.elements, 0x00080102)) for item in codes.items]
    assert said == [(code.encode(), b"DCM") for code in sorted({"113100", *(OPTIONS[option] for option in options)})]


@pytest.mark.parametrize("name", presets())
def test_the_file_meta_information_and_the_preamble_are_the_farms(name: str) -> None:
    """Lost otherwise: the titles of the sending nodes, or a preamble's text, would come along."""
    data = trees.meta(title=MARK, other=MARK) + trees.encode(trees.in_order(trees.identity()))
    data = MARK * 16 + data[128:]
    product = farmside.run(data, preset(name))
    output = farmside.joined(product)
    head = output[: len(output) - len(farmside.body(output))]
    assert MARK not in output
    assert b"1.2.3.4\0" not in head
    assert product.report.instance.encode() in head
    assert b"DICOM_FARM" in head.upper().replace(b"-", b"_")


@pytest.mark.parametrize("name", presets())
def test_group_0004_goes_at_every_level(name: str) -> None:
    """Lost otherwise: a directory record's file names and keys would stay in an instance."""
    record = text(0x00041500, MARK, "CS")
    kept = made(record, sequence(0x00081115, [record, text(0x0020000E, UID)]), recipe=preset(name))
    assert not [path for path, _ in oracle.leaves(kept) if any(tag >> 16 == 4 for tag in path)]


@pytest.mark.parametrize("name", presets())
def test_a_dicomdir_is_never_passed_on(name: str) -> None:
    """Lost otherwise: an index of the originals would lie beside the de-identified instances."""
    data = trees.meta(sop_class=b"1.2.840.10008.1.3.10") + trees.encode(trees.in_order(trees.identity()))
    with pytest.raises(BadInput) as caught:
        farmside.run(data, preset(name))
    assert caught.value.reason == Reason.DICOMDIR


@pytest.mark.parametrize("options", [(), (FULL,), (MODIFIED,)])
def test_what_became_of_dates_is_marked_in_place_of_what_was_said(options: tuple[str, ...]) -> None:
    """Lost otherwise: modified dates would pass for true ones, or the other way round (E.2, E.3.6)."""
    expected = {(): b"REMOVED", (FULL,): b"UNMODIFIED", (MODIFIED,): b"MODIFIED"}[options]
    for before in (b"UNMODIFIED", b"MODIFIED", b""):
        assert value(made(text(0x00280303, before), recipe=basic(*options)), 0x00280303) == expected
    assert value(made(recipe=basic(*options)), 0x00280303) == expected


# E.3: the options.


@pytest.mark.parametrize("option", ["clean-pixel-data", "clean-recognizable-visual-features"])
def test_an_option_that_is_not_offered_is_refused_and_never_claimed(option: str) -> None:
    """Lost otherwise: pixels would be called clean that nobody looked at (E.3.1, E.3.2)."""
    with pytest.raises(BadRecipe):
        basic(option)
    assert {"113101", "113102"}.isdisjoint(OPTIONS.values())
    kept = made(text(0x00280301, b"YES"), text(0x00280302, b"YES"))
    assert (value(kept, 0x00280301), value(kept, 0x00280302)) == (b"YES", b"YES")
    assert (value(made(), 0x00280301), value(made(), 0x00280302)) == (None, None)


@pytest.mark.parametrize("options", [("clean-graphics",), ("clean-graphics", "clean-descriptors")])
@pytest.mark.parametrize("unlisted", ["keep", "remove"])
def test_graphics_are_clean_of_text_that_identifies(options: tuple[str, ...], unlisted: str) -> None:
    """Lost otherwise: a name drawn beside a finding would stay (E.3.3)."""
    note = [text(0x00700006, b"measured for Doe " + MARK)]
    layer = sequence(0x00700001, [text(0x00700002, b"LAYER1"), sequence(0x00700008, note)])
    overlay = [text(0x60003000, MARK, "OB"), text(0x60004000, MARK, "LT"), text(0x50003000, MARK, "OB")]
    kept = made(layer, *overlay, recipe=basic(*options, unlisted=unlisted))
    assert MARK not in written(kept)
    assert b"Doe" not in written(kept)
    assert found(kept, 0x00700001) is not None


@pytest.mark.parametrize("unlisted", ["keep", "remove"])
def test_structured_content_is_clean_wherever_it_stands(unlisted: str) -> None:
    """Lost otherwise: the observer's name would stay in a report, an acquisition context, or a preparation (E.3.4)."""
    items = [
        content(b"PNAME", (b"121008", b"DCM"), text(0x0040A123, MARK)),
        content(b"TEXT", (b"121106", b"DCM"), text(0x0040A160, b"by Doe, " + MARK)),
        content(b"TEXT", (b"77777", b"99LOCAL"), text(0x0040A160, b"no change, says Doe, " + MARK)),
        content(b"UIDREF", (b"121012", b"DCM"), text(0x0040A124, UID)),
        content(b"DATETIME", (b"77778", b"99LOCAL"), text(0x0040A120, VALUES["DT"])),
    ]
    nested = content(b"CONTAINER", (b"126000", b"DCM"), sequence(CONTENT, *items))
    recipe = basic("clean-structured-content", unlisted=unlisted)
    kept = made(
        sequence(CONTENT, nested, *items),
        sequence(CONTEXT, *items),
        sequence(PREPARATION, [sequence(STEPS, *items)]),
        recipe=recipe,
    )
    said = written(kept)
    for gone in (MARK, b"Doe", UID, VALUES["DT"]):
        assert gone not in said
    for place in (CONTENT, CONTEXT, PREPARATION):
        held = found(kept, place)
        assert held is not None
        assert held.items
    assert b"no change" in said


def test_descriptors_lose_what_identifies_and_keep_what_describes() -> None:
    """Lost otherwise: a name in a description would stay, or the option would be mere removal (E.3.5)."""
    useful = 0
    for tag in rows("C", "clean-descriptors"):
        kept = value(made(text(tag, b"CHEST Doe " + MARK), recipe=basic("clean-descriptors")), tag) or b""
        assert MARK not in kept, f"{tag:08x}"
        assert b"Doe" not in kept, f"{tag:08x}"
        useful += kept == b"CHEST"
    assert useful > 100


def test_modified_dates_are_all_modified() -> None:
    """Lost otherwise: one true date would tell the shift of all (E.3.6)."""
    recipe = basic(MODIFIED)
    days = KeyedMapping(farmside.KEY, recipe.scheme).subject("\x1fPID 0815").date_shift_days
    for tag in rows("C", MODIFIED):
        vr = vr_of(tag)
        new = value(made(planted(tag), recipe=recipe), tag)
        if vr in {"DA", "DT"}:
            assert new is not None, f"{tag:08x}"
            moved = pydicom.valuerep.DA(new[:8].decode()) - pydicom.valuerep.DA("20010203")
            assert (moved.days, new[8:]) == (days, VALUES[vr][8:]), f"{tag:08x}"
        elif vr == "TM":
            assert new == VALUES["TM"], f"{tag:08x}"
        else:
            assert new != VALUES.get(vr, MARK), f"{tag:08x}"


@pytest.mark.parametrize("option", ["retain-patient-characteristics", "retain-device-identity"])
def test_what_an_option_cleans_has_no_name_left(option: str) -> None:
    """Lost otherwise: an allergy's remark, or an application's title, would carry a name (E.3.7, E.3.8)."""
    cleaned = rows("C", option)
    assert cleaned
    for tag in cleaned:
        kept = made(text(tag, b"Doe " + MARK), recipe=basic(option))
        assert b"Doe" not in written(kept), f"{tag:08x}"
        assert MARK not in written(kept), f"{tag:08x}"


PRIVATE = (
    text(0x00190010, b"SIEMENS MR HEADER", "LO"),
    text(0x0019100C, b"800", "IS"),
    text(0x0019100D, MARK, "LO"),
    text(0x00210010, b"ZQXJVWKY", "LO"),
    text(0x00211001, MARK, "LO"),
    sequence(0x00211002, [text(0x00100010, MARK)]),
)


@pytest.mark.parametrize("name", presets())
def test_private_attributes_stay_where_they_are_known_to_be_safe_and_asked_for(name: str) -> None:
    """Lost otherwise: what a vendor writes without telling would come along, or diffusion weights be lost (E.3.10)."""
    kept = made(*PRIVATE, sequence(0x00081115, PRIVATE), recipe=preset(name))
    assert MARK not in written(kept)
    left = {path[-1] for path, _ in oracle.leaves(kept) if path[-1] >> 16 & 1}
    assert left == ({0x00190010, 0x0019100C} if preset(name).policy.has("retain-safe-private") else set())
    if left:
        assert value(kept, 0x0019100C) == b"800"


def test_a_private_sequence_is_parsed_and_each_attribute_judged() -> None:
    """Lost otherwise: a safe sequence would carry a name, or go with all that is needed in it (E.3.10)."""
    items = [
        text(0x00100010, MARK),
        text(0x00180088, b"3.5 "),
        text(0x00080018, UID),
        text(0x20010010, b"Philips Imaging DD 129", "LO"),
        text(0x20011001, MARK, "LO"),
    ]
    nested = sequence(0x20011000, trees.in_order(items))
    kept = made(text(0x20010010, b"Philips Imaging DD 129", "LO"), nested, recipe=basic("retain-safe-private"))
    held = found(kept, 0x20011000)
    assert held is not None
    assert value(held.items[0].elements, 0x00180088) == b"3.5"
    assert MARK not in written(kept)
    assert UID not in written(kept)


def test_an_instance_says_which_of_its_private_attributes_are_safe() -> None:
    """Lost otherwise: blocks that their vendor calls safe would go, and what it calls identifying stay (E.3.10)."""

    def block(group: int, creator: bytes, status: bytes, *listed: int) -> list[Element]:
        numbers = b"".join(number.to_bytes(2, "little") for number in listed)
        given = [
            text(0x00080301, group.to_bytes(2, "little"), "US"),
            text(0x00080302, creator, "LO"),
            text(0x00080303, status, "CS"),
        ]
        return [*given, text(0x00080304, numbers, "US")] if listed else given

    declared = sequence(
        0x00080300, block(0x0031, b"ACME SAFE", b"SAFE"), block(0x0033, b"ACME MIXED", b"MIXED", 0x1001)
    )
    private = [
        text(0x00310010, b"ACME SAFE", "LO"),
        text(0x00311001, b"gain 7", "LO"),
        text(0x00330010, b"ACME MIXED", "LO"),
        text(0x00331001, b"gain 8", "LO"),
        text(0x00331002, MARK, "LO"),
    ]
    kept = made(declared, *private, recipe=basic("retain-safe-private"))
    assert (value(kept, 0x00311001), value(kept, 0x00331001)) == (b"gain 7", b"gain 8")
    assert MARK not in written(kept)
    assert b"gain" not in written(made(declared, *private))


@pytest.mark.parametrize("name", ["explicit", "implicit"])
def test_no_safe_private_value_leads_back_to_the_original(name: str) -> None:
    """Lost otherwise: a UID or a true date would stay, because its vendor, or the table, calls it safe (E.1.1)."""
    uid = b"1.2.3.4.77"
    safe = [text(0x00080301, (0x31).to_bytes(2, "little"), "US"), text(0x00080302, b"ACME SAFE", "LO")]
    elements = [
        *trees.identity(),
        sequence(0x00080300, [*safe, text(0x00080303, b"SAFE", "CS")]),
        text(0x00310010, b"ACME SAFE", "LO"),
        text(0x00311001, b"20010203", "DA" if name == "explicit" else "UN"),
        text(0x00311002, uid, "UI"),
        text(0x00311003, b"0.97", "DS"),
        text(0x00990010, b"NQHeader", "LO"),
        text(0x00991001, uid, "UI"),
    ]
    product = farmside.run(trees.file(elements, name), basic("retain-safe-private"))
    body = farmside.body(farmside.joined(product))
    assert b"0.97" in body
    assert uid not in body
    assert b"20010203" not in body
    kept = farmside.joined(farmside.run(trees.file(elements, name), basic("retain-safe-private", "retain-uids", FULL)))
    assert (kept.count(uid), kept.count(b"20010203")) == (2, 1)


def test_full_dates_and_retained_uids_reach_every_level() -> None:
    """Lost otherwise: an option would hold for the top level alone (E.3.6, E.3.9)."""
    item = [text(0x00080020, VALUES["DA"]), text(0x00080018, UID)]
    kept = made(sequence(0x00081115, item), *item, recipe=basic(FULL, "retain-uids"))
    leaves = Counter(path[-1] for path, leaf in oracle.leaves(kept) if leaf.value in {VALUES["DA"], UID})
    assert leaves == {0x00080020: 2, 0x00080018: 2}


@pytest.mark.parametrize("unlisted", ["keep", "remove"])
def test_where_uids_are_retained_all_references_are(unlisted: str) -> None:
    """Lost otherwise: a retained instance would no longer be found by what refers to it (E.3.9)."""
    tags = [*sorted(REFERENCES), 0x00440102]
    for tag in tags:
        assert value(made(text(tag, UID), recipe=basic("retain-uids", unlisted=unlisted)), tag) == UID, f"{tag:08x}"
