"""The attributes that follow the frames, byte for byte: what is said anew, and that nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracle
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element

from farm.codecs import uids
from farm.dicom.elements import EXPLICIT
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Options
from farm.frames.work import Job, Work
from farm.transcoding import attributes
from farm.transcoding.attributes import IMAGE_TYPE, LOSSY, METHOD, RATIO, SOP_INSTANCE
from farm.transcoding.frames import together
from farm.transcoding.plan import Action
from farm.transcoding.targets import TARGETS
from farm.transcoding.uids import derived_uid
from tests import images
from tests.images import BYTE, COLOUR, GREY, Image, coded, elements, encapsulated, text_of, to, transcoded

LOSSES = {IMAGE_TYPE, SOP_INSTANCE, LOSSY, RATIO, METHOD}
METHODS = {
    "jpeg-baseline": "ISO_10918_1",
    "jpeg-extended": "ISO_10918_1",
    "jpeg-ls-near": "ISO_14495_1",
    "j2k": "ISO_15444_1",
    "htj2k": "ISO_15444_15",
    "jpeg-xl-jpeg": "ISO_10918_1",
    "jpeg-xl": "ISO_18181_1",
}
WIDE = replace(BYTE, rows=64, columns=64)
OTHER = (
    trees.text(0x00080060, b"OT"),
    trees.text(0x00091001, b"\0 \xff\0", "UN"),
    trees.text(0x00104000, b" odd NUL\0"),
    trees.sequence(0x00400275, [trees.text(0x00280004, b"RGB "), trees.text(LOSSY, b"00")], [], undefined=True),
    trees.sequence(0x00409096, [trees.text(SOP_INSTANCE, b"1.9\0")]),
    trees.text(0x00282000, b"profile!", "OB"),
    trees.text(0xFFFCFFFC, bytes(6), "OB"),
)


def ratio_of(data: bytes, at: int = -1) -> float:
    """Return one of the ratios that a file tells."""
    return float((text_of(data, RATIO) or "").split("\\")[at])


@pytest.mark.parametrize("name", images.LOSSY)
def test_what_was_lost_is_said(name: str) -> None:
    """Lost: a lossy instance could pass for an original, under the original's UID (PS3.3 C.7.6.1.1.5, C.12.4.1)."""
    kind = trees.text(IMAGE_TYPE, b"ORIGINAL\\SECONDARY\\AXIAL ")
    layout = replace(WIDE, bits_allocated=16, bits_stored=12, high_bit=11) if name == "jpeg-extended" else WIDE
    data = Image(layout=layout, frames=images.slope(layout, 2)).file(kind)
    made = to(data, name)
    found = images.read(made)
    assert (text_of(made, LOSSY), text_of(made, METHOD)) == ("01", METHODS[name])
    # What JPEG lost is told of JPEG, however its stream is packed afterwards.
    coded_bytes = sum(map(len, fragments(to(made, "jpeg-baseline") if name == "jpeg-xl-jpeg" else made)))
    assert ratio_of(made) == pytest.approx(2 * layout.size / coded_bytes, rel=0.02)
    assert list(found.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID != "1.2.3.4"
    assert found.file_meta.TransferSyntaxUID == TARGETS[name]


def fragments(data: bytes) -> list[bytes]:
    """Return the fragments of a file, without the Basic Offset Table."""
    value = elements(data)[oracle.PIXELS].value
    assert isinstance(value, bytes)
    found, at = [], 0
    while value[at : at + 4] == bytes.fromhex("feff00e0"):
        length = int.from_bytes(value[at + 4 : at + 8], "little")
        found.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    return found[1:]


@pytest.mark.parametrize("name", images.LOSSLESS)
def test_what_loses_nothing_changes_nothing_that_it_need_not(name: str) -> None:
    """Lost: identifiers would change without need, and links to them break, or other elements with them."""
    data = Image(layout=GREY, frames=images.noise(GREY, 2)).file(*OTHER)
    before, after = elements(data), elements(to(data, name))
    assert before.keys() == after.keys()
    assert {tag for tag in before if before[tag].raw != after[tag].raw} <= {oracle.PIXELS}
    meta = images.read(to(data, name)).file_meta
    assert (meta.MediaStorageSOPInstanceUID, meta.MediaStorageSOPClassUID) == ("1.2.3.4", trees.SOP_CLASS.decode())


@settings(max_examples=60, deadline=None)
@given(
    image=images.images(),
    name=st.sampled_from(images.LOSSLESS + images.LOSSY),
    drawn=trees.elements({0x00080080: "LO", 0x00091002: "UN", 0x00400275: "SQ", 0x00281055: "LO"}, depth=2),
)
def test_nothing_else_changes_whatever_is_asked_for(image: Image, name: str, drawn: list[Element]) -> None:
    """Lost: an instance could be altered where nobody looks."""
    image = replace(image, name="explicit")
    data = image.file(*{element.tag: element for element in drawn}.values())
    before, after = elements(data), elements(to(data, name))
    differ = {tag for tag in before.keys() | after.keys() if raw(before, tag) != raw(after, tag)}
    about = {oracle.PIXELS, *attributes.LAYOUT} | (LOSSES if name in METHODS else set())
    assert differ <= about
    assert [element.tag for element in after.values()] == sorted(after)


def raw(found: dict[int, Element], tag: int) -> bytes | None:
    """Return the bytes of an element."""
    return found[tag].raw if tag in found else None


def test_losses_are_told_behind_earlier_ones() -> None:
    """Lost: an instance would tell of one loss where there were two (PS3.3 C.7.6.1.1.5.2)."""
    earlier = (
        trees.text(LOSSY, b"01"),
        trees.text(RATIO, b"7.5\\3 "),
        trees.text(METHOD, b"ISO_10918_1\\ISO_15444_1 "),
    )
    data = Image(layout=WIDE, frames=images.slope(WIDE)).file(*earlier)
    kept = images.transcoded(data, "htj2k")
    assert (kept.action, kept.target) == ("copy", TARGETS["native"])
    again = to(data, "htj2k", again=True)
    assert text_of(again, METHOD) == "ISO_10918_1\\ISO_15444_1\\ISO_15444_15"
    assert (text_of(again, RATIO) or "").startswith("7.5\\3\\")
    assert ratio_of(again) > 1
    exact = to(data, "htj2k-lossless")
    assert elements(exact)[METHOD].raw == elements(data)[METHOD].raw
    assert text_of(exact, RATIO) == "7.5\\3"


def test_what_was_never_lossy_is_not_counted_as_earlier() -> None:
    """Lost: a ratio that says nothing of a loss would be taken for one."""
    none = (trees.text(LOSSY, b"00"), trees.text(RATIO, b"1 "), trees.text(METHOD, b"ISO_15444_1 "))
    made = to(Image(layout=WIDE, frames=images.slope(WIDE)).file(*none), "htj2k")
    assert (text_of(made, LOSSY), text_of(made, METHOD)) == ("01", "ISO_15444_15")
    assert "\\" not in (text_of(made, RATIO) or "")


def test_the_new_uid_is_of_the_instance_and_how_it_was_coded() -> None:
    """Lost: two runs would give one instance two names, or two different ones the same."""
    data = Image(layout=WIDE, frames=images.slope(WIDE)).file()
    first = to(data, "jpeg-ls-near")
    assert first == to(data, "jpeg-ls-near")
    options = Options(syntax=TARGETS["jpeg-ls-near"])
    others = [to(data, "jpeg-ls-near", options=replace(options, near=1)), to(data, "htj2k"), to(data, "jpeg-xl")]
    names = {text_of(one, SOP_INSTANCE) for one in (first, *others)}
    assert len(names) == 4
    assert all(name and name.startswith("2.25.") and len(name) <= 64 for name in names)
    assert derived_uid(b"1.2.3", options) != derived_uid(b"1.2.4", options)
    assert derived_uid(b"1.2.3", options, "1.2.826").startswith(b"1.2.826.")


def test_a_lossy_source_says_so_once_it_is_native() -> None:
    """Lost: what JPEG has spoilt would look like an original, once nothing else tells (PS3.3 C.7.6.1.1.5)."""
    streams, layout = coded("jpeg-baseline", BYTE, images.slope(BYTE, 2))
    for silent in ((), (trees.text(LOSSY, b"00"),), (trees.text(LOSSY, b""),)):
        made = to(encapsulated(uids.JPEG_BASELINE, layout, streams, *silent, count=2), "native")
        assert (text_of(made, LOSSY), text_of(made, METHOD)) == ("01", "ISO_10918_1")
        assert text_of(made, SOP_INSTANCE) == "1.2.3.4"
        assert IMAGE_TYPE not in elements(made)
    told = (trees.text(LOSSY, b"01"), trees.text(RATIO, b"12"), trees.text(METHOD, b"OWN_METHOD"))
    made = to(encapsulated(uids.JPEG_BASELINE, layout, streams, *told, count=2), "native")
    assert (text_of(made, RATIO), text_of(made, METHOD)) == ("12", "OWN_METHOD")


def test_what_the_samples_are_now_is_said() -> None:
    """Lost: a reader would take planes for pixels, or chrominance for red, green and blue."""
    by_plane = replace(COLOUR, planar=1)
    made = images.read(to(Image(layout=by_plane, frames=images.noise(by_plane)).file(), "jpeg-ls-lossless"))
    assert (made.PlanarConfiguration, made.PhotometricInterpretation) == (0, "RGB")
    assert images.read(to(Image(layout=COLOUR, frames=images.noise(COLOUR)).file(), "rle")).PlanarConfiguration == 1
    lossy = to(Image(layout=COLOUR, frames=images.slope(COLOUR)).file(), "j2k")
    assert images.read(lossy).PhotometricInterpretation == "YBR_ICT"
    assert images.read(to(lossy, "native")).PhotometricInterpretation == "RGB"
    shared = replace(COLOUR, photometric="YBR_FULL_422")
    made = images.read(to(Image(layout=shared, frames=images.noise(shared)).file(), "rle"))
    assert made.PhotometricInterpretation == "YBR_FULL"


def test_bits_are_where_they_are_written() -> None:
    """Lost: values that stood at the high end would be read shifted."""
    high = replace(GREY, high_bit=15)
    found = images.read(to(Image(layout=high, frames=images.noise(high)).file(), "rle"))
    assert (found.BitsAllocated, found.BitsStored, found.HighBit) == (16, 12, 11)


def test_a_planar_configuration_that_says_nothing_goes() -> None:
    """Lost: grey images would be said to have planes (PS3.3 C.7.6.3.1.3)."""
    senseless = trees.text(0x00280006, b"\1\0", "US")
    data = Image(layout=GREY, frames=images.noise(GREY)).file(senseless)
    assert 0x00280006 not in elements(to(data, "rle"))


def test_what_was_not_said_is_inserted_where_it_belongs() -> None:
    """Lost: a data set would be out of order, and strict readers refuse it (PS3.5 7.1)."""
    absent = (0x00280006, 0x00280101, 0x00280102, 0x00280103, 0x00280008)
    data = Image(layout=COLOUR, frames=images.slope(COLOUR)).file(trees.text(0x00280034, b"1\\1 "), without=absent)
    made = elements(to(data, "jpeg-xl"))
    assert list(made)[:3] == [IMAGE_TYPE, 0x00080016, SOP_INSTANCE]
    assert list(made) == sorted(made)
    assert {0x00280006, 0x00280101, 0x00280102, *LOSSES} <= made.keys()
    assert made.keys().isdisjoint({0x00280103, 0x00280008})
    assert made[IMAGE_TYPE].value == b"DERIVED\\PRIMARY "
    assert made[0x00280101].value == b"\x08\0"


def test_an_instance_whose_meta_alone_names_it_is_named_when_it_is_lossy() -> None:
    """Lost: a lossy copy would have no UID in its data set, or end the program."""
    data = Image(layout=WIDE, frames=images.slope(WIDE)).file(without=(SOP_INSTANCE, 0x00080016))
    made = to(data, "htj2k")
    found = images.read(made)
    assert found.file_meta.MediaStorageSOPInstanceUID == text_of(made, SOP_INSTANCE) != "1.2.3.4"
    nameless = data.replace(bytes.fromhex("02000300") + b"UI\x08\x001.2.3.4\0", b"")
    with pytest.raises(BadInput) as refused:
        to(nameless, "htj2k")
    assert refused.value.reason is Reason.NO_SOP_CLASS or refused.value.reason is Reason.NO_UID


def test_the_first_of_two_elements_with_one_tag_counts() -> None:
    """Lost: a broken data set could be read one way and written another."""
    pixels = images.native(GREY, images.noise(GREY))
    found = [*images.described(GREY), *trees.identity(), trees.text(oracle.PIXELS, pixels, "OW")]
    found.append(trees.text(0x00280010, b"\xff\0", "US"))
    data = trees.meta() + trees.encode(trees.in_order(found))
    made = to(data, "rle")
    assert [one.value for one in images.basic_oracle.read_file(made).elements if one.tag == 0x00280010] == [
        b"\6\0",
        b"\xff\0",
    ]
    assert len(fragments(made)) == 1


def test_native_pixels_of_more_than_a_byte_are_words() -> None:
    """Lost: strict readers refuse 16-bit samples that are said to be bytes (PS3.5 annex A.2)."""
    for layout, vr in ((GREY, "OW"), (BYTE, "OB"), (COLOUR, "OB")):
        there = to(Image(layout=layout, frames=images.noise(layout)).file(), "rle")
        for name in ("native", "deflated"):
            assert elements(to(there, name))[oracle.PIXELS].vr == vr
        assert elements(there)[oracle.PIXELS].vr == "OB"


@given(
    ratios=st.lists(st.floats(1, 1000), min_size=1, max_size=6),
    sizes=st.integers(1, 1 << 20),
)
def test_the_ratio_of_all_frames_is_that_of_all_bytes(ratios: list[float], sizes: int) -> None:
    """Lost: an instance of many frames would claim to have lost less, or more, than it did."""
    changes = [Changes(lossy_method="ISO_14495_1", lossy_ratio=ratio) for ratio in ratios]
    packed = sum(sizes / ratio for ratio in ratios)
    assert together(changes).lossy_ratio == pytest.approx(len(ratios) * sizes / packed, abs=0.006)


def test_frames_that_are_not_of_one_kind_are_refused() -> None:
    """Lost: an attribute would be true of some frames only."""
    with pytest.raises(BadInput) as refused:
        together([Changes(photometric="RGB"), Changes(photometric="YBR_FULL")])
    assert refused.value.reason is Reason.PIXELS_UNDECODABLE


@pytest.mark.parametrize("name", images.LOSSY)
def test_a_frame_of_a_single_pixel_has_a_ratio(name: str) -> None:
    """Lost: a ratio that was rounded to nothing ended the program, and 0.00 would say that all is lost."""
    tiny = replace(COLOUR, rows=1, columns=1)
    if name == "jpeg-extended":
        tiny = replace(GREY, rows=1, columns=1)
    made = transcoded(Image(layout=tiny, frames=images.noise(tiny)).file(), name)
    if made.action is Action.ENCODE:
        assert 0 < ratio_of(images.joined(made)) < 1
    assert ratio_of(to(Image(layout=COLOUR, frames=images.slope(COLOUR)).file(), "jpeg-baseline")) > 0


def test_a_small_ratio_is_not_nothing() -> None:
    """Lost: DS of 0.00, which is no ratio of anything."""
    for ratio, text in ((0.0021, b"0.0021"), (0.00457, b"0.0046"), (0.25, b"0.25"), (3.14159, b"3.14")):
        changes = Changes(lossy_method="ISO_10918_1", lossy_ratio=ratio)
        said = attributes.said({}, Work(job=Job(source=uids.RLE, layout=GREY), frames=()), changes)
        assert said[RATIO] == text


@pytest.mark.parametrize("undefined", [False, True])
def test_the_type_of_each_frame_says_that_it_is_derived(*, undefined: bool) -> None:
    """Lost: an enhanced image would say of all its frames that they are derived, and of each that it is original."""
    original, derived = b"ORIGINAL\\PRIMARY\\AXIAL\\NONE ", ["DERIVED", "PRIMARY", "AXIAL", "NONE"]

    def group(kind: bytes) -> list[Element]:
        elsewhere = trees.sequence(0x00089124, [trees.text(0x00089007, original)])
        macro = trees.sequence(0x00189329, [trees.text(0x00089007, kind), elsewhere], undefined=undefined)
        return [macro]

    shared = trees.sequence(0x52009229, group(original), undefined=undefined)
    each = trees.sequence(0x52009230, group(original), group(b"DERIVED\\SECONDARY"), group(b""), undefined=undefined)
    other = trees.sequence(0x00081140, [trees.text(0x00089007, original)])
    data = Image(layout=WIDE, frames=images.slope(WIDE, 3)).file(shared, each, other)
    found = images.read(to(data, "htj2k"))
    (first,), (second, third, fourth) = found[0x52009229], found[0x52009230]
    said = [one.CTImageFrameTypeSequence[0].get("FrameType") for one in (first, second, third, fourth)]
    assert [list(one or []) for one in said] == [derived, derived, ["DERIVED", "SECONDARY"], []]
    macros = [one.CTImageFrameTypeSequence[0] for one in (first, second, third, fourth)]
    kept = [*(one[0x00089124] for one in macros), found[0x00081140]]
    assert [one[0].FrameType[0] for one in kept] == ["ORIGINAL"] * 5
    exact = elements(to(data, "htj2k-lossless"))
    assert [exact[tag].raw for tag in (0x52009229, 0x52009230)] == [
        elements(data)[tag].raw for tag in (0x52009229, 0x52009230)
    ]


def test_ratios_fit_their_vr() -> None:
    """Lost: a ratio of more than 16 characters is no DS (PS3.5 table 6.2-1)."""
    changes = Changes(lossy_method="ISO_15444_1", lossy_ratio=float(np.nextafter(1e15, 2e15)))
    said = attributes.said({}, Work(job=Job(source=uids.RLE, layout=GREY), frames=()), changes)
    assert said[RATIO] is not None
    assert len(said[RATIO] or b"") <= 16
    assert len(EXPLICIT.element(RATIO, "DS", said[RATIO] or b"")) <= 24
