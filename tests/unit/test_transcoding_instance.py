"""Instances into other transfer syntaxes and back: every sample, every table, every other byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

import numpy as np
import oracle
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element

from farm.codecs import registry, uids
from farm.dicom import part10
from farm.dicom.part10 import Limits
from farm.errors import BadInput, Reason
from farm.frames import encapsulated as items
from farm.frames.codec import Codec, Encoded, Options
from farm.frames.layout import Layout, Samples
from farm.transcoding import instance, pixels
from farm.transcoding.frames import Inline
from farm.transcoding.plan import Action
from farm.transcoding.targets import TARGETS
from tests import images
from tests.images import BYTE, COLOUR, GREY, Image, coded, elements, encapsulated, samples_of, stacked, to, transcoded

OFFSETS, LENGTHS = 0x7FE00001, 0x7FE00002
PEERS_READ = ("rle", "jpeg-ls-lossless", "j2k-lossless", "htj2k-lossless", "htj2k-lossless-rpcl")
"""Lossless targets whose frames pydicom decodes, with libraries that are not ours."""
CODED = ("rle", "jpeg-lossless-sv1", "jpeg-ls-lossless", "j2k-lossless", "htj2k-lossless", "jpeg-xl-lossless")


def raised(data: bytes, name: str, **rest: object) -> BadInput:
    """Return why a file is not transcoded."""
    with pytest.raises(BadInput) as refused:
        transcoded(data, name, **rest)
    return refused.value


def value_of(data: bytes, tag: int = oracle.PIXELS) -> bytes:
    """Return the value of an element."""
    value = elements(data)[tag].value
    assert isinstance(value, bytes)
    return value


# Samples.


@settings(max_examples=50, deadline=None)
@given(image=images.images())
def test_samples_are_the_same_in_every_lossless_syntax_and_back(image: Image) -> None:
    """Lost: the lake would hold other pixels than the archive."""
    data = image.file()
    expected = stacked(image.frames)
    for name in images.LOSSLESS:
        made = transcoded(data, name)
        there = images.joined(made)
        claim = registry.encoder(TARGETS[name]).encodes[TARGETS[name]]
        shared = image.layout.photometric == "YBR_FULL_422"
        covered = claim.covers(replace(image.layout, photometric="YBR_FULL") if shared else image.layout)
        headers_only = name in {"native", "deflated"} and image.name != "big"
        assert made.action is (Action.ENCODE if covered and not headers_only else Action.COPY), (name, made.why)
        back = to(there, "native")
        assert np.array_equal(samples_of(back), expected), name
        assert images.read(back).file_meta.TransferSyntaxUID == TARGETS["native"]
        assert to(there, name) == there, name


@settings(max_examples=30, deadline=None)
@given(image=images.images(), name=st.sampled_from(PEERS_READ))
def test_others_read_the_same_samples(image: Image, name: str) -> None:
    """Lost: frames could be right for us alone."""
    single = image.layout.bits_allocated == 1  # pydicom decodes none of these
    if single or image.layout.bits_allocated == 32 or image.layout.bits_stored < 2:
        return
    made = transcoded(image.file(), name)
    if made.action is Action.ENCODE:
        assert np.array_equal(samples_of(images.joined(made)), stacked(image.frames))


@settings(max_examples=25, deadline=None)
@given(image=images.images(), names=st.lists(st.sampled_from(images.LOSSLESS), min_size=2, max_size=5))
def test_a_chain_of_lossless_syntaxes_loses_nothing(image: Image, names: list[str]) -> None:
    """Lost: what is transcoded again, years later, would wear off."""
    data = image.file()
    for name in names:
        data = to(data, name)
    assert np.array_equal(samples_of(to(data, "native")), stacked(image.frames))


def test_single_bits_of_frames_that_share_bytes() -> None:
    """Lost: every frame of a segmentation but the first would be shifted by some bits (PS3.5 8.1.1)."""
    layout = Layout(rows=3, columns=5, bits_allocated=1, bits_stored=1, high_bit=0)
    for count in (1, 2, 5):
        image = Image(layout=layout, frames=images.noise(layout, count))
        for source, name in product(("explicit", "big"), ("deflated-frames", "encapsulated")):
            made = transcoded(replace(image, name=source).file(), name)
            assert made.action is Action.ENCODE
            back = to(images.joined(made), "native")
            assert len(value_of(back)) == (15 * count + 15) // 16 * 2
            assert value_of(back) == images.native(layout, image.frames)


def test_single_bits_are_not_written_by_rle() -> None:
    """Lost: others would read a segmentation by RLE as an eighth of itself, or refuse it (PS3.5 G.2)."""
    layout = Layout(rows=3, columns=5, bits_allocated=1, bits_stored=1, high_bit=0)
    data = Image(layout=layout, frames=images.noise(layout, 2)).file()
    made = transcoded(data, "rle")
    assert (images.joined(made), made.why) == (data, "the transfer syntax cannot hold it")
    assert raised(data, "rle", refuse=True).reason is Reason.CODEC_ABSENT


def test_a_frame_of_odd_length_is_padded_once() -> None:
    """Lost: a pad would be taken for a sample, and every later frame be shifted by it."""
    layout = replace(BYTE, rows=3, columns=5)
    image = Image(layout=layout, frames=images.noise(layout, 3))
    for name in images.LOSSLESS:
        back = value_of(to(to(image.file(), name), "native"))
        assert (len(back), back[:45]) == (46, b"".join(frame.tobytes() for frame in image.frames)), name


def test_frames_of_one_row_one_column_or_one_pixel_by_plane() -> None:
    """Lost: libraries that look at strides would refuse the smallest frames, or read beyond them."""
    for size in ((1, 1), (1, 4), (4, 1)):
        layout = replace(COLOUR, rows=size[0], columns=size[1], planar=1)
        image = Image(layout=layout, frames=images.noise(layout, 2))
        for name in images.LOSSLESS:
            assert np.array_equal(samples_of(to(to(image.file(), name), "native")), stacked(image.frames)), (size, name)


# Offset tables and fragments.


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 5), name=st.sampled_from(CODED), seed=st.integers(0, 99))
def test_the_basic_offset_table_says_where_frames_are(count: int, name: str, seed: int) -> None:
    """Lost: a viewer would jump into the middle of a frame (PS3.5 A.4)."""
    value = value_of(to(Image(layout=GREY, frames=images.noise(GREY, count, seed)).file(), name))
    length = int.from_bytes(value[4:8], "little")
    assert length == 4 * count
    first = 8 + length
    for at in range(count):
        start = first + int.from_bytes(value[8 + 4 * at : 12 + 4 * at], "little")
        assert value[start : start + 4] == bytes.fromhex("feff00e0")
        assert int.from_bytes(value[start + 4 : start + 8], "little") % 2 == 0
    assert value[-8:] == bytes.fromhex("feffdde000000000")


def test_the_extended_table_is_written_where_the_basic_one_does_not_reach() -> None:
    """Lost: the fifth gigabyte of a slide could not be found (PS3.3 C.7.6.3.1.8)."""
    half = 1 << 31
    basic, extended = items.tables([half, half - 9, 7, 5])
    assert (basic, extended and len(extended[0])) == (b"", 32)
    assert extended is not None
    places = [0, half + 8, 2 * half + 8, 2 * half + 24]
    assert extended[0] == b"".join(place.to_bytes(8, "little") for place in places)
    assert extended[1] == b"".join(length.to_bytes(8, "little") for length in (half, half - 9, 7, 5))
    assert items.tables([half, half - 9])[1] is None
    assert items.tables([half, half - 18, 7])[1] is None  # the last even place that 32 bits can tell
    assert items.tables([half, half - 16, 7])[1] is not None
    with pytest.raises(BadInput) as refused:
        items.tables([4, (1 << 32) - 1])
    assert refused.value.reason is Reason.PIXELS_TOO_LARGE


def test_extended_tables_that_are_needed_are_inserted_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the tables would be computed and not written, or behind the pixels."""
    monkeypatch.setattr(items, "_REACH", 300)
    made = elements(to(Image(layout=GREY, frames=images.noise(GREY, 5)).file(), "rle"))
    assert list(made)[-3:] == [OFFSETS, LENGTHS, oracle.PIXELS]
    offsets, lengths, value = (made[tag].value for tag in list(made)[-3:])
    assert isinstance(value, bytes)
    assert value[:8] == images.item(b"")
    for at in range(5):
        start = 8 + int.from_bytes(offsets[8 * at : 8 * at + 8], "little")  # type: ignore[arg-type]
        length = int.from_bytes(lengths[8 * at : 8 * at + 8], "little")  # type: ignore[arg-type]
        found = int.from_bytes(value[start + 4 : start + 8], "little")
        assert found - 1 <= length <= found
    assert (made[OFFSETS].vr, made[LENGTHS].vr) == ("OV", "OV")


