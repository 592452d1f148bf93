"""What codecs are known to get wrong, each held down by a test: crashes, wrong samples, silent losses."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
import pytest

from farm.codecs import deflated, htj2k, jpeg2000, registry, rle, streams, uids
from farm.dicom import syntaxes
from farm.errors import BadInput, Reason
from farm.frames.codec import Options, Region
from farm.frames.layout import Layout, Samples
from tests.suites.codec_suite import layout_of, picture, round_trip

BYTE = layout_of(8, (64, 80), "MONOCHROME2")
needs_reduction = pytest.mark.skipif(
    not jpeg2000.REDUCES, reason="imagecodecs before 2026.10 reads no lower resolution"
)


def checkered(layout: Layout) -> Samples:
    """Return a frame of nothing but bounds, which lossy coders overshoot."""
    random = np.random.default_rng(5)
    values = random.choice(np.array(layout.bounds), layout.shape)
    return np.repeat(np.repeat(values[::4, ::4], 4, axis=0), 4, axis=1)[: layout.rows, : layout.columns].astype(
        layout.dtype
    )


def error(before: Samples, after: Samples) -> int:
    """Return the greatest error."""
    return int(np.abs(before.astype(np.int64) - after.astype(np.int64)).max())


@pytest.mark.parametrize(
    "syntax",
    [uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS, uids.JPEG_LS, uids.JPEG_LOSSLESS_SV1, uids.RLE, uids.DEFLATED_FRAME],
)
def test_frames_in_threads(syntax: str) -> None:
    """Lost: pylibjpeg's encoder ends the process when two threads use it; frames are encoded in threads here."""
    layout = layout_of(12, (64, 64), "MONOCHROME2")
    frames = [picture(layout, seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda frame: round_trip(syntax, frame, layout)[1].samples, frames))
    assert all((before == after).all() for before, after in zip(frames, made, strict=True))


