"""Encapsulated Pixel Data: which fragments make a frame, told by tables that may lie; by pydicom's reading too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from farm.errors import BadInput, Reason
from farm.frames import encapsulated
from farm.frames.encapsulated import JPEG_OPENS

START, END = b"\xff\xd8\xff", b"\xff\xd9"
parts = st.lists(st.binary(min_size=1, max_size=5).map(lambda part: part * 2), min_size=1, max_size=3)
images = st.lists(parts, min_size=1, max_size=4)


def item(value: bytes) -> bytes:
    """Return an item."""
    return bytes.fromhex("feff00e0") + len(value).to_bytes(4, "little") + value


def value_of(fragments: Sequence[bytes], table: bytes = b"") -> bytes:
    """Return the value of Pixel Data, its delimiter included."""
    return item(table) + b"".join(map(item, fragments)) + bytes.fromhex("feffdde000000000")


def offsets(frames: Sequence[Sequence[bytes]], size: int = 4) -> bytes:
    """Return where each frame begins."""
    sizes = [sum(8 + len(part) for part in group) for group in frames]
    return b"".join(start.to_bytes(size, "little") for start in [0, *accumulate(sizes)][:-1])


def read(value: bytes, count: int, opens: Sequence[bytes] = (), extended: bytes = b"") -> list[bytes]:
    """Return the frames that are found."""
    found = encapsulated.frames(value, (0, len(value)), count, opens=opens, extended=extended)
    return [bytes(frame) for frame in found]


@given(groups=images)
def test_a_true_table_tells_the_frames(groups: list[list[bytes]]) -> None:
    """Lost: an instance whose frames come in several fragments could not be read."""
    fragments, whole = [part for group in groups for part in group], [b"".join(group) for group in groups]
    value = value_of(fragments, offsets(groups))
    assert read(value, len(groups)) == whole
    assert list(generate_frames(value, number_of_frames=len(groups))) == whole
    assert read(value_of(fragments), len(groups), extended=offsets(groups, 8)) == whole
    assert read(value_of(fragments, b"\1\2\3\4"), len(groups), extended=offsets(groups, 8)) == whole


@given(groups=images, table=st.binary(max_size=12))
def test_the_mark_that_opens_a_bitstream_tells_the_frames(groups: list[list[bytes]], table: bytes) -> None:
    """Lost: without a table, or with one that lies, JPEG in several fragments could not be read."""
    marked = [[START + group[0] + b"\0", *group[1:]] for group in groups]
    fragments = [part for group in marked for part in group]
    honest = offsets(marked)
    wrong = table[: len(table) // 4 * 4]
    if wrong != honest and len(fragments) != len(marked):
        starts = {int.from_bytes(wrong[at : at + 4], "little") for at in range(0, len(wrong), 4)}
        places = {int.from_bytes(honest[at : at + 4], "little") for at in range(0, len(honest), 4)}
        wrong = b"" if starts == places else b"\xff\xff\xff\x7f"
    assert read(value_of(fragments, wrong), len(marked), (JPEG_OPENS,)) == [b"".join(group) for group in marked]


@given(groups=images)
def test_the_mark_that_ends_a_bitstream_is_the_last_resort(groups: list[list[bytes]]) -> None:
    """Lost: a stream that opens with something else, and has no table, would take its instance along."""
    ended = [[*(part.replace(b"\xff", b"\0") for part in group), END + b"\0\0"] for group in groups]
    fragments = [part for group in ended for part in group]
    assert read(value_of(fragments), len(ended), (JPEG_OPENS,)) == [b"".join(group) for group in ended]


@pytest.mark.parametrize("count", [2, 5, 0])
def test_fragments_that_make_other_frames_are_refused(count: int) -> None:
    """Lost: frames would be put together by guess."""
    value = value_of([START + b"\0", b"\1\1", START + b"\2", b"\3\3"])
    with pytest.raises(BadInput) as refused:
        read(value if count != 2 else value_of([b"\1\1"] * 3), count, (JPEG_OPENS,))
    assert refused.value.reason is Reason.PIXEL_LENGTH


def test_no_fragment_is_no_frame() -> None:
    """Lost: an instance without pixels would be decoded as an empty frame."""
    with pytest.raises(BadInput):
        read(value_of([]), 1)


@pytest.mark.parametrize("broken", [b"\0" * 40, item(b"")[:4] + b"\xff\0\0\0" + b"\0" * 20])
def test_what_is_no_sequence_of_items_is_refused(broken: bytes) -> None:
    """Lost: a length that reaches beyond the value would give a frame of other bytes."""
    with pytest.raises(BadInput) as refused:
        read(broken, 1)
    assert refused.value.reason is Reason.BAD_STRUCTURE


def test_a_frame_of_one_fragment_is_a_view() -> None:
    """Lost: every compressed frame would be copied before it is decoded."""
    value = value_of([b"\1\2", b"\3\4"])
    frames = list(encapsulated.frames(value, (0, len(value)), 2))
    assert all(isinstance(frame, memoryview) and frame.obj is value for frame in frames)


@given(streams=st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=5))
def test_what_is_written_is_read_by_both(streams: list[bytes]) -> None:
    """Lost: others could not read the frames that we write."""
    made = encapsulated.pixel_data(streams)
    value = b"".join(made.pieces)
    padded = [stream + b"\0" * (len(stream) % 2) for stream in streams]
    assert made.extended is None
    assert read(value, len(streams)) == padded
    assert list(generate_frames(value, number_of_frames=len(streams))) == padded


def test_beyond_four_gigabytes_the_extended_table_takes_over() -> None:
    """Lost: offsets of large whole slide images would wrap round (PS3.3 C.7.6.3.1.8)."""
    size = (1 << 31) - 8
    basic, extended = encapsulated.tables([size, size, 7])
    assert (len(basic), extended is None) == (0, False)
    assert extended == (
        b"".join(place.to_bytes(8, "little") for place in (0, 1 << 31, 1 << 32)),
        b"".join(length.to_bytes(8, "little") for length in (size, size, 7)),
    )
    basic, extended = encapsulated.tables([size, size - 2, 7])
    assert (basic[8:], extended) == (((1 << 32) - 2).to_bytes(4, "little"), None)
    with pytest.raises(BadInput) as long:
        encapsulated.tables([(1 << 32) - 1])
    assert long.value.reason is Reason.PIXELS_TOO_LARGE
