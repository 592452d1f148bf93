"""Native Pixel Data and layouts: what is written comes back, what stands in unused bits does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadInput, Reason
from farm.frames import bits, layout, native
from farm.frames.codec import Changes
from farm.frames.layout import Layout, Order, Samples

COLOURS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL")
CT = Layout(rows=3, columns=4, bits_stored=12, high_bit=11)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw a layout of a few pixels."""
    colours = draw(st.sampled_from(COLOURS))
    samples = 3 if colours in {"RGB", "YBR_FULL"} else 1
    allocated = draw(st.sampled_from((8, 16, 32) if samples == 3 else (1, 8, 16, 32)))
    stored = draw(st.integers(1, allocated))
    return Layout(
        rows=draw(st.integers(1, 9)),
        columns=draw(st.integers(1, 9)),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1,
        signed=allocated > 1 and draw(st.booleans()),
        photometric=colours,
        planar=draw(st.integers(0, 1)) if samples == 3 else 0,
    )


def some(form: Layout, seed: int) -> Samples:
    """Return a frame of any values that its bits allow."""
    random = np.random.default_rng(seed)
    return random.integers(*form.bounds, form.shape, np.int64, endpoint=True).astype(form.dtype)


@given(form=layouts(), count=st.integers(1, 3), order=st.sampled_from(("little", "big")), words=st.booleans())
def test_native_frames_come_back(form: Layout, count: int, order: Order, words: bool) -> None:  # noqa: FBT001 - drawn
    """Lost: some combination of bits, planes and byte order would scramble pixels."""
    arrays = [some(form, seed) for seed in range(count)]
    value = b"".join(native.pixel_data(arrays, form, order, words=words))
    assert len(value) % 2 == 0
    assert len(value) - (form.frame_bits * count + 7) // 8 in {0, 1}
    for before, after in zip(arrays, native.frames(value, form, count, order, words=words), strict=True):
        assert (before == after).all()
        assert (after.dtype, after.shape) == (form.dtype, form.shape)


@given(form=layouts(), shift=st.integers(0, 31), seed=st.integers(0, 9), rest=st.integers(0, (1 << 32) - 1))
def test_what_stands_in_unused_bits_is_no_part_of_a_value(form: Layout, shift: int, seed: int, rest: int) -> None:
    """Lost: an overlay in the high bits would be read as a bright pixel."""
    shift = min(shift, form.bits_allocated - form.bits_stored)
    values = some(replace(form, bits_allocated=max(8, form.bits_allocated)), seed)
    mask = (1 << form.bits_stored) - 1 << shift
    around = rest & ((1 << form.bits_allocated) - 1) & ~mask
    word = f"u{values.dtype.itemsize}"
    raw = ((values.astype(np.int64) & (1 << form.bits_stored) - 1) << shift | around).astype(word)
    placed = replace(form, high_bit=form.bits_stored - 1 + shift)
    assert (bits.values(raw.view(form.dtype), placed) == values).all()


@given(form=layouts(), seed=st.integers(0, 9))
def test_the_sign_survives_a_codec_that_knows_none(form: Layout, seed: int) -> None:
    """Lost: air in a CT would become metal."""
    values = some(form, seed)
    unsigned = bits.masked(values, form)
    assert unsigned.dtype.kind == "u" or not form.signed
    assert int(unsigned.max()) < 1 << form.bits_stored
    assert (bits.extended(unsigned, form.bits_stored, form) == values).all()


def test_frames_are_views_where_they_can_be() -> None:
    """Lost: each frame of a large instance would be copied for nothing."""
    for form in (CT, replace(CT, signed=True), replace(CT, samples=3, photometric="RGB", planar=1)):
        data = b"".join(native.pixel_data([some(form, 1)], form))
        (frame,) = native.frames(data, form, 1)
        assert np.shares_memory(frame, np.frombuffer(data, "u1"))


def test_single_bits_share_bytes_between_frames() -> None:
    """Lost: the second frame of a segmentation would begin some pixels off (PS3.5 8.1.1: lowest bit first)."""
    form = Layout(rows=1, columns=5, bits_allocated=1, bits_stored=1, high_bit=0)
    frames = list(native.frames(b"\x35\x01", form, 2))
    assert [frame.tolist() for frame in frames] == [[[1, 0, 1, 0, 1]], [[1, 0, 0, 1, 0]]]
    (swapped, _) = native.frames(b"\x01\x35", form, 2, "big")
    assert swapped.tolist() == [[1, 0, 1, 0, 1]]


def test_big_endian_words_and_bytes() -> None:
    """Lost: what old archives hold in big endian would come out swapped (PS3.5 annex B)."""
    form = Layout(rows=1, columns=3, bits_allocated=8, bits_stored=8, high_bit=7)
    assert [frame.tolist() for frame in native.frames(bytes((2, 1, 4, 3, 6, 5)), form, 2, "big")] == [
        [[1, 2, 3]],
        [[4, 5, 6]],
    ]
    (plain,) = native.frames(bytes((1, 2, 3, 0)), form, 1, "big", words=False)
    assert plain.tolist() == [[1, 2, 3]]
    (words,) = native.frames(bytes((0, 1, 15, 255, 0, 2)), replace(CT, rows=1, columns=3), 1, "big")
    assert words.tolist() == [[1, 4095, 2]]
    assert words.dtype.isnative


