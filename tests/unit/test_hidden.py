"""Text hidden where no text should be: behind another VR, in a character set's name, in an attribute nobody knows."""

from __future__ import annotations

import farmside
import pytest
import trees
from oracle import Element
from trees import sequence, text

from farm.dicom.charsets import is_known
from farm.recipe.recipe import preset

CANARY = b"ZQ004711QZ      "
TIMER_NAMES, LUT, REVIEWED, POSITION = 0x00082132, 0x00281408, 0x00140102, 0x00185100  # LO, OW, DA, CS
UNKNOWN, REGION, CHARSET = 0x00189FFE, 0x00082218, 0x00080005


def output(*elements: Element, recipe: str = "strict") -> bytes:
    """Return what a recipe makes of an instance with these elements, before the gate looks."""
    data = trees.file(trees.in_order([*trees.identity(), *elements]))
    return farmside.joined(farmside.unseen(data, preset(recipe)))


@pytest.mark.parametrize("vr", ["US", "UL", "FD", "AT", "SV", "OW", "OF", "OV"])
@pytest.mark.parametrize("tag", [TIMER_NAMES, REVIEWED, POSITION])
def test_text_written_as_numbers_goes(tag: int, vr: str) -> None:
    """Lost otherwise: a name would stay because its writer gave it the VR of numbers."""
    hidden = text(tag, CANARY, vr)
    assert CANARY not in output(hidden)
    assert CANARY not in output(sequence(REGION, [hidden]), recipe="research")


def test_numbers_written_as_other_numbers_stay() -> None:
    """Lost otherwise: writers of an older edition, who had another VR for it, would lose what images need."""
    assert b"\x01\2\3\4" in output(text(0x00280106, b"\x01\2\3\4", "UL"))  # Smallest Image Pixel Value, US or SS
    assert CANARY in output(text(LUT, CANARY, "OW"))
    assert b"12345678" in output(text(UNKNOWN, b"12345678", "FD"))


@pytest.mark.parametrize("vr", ["OW", "OF", "OD", "OL", "OV"])
def test_bulk_of_an_attribute_that_no_dictionary_knows_goes(vr: str) -> None:
    """Lost otherwise: a vendor's new attribute could hold a report as bytes."""
    assert CANARY not in output(text(UNKNOWN, CANARY, vr))


@pytest.mark.parametrize("recipe", ["strict", "research"])
def test_what_names_no_character_set_goes(recipe: str) -> None:
    """Lost otherwise: Specific Character Set, which has to stay, would take any text along."""
    charset = text(CHARSET, b"ISO_IR 100\\ZQ004711QZ ")
    for made in (output(charset, recipe=recipe), output(sequence(REGION, [charset]), recipe=recipe)):
        assert CANARY.strip() not in made
        assert b"ISO_IR 100\\" in made


def test_character_sets_are_known_as_they_are_often_misspelt() -> None:
    """Lost otherwise: kept text would be read by no character set for a hyphen in its name."""
    assert all(map(is_known, (b"", b"ISO_IR 192", b"iso-ir-100", b"ISO 2022 IR_87", b"GB18030", b"ISO 2022 IR 203")))
    assert not any(map(is_known, (b"ISO_IR 100 DOE", b"DOE", b"ISO_IR 999", "Æ".encode())))