def pieces(streams: Sequence[bytes], size: int) -> list[list[bytes]]:
    """Return bitstreams cut into fragments of an even size."""
    return [[stream[at : at + size] for at in range(0, len(stream), size)] for stream in streams]


def offsets(groups: Sequence[Sequence[bytes]], size: int) -> bytes:
    """Return where each frame's first fragment stands, in numbers of a size."""
    sizes = [sum(8 + len(part) + len(part) % 2 for part in group) for group in groups]
    return b"".join(start.to_bytes(size, "little") for start in [0, *accumulate(sizes)][:-1])


_TOLD = {
    "basic": ("jpeg-ls-lossless", "htj2k-lossless", "rle"),
    "extended": ("jpeg-ls-lossless", "htj2k-lossless", "rle"),
    "marks": ("jpeg-lossless-sv1", "jpeg-ls-lossless", "htj2k-lossless"),
    "ends": ("jpeg-lossless-sv1", "jpeg-ls-lossless"),  # a code stream's end is not told by its last bytes
}
"""What can tell which fragments make a frame, and where."""


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in _TOLD.items() for name in names])
def test_fragments_are_joined_to_frames(kind: str, name: str) -> None:
    """Lost: an instance whose frames are in several fragments would be refused, or its frames be mixed up."""
    frames = images.noise(GREY, 3)
    streams, layout = coded(name, GREY, frames)
    groups = pieces(streams, 40)
    extended = [trees.text(OFFSETS, offsets(groups, 8), "OV"), trees.text(LENGTHS, bytes(24), "OV")]
    made = encapsulated(
        TARGETS[name],
        layout,
        [part for group in groups for part in group],
        *(extended if kind == "extended" else []),
        count=3,
        table=offsets(groups, 4) if kind == "basic" else b"\xff" * 12 if kind == "ends" else b"",
    )
    back = to(made, "native")
    assert np.array_equal(samples_of(back), stacked(frames))
    assert elements(back).keys().isdisjoint({OFFSETS, LENGTHS})
    again = elements(to(made, "encapsulated"))
    assert again.keys().isdisjoint({OFFSETS, LENGTHS})