def test_chrominance_is_given_to_both_pixels() -> None:
    """Lost: YBR_FULL_422 would be read as three samples a pixel, and shear."""
    form = Layout(rows=1, columns=4, samples=3, bits_allocated=8, bits_stored=8, high_bit=7, photometric="YBR_FULL_422")
    (frame,) = native.frames(bytes((1, 2, 100, 200, 3, 4, 101, 201)), form, 1)
    assert frame.tolist() == [[[1, 100, 200], [2, 100, 200], [3, 101, 201], [4, 101, 201]]]
    assert native.unpacked(form).photometric == "YBR_FULL"
    with pytest.raises(BadInput) as odd:
        native.frames(bytes(99), replace(form, columns=3), 1)
    assert odd.value.reason is Reason.PIXELS_UNDECODABLE
    with pytest.raises(BadInput) as thinned:
        native.pixel_data([frame], form)
    assert thinned.value.reason is Reason.CODEC_ABSENT


def test_short_pixel_data_is_refused_before_the_first_frame() -> None:
    """Lost: a truncated instance would yield some frames and then fail half done."""
    with pytest.raises(BadInput) as short:
        native.frames(bytes(47), CT, 2)
    assert (short.value.reason, short.value.fields) == (Reason.PIXEL_LENGTH, {"expected": 48, "found": 47})


def test_values_that_do_not_fit_are_not_written() -> None:
    """Lost: a sample above Bits Stored would be written into bits that are not its own."""
    for array in (np.full(CT.shape, 4096, "u2"), np.zeros((3, 5), "u2"), np.zeros(CT.shape, "i2")):
        with pytest.raises(BadInput):
            native.pixel_data([array], CT)
    with pytest.raises(BadInput):
        native.pixel_data([np.zeros(CT.shape, "u2")], replace(CT, high_bit=15))


VALUES: dict[int, bytes] = {
    layout.ROWS: b"\3\0",
    layout.COLUMNS: b"\4\0",
    layout.ALLOCATED: b"\x10\0",
    layout.STORED: b"\x0c\0",
    layout.HIGH_BIT: b"\x0b\0",
    layout.SIGN: b"\0\0",
    layout.SAMPLES: b"\1\0",
    layout.PHOTOMETRIC: b"MONOCHROME2 ",
}


def test_a_layout_is_read_from_values() -> None:
    """Lost: frames would be read by other numbers than the attributes'."""
    assert layout.read(VALUES) == CT
    assert (
        layout.read({tag: value[:2][::-1] if len(value) == 2 else value for tag, value in VALUES.items()}, "big") == CT
    )
    few = {tag: VALUES[tag] for tag in (layout.ROWS, layout.COLUMNS, layout.ALLOCATED, layout.PHOTOMETRIC)}
    assert layout.read(few) == replace(CT, bits_stored=16, high_bit=15)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (layout.ROWS, b"\0\0"),
        (layout.COLUMNS, b""),
        (layout.ALLOCATED, b"\x0c\0"),
        (layout.ALLOCATED, b"\x40\0"),
        (layout.STORED, b"\x11\0"),
        (layout.STORED, b"\0\0"),
        (layout.HIGH_BIT, b"\x10\0"),
        (layout.HIGH_BIT, b"\x0a\0"),
        (layout.SAMPLES, b"\3\0"),
        (layout.SAMPLES, b"\0\0"),
        (layout.PHOTOMETRIC, b"RGB "),
        (layout.PHOTOMETRIC, b"SECRET"),
        (layout.PHOTOMETRIC, b""),
    ],
)
def test_a_layout_that_cannot_be_is_refused(tag: int, value: bytes) -> None:
    """Lost: nonsense in one attribute would go on to a codec."""
    with pytest.raises(BadInput) as refused:
        layout.read(VALUES | {tag: value})
    assert refused.value.reason is Reason.PIXELS_UNDECODABLE
    assert "SECRET" not in str(refused.value)


def test_declared_sizes_are_checked_before_anything_is_allocated() -> None:
    """Lost: a file of a few bytes that claims 60,000 x 60,000 pixels would take the machine's memory."""
    sizes = {layout.ROWS: (60000).to_bytes(2, "little"), layout.COLUMNS: (60000).to_bytes(2, "little")}
    with pytest.raises(BadInput) as refused:
        layout.read(VALUES | sizes)
    assert refused.value.reason is Reason.PIXELS_TOO_LARGE
    assert layout.read(VALUES, limit=24) == CT
    with pytest.raises(BadInput):
        layout.read(VALUES, limit=23)


def test_changes_say_what_is_otherwise() -> None:
    """Lost: the caller would have to know each codec to know what its samples mean."""
    changed = Changes(photometric="RGB", planar=0, lossy_ratio=2.5).apply(replace(CT, samples=3, photometric="YBR_RCT"))
    assert changed == replace(CT, samples=3, photometric="RGB")
    nothing: dict[str, Any] = {}
    assert Changes(**nothing).apply(CT) == CT


@pytest.mark.parametrize(
    ("photometric", "signed", "black"),
    [
        ("MONOCHROME2", False, 0),
        ("MONOCHROME2", True, -2048),
        ("MONOCHROME1", False, 4095),
        ("RGB", False, 0),
        ("YBR_RCT", False, 0),
        ("YBR_FULL", False, (0, 2048, 2048)),
    ],
)
def test_black_is_black_in_every_colour(photometric: str, signed: bool, black: object) -> None:  # noqa: FBT001 - drawn
    """Lost otherwise: a region that was blanked would be green, or white, or the grey of water."""
    samples = 1 if photometric.startswith("MONO") else 3
    layout = Layout(
        rows=2, columns=2, samples=samples, bits_stored=12, high_bit=11, signed=signed, photometric=photometric
    )
    assert layout.black == black
