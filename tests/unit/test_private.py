"""Private attributes: what the table or a declaration says is safe stays, with its creator; nothing else does."""

from __future__ import annotations

import io
from typing import TypeAlias

import farmside
import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st
from oracle import Element
from pydicom import Dataset, dcmread

from farm.deid.mapping import KeyedMapping
from farm.deid.private import Declared, SafePrivate
from farm.deid.standard.private import ROWS
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, Dialect
from farm.pipeline import process
from farm.recipe.recipe import Recipe

RECIPE = Recipe.from_dict({"policy": {"options": ["retain-safe-private"]}})
NOTHING = Declared()
SIEMENS, SC2000 = b"SIEMENS MR HEADER ", b"SIEMENS Ultrasound SC2000 "
Declaration: TypeAlias = list[Element]
rows = st.sampled_from([row for row in ROWS if row[3] != "SQ"])
blocks = st.integers(0x10, 0xFF)


def run(*elements: Element, name: str = "explicit") -> Dataset:
    """Return what is left of an instance with these elements, as pydicom reads it."""
    data = trees.file([*trees.identity(), *elements], name)
    output = farmside.joined(process(data, RECIPE, KeyedMapping(farmside.KEY)))
    assert b"Doe" not in output
    return dcmread(io.BytesIO(output))


def left(found: Dataset) -> list[int]:
    """Return the private tags of a data set."""
    return [int(element.tag) for element in found if element.tag.is_private]


def declared(group: int, creator: bytes, status: bytes, *safe: int) -> Declaration:
    """Return an item that says of what kind a block is (PS3.3 C.12.1.1.7)."""
    numbers = b"".join(number.to_bytes(2, "little") for number in safe)
    item = [
        trees.text(0x00080301, group.to_bytes(2, "little"), "US"),
        trees.text(0x00080302, creator),
        trees.text(0x00080303, status),
    ]
    return [*item, trees.text(0x00080304, numbers, "US")] if safe else item


def acme(group: int = 0x0009, block: int = 0x10) -> list[Element]:
    """Return a block of a creator that the table does not know."""
    front = group << 16 | block << 8
    return [
        trees.text(group << 16 | block, b"ACME"),
        trees.text(front | 1, b"one ", "LO"),
        trees.text(front | 2, b"two ", "LO"),
    ]


@given(row=rows, block=blocks, item=st.integers(0, 3))
def test_a_row_of_the_table_is_safe_in_whatever_block(
    row: tuple[int, int, str, str, str], block: int, item: int
) -> None:
    """Lost otherwise: dose and SUV would be kept for some scanners and lost for others."""
    group, element, creator, vr, _ = row
    private = SafePrivate(NOTHING)
    tag = group << 16 | block << 8 | element
    assert not private.keeps(tag, vr, b"1", item)
    assert private.keeps(group << 16 | block, "LO", creator.encode() + b" ", item)
    assert private.keeps(tag, vr, b"1", item)
    assert private.keeps(tag, "UN", b"1", item)
    assert not private.keeps(tag, "PN", b"1", item)
    assert not private.keeps(tag, vr, b"1", item + 1)
    assert not private.keeps(tag ^ 0x0100, vr, b"1", item)


@given(row=rows, element=st.integers(0, 0xFF))
def test_what_the_table_does_not_list_for_a_creator_is_not_safe(
    row: tuple[int, int, str, str, str], element: int
) -> None:
    """Lost otherwise: one safe element would let out all of its block."""
    group, _, creator, vr, _ = row
    private = SafePrivate(NOTHING)
    private.keeps(group << 16 | 0x10, "LO", creator.encode(), 0)
    listed = any(each[:3] == (group, element, creator) and vr in {each[3], "UN"} for each in ROWS)
    assert private.keeps(group << 16 | 0x1000 | element, vr, b"1", 0) == listed


@pytest.mark.parametrize("name", trees.SYNTAXES)
def test_safe_elements_stay_with_their_creator_and_no_others(name: str) -> None:
    """Lost otherwise: a creator's name, which may be a person's, or a hidden report would leave."""
    found = run(
        trees.text(0x00090010, b"Doe^Jane"),
        trees.text(0x00091001, b"Doe ", "LO"),
        trees.text(0x00190011, SIEMENS),
        trees.text(0x0019110C, b"1000", "IS"),
        trees.text(0x001911FF, b"Doe ", "LO"),
        trees.text(0x0019120C, b"1000", "IS"),
        trees.text(0x00291001, b"Doe ", "LO"),
        name=name,
    )
    assert left(found) == [0x00190011, 0x0019110C]


def test_a_value_of_another_vr_is_not_the_tables() -> None:
    """Lost otherwise: a name could travel in the place of a number that is known to be safe."""
    creator = trees.text(0x00190010, SIEMENS)
    assert left(run(creator, trees.text(0x0019100C, b"Doe^Jane", "PN"))) == [0x00190010]
    assert left(run(creator, trees.text(0x0019100C, b"1000", "UN"))) == [0x00190010, 0x0019100C]