def test_one_frame_in_many_fragments() -> None:
    """Lost: a single frame would be taken for many."""
    frames = images.noise(GREY)
    streams, layout = coded("rle", GREY, frames)
    made = encapsulated(uids.RLE, layout, pieces(streams, 10)[0])
    assert np.array_equal(samples_of(to(made, "native")), frames[0])


def test_tables_of_the_source_stay_with_its_frames_when_they_are_copied() -> None:
    """Lost: what is passed on would not be what it was."""
    streams, layout = coded("htj2k-lossless", GREY, images.noise(GREY, 2))
    extended = trees.text(OFFSETS, offsets([[one] for one in streams], 8), "OV"), trees.text(LENGTHS, bytes(16), "OV")
    data = encapsulated(uids.HTJ2K_LOSSLESS, layout, streams, *extended, count=2, behind=b"tail")
    assert to(data, "htj2k-lossless") == data


# Headers.


def test_implicit_headers_become_explicit() -> None:
    """Lost: an archive that takes explicit VRs alone would get none, or wrong ones."""
    smallest = (0x00280106, 0x00280107, 0x00280120)
    for signed, vr in ((False, "US"), (True, "SS")):
        layout = replace(GREY, signed=signed)
        nested = trees.sequence(0x00400275, [trees.text(0x00100020, b"ID"), trees.text(0x00280106, b"\1\0")])
        new = [trees.text(tag, b"\5\0", "US") for tag in smallest]
        data = Image(layout=layout, frames=images.noise(layout), name="implicit").file(*new, nested)
        for name in ("native", "htj2k-lossless", "deflated"):
            made = elements(to(data, name))
            assert {made[tag].vr for tag in smallest} == {vr}, name
            assert [one.vr for one in made[0x00400275].items[0].elements] == ["LO", vr]
            assert made[0x00100010].value == b"Doe^Jane"
            assert elements(data).keys() == made.keys()


