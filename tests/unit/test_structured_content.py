"""Clean Structured Content through the whole pipeline: what becomes of content items, by pydicom's reading."""

from __future__ import annotations

import io
import itertools
import struct

import farmside
import pytest
import trees
from oracle import Element
from pydicom import Dataset, dcmread

from farm.deid.mapping import KeyedMapping
from farm.pipeline import process
from farm.recipe.recipe import Recipe

CONTENT, CONCEPT, VALUE_TYPE, TEXT = 0x0040A730, 0x0040A043, 0x0040A040, 0x0040A160
VALUES = {"DATETIME": 0x0040A120, "DATE": 0x0040A121, "TIME": 0x0040A122, "PNAME": 0x0040A123, "UIDREF": 0x0040A124}
VALUES |= {"TEXT": TEXT}
SR = b"1.2.840.10008.5.1.4.1.1.88.33"
FINDING, COMMENT, OBSERVER, SEX = b"121071", b"121106", b"121008", b"121032"
ISSUER, SUBJECT_ID, DEVICE_UID, STARTED = b"110190", b"121030", b"121012", b"111526"
CLEANING, MOVING = "clean-structured-content", "retain-longitudinal-modified-dates"
CASES = list(itertools.product(["explicit", "implicit", "big"], [False, True]))
every_encoding = pytest.mark.parametrize(("name", "undefined"), CASES)


def recipe(*options: str, **more: object) -> Recipe:
    """Return the Basic Profile with Clean Structured Content and other options; dates that move do by 10 days."""
    given: dict[str, object] = {"policy": {"options": [CLEANING, *options], **more}}
    return Recipe.from_dict(given | ({"dates": {"strategy": "fixed", "days": 10}} if MOVING in options else {}))


def code(tag: int, value: bytes, scheme: bytes = b"DCM ", meaning: bytes = b"a meaning ") -> Element:
    """Return a sequence with one code."""
    value += b" " * (len(value) % 2)
    item = [trees.text(0x00080100, value), trees.text(0x00080102, scheme), trees.text(0x00080104, meaning)]
    return trees.sequence(tag, item)


def item(concept: bytes, kind: str, *more: Element, value: bytes = b"") -> list[Element]:
    """Return the elements of a content item in tag order; a simple value is given by its bytes."""
    name = kind.encode() + b" " * (len(kind) % 2)
    held = [trees.text(VALUES[kind], value + b" " * (len(value) % 2))] if kind in VALUES else []
    return trees.in_order([trees.text(VALUE_TYPE, name), code(CONCEPT, concept), *held, *more])


def report(
    *items: list[Element], settings: Recipe, encoding: tuple[str, bool] = ("explicit", False), tag: int = CONTENT
) -> list[Dataset]:
    """Return the content items that are left of a report's."""
    name, undefined = encoding
    rest = [element for element in trees.identity() if element.tag != 0x00080016]
    rest += [trees.text(0x00080016, SR + b"\0"), trees.text(0x00080020, b"20200229")]
    data = trees.file([*rest, trees.sequence(tag, *items, undefined=undefined)], name)
    product = process(data, settings, KeyedMapping(farmside.KEY, settings.scheme))
    output = farmside.joined(product)
    assert trees.sizes_are_true(farmside.body(output), trees.SYNTAXES[name])
    found = dcmread(io.BytesIO(output))
    found.walk(lambda _, element: element.value)
    return list(found[tag].value)