def test_a_second_creator_of_a_block_takes_it_over() -> None:
    """Lost otherwise: a block could be opened by a safe creator and filled by another."""
    private = SafePrivate(NOTHING)
    assert private.keeps(0x00190010, "LO", SIEMENS, 0)
    assert not private.keeps(0x00190010, "LO", b"ACME", 0)
    assert not private.keeps(0x0019100C, "IS", b"1", 0)


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("name", trees.SYNTAXES)
def test_sequences_of_safe_blocks_are_entered(name: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: what stands in a safe sequence would leave unseen, or be judged by blocks outside of it."""
    inner = [
        trees.text(0x00100010, b"Doe^Jane"),
        trees.text(0x00180050, b"1 "),
        trees.text(0x0020000D, b"1.2.3\0"),
        trees.text(0x01190010, SC2000),
        trees.text(0x01191005, b"\1\0\0\0", "UL"),
        trees.text(0x01191101, b"Doe "),
    ]
    other = [trees.text(0x01191005, b"\1\0\0\0", "UL")]
    nested = trees.sequence(0x01191002, inner, other, undefined=undefined)
    outer = trees.sequence(0x01191002, [trees.text(0x01190010, SC2000), nested], undefined=undefined)
    unsafe = trees.sequence(0x011911F0, inner, undefined=undefined)
    if name == "implicit" and not undefined:  # its VR is not written, and no dictionary says that it is a sequence
        return
    found = run(trees.text(0x01190010, SC2000), outer, unsafe, name=name)
    assert left(found) == [0x01190010, 0x01191002]
    deep = found[0x01191002].value[0][0x01191002].value
    assert left(deep[0]) == [0x01190010, 0x01191005]
    assert deep[0].StudyInstanceUID == found.StudyInstanceUID
    assert deep[0].SliceThickness == 1
    assert left(deep[1]) == []


def test_what_an_instance_declares_safe_stays() -> None:
    """Lost otherwise: Block Identifying Information Status would mean nothing, or more than it says."""
    safe = trees.sequence(0x00080300, declared(9, b"ACME", b"SAFE"), declared(0x11, b"ACME", b"UNSAFE"))
    found = run(safe, *acme(), *acme(0x0011), *acme(0x0013))
    assert left(found) == [0x00090010, 0x00091001, 0x00091002, 0x00110010]
    mixed = trees.sequence(0x00080300, declared(9, b"ACME", b"MIXED ", 2))
    assert left(run(mixed, *acme(block=0x20))) == [0x00090020, 0x00092002]


def test_a_declaration_does_not_vouch_for_what_the_table_knows_better() -> None:
    """Lost otherwise: an element with the VR of another would pass by its block's status."""
    safe = trees.sequence(0x00080300, declared(0x19, SIEMENS, b"SAFE"))
    found = run(safe, trees.text(0x00190010, SIEMENS), trees.text(0x0019100C, b"Doe^Jane", "PN"))
    assert left(found) == [0x00190010]


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("name", trees.SYNTAXES)
def test_no_more_of_a_declaration_stays_than_what_it_declares(name: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: the sequence that is there to protect would carry names past the profile."""
    if name == "big":
        return
    item = declared(9, b"ACME", b"MIXED ", 1, 2)
    more = [
        trees.sequence(0x00080305, [trees.text(0x00080307, b"Doe ", "CS")], undefined=undefined),
        trees.text(0x0008030D, b"Doe ", "UT"),
        trees.text(0x00100010, b"Doe^Jane"),
        trees.sequence(0x00091010, [trees.text(0x00104000, b"Doe ")], undefined=True),
    ]
    found = run(trees.sequence(0x00080300, [*item, *more], undefined=undefined), *acme(), name=name)
    (kept,) = found[0x00080300].value
    assert [int(element.tag) for element in kept] == [0x00080301, 0x00080302, 0x00080303, 0x00080304]
    assert (kept[0x00080301].value, kept[0x00080302].value, kept[0x00080303].value) == (9, "ACME", "MIXED")
    assert list(kept[0x00080304].value) == [1, 2]


@pytest.mark.parametrize("preset", ["research", "basic", "strict"])
def test_without_the_option_a_declaration_is_a_sequence_as_any(preset: str) -> None:
    """Lost otherwise: the contents of (0008,0300) would leave unseen where nothing private does."""
    item = [*declared(9, b"ACME", b"SAFE"), trees.text(0x00100010, b"Doe^Jane"), trees.text(0x00104000, b"Doe ")]
    recipe = Recipe.from_dict({"$extends": preset, "policy": {"private_sop_classes": "allow"}})
    data = trees.file([*trees.identity(), trees.sequence(0x00080300, item), *acme()])
    output = farmside.joined(process(data, recipe, KeyedMapping(farmside.KEY, recipe.scheme)))
    assert b"Doe" not in output
    assert left(dcmread(io.BytesIO(output))) == []


@given(
    st.dictionaries(
        st.tuples(st.integers(9, 0xFFFF), st.sampled_from([b"ACME", b"Other Creator"])),
        st.one_of(st.booleans(), st.frozensets(st.integers(0, 0xFF), min_size=1)),
    ),
    st.sampled_from([EXPLICIT, IMPLICIT, BIG]),
)
def test_a_declaration_written_anew_says_the_same(
    said: dict[tuple[int, bytes], bool | frozenset[int]], dialect: Dialect
) -> None:
    """Lost otherwise: a second de-identification would remove what the first one kept, or keep more."""
    first = Declared()
    first.blocks = {block: status is True for block, status in said.items()}
    first.elements = {block: status for block, status in said.items() if isinstance(status, frozenset)}
    again = Declared(first.encoded(dialect), dialect)
    assert again.blocks == first.blocks
    assert again.elements == first.elements
