"""Encapsulated Pixel Data: its frames stripped, and offset tables that say where they are, by pydicom's reading."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import accumulate
from typing import TypeAlias

import farmside
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets

from farm.errors import BadInput, Reason
from farm.recipe.recipe import Recipe
from tests.canaries import frames
from tests.canaries.frames import exif, jpeg

SECRET = b"ZQ000001QZ"
CLEAN, DIRTY = jpeg(), jpeg([exif(SECRET)], behind=SECRET)
J2K, DIRTY_J2K = frames.j2k(), frames.j2k([frames.segment(0x64, b"\0\1" + SECRET)])
Frame: TypeAlias = Sequence[bytes]
NATIVE = bytes(range(256))
SYNTAXES = {
    "jpeg": frames.JPEG,
    "j2k": frames.J2K,
    "rle": frames.RLE,
    "deflated": "1.2.840.10008.1.2.8.1",
    "uncompressed": "1.2.840.10008.1.2.1.98",
    "avc": "1.2.840.10008.1.2.4.102",
}
every_frame = st.tuples(st.sampled_from([CLEAN, DIRTY]), st.integers(0, 3))


def item(value: bytes) -> bytes:
    """Return an item with a fragment, or a table."""
    return bytes.fromhex("feff00e0") + len(value).to_bytes(4, "little") + value


def encapsulated(fragments: Sequence[bytes], table: bytes = b"") -> bytes:
    """Return the value of Pixel Data, its delimiter included."""
    return item(table) + b"".join(map(item, fragments)) + bytes.fromhex("feffdde000000000")


def offsets(images: Sequence[Frame], size: int = 4) -> bytes:
    """Return where each frame's first item stands, in numbers of a size."""
    sizes = [sum(8 + len(part) for part in parts) for parts in images]
    return b"".join(start.to_bytes(size, "little") for start in [0, *accumulate(sizes)][:-1])


def lengths(images: Sequence[Frame]) -> bytes:
    """Return the length of each frame."""
    return b"".join(sum(map(len, parts)).to_bytes(8, "little") for parts in images)


def instance(
    images: Sequence[Frame], table: bytes = b"", extended: Sequence[bytes] = (), *, number: str = "", kind: str = "jpeg"
) -> bytes:
    """Return a file of frames, each given by its fragments."""
    value = encapsulated([part for parts in images for part in parts], table)
    pixels = bytes.fromhex("e07f1000") + b"OB\0\0" + b"\xff" * 4 + value
    count = (number or str(len(images))).encode()
    tables = [trees.text(0x7FE00001 + at, value, "OV") for at, value in enumerate(extended)]
    sizes = ((0x00280002, 1), (0x00280010, frames.SIDE), (0x00280011, frames.SIDE), (0x00280100, 8))
    shown = [trees.text(tag, value.to_bytes(2, "little"), "US") for tag, value in sizes]
    elements = [*trees.identity(), trees.text(0x00280008, count + b" " * (len(count) % 2)), *shown, *tables]
    return trees.meta(syntax=SYNTAXES[kind].encode()) + trees.encode(trees.in_order(elements)) + pixels


def output_of(data: bytes) -> Dataset:
    """Return what becomes of a file, without anything secret."""
    output = farmside.joined(farmside.run(data))
    assert SECRET not in output
    return dcmread(io.BytesIO(output))


def same_pixels(data: bytes) -> bool:
    """Tell whether Pixel Data comes out as it was, offset tables included."""
    before = dcmread(io.BytesIO(data))
    after = dcmread(io.BytesIO(farmside.joined(farmside.run(data))))
    return [element for element in before if element.tag.group == 0x7FE0] == [
        element for element in after if element.tag.group == 0x7FE0
    ]


def split(frame: bytes, cuts: int) -> list[bytes]:
    """Return a frame in fragments of even length."""
    step = len(frame) // (cuts + 1) // 2 * 2
    at = [step * cut for cut in range(1, cuts + 1)]
    return [frame[a:b] for a, b in zip([0, *at], [*at, len(frame)], strict=True)]


