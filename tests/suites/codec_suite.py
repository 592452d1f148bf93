"""What every codec promises of every transfer syntax that it writes; each codec's tests inherit this suite."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from farm.codecs import registry, uids
from farm.errors import BadInput, Reason
from farm.frames.codec import Claim, Codec, Decoded, Encoded, Options
from farm.frames.layout import Layout, Samples

SIZES = ((33, 40), (1, 1), (7, 5), (2, 65), (64, 3))
LOSS = {
    uids.JPEG_BASELINE: 0.02,
    uids.JPEG_XL_JPEG: 0.02,
    uids.JPEG_EXTENDED: 0.02,
    uids.JPEG_LS_NEAR: 0.01,
    uids.J2K: 0.01,
    uids.HTJ2K: 0.001,
    uids.JPEG_XL: 0.05,
}
"""The mean error that a lossy syntax is allowed on these pictures, as a part of the scale."""


def layout_of(bits: int, size: tuple[int, int], colours: str, *, signed: bool = False, allocated: int = 0) -> Layout:
    """Return a layout with as many bits allocated as are usual, or as are asked for."""
    samples = 3 if colours in {"RGB", "YBR_FULL"} else 1
    return Layout(
        rows=size[0],
        columns=size[1],
        samples=samples,
        bits_allocated=allocated or (8 if bits <= 8 else 16 if bits <= 16 else 32),
        bits_stored=bits,
        high_bit=bits - 1,
        signed=signed,
        photometric=colours,
    )


def layouts(claim: Claim) -> Iterator[Layout]:
    """Yield every combination of bits, sign and colours that is claimed; the sizes take turns."""
    sizes = cycle(SIZES)
    least, most = claim.bits
    for bits in range(least, most + 1):
        for signed in (False, True) if claim.signed else (False,):
            for colours in claim.colours:
                yield layout_of(bits, next(sizes), colours, signed=signed)


def picture(layout: Layout, seed: int = 0) -> Samples:
    """Return a frame with slopes, noise, and both bounds where it has room."""
    random = np.random.default_rng(seed)
    low, high = layout.bounds
    slope = np.linspace(0.1, 0.8, layout.rows)[:, None] + np.linspace(0, 0.1, layout.columns)[None, :]
    values = slope + random.random(slope.shape) * 0.02
    if layout.samples > 1:
        values = np.stack([values, 0.9 - values / 2, values * 0.7 + 0.1], axis=-1)
    frame = np.floor(low + values * (high - low)).astype(layout.dtype)
    frame.reshape(-1)[0] = high
    frame.reshape(-1)[-1] = low
    return frame


def round_trip(syntax: str, samples: Samples, layout: Layout) -> tuple[Encoded, Decoded, Layout]:
    """Encode and decode a frame as another would: by the attributes that the encoder left; return the final layout."""
    encoded = registry.encoder(syntax).encode(samples, layout, Options(syntax=syntax))
    written = encoded.changes.apply(layout)
    decoded = registry.decoder(syntax).decode(encoded.data, written)
    return encoded, decoded, decoded.changes.apply(written)


class CodecSuite:
    """Inherit it, and give the fixture `syntax`: a transfer syntax that can be written."""

    @pytest.fixture
    def codec(self, syntax: str) -> Codec:
        """Return what writes the syntax."""
        return registry.encoder(syntax)

    def test_all_that_is_claimed_comes_back(self, syntax: str, codec: Codec) -> None:
        """Lost: pixels would change in the lake, and the README would promise what is not so."""
        claim = codec.encodes[syntax]
        for layout in layouts(claim):
            samples = picture(layout)
            encoded, decoded, after = round_trip(syntax, samples, layout)
            assert decoded.samples.shape == samples.shape, layout
            assert decoded.samples.dtype == after.dtype, layout
            if claim.lossless:
                assert (decoded.samples == samples).all(), layout
                assert after.photometric == layout.photometric, layout
                assert encoded.changes.lossy_method is None
            elif after.photometric == layout.photometric:
                self._near(syntax, samples, decoded.samples, layout)

    @staticmethod
    def _near(syntax: str, before: Samples, after: Samples, layout: Layout) -> None:
        low, high = layout.bounds
        error = np.abs(before.astype(np.int64) - after.astype(np.int64))
        if syntax == uids.JPEG_LS_NEAR:
            assert error.max() <= 2, layout
        elif layout.rows > 1:  # the rate control of JPEG 2000 is blind on a single pixel
            assert error.mean() / (high - low) <= LOSS[syntax], layout

    def test_more_bits_allocated_than_needed(self, syntax: str, codec: Codec) -> None:
        """Lost: 8 bits in words of 16, as many scanners write them, would come back as something else."""
        claim = codec.encodes[syntax]
        least, most = claim.bits
        for bits in {max(least, 7), max(least, min(8, most))}:
            layout = layout_of(bits, (9, 6), "MONOCHROME2", signed=claim.signed, allocated=16)
            samples = picture(layout)
            _, decoded, after = round_trip(syntax, samples, layout)
            assert decoded.samples.dtype == after.dtype
            if claim.lossless:
                assert (decoded.samples == samples).all()
                assert decoded.samples.dtype == samples.dtype

    def test_what_is_lost_is_told(self, syntax: str, codec: Codec) -> None:
        """Lost: an instance that lost something could pass for an original (PS3.3 C.7.6.1.1.5)."""
        claim = codec.encodes[syntax]
        layout = layout_of(max(claim.bits[0], min(12, claim.bits[1])), (64, 80), "MONOCHROME2")
        changes = codec.encode(picture(layout), layout, Options(syntax=syntax)).changes
        assert (changes.lossy_method is None, changes.lossy_ratio is None) == (claim.lossless, claim.lossless)
        assert changes.lossy_ratio is None or changes.lossy_ratio > 1

    def test_what_is_not_claimed_is_refused(self, syntax: str, codec: Codec) -> None:
        """Lost: samples that a syntax cannot hold would be bent until it can."""
        claim = codec.encodes[syntax]
        beyond = layout_of(claim.bits[1] + 1, (4, 4), "MONOCHROME2") if claim.bits[1] < 32 else None
        signed = None if claim.signed else layout_of(claim.bits[1], (4, 4), "MONOCHROME2", signed=True)
        colours = replace(layout_of(8, (4, 4), "RGB"), photometric="YBR_FULL_422")
        for layout in filter(None, (beyond, signed, colours)):
            with pytest.raises(BadInput) as refused:
                codec.encode(np.zeros(layout.shape, layout.dtype), layout, Options(syntax=syntax))
            assert refused.value.reason is Reason.CODEC_ABSENT

    def test_values_beyond_their_bits_are_refused(self, syntax: str, codec: Codec) -> None:
        """Lost: a value that Bits Stored cannot hold would be cut without a word."""
        bits = max(codec.encodes[syntax].bits[0], 7)
        layout = layout_of(bits, (4, 4), "MONOCHROME2", allocated=16)
        with pytest.raises(BadInput) as refused:
            codec.encode(np.full((4, 4), 1 << bits, "u2"), layout, Options(syntax=syntax))
        assert refused.value.reason is Reason.PIXELS_UNDECODABLE

    def test_another_size_is_refused(self, syntax: str, codec: Codec) -> None:
        """Lost: a bitstream could make a library allocate what the attributes never spoke of."""
        layout = layout_of(max(8, codec.encodes[syntax].bits[0]), (40, 30), "MONOCHROME2")
        encoded = codec.encode(picture(layout), layout, Options(syntax=syntax))
        written = encoded.changes.apply(layout)
        for rows, columns in ((41, 31), (3, 4)):
            other = replace(written, rows=rows, columns=columns)
            if (
                syntax
                in registry.native.LITTLE.decodes + registry.native.BIG.decodes + (uids.ENCAPSULATED_UNCOMPRESSED,)
                and rows < 40
            ):
                continue  # native frames say no size: what is behind them is not looked at
            with pytest.raises(BadInput) as refused:
                registry.decoder(syntax).decode(encoded.data, other)
            assert refused.value.reason in {Reason.PIXELS_UNDECODABLE, Reason.PIXEL_LENGTH}

    def test_what_was_cut_off_is_refused(self, syntax: str, codec: Codec) -> None:
        """Lost: half a frame, filled up with grey by a library that says nothing, would pass for a whole one."""
        layout = layout_of(max(codec.encodes[syntax].bits[0], 8), (64, 80), "MONOCHROME2")
        encoded = codec.encode(picture(layout), layout, Options(syntax=syntax))
        for part in (0.02, 0.3, 0.6, 0.9, 0.99):
            with pytest.raises(BadInput):
                registry.decoder(syntax).decode(
                    encoded.data[: int(len(encoded.data) * part)], encoded.changes.apply(layout)
                )

    def test_no_words_of_a_library_come_out(self, syntax: str) -> None:
        """Lost: a library's message, with what it read in it, could reach a log."""
        layout = layout_of(8, (40, 30), "MONOCHROME2")
        for data in (b"", b"SECRET", b"SECRET" * 100, memoryview(b"\xff\xd8SECRET" * 20)):
            with pytest.raises(BadInput) as refused:
                registry.decoder(syntax).decode(data, layout)
            assert "SECRET" not in str(refused.value)
            assert refused.value.__cause__ is None