def test_a_copy_that_changes_nothing_is_the_same_file() -> None:
    """Lost: what needs nothing would be written anew, and its digest be another."""
    for source in ("explicit", "implicit", "big", "deflated"):
        data = Image(layout=GREY, frames=images.noise(GREY), name=source).file()
        assert to(data, "") == data
    data = Image(layout=GREY, frames=images.noise(GREY)).file(behind=b"bytes that belong to nothing")
    made = transcoded(data, "native")
    assert (images.joined(made), made.action, made.codec) == (data, Action.COPY, "")
    deflated = Image(layout=GREY, frames=images.noise(GREY), name="deflated").file()
    assert to(deflated, "deflated") == deflated


@settings(max_examples=30, deadline=None)
@given(
    drawn=trees.elements({0x00080060: "CS", 0x00104000: "LT", 0x00400275: "SQ", 0x00180050: "DS"}, depth=2),
    source=st.sampled_from(["explicit", "implicit"]),
    name=st.sampled_from(["native", "deflated", "rle"]),
)
def test_a_data_set_without_pixels_changes_its_headers_alone(drawn: list[Element], source: str, name: str) -> None:
    """Lost: reports and plans would fail among images, or be altered."""
    found = trees.in_order([*trees.identity(), *{one.tag: one for one in drawn}.values()])
    data = trees.file(found, source)
    made = transcoded(data, name)
    assert made.action is Action.COPY
    assert made.target == TARGETS["deflated" if name == "deflated" else "native"]
    before = [(where, one.value) for where, one in oracle.leaves(images.basic_oracle.read_file(data).elements)]
    after = images.basic_oracle.read_file(images.joined(made)).elements
    assert [(where, one.value) for where, one in oracle.leaves(after)] == before


def test_big_endian_stays_where_nothing_is_coded() -> None:
    """Lost: samples would stand in one byte order under headers of the other."""
    odd = trees.text(0x00280100, b"\0\x0c", "US")  # 12 bits allocated: no layout that can be read
    data = Image(layout=GREY, frames=images.noise(GREY), name="big").file(odd)
    for found in (data, trees.file(trees.identity(), "big")):
        made = transcoded(found, "htj2k-lossless")
        assert (images.joined(made), made.target) == (found, trees.UIDS["big"].decode())


# What stands around the pixels.


def test_float_pixels_stay_as_they_are() -> None:
    """Lost: parametric maps, whose samples are no integers, would be taken for images (PS3.3 C.7.6.24)."""
    value = np.linspace(0, 1, 42, dtype="<f4").tobytes()
    floating = trees.text(0x7FE00008, value, "OF")
    source = trees.meta() + trees.encode(
        trees.in_order([*trees.identity(), *images.described(replace(GREY, bits_allocated=32)), floating])
    )
    made = transcoded(source, "htj2k-lossless")
    assert (images.joined(made), made.action) == (source, Action.COPY)
    double = trees.text(0x7FE00009, np.linspace(0, 1, 42, dtype=">f8").tobytes(), "OD")
    big = trees.file([*trees.identity(), double], "big")
    assert to(big, "native") == big


def overlay(*, position: int = 12, allocated: int = 16, data: bytes = b"") -> list[Element]:
    """Return an overlay: in a bit of the samples, or with data of its own."""
    numbers = {0x60000010: 6, 0x60000011: 7, 0x60000100: allocated, 0x60000102: position}
    found = [trees.text(tag, number.to_bytes(2, "little"), "US") for tag, number in numbers.items()]
    return [*found, trees.text(0x60000040, b"G "), *([trees.text(0x60003000, data, "OW")] if data else [])]


def test_overlays_in_unused_bits_are_not_lost() -> None:
    """Lost: a codec takes the samples and drops the other bits, and the overlay with them (PS3.5 8.1.2, retired)."""
    data = Image(layout=GREY, frames=images.noise(GREY)).file(*overlay())
    made = transcoded(data, "htj2k-lossless")
    assert (images.joined(made), made.action) == (data, Action.COPY)
    lowest = Image(layout=replace(GREY, high_bit=15), frames=images.noise(GREY)).file(*overlay(position=0))
    assert to(lowest, "rle") == lowest
    of_its_own = Image(layout=GREY, frames=images.noise(GREY)).file(*overlay(position=0, allocated=1, data=b"\1" * 6))
    found = transcoded(of_its_own, "htj2k-lossless")
    assert found.action is Action.ENCODE
    assert elements(images.joined(found))[0x60003000].value == b"\1" * 6