@every_encoding
def test_items_are_kept_removed_and_cleaned(name: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a measurement would go with the report, or an identity stay in it."""
    place = name, undefined
    left = report(
        item(FINDING, "CONTAINER"),
        item(OBSERVER, "PNAME", value=b"Doe^Jane"),
        item(SUBJECT_ID, "TEXT", value=b"PID 0815"),
        item(ISSUER, "TEXT", value=b"Mercy"),
        item(SEX, "CODE", code(0x0040A168, b"M", b"DCM ")),
        item(COMMENT, "TEXT", value=b"left lung, Doe"),
        settings=recipe("clean-descriptors"),
        encoding=place,
    )
    assert [each.ConceptNameCodeSequence[0].CodeValue for each in left] == ["121071", "121008", "121030", "121106"]
    assert (left[1].PersonName, left[2].TextValue, left[3].TextValue) == ("REMOVED", "REMOVED", "left lung")


@every_encoding
def test_dates_move_where_dates_are_kept(name: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a report would tell the day that the image beside it hides."""
    items = [
        item(STARTED, "DATETIME", value=b"20200229101112"),
        item(b"125201", "DATE", value=b"20200229"),
        item(b"125202", "TIME", value=b"101112"),
    ]
    place = name, undefined
    moved = report(*items, settings=recipe(MOVING), encoding=place)
    assert (moved[0].DateTime, moved[1].Date, moved[2].Time) == ("20200310101112", "20200310", "101112")
    kept = report(*items, settings=recipe("retain-longitudinal-full-dates"), encoding=place)
    assert (kept[0].DateTime, kept[1].Date, kept[2].Time) == ("20200229101112", "20200229", "101112")


def test_an_item_that_stays_has_a_value() -> None:
    """Lost otherwise: a content item would lack the value that its type requires (PS3.3 table C.17-5)."""
    items = [item(b"125201", kind, value=value) for kind, value in {
        "DATE": b"20200229",
        "DATETIME": b"20200229",
        "TIME": b"1011",
        "TEXT": b"Doe^Jane",
        "PNAME": b"Doe^Jane",
        "UIDREF": b"1.2.3.77",
    }.items()]  # fmt: skip
    for left in report(*items, settings=recipe()):
        assert left[VALUES[left.ValueType]].value
        assert "Doe" not in str(left)


@every_encoding
def test_references_are_mapped_and_resolve(name: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a report would name its images by UIDs that nobody has, or that everybody knows."""
    reference = [trees.text(0x00081150, SR + b"\0"), trees.text(0x00081155, b"1.2.3.4\0")]
    left = report(
        item(FINDING, "IMAGE", trees.sequence(0x00081199, reference)),
        item(b"125010", "UIDREF", value=b"1.2.3.4\0"),
        settings=recipe(),
        encoding=(name, undefined),
    )
    new = KeyedMapping(farmside.KEY).uid(b"1.2.3.4").decode()
    assert left[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == new
    assert new == left[1].UID


@every_encoding
def test_nested_items_are_told_apart_as_well(name: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a name would be safe one level down."""
    for depth in (1, 2, 20):
        inner = [item(ISSUER, "TEXT", value=b"Mercy"), item(b"121233", "CODE", code(0x0040A168, FINDING))]
        nested = trees.sequence(CONTENT, *inner, undefined=undefined)
        for _ in range(depth):
            around = item(FINDING, "CONTAINER", nested)
            nested = trees.sequence(CONTENT, item(SEX, "CODE"), around, undefined=undefined)
        found = report(item(FINDING, "CONTAINER", nested), settings=recipe(), encoding=(name, undefined))
        for _ in range(depth + 1):
            assert [each.ValueType for each in found] == ["CONTAINER"]
            found = list(found[0].ContentSequence)
        assert [each.ConceptNameCodeSequence[0].CodeValue for each in found] == ["121233"]


def test_what_an_item_is_not_kept_for_does_not_stay_in_it() -> None:
    """Lost otherwise: a name in a container, or beside a code, would leave by its item's value type."""
    hidden = [
        trees.text(0x0040A121, b"20200229"),
        trees.text(0x0040A123, b"Doe^Jane"),
        trees.text(TEXT, b"Doe^Jane"),
    ]
    units = trees.sequence(0x0040A300, [code(0x004008EA, b"mm", b"UCUM"), trees.text(0x0040A30A, b"1.5 ")])
    kinds = {
        "CONTAINER": [],
        "CODE": [code(0x0040A168, FINDING)],
        "NUM": [units],
        "IMAGE": [],
        "SCOORD": [],
        "": [],
        "ODD": [],
    }
    for kind, own in kinds.items():
        (left,) = report(item(FINDING, kind, *hidden, *own), settings=recipe())
        assert "Doe" not in str(left), kind
        assert "20200229" not in str(left), kind
        assert kind != "NUM" or left.MeasuredValueSequence[0].NumericValue == 1.5
        assert kind != "CODE" or left.ConceptCodeSequence[0].CodeValue == "121071"


def test_items_that_are_counted_stay_with_a_dummy() -> None:
    """Lost otherwise: references by number would point to the wrong items, or the sex and age stay where they went."""
    age = [code(0x004008EA, b"a", b"UCUM"), trees.text(0x0040A30A, b"93")]
    left = report(
        item(SEX, "CODE", code(0x0040A168, b"M")),
        item(b"121033", "NUM", trees.sequence(0x0040A300, age)),
        item(SUBJECT_ID, "TEXT", value=b"PID 0815"),
        item(FINDING, "CONTAINER", trees.text(0x0040DB73, b"\1\0\0\0\2\0\0\0", "UL")),
        settings=recipe(),
    )
    assert [each.ValueType for each in left] == ["CODE", "NUM", "TEXT", "CONTAINER"]
    assert left[0].ConceptCodeSequence[0].CodeValue == "REMOVED"
    assert left[1].MeasuredValueSequence[0].NumericValue == 0
    assert left[2].TextValue == "REMOVED"


@pytest.mark.parametrize("tag", [0x00400555, 0x00400612])
def test_other_sequences_of_content_items_are_cleaned_as_well(tag: int) -> None:
    """Lost otherwise: what was removed from a report would stay in the acquisition context of its images."""
    name = item(ISSUER, "TEXT", value=b"Mercy")
    number = item(FINDING, "NUMERIC", trees.text(0x0040A30A, b"1.5 "), code(0x004008EA, b"mm", b"UCUM"))
    left = report(name, number, settings=recipe(), tag=tag)
    assert [each.ValueType for each in left] == ["NUMERIC"]
    assert left[0].NumericValue == 1.5


def test_options_keep_what_they_name() -> None:
    """Lost otherwise: patient characteristics and devices would be lost where they are asked for."""
    items = [item(SEX, "CODE", code(0x0040A168, b"M")), item(DEVICE_UID, "UIDREF", value=b"1.2.9\0")]
    options = "retain-patient-characteristics", "retain-device-identity", "retain-uids"
    left = report(*items, settings=recipe(*options))
    assert left[0].ConceptCodeSequence[0].CodeValue == "M"
    assert left[1].UID == "1.2.9"


def test_a_content_sequence_of_unknown_vr_is_read() -> None:
    """Lost otherwise: its items, which are implicit then, would be taken for other concepts than they are."""
    items = [item(FINDING, "CONTAINER"), item(ISSUER, "TEXT", value=b"Mercy")]
    content = trees.sequence(CONTENT, *items, undefined=True, vr="UN")
    product = process(trees.file([*trees.identity(), content]), recipe(), KeyedMapping(farmside.KEY, recipe().scheme))
    found = dcmread(io.BytesIO(farmside.joined(product)))
    assert [each.ValueType for each in found.ContentSequence] == ["CONTAINER"]


def test_without_the_option_content_goes_as_a_whole() -> None:
    """Lost otherwise: a report would leave with everything that was said in it."""
    settings = Recipe.from_dict({})
    (left,) = report(item(COMMENT, "TEXT", value=b"Doe^Jane"), item(FINDING, "CONTAINER"), settings=settings)
    assert left.TextValue == "REMOVED"


AGES = [
    (b"a ", b"95", b"90"),
    (b"a ", b"101 ", b"90"),
    (b"a ", b"90", b"90"),
    (b"a ", b"89.9", b"89.9"),
    (b"mo", b"1100", b"1080"),
    (b"d ", b"35000 ", b"32850"),
    (b"wk", b"5E4 ", b"4680"),
    (b"h ", b"9E5 ", b"7E5"),
    (b"mm", b"95", b"95"),
]


@every_encoding
@pytest.mark.parametrize(("unit", "value", "left"), AGES)
def test_ages_over_89_are_told_as_one(name: str, undefined: bool, unit: bytes, value: bytes, left: bytes) -> None:  # noqa: FBT001
    """Lost otherwise: the few of the oldest could be told apart, in a report if not in Patient's Age."""
    order = trees.SYNTAXES[name].order
    double = struct.pack("<d" if order == "little" else ">d", float(value))
    forms = [
        code(0x004008EA, unit, b"UCUM"),
        trees.text(0x0040A161, double, "FD"),
        trees.text(0x0040A30A, value + b" " * (len(value) % 2), "DS"),
    ]
    (found,) = report(
        item(b"121033", "NUM", trees.sequence(0x0040A300, forms, undefined=undefined)),
        settings=recipe("retain-patient-characteristics"),
        encoding=(name, undefined),
    )
    (number,) = found.MeasuredValueSequence
    assert number.NumericValue == float(left)
    assert number.FloatingPointValue == pytest.approx(min(float(value), float(left)), rel=0.2)
    assert (number.FloatingPointValue == float(value)) == (float(left) == float(value))


def test_years_are_an_age_whatever_they_are_called() -> None:
    """Lost otherwise: an age under another concept, in the item itself or as a fraction, would stay."""
    years = code(0x004008EA, b"a ", b"UCUM")
    fraction = [trees.text(0x0040A162, b"\xbf\0\0\0", "SL"), trees.text(0x0040A163, b"\2\0\0\0", "UL")]
    numbers = [trees.sequence(0x0040A300, [years, *fraction, trees.text(0x0040A30A, b"95.5", "DS")])]
    plain = item(FINDING, "NUMERIC", years, trees.text(0x0040A30A, b"95\\12 ", "DS"))
    settings = recipe("retain-patient-characteristics")
    (found,) = report(item(FINDING, "NUM", *numbers), settings=settings)
    (number,) = found.MeasuredValueSequence
    assert (number.NumericValue, number.RationalNumeratorValue, number.RationalDenominatorValue) == (90, 90, 1)
    (found,) = report(plain, settings=settings, tag=0x00400555)
    assert found.NumericValue == [90, 12]
