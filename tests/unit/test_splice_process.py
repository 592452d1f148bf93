"""The pipeline against the oracle: the whole Basic Profile over random data sets, byte for byte."""

from __future__ import annotations

import random
import zlib
from dataclasses import replace

import basic_oracle
import farmside
import oracle
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element, Item

# What the profile does with each: keep, remove, empty, dummy, UIDs, sequences of each kind, private, repeating groups.
VRS = {
    0x00080000: "UL",
    0x00080005: "CS",
    0x00080020: "DA",
    0x00080050: "SH",
    0x00080080: "LO",
    0x00081030: "LO",
    0x00081072: "SQ",
    0x00081110: "SQ",
    0x00081140: "SQ",
    0x00081155: "UI",
    0x00089215: "SQ",
    0x00091001: "UN",
    0x00100030: "DA",
    0x00104000: "LT",
    0x00120063: "LO",
    0x00180050: "DS",
    0x00189346: "SQ",
    0x00200052: "UI",
    0x00281201: "OW",
    0x00340002: "OB",
    0x00400260: "SQ",
    0x00400275: "SQ",
    0x0040A073: "SQ",
    0x0040A124: "UI",
    0x0040A160: "UT",
    0x0040A730: "SQ",
    0x00420011: "OB",
    0x50000022: "LO",
    0x60003000: "OW",
    0x60000022: "LO",
    0x00081FFE: "LO",
}
NESTED = {**VRS, 0x00100010: "PN", 0x00100020: "LO", 0x00100021: "LO", 0x00280106: "US"}


def whole(drawn: list[Element]) -> list[Element]:
    """Complete a data set, with one of each attribute that the oracle reads facts from."""
    methods = [element for element in drawn if element.tag == 0x00120063][:1]
    rest = [element for element in drawn if element.tag != 0x00120063]
    return [*rest, *methods, *trees.identity()]


def check(data: bytes, recipe_is_explicit: bool = False) -> None:  # noqa: FBT001, FBT002
    """Assert that the farm's output is the oracle's."""
    recipe = farmside.EXPLICIT_RECIPE if recipe_is_explicit else farmside.BASIC
    product = farmside.run(data, recipe)
    source = basic_oracle.read_file(data)
    expected, uid = farmside.oracle_for(product, explicit=recipe_is_explicit).output(source)
    output = farmside.joined(product)
    assert farmside.body(output) == expected
    assert product.report.target_syntax == uid.decode()
    assert product.report.output_bytes == len(output)