def test_an_icon_whose_pixels_are_native_goes_along() -> None:
    """Lost: an instance would lose its icon, or not be transcoded for it."""
    icon = trees.sequence(0x00880200, [*images.described(BYTE), trees.text(oracle.PIXELS, bytes(256), "OB")])
    data = Image(layout=GREY, frames=images.noise(GREY)).file(icon)
    made = transcoded(data, "htj2k-lossless")
    assert made.action is Action.ENCODE
    assert elements(images.joined(made))[0x00880200].raw == elements(data)[0x00880200].raw


def test_an_icon_whose_pixels_are_compressed_goes_where_they_cannot_follow() -> None:
    """Lost: the icon's bitstream would stand under a syntax not its own (PS3.5 A.4), or keep an instance from any."""
    streams, layout = coded("jpeg-baseline", BYTE, images.slope(BYTE))
    inner = Element(
        oracle.PIXELS,
        "OB",
        images.item(b"") + images.item(streams[0]) + bytes.fromhex("feffdde000000000"),
        True,  # noqa: FBT003
    )
    icon = trees.sequence(0x00880200, [*images.described(BYTE), inner])
    data = encapsulated(uids.JPEG_BASELINE, layout, streams, icon)
    assert to(data, "jpeg-baseline") == data
    for name, action in (("jpeg-xl-jpeg", Action.REWRITE), ("htj2k-lossless", Action.ENCODE), ("native", "encode")):
        made = transcoded(data, name, refuse=True)
        assert made.action == action
        assert elements(images.joined(made)).keys() - {0x00282112, 0x00282114, 0x00282110} == (
            elements(data).keys() - {0x00880200}
        )
    around = trees.sequence(0x00081140, [icon])
    deeper = transcoded(encapsulated(uids.JPEG_BASELINE, layout, streams, around), "native")
    assert (deeper.action, deeper.why) == (Action.COPY, "an image within it has its transfer syntax")


def test_elements_behind_the_pixels_stay_and_bytes_behind_the_data_set_go() -> None:
    """Lost: signatures would be cut off with what no element claims, or that be released."""
    padding = trees.text(0xFFFCFFFC, b"padding!", "OB")
    for source in ("explicit", "implicit", "big"):
        image = Image(layout=GREY, frames=images.noise(GREY), name=source)
        made = to(image.file(padding, behind=b"junk behind it all"), "htj2k-lossless")
        assert elements(made)[0xFFFCFFFC].value == b"padding!"
        assert b"junk" not in made
        assert made.endswith(b"padding!")


def test_what_is_longer_than_its_frames_loses_the_rest() -> None:
    """Lost: bytes behind the last frame, which are no samples, would be coded, or shift what follows."""
    for name in ("htj2k-lossless", "encapsulated"):
        longer = trees.text(oracle.PIXELS, images.native(GREY, images.noise(GREY)) + b"no samples", "OW")
        made = to(Image(layout=GREY, frames=[]).file(longer, trees.text(0x00280008, b"1 ")), name)
        assert b"no samples" not in made
        assert np.array_equal(samples_of(to(made, "native")), images.noise(GREY)[0])


# What is wrong is refused by code.


def test_native_pixels_that_are_too_short() -> None:
    """Lost: missing samples would be made up."""
    short = trees.text(oracle.PIXELS, images.native(GREY, images.noise(GREY, 2))[:-2], "OW")
    for source in ("explicit", "deflated"):
        data = Image(layout=GREY, frames=images.noise(GREY, 2), name=source).file(short)
        error = raised(data, "htj2k-lossless")
        assert (error.reason, error.fields) == (Reason.PIXEL_LENGTH, {"expected": 168, "found": 166})


def test_fragments_of_another_number_of_frames() -> None:
    """Lost: frames would be left out, or one be taken for many."""
    streams, layout = coded("jpeg-ls-lossless", GREY, images.noise(GREY, 3))
    for count in (2, 4):
        error = raised(encapsulated(uids.JPEG_LS, layout, streams, count=count), "native")
        assert error.reason is Reason.PIXEL_LENGTH
    for none in ([], [b""]):
        error = raised(encapsulated(uids.JPEG_LS, layout, none), "native")
        assert error.reason in {Reason.PIXEL_LENGTH, Reason.PIXELS_UNDECODABLE}