def test_the_first_frames_of_a_process_in_threads() -> None:
    """Lost: OpenJPH 0.26 spoils one in twenty of the first frames, and an instance would fail for nothing."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.suites.first_frames", "100"], check=True, capture_output=True, timeout=60
    )
    assert int(told.stdout) == 0


@pytest.mark.parametrize("syntax", [uids.RLE, uids.JPEG_LOSSLESS, uids.JPEG_LOSSLESS_SV1])
def test_seven_bits_in_bytes(syntax: str) -> None:
    """Lost: GDCM ends the process on this valid frame."""
    layout = layout_of(7, (20, 30), "MONOCHROME2")
    assert (round_trip(syntax, picture(layout), layout)[1].samples == picture(layout)).all()


@pytest.mark.parametrize("colours", ["MONOCHROME2", "RGB"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossy_htj2k_does_not_run_over(bits: int, colours: str) -> None:
    """Lost: OpenJPH brings nothing back into its bounds, so white would become black."""
    layout = layout_of(bits, (64, 80), colours)
    samples = checkered(layout)
    options = Options(syntax=uids.HTJ2K, step=1 / 64)
    encoded = registry.encoder(uids.HTJ2K).encode(samples, layout, options)
    decoded = registry.decoder(uids.HTJ2K).decode(encoded.data, encoded.changes.apply(layout))
    assert error(samples, decoded.samples) < layout.bounds[1] // 4
    # The same stream under the lossless syntax must not take the other path either.
    other = registry.decoder(uids.HTJ2K_LOSSLESS).decode(encoded.data, encoded.changes.apply(layout))
    assert (other.samples == decoded.samples).all()


def test_htj2k_that_may_be_lossy_is_never_read_by_openjph() -> None:
    """Lost: a reversible stream that was cut short runs over as well, and nothing in its header tells."""
    assert registry.decoder(uids.HTJ2K).library == "OpenJPEG"


@pytest.mark.parametrize("syntax", [uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS])
def test_a_region_is_a_part_of_the_frame(syntax: str) -> None:
    """Lost: OpenJPEG decodes a region of HTJ2K to other pixels, without any error."""
    layout = layout_of(12, (200, 300), "MONOCHROME2")
    samples = picture(layout)
    codec = registry.encoder(syntax)
    assert isinstance(codec, jpeg2000.Jpeg2000 | htj2k.Htj2k)
    data = codec.encode(samples, layout, Options(syntax=syntax)).data
    decoded = codec.decode(data, layout, region=Region(33, 65, 70, 101))
    assert (decoded.samples == samples[33:103, 65:166]).all()
    after = decoded.changes.apply(layout)
    assert (after.rows, after.columns) == (70, 101)
    for outside in (Region(0, 0, 201, 1), Region(-1, 0, 2, 2), Region(199, 299, 1, 2)):
        with pytest.raises(BadInput):
            codec.decode(data, layout, region=outside)


@needs_reduction
@pytest.mark.parametrize("syntax", [uids.J2K_LOSSLESS, uids.HTJ2K_LOSSLESS])
def test_reduced_frames_do_not_run_over(syntax: str) -> None:
    """Lost: a thumbnail by OpenJPH has black spots in white, and the other way round."""
    layout = layout_of(8, (65, 81), "MONOCHROME2")
    codec = registry.encoder(syntax)
    assert isinstance(codec, jpeg2000.Jpeg2000 | htj2k.Htj2k)
    samples = checkered(layout)
    data = codec.encode(samples, layout, Options(syntax=syntax)).data
    decoded = codec.decode(data, layout, reduce=2)
    after = decoded.changes.apply(layout)
    assert decoded.samples.shape == after.shape == (17, 21)
    plain = jpeg2000.CODEC.encode(samples, layout, Options(syntax=uids.J2K_LOSSLESS)).data
    assert (decoded.samples == jpeg2000.CODEC.decode(plain, layout, reduce=2).samples).all()
    assert np.median(np.abs(decoded.samples.astype(int) - samples[::4, ::4])) < 64
    small = codec.decode(data, layout, reduce=1, region=Region(3, 4, 5, 6))
    assert small.samples.shape == (5, 6)


@pytest.mark.skipif(jpeg2000.REDUCES, reason="this imagecodecs reads lower resolutions")
def test_a_reduction_that_no_library_makes_is_refused() -> None:
    """Lost: the whole frame would come instead, under the wrong size."""
    data = jpeg2000.CODEC.encode(picture(BYTE), BYTE, Options(syntax=uids.J2K_LOSSLESS)).data
    with pytest.raises(BadInput) as refused:
        jpeg2000.CODEC.decode(data, BYTE, reduce=1)
    assert refused.value.reason is Reason.CODEC_ABSENT


def test_components_without_a_transform_come_pixel_by_pixel() -> None:
    """Lost: imagecodecs hands planes out for such code streams, and rows would be read as colours."""
    layout = layout_of(8, (30, 20), "YBR_FULL")
    samples = picture(layout)
    for syntax in (uids.HTJ2K_LOSSLESS, uids.J2K_LOSSLESS):
        encoded, decoded, after = round_trip(syntax, samples, layout)
        assert encoded.data[encoded.data.index(b"\xff\x52") + 8] == 0  # no transform between components
        assert (decoded.samples == samples).all()
        assert after.photometric == "YBR_FULL"


def test_rgb_is_written_with_its_colour_transform() -> None:
    """Lost: without it, as pydicom does it, ultrasound takes more than twice the bytes."""
    layout = layout_of(8, (64, 80), "RGB")
    for syntax, name in ((uids.J2K_LOSSLESS, "YBR_RCT"), (uids.HTJ2K_LOSSLESS, "YBR_RCT"), (uids.J2K, "YBR_ICT")):
        encoded, _, after = round_trip(syntax, picture(layout), layout)
        assert encoded.data[encoded.data.index(b"\xff\x52") + 8] == 1
        assert (encoded.changes.photometric, after.photometric) == (name, "RGB")


def test_lossless_jpeg_of_nine_to_fifteen_bits_is_not_black() -> None:
    """Lost: some decoders give zeros for these, silently."""
    for bits in range(9, 16):
        layout = layout_of(bits, (20, 30), "MONOCHROME2")
        assert int(round_trip(uids.JPEG_LOSSLESS_SV1, picture(layout), layout)[1].samples.max()) == layout.bounds[1]


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (31, 5), (3000, 2), (2, 5000)])
@pytest.mark.parametrize("syntax", [uids.J2K_LOSSLESS, uids.HTJ2K_RPCL])
def test_narrow_frames_of_bounds(syntax: str, size: tuple[int, int]) -> None:
    """Lost: pylibjpeg encodes nothing under 32 pixels, and OpenJPH loses the least value of a single row."""
    for signed in (False, True):
        layout = layout_of(16, size, "MONOCHROME2", signed=signed)
        for value in layout.bounds:
            samples = np.full(size, value, layout.dtype)
            assert (round_trip(syntax, samples, layout)[1].samples == samples).all()


def test_sixteen_bits_of_jpeg_xl_stay_sixteen() -> None:
    """Lost: one binding cuts them to eight."""
    layout = layout_of(16, (40, 50), "MONOCHROME2")
    samples = np.arange(2000, dtype="u2").reshape(40, 50) * 32
    assert (round_trip(uids.JPEG_XL_LOSSLESS, samples, layout)[1].samples == samples).all()


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_code_streams_say_bits_stored_and_serve_rpcl(bits: int) -> None:
    """Lost: OpenJPH would say 16 bits; .202 promises RPCL, tile-part lengths and a small lowest resolution."""
    layout = layout_of(bits, (4200, 70), "MONOCHROME2", signed=True)
    data = htj2k.CODEC.encode(picture(layout), layout, Options(syntax=uids.HTJ2K_RPCL)).data
    head = streams.jpeg2000(data)
    assert (head.precision, head.signed, head.process) == (bits, True, 1)
    coding = data.index(b"\xff\x52")
    assert data[coding + 5] == 2  # RPCL (T.800 table A.16)
    assert 4200 >> data[coding + 9] <= 64 + 2
    assert b"\xff\x55" in data[:200]


@pytest.mark.parametrize("interleave", [0, 1, 2])
def test_colours_of_jpeg_ls_in_any_order(interleave: int) -> None:
    """Lost: colours that others wrote plane by plane or line by line would be shuffled."""
    layout = layout_of(8, (31, 37), "RGB")
    samples = picture(layout)
    source = samples if interleave else np.ascontiguousarray(samples.transpose(2, 0, 1))
    data = bytes(
        jpeg_ls.encode_buffer(
            source.tobytes(), rows=31, columns=37, samples_per_pixel=3, bits_stored=8, interleave_mode=interleave
        )
        if interleave
        else jpeg_ls.encode_buffer(source.tobytes(), 31, 37, 3, 8, interleave_mode=0)
    )
    assert (registry.decoder(uids.JPEG_LS).decode(data, layout).samples == samples).all()


def test_colours_are_those_of_the_attributes() -> None:
    """Lost: a JFIF or Adobe marker that some library wrote would turn RGB green."""
    layout = layout_of(8, (32, 48), "RGB")
    samples = picture(layout)
    plain: dict[str, Any] = {"colorspace": "rgb", "outcolorspace": "rgb"}
    data = bytes(imagecodecs.jpeg8_encode(samples, 100, **plain, subsampling="444"))
    codec = registry.decoder(uids.JPEG_BASELINE)
    as_rgb, as_ybr = (codec.decode(data, replace(layout, photometric=name)) for name in ("RGB", "YBR_FULL_422"))
    assert error(as_rgb.samples, samples) <= 2
    assert (as_rgb.samples == as_ybr.samples).all()
    assert (as_rgb.changes.photometric, as_ybr.changes.photometric) == (None, "YBR_FULL")


def test_near_lossless_stays_within_its_error_and_its_bits() -> None:
    """Lost: an error could push a value over Bits Stored, where masking would make white black."""
    layout = layout_of(12, (64, 80), "MONOCHROME2")
    samples = checkered(layout)
    codec = registry.encoder(uids.JPEG_LS_NEAR)
    for near in (1, 2, 3):
        encoded = codec.encode(samples, layout, Options(syntax=uids.JPEG_LS_NEAR, near=near))
        assert error(samples, codec.decode(encoded.data, layout).samples) <= near
        assert encoded.changes.lossy_method == "ISO_14495_1"


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(BadInput):
            work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bombs_take_no_memory() -> None:
    """Lost: 1.5 MB can inflate to gigabytes, and a tiny RLE frame can claim 60,000 x 60,000 pixels."""
    large = layout_of(8, (4000, 4000), "MONOCHROME2")
    bomb = bytes(imagecodecs.deflate_encode(bytes(64 << 20), 9, raw=True))
    small = layout_of(8, (8, 8), "MONOCHROME2")
    assert _peak(lambda: deflated.CODEC.decode(bomb, small)) < 1 << 20
    tiny = bytes((1, 0, 0, 0, 64, 0, 0, 0)) + bytes(56) + b"\x81\0" * 8
    assert _peak(lambda: rle.CODEC.decode(tiny, large)) < 1 << 20
    assert _peak(lambda: deflated.CODEC.decode(tiny, large)) < 1 << 20
    runs = tiny + b"\x81\0" * 500_000  # 64 MB of zeros
    assert _peak(lambda: rle.CODEC.decode(runs, small)) < 4 << 20


@pytest.mark.parametrize(
    "syntax",
    [
        uids.JPEG_BASELINE,
        uids.JPEG_LOSSLESS_SV1,
        uids.JPEG_LS,
        uids.J2K_LOSSLESS,
        uids.HTJ2K_LOSSLESS,
        uids.JPEG_XL_LOSSLESS,
    ],
)
def test_a_stream_that_claims_more_than_the_attributes_is_not_decoded(
    syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: the library would allocate what a header claims, whatever limit the layout has kept."""
    codec = registry.encoder(syntax)
    data = codec.encode(picture(BYTE), BYTE, Options(syntax=syntax)).data
    for name in ("jpeg8_decode", "jpegls_decode", "htj2k_decode", "jpegxl_decode"):
        monkeypatch.setattr(imagecodecs, name, lambda *_, **__: pytest.fail("it was decoded"))
    monkeypatch.setattr(jpeg2000, "_decode", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(BadInput):
        registry.decoder(syntax).decode(data, replace(BYTE, rows=8))


def test_frames_stay_what_they_are_in_native_syntaxes() -> None:
    """Lost: a native frame would be copied to be decoded."""
    data = picture(BYTE).tobytes()
    decoded = registry.decoder(syntaxes.EXPLICIT_LITTLE).decode(data, BYTE)
    assert np.shares_memory(decoded.samples, np.frombuffer(data, "u1"))