@pytest.mark.parametrize("name", trees.SYNTAXES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_output_equals_the_oracles(name: str, data: st.DataObject) -> None:
    """Lost otherwise: the whole promise, that exactly what the profile names changes and nothing else."""
    unknown = name == "explicit"
    drawn = data.draw(trees.elements(NESTED if unknown else VRS, depth=0, unknown=False))
    drawn = [element for element in drawn if element.tag in VRS]
    drawn += data.draw(trees.elements(VRS, depth=3, unknown=unknown))
    drawn += data.draw(st.booleans().map(lambda shown: trees.pixels(trees.SYNTAXES[name]) if shown else []))
    check(trees.file(whole(drawn), name))


@settings(max_examples=40, deadline=None)
@given(drawn=trees.elements(NESTED, depth=3, unknown=False), shown=st.booleans())
def test_rewriting_to_explicit_equals_the_oracles(drawn: list[Element], shown: bool) -> None:  # noqa: FBT001
    """Lost otherwise: an implicit data set could be written with wrong VRs or lengths, or keep what should go."""
    drawn = [element for element in drawn if element.tag in VRS]
    drawn += trees.pixels(oracle.IMPLICIT) if shown else []
    check(trees.file(whole(drawn), "implicit"), recipe_is_explicit=True)


@settings(max_examples=20, deadline=None)
@given(drawn=trees.elements(VRS, depth=2))
def test_a_deflated_file_is_inflated_edited_and_deflated(drawn: list[Element]) -> None:
    """Lost otherwise: what is compressed would pass unread."""
    stream = zlib.compressobj(wbits=-15)
    encoded = trees.encode(trees.in_order(whole(drawn)))
    check(trees.meta(syntax=trees.UIDS["deflated"]) + stream.compress(encoded) + stream.flush())


# Instances of a series: the same layout again and again, and now and then another.


def frame(number: int, rng: random.Random) -> Item:
    """Return an item as enhanced multi-frame instances repeat it, with values of equal length."""
    inner = trees.sequence(
        0x00209113, [trees.text(0x00200032, b"%06d\\%06d\\%06d " % tuple(rng.choices(range(10**6), k=3)))]
    )
    reference = trees.sequence(
        0x00081140, [trees.text(0x00081155, b"1.2.%05d.%04d\0" % (rng.randrange(10**5), number))]
    )
    content = [reference, trees.text(0x00189074, b"20240101%06d" % rng.randrange(10**6)), inner]
    return Item(
        [*content, trees.text(0x00180050 if number % 7 else 0x00180088, b"0.%05d " % number, "DS")], number % 5 == 0
    )


def instance(rng: random.Random, number: int) -> list[Element]:
    """Return one instance of a series: 120 attributes, two long sequences, values of this instance."""
    plain = [tag for tag in range(0x00180010, 0x00181200, 2) if oracle.vr_of(tag) in {"LO", "DS", "SH", "IS"}][:120]
    found = [trees.text(tag, b"%08d" % rng.randrange(10**8)) for tag in plain]
    found += [trees.text(0x00080005, b"ISO_IR 192"), trees.text(0x00080050, b"A%07d" % number)]
    found += [trees.text(0x00081155, b"1.2.840.10008.1.2" if number % 2 else b"1.2.3.%011d" % number)]
    frames = [frame(index, rng) for index in range(30)]
    found.append(Element(0x52009230, "SQ", frames, rng.random() < 0.2))
    found.append(
        trees.sequence(0x0040A730, *([trees.text(0x0040A160, b"text of one patient ")] for _ in range(number % 3)))
    )
    found.append(trees.text(0x00420011, b"document" * (number % 2), "OB"))
    return [*found, *trees.identity(instance=b"1.2.3.%05d" % number)]


def varied(rng: random.Random, found: list[Element]) -> list[Element]:
    """Return the instance with a few things as no other has them."""
    found = list(found)
    for _ in range(rng.choice((0, 0, 1, 3))):
        place = rng.randrange(len(found))
        element = found[place]
        if element.tag in {0x00080018, 0x00080016, 0x0020000D, 0x0020000E, 0x00100020}:
            continue
        if rng.random() < 0.3:
            del found[place]
        elif isinstance(element.value, bytes):
            found[place] = trees.text(
                element.tag, element.value[: rng.randrange(9)] + b"x" * rng.randrange(3), element.vr
            )
        else:
            items = [item for item in element.value if rng.random() < 0.9]
            found[place] = Element(element.tag, "SQ", items, not element.undefined)
    return found


@pytest.mark.parametrize(
    ("name", "explicit"), [("explicit", False), ("implicit", False), ("implicit", True), ("big", False)]
)
def test_what_is_remembered_of_a_series_changes_no_output(name: str, explicit: bool) -> None:  # noqa: FBT001
    """Lost otherwise: what makes the farm fast could give one instance the treatment of another."""
    rng = random.Random(f"{name} {explicit}")
    for number in range(25):
        check(trees.file(varied(rng, instance(rng, number)), name), recipe_is_explicit=explicit)


def test_the_first_of_two_documents_counts() -> None:
    """Lost otherwise: of an attribute that stands twice, as it may not, it would depend on both what is made of it."""
    [some, *_] = trees.identity()
    empty, full = (replace(some, tag=0x00420011, vr="OB", value=value) for value in (b"", b"\0"))
    for both in ([empty, full], [full, empty]):
        check(trees.file(whole(both), "implicit"), recipe_is_explicit=True)
        check(trees.file(whole(both), "explicit"))
