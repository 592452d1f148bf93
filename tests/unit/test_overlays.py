"""Old overlays in the pixels: gone to the last bit, and not a bit of the stored values changed."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from farm.deid.overlays import clear, embedded, masked

orders: st.SearchStrategy[Literal["little", "big"]] = st.sampled_from(["little", "big"])


def stored(cell: int, mask: int, *, signed: bool) -> int:
    """Return the value of a cell as PS3.5 8.1.1 defines it."""
    low = (mask & -mask).bit_length() - 1
    bits = mask.bit_count()
    value = (cell & mask) >> low
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def cells(pixels: bytes, width: int, order: Literal["little", "big"]) -> list[int]:
    """Return the whole cells of native pixels."""
    whole = len(pixels) - len(pixels) % width
    return [int.from_bytes(pixels[at : at + width], order) for at in range(0, whole, width)]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int]:
    """Draw how many bytes a cell has, and a mask of some but not all of its bits."""
    width = draw(st.sampled_from([1, 2, 4]))
    high = draw(st.integers(0, 8 * width - 1))
    bits = draw(st.integers(1, high + 1))
    assume(bits < 8 * width)
    return width, (1 << bits) - 1 << high - bits + 1


@given(layouts(), st.binary(max_size=67), orders, st.booleans())
@example(layout=(2, 0x0FFF), pixels=bytes.fromhex("ff8fffff01f80000"), order="little", signed=True)
def test_stored_values_stay_and_every_other_bit_is_gone(
    layout: tuple[int, int],
    pixels: bytes,
    order: Literal["little", "big"],
    signed: bool,  # noqa: FBT001
) -> None:
    """Lost otherwise: pixels would change, or a name drawn in their unused bits would leave."""
    width, mask = layout
    cleared = clear(pixels, mask, width, order, signed=signed)
    assert len(cleared) == len(pixels)
    assert cleared[len(pixels) - len(pixels) % width :] == pixels[len(pixels) - len(pixels) % width :]
    low = (mask & -mask).bit_length() - 1
    for before, after in zip(cells(pixels, width, order), cells(cleared, width, order), strict=True):
        value = stored(before, mask, signed=signed)
        assert after == (value << low) % (1 << 8 * width)  # the cell depends on nothing but the stored value
    assert clear(memoryview(cleared), mask, width, order, signed=signed) == cleared


@given(st.integers(-2048, 2047), orders)
def test_a_signed_value_reads_the_same_from_its_whole_cell(value: int, order: Literal["little", "big"]) -> None:
    """Lost otherwise: negative Hounsfield units would turn positive in readers that take 16 bits for the value."""
    extended = value.to_bytes(2, order, signed=True)
    assert clear(extended, 0x0FFF, 2, order, signed=True) == extended


@pytest.mark.parametrize(
    ("bits", "positions", "mask"),
    [
        ((16, 12, 11), [12], 0x0FFF),
        ((16, 12, 11), [15, 3], 0x0FFF),
        ((16, 12, 15), [0], 0xFFF0),
        ((8, 7, 6), [7], 0x7F),
        ((32, 16, 15), [31], 0xFFFF),
        ((16, 12, 11), [], None),  # nothing says that something is there
        ((16, 12, 11), [11], None),  # a bit of the value itself
        ((16, 12, 11), [16], None),  # no bit of the cell
        ((16, 16, 15), [15], None),
        ((12, 10, 9), [11], None),  # cells that are not whole bytes
        ((16, 12, 10), [15], None),  # no place for the value
        ((16, 0, 11), [15], None),
        ((16, 12, 16), [15], None),
    ],
)
def test_a_mask_is_given_where_a_group_names_an_unused_bit(
    bits: tuple[int, int, int], positions: list[int], mask: int | None
) -> None:
    """Lost otherwise: pixels would be touched without need, or an overlay in them missed."""
    assert masked(*bits, positions) == mask


def test_an_overlay_is_in_the_pixels_only_without_data_of_its_own() -> None:
    """Lost otherwise: every image with an ordinary overlay would have its pixels rewritten."""
    assert embedded(bits_allocated=16, position=12, has_data=False)
    assert embedded(bits_allocated=16, position=0, has_data=False)
    assert not embedded(bits_allocated=1, position=0, has_data=False)
    assert not embedded(bits_allocated=16, position=12, has_data=True)
