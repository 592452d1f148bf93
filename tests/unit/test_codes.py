"""Coded entries: public vocabularies stay, local codes do not."""

from __future__ import annotations

import io

import farmside
import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.sr.codedict import codes as pydicoms
from pydicom.sr.coding import Code

from farm.deid import codes
from farm.deid.mapping import KeyedMapping
from farm.deid.text import Cleaner
from farm.pipeline import process
from farm.recipe.recipe import Recipe

VIEW = 0x00540220
RECIPE = Recipe.from_dict({"$extends": "research", "policy": {"private_sop_classes": "allow"}})


def coded(value: bytes, scheme: bytes, meaning: bytes, *, tag: int = codes.VALUE, recipe: Recipe = RECIPE) -> list[str]:
    """Return the values of a coded entry that are left, by pydicom's reading; a dummy is REMOVED."""
    item = [trees.text(0x00080102, scheme), trees.text(0x00080104, meaning), trees.text(tag, value)]
    data = trees.file([*trees.identity(), trees.sequence(VIEW, sorted(item, key=lambda each: each.tag))])
    found = dcmread(io.BytesIO(farmside.joined(process(data, recipe, KeyedMapping(farmside.KEY, recipe.scheme)))))
    return [str(element.value) for element in found[VIEW].value[0]]


@pytest.mark.parametrize("name", ["DCM", "SCT", "UCUM"])
def test_the_codes_of_the_standards_context_groups_stay(name: str) -> None:
    """Lost otherwise: views, units and body parts would be dummies in every image."""
    vocabulary = getattr(pydicoms, name)
    known = [code for keyword in dir(vocabulary)[:300] if isinstance(code := getattr(vocabulary, keyword), Code)]
    assert len(known) > 20
    for code in known:
        assert codes.keeps(codes.VALUE, code.value.encode()), code
        assert codes.keeps(codes.SCHEME, code.scheme_designator.encode()), code


@pytest.mark.parametrize(
    ("tag", "value", "stays"),
    [
        (codes.VALUE, b"121033", True),
        (codes.VALUE, b"T-D4000", True),
        (codes.VALUE, b"18782-3", True),
        (codes.LONG_VALUE, b"121033", True),
        (codes.VALUE, b"DOE", False),
        (codes.VALUE, b"4711 0815", False),
        (codes.SCHEME, b"DCM", True),
        (codes.SCHEME, b"99MERCY", False),
        (codes.SCHEME, b"dcm", False),
        (codes.URN, b"urn:oid:2.16.840.1.113883.6.1", True),
        (codes.URN, b"urn:patient:4711", False),
        (codes.URN, b"http://mercy.example/4711", False),
        (codes.VERSION, b"01", True),
        (codes.VERSION, b"20010203", False),
        (0x0008010B, b"Y", False),
    ],
)
def test_a_value_is_known_or_it_is_not(tag: int, value: bytes, stays: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a patient's number would stay as a code, or a public one be lost."""
    assert codes.keeps(tag, value) is stays


@given(st.binary(max_size=12), st.sampled_from([codes.VALUE, codes.SCHEME, codes.LONG_VALUE, codes.URN]))
def test_a_value_that_holds_anything_but_a_code_goes(value: bytes, tag: int) -> None:
    """Lost otherwise: separators or other bytes would let text pass behind a known code."""
    assert not codes.keeps(tag, b"121033\\" + value)
    assert not codes.keeps(tag, b"121033 " + value)
    assert not codes.keeps(tag, value + b"\n")


def test_a_public_code_stays_whole_and_a_local_one_becomes_a_dummy() -> None:
    """Lost otherwise: an item would lack what a code requires, or say whose it is."""
    assert coded(b"399162004 ", b"SCT ", b"Cranio-caudal ") == ["399162004", "SCT", "Cranio-caudal"]
    assert coded(b"DOE ", b"99MERCY ", b"Doe^Jane's view ") == ["REMOVED", "REMOVED", "view"]
    assert coded(b"121033", b"DCM ", b"Doe ") == ["121033", "DCM", "REMOVED"]


@pytest.mark.parametrize("meaning", [b"Language", b"Table Height Position ", b"Tracking Identifier "])
def test_a_meaning_of_a_public_code_stays_to_the_letter(meaning: bytes) -> None:
    """Lost otherwise: reports would be cleaned of the words by which people read their codes."""
    assert coded(b"121045", b"DCM ", meaning) == ["121045", "DCM", meaning.decode().strip()]


def test_a_meaning_that_names_the_subject_goes() -> None:
    """Lost otherwise: a subject whose name is a word of a vocabulary could be named in any code."""
    assert codes.is_meaning(b"Language")
    assert not Cleaner(["Doe^Jane"], b"").mentions("Language")
    assert Cleaner(["Language^Jane"], b"").mentions("Language")
    assert coded(b"121045", b"DCM ", b"Language of Doe ") == ["121045", "DCM", "REMOVED"]


def test_a_local_code_may_not_stay_in_a_long_value() -> None:
    """Lost otherwise: what is refused in 16 characters would pass in more."""
    assert "DOE" not in " ".join(coded(b"DOE WARD 4 MERCY HOSPITAL ", b"99MERCY ", b"view", tag=codes.LONG_VALUE))


def test_the_basic_profile_leaves_codes_alone() -> None:
    """Lost otherwise: table E.1-1, which does not list them, would be overstepped."""
    kept = coded(b"DOE ", b"99MERCY ", b"a view", recipe=farmside.BASIC)
    assert kept == ["DOE", "99MERCY", "a view"]
