"""Palettes: lookup table data stays where it is a table that something uses, and only there."""

from __future__ import annotations

import struct
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.processing import _expand_segmented_lut

from farm.deid.palette import keeps

Order = Literal["little", "big"]
PALETTE = b"PALETTE COLOR "
orders: st.SearchStrategy[Order] = st.sampled_from(["little", "big"])


def descriptor(entries: int, bits: int, order: Order = "little") -> bytes:
    """Return a Palette Color Lookup Table Descriptor."""
    return b"".join(number.to_bytes(2, order) for number in (entries % 0x10000, 7, bits))


@given(st.integers(1, 0x10000), st.integers(0, 0x20004), orders)
def test_a_table_of_16_bits_stays_if_it_is_as_long_as_its_descriptor_says(
    entries: int, length: int, order: Order
) -> None:
    """Lost otherwise: text behind a table, or in its place, would leave; or images would lose their colours."""
    described = descriptor(entries, 16, order)
    assert keeps(PALETTE, described, 2 * entries, order)
    assert keeps(PALETTE, described, length, order) == (length == 2 * entries)


@given(st.integers(1, 0x10000), st.integers(0, 0x20004))
def test_a_table_of_8_bits_is_packed_or_not(entries: int, length: int) -> None:
    """Lost otherwise: palettes of one of the two ways to write 8 bits would go."""
    allowed = {entries + entries % 2, 2 * entries}
    for right in allowed:
        assert keeps(PALETTE, descriptor(entries, 8), right, "little")
    assert keeps(PALETTE, descriptor(entries, 8), length, "little") == (length in allowed)


@pytest.mark.parametrize(
    ("photometric", "described", "stays"),
    [
        (PALETTE, descriptor(256, 16), True),
        (b"MONOCHROME2 ", descriptor(256, 16), True),  # a supplemental palette
        (b"", descriptor(256, 16), True),  # a palette or a presentation state
        (b"RGB ", descriptor(256, 16), False),
        (b"MONOCHROME1 ", descriptor(256, 16), False),
        (PALETTE, None, False),
        (b"MONOCHROME2 ", None, False),
        (PALETTE, b"", False),
        (PALETTE, descriptor(256, 16) + b"\0\0", False),
        (PALETTE, descriptor(256, 7), False),
        (PALETTE, descriptor(256, 17), False),
    ],
)
def test_a_table_that_nothing_uses_goes(photometric: bytes, described: bytes | None, stays: bool) -> None:  # noqa: FBT001
    """Lost otherwise: bytes that no reader looks at would be a way out for text."""
    assert keeps(photometric, described, 512, "little") == stays


def packed(words: list[int], order: Order, width: int = 2) -> bytes:
    """Encode the words of segmented data."""
    return b"".join(word.to_bytes(width, order) for word in words)


segments = st.one_of(
    st.lists(st.integers(0, 255), min_size=1, max_size=9).map(lambda values: [0, len(values), *values]),
    st.tuples(st.integers(1, 40), st.integers(0, 255)).map(lambda linear: [1, *linear]),
)


@given(st.lists(segments, min_size=1, max_size=5), orders, st.sampled_from([1, 2]))
def test_segments_stay_if_they_yield_as_many_entries_as_described(
    drawn: list[list[int]], order: Order, width: int
) -> None:
    """Lost otherwise: segmented palettes would go, or text pass as one."""
    words = [0, 2, 5, 9] + [word for segment in drawn for word in segment]
    entries = len(_expand_segmented_lut(tuple(words), "<H"))
    data, bits = packed(words, order, width), 8 * width
    for written in (data, data + b"\0")[: 2 if len(data) % 2 else 1]:
        assert keeps(PALETTE, descriptor(entries, bits, order), len(written), order, segments=written)
        assert not keeps(PALETTE, descriptor(entries + 1, bits, order), len(written), order, segments=written)
    assert not keeps(PALETTE, descriptor(entries, bits, order), len(data) - 2, order, segments=data[:-2])
    text = data + b"NAME"
    assert not keeps(PALETTE, descriptor(entries, bits, order), len(text), order, segments=text)


@pytest.mark.parametrize("order", ["little", "big"])
def test_an_indirect_segment_yields_what_it_repeats(order: Order) -> None:
    """Lost otherwise: palettes that repeat themselves would go."""
    words = [0, 2, 5, 9, 1, 10, 200, 2, 2, 0, 0]  # two values, ten more, then both again
    assert keeps(PALETTE, descriptor(24, 16, order), 22, order, segments=packed(words, order))
    low_first = packed([0, 2, 5, 9, 1, 10, 200], order, 1) + b"\2\2" + bytes(4)
    assert keeps(PALETTE, descriptor(24, 8, order), len(low_first), order, segments=low_first)
    second = struct.pack(f"{'<' if order == 'little' else '>'}11H", 0, 2, 5, 9, 1, 10, 200, 2, 1, 8, 0)
    assert keeps(PALETTE, descriptor(22, 16, order), 22, order, segments=second)


@pytest.mark.parametrize(
    "words",
    [
        [1, 10, 200],  # nothing to go on from
        [0, 0, 1, 1, 5],
        [3, 1, 5],
        [0, 1, 5, 2, 1, 2, 0],  # not where a segment begins
        [0, 1, 5, 2, 2, 0, 0],  # more segments than there are
        [0, 1, 5, 2, 1, 0, 0, 2, 1, 6, 0],  # an indirect one repeated
        [0, 1, 5, 0],
        [0, 9, 5],
        [],
    ],
)
def test_data_that_is_not_segments_goes(words: list[int]) -> None:
    """Lost otherwise: anything could be called a segmented palette."""
    data = packed(words, "little")
    for entries in range(1, 20):
        assert not keeps(PALETTE, descriptor(entries, 16), len(data), "little", segments=data)


@given(st.binary(max_size=40), st.integers(0, 0xFFFF), st.integers(8, 16), orders)
def test_any_bytes_get_an_answer(data: bytes, entries: int, bits: int, order: Order) -> None:
    """Lost otherwise: a hostile palette would crash the run."""
    assert keeps(PALETTE, descriptor(entries, bits, order), len(data), order, segments=data) in {True, False}