@settings(max_examples=60, deadline=None)
@given(drawn=st.lists(every_frame, min_size=1, max_size=4), with_table=st.booleans())
def test_every_frame_is_found_and_stripped(drawn: list[tuple[bytes, int]], with_table: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a comment would leave in the second frame, or frames be taken apart."""
    images = [split(frame, cuts) for frame, cuts in drawn]
    data = instance(images, offsets(images) if with_table else b"")
    found = output_of(data)
    assert list(generate_frames(found.PixelData, number_of_frames=len(images))) == [CLEAN] * len(images)
    if all(frame is CLEAN for frame, _ in drawn):
        assert same_pixels(data)


@pytest.mark.parametrize("with_table", [False, True])
def test_where_nothing_has_to_go_nothing_changes(with_table: bool) -> None:  # noqa: FBT001
    """Lost otherwise: pixels would be copied and offset tables written for nothing."""
    images = [[CLEAN], [CLEAN], [CLEAN]]
    assert same_pixels(instance(images, offsets(images) if with_table else b""))
    assert same_pixels(instance(images, extended=[offsets(images, 8), lengths(images)]))


def test_stripped_frames_stand_in_one_fragment_each_without_a_table() -> None:
    """Lost otherwise: the old table would point into the middle of the new frames."""
    images = [split(DIRTY, 1), [CLEAN], split(DIRTY, 2)]
    found = output_of(instance(images, offsets(images)))
    assert parse_basic_offsets(found.PixelData) == []
    assert list(generate_fragments(found.PixelData)) == [b"", CLEAN, CLEAN, CLEAN]


@pytest.mark.parametrize("table", [SECRET + b"!!", b"\1\0\0\0" * 2, offsets([[CLEAN], [CLEAN]])[::-1]])
@pytest.mark.parametrize("image", [[CLEAN], split(CLEAN, 1), [DIRTY], split(DIRTY, 2)])
def test_a_table_that_says_something_else_goes(table: bytes, image: list[bytes]) -> None:
    """Lost otherwise: a table could say anything at all, and hide the frames from being stripped."""
    images = [[CLEAN], image]
    found = output_of(instance(images, table))
    assert parse_basic_offsets(found.PixelData) == []
    assert list(generate_frames(found.PixelData, number_of_frames=2)) == [CLEAN, CLEAN]


@pytest.mark.parametrize("images", [[[DIRTY], [CLEAN]], [[CLEAN], [DIRTY]], [[CLEAN], [CLEAN]]])
def test_the_extended_offset_table_follows(images: list[Frame]) -> None:
    """Lost otherwise: readers that go by it would find no frame, or the words that stood in a wrong one."""
    wrong = SECRET.ljust(16, b"!")
    for tables in ([offsets(images, 8), lengths(images)], [wrong, wrong], [wrong], [SECRET * 4]):
        found = output_of(instance(images, extended=tables))
        shown = (found.ExtendedOffsetTable, lengths([[CLEAN], [CLEAN]]))
        assert shown == (offsets([[CLEAN], [CLEAN]], 8), found.get("ExtendedOffsetTableLengths", shown[1]))
        assert list(generate_frames(found.PixelData, number_of_frames=2, extended_offsets=shown)) == [CLEAN, CLEAN]


def test_a_length_without_the_padding_is_true_as_well() -> None:
    """Lost otherwise: tables that follow another reading of PS3.3 would be rewritten for nothing."""
    images = [[CLEAN], [CLEAN]]
    odd = b"".join((len(CLEAN) - 1).to_bytes(8, "little") for _ in images)
    assert same_pixels(instance(images, extended=[offsets(images, 8), odd]))


@pytest.mark.parametrize(("kind", "clean", "dirty"), [("jpeg", CLEAN, DIRTY), ("j2k", J2K, DIRTY_J2K)])
@pytest.mark.parametrize("number", ["1", "2", "3", "4", "7"])
def test_a_wrong_number_of_frames_hides_nothing_and_loses_nothing(
    kind: str, clean: bytes, dirty: bytes, number: str
) -> None:
    """Lost otherwise: comments would leave, or a whole frame be taken for bytes behind another."""
    images = [split(dirty, 1), [dirty], split(dirty, 2)]
    found = output_of(instance(images, number=number, kind=kind))
    assert [frame for frame in generate_fragments(found.PixelData) if frame] == [clean] * 3


def test_what_is_no_frame_is_refused_or_at_risk() -> None:
    """Lost otherwise: what cannot be looked into would pass for a picture."""
    refusing = Recipe.from_dict({"pixels": {"at_risk": "quarantine"}})
    for images in ([[CLEAN], [SECRET]], [[SECRET, CLEAN]], [[DIRTY_J2K]]):
        with pytest.raises(BadInput) as caught:
            farmside.run(instance(images), refusing)
        assert caught.value.reason is Reason.BAD_STRUCTURE
        assert farmside.run(instance(images)).report.pixels_at_risk


def test_rle_frames_are_fragments() -> None:
    """Lost otherwise: words among the unused offsets of an RLE header would leave."""
    images = [[frames.rle(SECRET)], [frames.rle()]]
    found = output_of(instance(images, offsets(images), kind="rle"))
    assert list(generate_frames(found.PixelData, number_of_frames=2)) == [frames.rle()] * 2
    assert same_pixels(instance([[frames.rle()]], offsets([[frames.rle()]]), kind="rle"))


@pytest.mark.parametrize(
    ("kind", "frame"),
    [("rle", frames.rle()), ("deflated", frames.deflated(NATIVE)), ("uncompressed", NATIVE)],
)
def test_what_follows_the_samples_of_a_frame_goes(kind: str, frame: bytes) -> None:
    """Lost otherwise: words behind the last sample of any frame would leave, in a syntax that has no end mark."""
    dirty = frames.even(frame + SECRET)
    images = [[frame], [dirty]]
    found = output_of(instance(images, offsets(images), kind=kind))
    assert list(generate_fragments(found.PixelData)) == [b"", frame, frame]
    assert same_pixels(instance([[frame], [frame]], offsets([[frame], [frame]]), kind=kind))


def test_a_video_is_one_stream_whatever_its_fragments() -> None:
    """Lost otherwise: a message that begins in one fragment and ends in the next would leave."""
    sei = b"\0\0\0\1\x06\x05\x1a" + bytes(16) + SECRET + b"\x80"
    slices = b"\0\0\0\1\x65\x88\x84\0\x20", b"\0\0\0\1\x41\x9a\x24\x6c"
    stream = frames.even(slices[0] + sei + slices[1])
    found = output_of(instance([split(stream, 2)], number="2", kind="avc"))
    assert list(generate_fragments(found.PixelData)) == [b"", frames.even(b"".join(slices))]
    assert same_pixels(instance([split(frames.even(b"".join(slices)), 1)], number="2", kind="avc"))


@pytest.mark.parametrize(
    ("name", "tag", "vr", "size"),
    [
        ("explicit", 0x7FE00008, "OF", 4),
        ("implicit", 0x7FE00008, "OF", 4),
        ("big", 0x7FE00009, "OD", 8),
    ],
)
def test_float_pixels_end_with_their_frames(name: str, tag: int, vr: str, size: int) -> None:
    """Lost otherwise: words behind float pixels would leave, since only Pixel Data was cut to its frames."""
    syntax = trees.SYNTAXES[name]
    sizes = ((0x00280010, 3), (0x00280011, 5), (0x00280100, 8 * size))
    shown = [trees.text(at, value.to_bytes(2, syntax.order), "US") for at, value in sizes]
    value = bytes(range(15 * size)) + b"\0" * (size % 2)
    data = trees.file([*trees.identity(), *shown, trees.text(tag, value + SECRET, vr)], name)
    clean = trees.file([*trees.identity(), *shown, trees.text(tag, value, vr)], name)
    for recipe in (farmside.BASIC, farmside.EXPLICIT_RECIPE):
        output = farmside.joined(farmside.run(data, recipe))
        assert SECRET not in output
        assert output.endswith(value)
        assert output == farmside.joined(farmside.run(clean, recipe))
    with pytest.raises(BadInput) as caught:
        farmside.run(trees.file([*trees.identity(), *shown, trees.text(tag, value[:-size], vr)], name))
    assert caught.value.reason is Reason.PIXEL_LENGTH


def test_pixel_data_without_a_frame_stays() -> None:
    """Lost otherwise: an instance whose pixels were taken away before would be refused."""
    assert same_pixels(instance([], number="1"))
