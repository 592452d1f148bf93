"""Implicit VR written as explicit VR, against what pydicom reads from the source."""

from __future__ import annotations

import io
import warnings

import farmside
import oracle
import pydicom
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element, Item
from pydicom.dataset import Dataset
from pydicom.filewriter import correct_ambiguous_vr

# Attributes that the profile keeps, so that both sides can be compared; ambiguous VRs and long values among them.
KEPT = {
    0x00080005: st.just(b"ISO_IR 100"),
    0x00080060: st.just(b"CT"),
    0x00180050: st.just(b"1.25"),
    0x00181310: st.just(b"\1\0\2\0\3\0\4\0"),
    0x00189073: st.binary(min_size=8, max_size=8),
    0x00200013: st.sampled_from([b"1 ", b"12"]),
    0x00280106: st.binary(min_size=2, max_size=2),
    0x00280107: st.binary(min_size=2, max_size=2),
    0x00281101: st.just(b"\0\1\0\0\x08\0"),
    0x00281201: st.binary(min_size=4, max_size=4),
    0x00283002: st.just(b"\2\0\0\0\x10\0"),
    0x0040A160: st.sampled_from([b"text", b"t" * 70_000]),
    0x00186060: st.just(b"\0\0\x80?"),
}
SEQUENCES = (0x00400260, 0x00189346, 0x00283000)


@st.composite
def kept(draw: st.DrawFn, depth: int = 2) -> list[Element]:
    """Draw kept attributes, each once, and sequences of them."""
    allowed = [
        tag for tag in sorted(KEPT) if depth == 2 or len(oracle.vr_of(tag)) == 2
    ]  # a choice is settled at top level
    tags = draw(st.lists(st.sampled_from(allowed), unique=True, max_size=6))
    found = [trees.text(tag, draw(KEPT[tag])) for tag in tags]
    for tag in draw(st.lists(st.sampled_from(SEQUENCES), unique=True, max_size=2)) if depth else ():
        items = draw(st.lists(st.builds(Item, kept(depth - 1), st.booleans()), max_size=2))
        found.append(Element(tag, "SQ", items, draw(st.booleans())))
    return trees.in_order(found)


def read(data: bytes) -> Dataset:
    """Return what pydicom reads, every VR settled."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pydicom.dcmread(io.BytesIO(data), force=True)
        return correct_ambiguous_vr(found, is_little_endian=True)


@settings(max_examples=50, deadline=None)
@given(drawn=kept(), sign=st.sampled_from([b"\0\0", b"\1\0"]))
def test_the_output_reads_as_the_source_did(drawn: list[Element], sign: bytes) -> None:
    """Lost otherwise: data sets rewritten to explicit VR would say something else than their sources."""
    found = [*drawn, trees.text(0x00280103, sign), *trees.identity()]
    data = trees.file(found, "implicit")
    product = farmside.run(data, farmside.EXPLICIT_RECIPE)
    before, after = read(data), read(farmside.joined(product))
    assert not after.file_meta.TransferSyntaxUID.is_implicit_VR
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in drawn:
            old, new = before[element.tag], after[element.tag]
            assert new.value == old.value
            assert new.VR == old.VR


@pytest.mark.parametrize(("bits", "vr"), [(8, "OB"), (16, "OW")])
def test_native_pixel_data_gets_the_vr_that_its_samples_ask_for(bits: int, vr: str) -> None:
    """Lost otherwise: a reader would swap the bytes of 8 bit samples, or not those of 16 bit ones (PS3.5 A.2)."""
    found = [*trees.identity(), *trees.pixels(trees.SYNTAXES["implicit"], bits=bits)]
    product = farmside.run(trees.file(found, "implicit"), farmside.EXPLICIT_RECIPE)
    assert vr == read(farmside.joined(product))[0x7FE00010].VR


def test_explicit_sources_are_left_in_their_syntax() -> None:
    """Lost otherwise: a big endian source would be written under a syntax that it is not in."""
    for name in ("explicit", "big"):
        product = farmside.run(trees.file(trees.identity(), name), farmside.EXPLICIT_RECIPE)
        assert product.report.target_syntax.encode() == trees.UIDS[name]
