"""How code streams are coded: which a device is given, and what is made of the first of each style."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fake_device import FakeLibrary
from hypothesis import given
from hypothesis import strategies as st
from openjpeg.utils import encode_array

from farm.codecs import j2k_markers, j2k_styles, jpeg2000, registry, uids
from farm.codecs.nvjpeg2000 import Device
from farm.errors import BadInput, Reason
from farm.frames.codec import Decoded, Options
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job, WhyNot
from tests.suites.codec_suite import layout_of, picture

SIZE = (128, 192)
GREY = layout_of(12, SIZE, "MONOCHROME2")
COLOUR = layout_of(8, SIZE, "RGB")
LARGE = layout_of(8, (300, 290), "MONOCHROME2")
SCOD, ORDER, LAYERS, LEVELS, WIDTH, BLOCKS = 0, 1, 3, 5, 6, 8
"""Places in the body of the COD segment (T.800 table A.12)."""


def coded(layout: Layout = GREY, syntax: str = uids.J2K_LOSSLESS, seed: int = 0) -> tuple[bytes, Job]:
    """Return a frame by our own encoder, and the job to read it."""
    made = registry.encoder(syntax).encode(picture(layout, seed), layout, Options(syntax=syntax))
    return made.data, Job(source=syntax, layout=made.changes.apply(layout))


def tiles(layout: Layout = GREY, syntax: str = uids.J2K_LOSSLESS) -> tuple[bytes, Job, Samples]:
    """Return a frame of tiles of 64 x 64, the job to read it, and its samples before they were coded."""
    samples, part = picture(layout), replace(layout, rows=64, columns=64)
    places = [(row, column) for row in range(0, layout.rows, 64) for column in range(0, layout.columns, 64)]
    parts = [
        registry.encoder(syntax).encode(
            np.ascontiguousarray(samples[row : row + 64, column : column + 64]), part, Options(syntax=syntax)
        )
        for row, column in places
    ]
    said = replace(parts[0].changes.apply(part), rows=layout.rows, columns=layout.columns)
    return j2k_styles.tiled([one.data for one in parts], layout.columns // 64), Job(source=syntax, layout=said), samples


def put(stream: bytes, at: int, value: int, more: bytes = b"") -> bytes:
    """Return a code stream whose COD segment says something else."""
    start = stream.index(b"\xff\x52")
    length = int.from_bytes(stream[start + 2 : start + 4], "big")
    body = bytearray(stream[start + 4 : start + 2 + length])
    body[at] = value
    said = bytes(body) + more
    return stream[: start + 2] + (len(said) + 2).to_bytes(2, "big") + said + stream[start + 2 + length :]


def with_segment(stream: bytes, marker: int, body: bytes, *, in_tile: bool = False) -> bytes:
    """Return a code stream with one more segment, last in the main header or in that of the first tile-part."""
    at = j2k_markers.read(stream).tiles_at
    segment = marker.to_bytes(2, "big") + (len(body) + 2).to_bytes(2, "big") + body
    if not in_tile:
        return stream[:at] + segment + stream[at:]
    length = int.from_bytes(stream[at + 6 : at + 10], "big") + len(segment)
    head = stream[at : at + 6] + length.to_bytes(4, "big") + stream[at + 10 : at + 12]
    return stream[:at] + head + segment + stream[at + 12 :]


def split(stream: bytes) -> bytes:
    """Return a code stream whose first tile is in two tile-parts, the second without a packet."""
    end = stream.rindex(b"\xff\xd9")
    index = j2k_markers.read(stream).tiles_at + 4
    return stream[:end] + b"\xff\x90\0\x0a" + stream[index : index + 2] + b"\0\0\0\x0e\1\2\xff\x93" + stream[end:]


PLAIN = coded()[0]
THEIRS = picture(GREY)


@pytest.mark.parametrize(
    "stream",
    [
        *(put(PLAIN, BLOCKS, bit) for bit in (0x01, 0x02, 0x04, 0x08, 0x10, 0x20)),
        put(PLAIN, WIDTH, 3),
        put(PLAIN, SCOD, 0x02),
        put(PLAIN, SCOD, 0x04),
        put(PLAIN, ORDER, 3),
        put(PLAIN, ORDER, 4),
        put(PLAIN, LAYERS, 2),
        put(put(PLAIN, LEVELS, 0), SCOD, 0),
        put(PLAIN, SCOD, 0x01, b"\x55" * 4),
        with_segment(PLAIN, 0xFF5E, b"\0\0\5"),
        with_segment(PLAIN, 0xFF5F, b"\0\0\0\1\1\1\0"),
        with_segment(PLAIN, 0xFF60, b"\0\0\0\0\0"),
        with_segment(PLAIN, 0xFF53, b"\0\0\3\4\4\0\1"),
        with_segment(PLAIN, 0xFF52, PLAIN[PLAIN.index(b"\xff\x52") + 4 :][:10]),
        with_segment(PLAIN, 0xFF61, b"\0", in_tile=True),
        with_segment(PLAIN, 0xFF5E, b"\0\0\5", in_tile=True),
        split(PLAIN),
        bytes(encode_array(THEIRS, bits_stored=12, signal_noise_ratios=[30, 60])),
        bytes(encode_array(THEIRS, bits_stored=12, add_plt=True)),
        bytes(encode_array(THEIRS, bits_stored=12, add_tlm=True)),
    ],
    ids=[
        *("bypass", "reset", "termination", "vertical", "predictable", "segmentation", "small blocks", "marks before"),
        *("marks behind", "PCRL", "CPRL", "two layers", "no wavelet", "precincts", "a region", "POC", "PPM", "COC"),
        *("two COD", "PPT", "a tile's region", "two tile-parts", "their layers", "packet lengths", "tile lengths"),
    ],
)
def test_what_no_trial_covers_is_not_read(stream: bytes) -> None:
    """Lost: pixels would be what a device makes of a coding that it was never tried in, each proved against itself."""
    device, job = Device(0, library=FakeLibrary()), Job(source=uids.J2K, layout=GREY)
    assert device.run([(stream, job)]) == [None]
    assert device.why_not(stream, job) is WhyNot.STYLE
    assert device.run([coded()])[0] is not None


@pytest.mark.parametrize("layout", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("syntax", [uids.J2K_LOSSLESS, uids.J2K])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_what_trials_cover_is_read(layout: Layout, syntax: str, order: int) -> None:
    """Lost: the processor would have to do what devices are bought for."""
    one, job = coded(layout, syntax)
    many, _, _ = tiles(layout, syntax)
    device = Device(0, library=FakeLibrary())
    frames = [j2k_styles.ordered(one, order), j2k_styles.ordered(many, order), one, many]
    for frame, made in zip(frames, device.run([(frame, job) for frame in frames]), strict=True):
        assert isinstance(made, Decoded)
        assert (made.samples == jpeg2000.CODEC.decode(frame, job.layout).samples).all()


@pytest.mark.parametrize("syntax", [uids.J2K_LOSSLESS, uids.J2K, uids.HTJ2K_LOSSLESS, uids.HTJ2K])
@pytest.mark.parametrize("layout", [GREY, COLOUR, LARGE], ids=["grey", "colour", "large"])
def test_what_our_encoders_write_is_read(syntax: str, layout: Layout) -> None:
    """Lost: a queue would hand back all that the other one has written."""
    assert Device(0, library=FakeLibrary()).run([coded(layout, syntax)])[0] is not None


def test_what_another_encoder_writes_plainly_is_read() -> None:
    """Lost: nothing but our own files would be read."""
    theirs = bytes(encode_array(THEIRS, bits_stored=12))
    [made] = Device(0, library=FakeLibrary()).run([(theirs, Job(source=uids.J2K_LOSSLESS, layout=GREY))])
    assert isinstance(made, Decoded)
    assert (made.samples == THEIRS).all()


@pytest.mark.parametrize("layout", [GREY, COLOUR], ids=["grey", "colour"])
def test_a_picture_of_tiles_is_that_picture(layout: Layout) -> None:
    """Lost: a trial of tiles would be one of garbage, which two decoders may read alike, or not."""
    stream, job, samples = tiles(layout)
    style, numbers = j2k_styles.read(stream)
    assert (style.tiled, style.plain_parts, numbers.tile) == (True, True, (64, 64))
    assert (jpeg2000.CODEC.decode(stream, job.layout).samples == samples).all()


@pytest.mark.parametrize("layout", [GREY, COLOUR], ids=["grey", "colour"])
def test_three_orders_are_the_same_packets(layout: Layout) -> None:
    """Lost: a trial of an order would be one of garbage."""
    stream, job = coded(layout)
    for order in range(3):
        again = j2k_styles.ordered(stream, order)
        assert j2k_styles.read(again)[0].order == order
        assert (jpeg2000.CODEC.decode(again, job.layout).samples == picture(layout)).all()


def test_a_style_whose_first_frame_differs_is_not_read_any_more() -> None:
    """Lost: a device that knows small pictures alone would change every large one, and prove it against itself."""
    many, job, _ = tiles()
    library = FakeLibrary(spoils=lambda one: one ^ 1 if one.shape == SIZE else one)
    device = Device(0, library=library)
    assert device.run([(many, job), (many, job)]) == [None, None]
    assert device.why_not(many, job) is WhyNot.DIFFERS
    library.spoils = lambda one: one
    calls = len(library.decoded)
    assert device.run([(many, job)]) == [None]
    assert len(library.decoded) == calls
    one, plain = coded()
    assert device.run([(one, plain)])[0] is not None
    assert device.why_not(one, plain) is None


def test_the_processor_reads_the_first_frame_of_a_style_alone() -> None:
    """Lost: every frame would be read twice, once by what a device is to relieve."""
    library = FakeLibrary()
    device = Device(0, library=library)
    frames = [coded(seed=seed) for seed in range(4)]
    assert all(device.run(frames))
    assert library.decoded == [1, 1, 4]  # the trial, the first frame, and all of them
    assert all(device.run(frames))
    assert library.decoded == [1, 1, 4, 4]
    assert device.run([(j2k_styles.ordered(frames[0][0], 2), frames[0][1])])[0] is not None
    assert library.decoded == [1, 1, 4, 4, 1, 1, 1]


def test_floats_are_rounded_either_way_and_no_more() -> None:
    """Lost: no lossy frame would be read, or one with a tile in the wrong place."""

    def of_lossy(error: int) -> bool:
        def spoiled(one: Samples) -> Samples:
            again = one.copy()
            again[:8, :8] += error * (one.shape == SIZE)
            return again

        return Device(0, library=FakeLibrary(spoils=spoiled)).run([coded(syntax=uids.J2K)])[0] is not None

    assert [of_lossy(error) for error in (0, 1, 2, 3)] == [True, True, True, False]


def test_what_is_no_frame_says_nothing_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: one broken frame would take its style from the device for as long as the process lives."""
    (broken, job), (sound, _) = coded(), coded(seed=1)
    openjpeg = jpeg2000.openjpeg

    def refusing(data: bytes, *rest: Any, **more: Any) -> Decoded:
        if data == broken:
            raise BadInput(Reason.PIXELS_UNDECODABLE)
        return openjpeg(data, *rest, **more)

    monkeypatch.setattr(jpeg2000, "openjpeg", refusing)
    device = Device(0, library=FakeLibrary())
    assert device.run([(broken, job)]) == [None]
    assert device.why_not(broken, job) is None
    assert device.run([(sound, job)])[0] is not None


@given(st.binary(max_size=200), st.integers(0, 250), st.integers(0, 255))
def test_broken_headers_are_bad_input(noise: bytes, at: int, value: int) -> None:
    """Law: whatever stands where a code stream should, its style is one or `BadInput`, and its reading ends."""
    stream = bytearray(PLAIN)
    stream[at] = value
    for data in (noise, bytes(stream), b"\xff\x4f\xff\x51" + noise, PLAIN[: at + 40]):
        with suppress(BadInput):
            j2k_styles.read(data)