def test_a_frame_that_does_not_decode() -> None:
    """Lost: half an instance would be released."""
    for name in CODED:
        streams, layout = coded(name, GREY, images.noise(GREY, 2))
        broken = [streams[0], streams[1][: len(streams[1]) // 2]]
        error = raised(encapsulated(TARGETS[name], layout, broken, count=2), "native")
        assert error.reason in {Reason.PIXELS_UNDECODABLE, Reason.PIXEL_LENGTH}, name


def test_pixels_that_are_not_written_as_their_syntax_says() -> None:
    """Lost: a decoder would be fed samples, or samples be read from a bitstream."""
    streams, layout = coded("rle", GREY, images.noise(GREY))
    native_syntax = encapsulated(TARGETS["native"], layout, streams)
    encapsulated_syntax = Image(layout=GREY, frames=images.noise(GREY)).file()
    encapsulated_syntax = encapsulated_syntax.replace(
        images.oracle.simple(0x00020010, "UI", trees.UIDS["explicit"], oracle.EXPLICIT),
        images.oracle.simple(0x00020010, "UI", b"1.2.840.10008.1.2.5", oracle.EXPLICIT),
    )
    for data in (native_syntax, encapsulated_syntax):
        assert raised(data, "rle").reason is Reason.UNKNOWN_SYNTAX


@pytest.mark.parametrize("number", [b"0 ", b"-1", b"1.5 ", b"abc ", b"99999999", b"1\\2 "])
def test_a_number_of_frames_that_is_none(number: bytes) -> None:
    """Lost: an instance would be taken apart by a number that says nothing, or allocate by it."""
    data = Image(layout=GREY, frames=images.noise(GREY)).file(trees.text(0x00280008, number, "IS"))
    made = transcoded(data, "rle")
    assert (made.action, images.joined(made)) == (Action.COPY, data)
    assert made.why == "what describes its frames cannot be true"
    assert raised(data, "rle", refuse=True).reason is Reason.PIXELS_UNDECODABLE


def test_what_cannot_be_had_stays_or_is_refused() -> None:
    """Lost: an instance would be bent until a syntax can hold it, or an order to refuse it be passed over."""
    wide = Layout(rows=2, columns=3, bits_allocated=32, bits_stored=20, high_bit=19)
    data = Image(layout=wide, frames=images.noise(wide)).file()
    made = transcoded(data, "jpeg-xl-lossless")
    assert (images.joined(made), made.why) == (data, "the transfer syntax cannot hold it")
    assert raised(data, "jpeg-xl-lossless", refuse=True).reason is Reason.CODEC_ABSENT
    unread = encapsulated(uids.J2K_PART2, GREY, [b"\xff\x4f\xff\x51"])
    assert transcoded(unread, "native").why == "no codec reads it"
    assert raised(unread, "native", refuse=True).reason is Reason.CODEC_ABSENT


def test_native_pixels_reach_to_four_gibibytes() -> None:
    """Lost: a length of 32 bits would run over."""

    @dataclass
    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 31

        def __getitem__(self, at: object) -> bytes:  # type: ignore[override]
            return self

    large = replace(BYTE, rows=1 << 15, columns=(1 << 16) - 1)
    with pytest.raises(BadInput) as refused:
        pixels.element([Long(), Long()], TARGETS["native"], large, 2)
    assert refused.value.reason is Reason.PIXELS_TOO_LARGE


# Bitstreams that are rewritten.


def test_jpeg_within_jpeg_xl_is_the_same_jpeg_afterwards() -> None:
    """Lost: what is kept for a fifth less room would not be what it was, to the byte."""
    streams, layout = coded("jpeg-baseline", COLOUR, images.slope(COLOUR, 3))
    data = encapsulated(uids.JPEG_BASELINE, layout, streams, count=3)
    made = transcoded(data, "jpeg-xl-jpeg")
    assert (made.action, made.target) == (Action.REWRITE, TARGETS["jpeg-xl-jpeg"])
    there = images.joined(made)
    back = transcoded(there, "jpeg-baseline")
    assert back.action is Action.REWRITE
    held = value_of(images.joined(back))
    assert [bytes(one) for one in items.frames(held, (0, len(held)), 3)] == [
        one + b"\0" * (len(one) % 2) for one in streams
    ]
    assert images.text_of(there, 0x00080018) == "1.2.3.4"  # nothing more was lost
    assert np.array_equal(samples_of(to(there, "native")), samples_of(to(data, "native")))


def test_a_bitstream_that_does_not_come_back_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a rewritten bitstream could be another picture's."""
    streams, layout = coded("jpeg-baseline", BYTE, images.slope(BYTE))
    data = encapsulated(uids.JPEG_BASELINE, layout, streams)
    other = coded("jpeg-baseline", BYTE, images.noise(BYTE))[0][0]
    real = registry.jpegxl.recompressed
    monkeypatch.setattr(registry.jpegxl, "recompressed", lambda _: real(other))
    assert raised(data, "jpeg-xl-jpeg").reason is Reason.PIXELS_DIFFER


# The proof.


@dataclass
class Erring:
    """A codec that errs in one sample of the frame that it is told."""

    real: Codec
    frame: int
    seen: int = -1
    mask: int = 1

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Encode, and err."""
        self.seen += 1
        if self.seen == self.frame:
            samples = samples.copy()
            samples.reshape(-1)[-1] ^= self.mask
        return self.real.encode(samples, layout, options)


@pytest.mark.parametrize("name", ["htj2k-lossless", "jpeg-ls-lossless", "rle", "native", "deflated"])
def test_a_codec_that_errs_in_one_sample_is_found_out(name: str) -> None:
    """Lost: one wrong sample in a million would be the truth from then on."""
    data = Image(layout=COLOUR, frames=images.noise(COLOUR, 3), name="big").file()

    def erring() -> Inline:
        codec = Erring(registry.encoder(TARGETS[name]), frame=2)
        return Inline(registry.decoder, lambda _: codec)  # type: ignore[arg-type, return-value]

    assert raised(data, name, transcoder=erring()).reason is Reason.PIXELS_DIFFER
    unproved = to(to(data, name, transcoder=erring(), prove=False), "native")
    assert np.count_nonzero(samples_of(unproved) != samples_of(to(data, "native"))) == 1


@pytest.mark.parametrize("near", [1, 2, 7])
def test_the_error_that_jpeg_ls_promises_is_proved(near: int) -> None:
    """Lost: a sample could be further from the truth than the order allows, and the attributes say nothing of it."""
    layout = replace(BYTE, rows=64, columns=64)
    data = Image(layout=layout, frames=images.noise(layout, 2)).file()
    options = Options(syntax=TARGETS["jpeg-ls-near"], near=near)

    def erring(by: int) -> Inline:
        codec = Erring(registry.encoder(options.syntax), frame=1, mask=by)
        return Inline(registry.decoder, lambda _: codec)  # type: ignore[arg-type, return-value]

    assert raised(data, "jpeg-ls-near", transcoder=erring(64), options=options).reason is Reason.PIXELS_DIFFER
    to(data, "jpeg-ls-near", transcoder=erring(64), options=options, prove=False)
    made = samples_of(to(to(data, "jpeg-ls-near", options=options), "native"))
    before = samples_of(to(data, "native"))
    assert 0 < np.abs(made.astype(int) - before).max() <= near


def test_a_lossy_syntax_is_proved_to_decode_and_no_more() -> None:
    """Lost: what is lossy by order would be refused for it."""
    wide = replace(BYTE, rows=64, columns=64)
    data = Image(layout=wide, frames=images.slope(wide)).file()
    codec = Erring(registry.encoder(uids.HTJ2K), frame=0)
    transcoder = Inline(registry.decoder, lambda _: codec)  # type: ignore[arg-type, return-value]
    assert transcoded(data, "htj2k", transcoder=transcoder).action is Action.ENCODE


def test_what_did_the_work_is_told() -> None:
    """Lost: a report could not say which library an output is from."""
    data = Image(layout=GREY, frames=images.noise(GREY)).file()
    one = instance.opened(data, images.wanted("htj2k-lossless"), Limits())
    assert one.work is not None
    (result,) = images.INLINE.run([one.work])
    assert not isinstance(result, BadInput)
    made = instance.finished(one, replace(result, handed_back=True), part10.deflated)
    codec = registry.encoder(uids.HTJ2K_LOSSLESS)
    assert made.codec.endswith(f"to {codec.library} {codec.version}")
    assert made.handed_back
    assert (made.source, made.target) == (TARGETS["native"], TARGETS["htj2k-lossless"])
