"""The codecs that ship: each passes the suite for each transfer syntax, and other decoders read what they write."""

from __future__ import annotations

import importlib.metadata
import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import click.testing
import imagecodecs
import jpeg_ls
import numpy as np
import openjpeg
import pytest
import rle.rle as pylibjpeg_rle

from farm.cli import codecs as command
from farm.codecs import jpegxl, registry, uids, video
from farm.dicom import syntaxes
from farm.errors import BadInput, Reason
from farm.frames import bits
from farm.frames.codec import Changes, Doubt, Options
from farm.frames.layout import Layout, Samples
from tests.suites.codec_suite import CodecSuite, layout_of, layouts, picture, round_trip

WRITTEN = [row.uid for row in registry.table() if row.encoder and not video.is_video(row.uid)]


class TestEverySyntax(CodecSuite):
    """Every transfer syntax that can be written."""

    @pytest.fixture(params=WRITTEN, ids=[uids.NAMES[uid].replace(" ", "-") for uid in WRITTEN])
    def syntax(self, request: pytest.FixtureRequest) -> str:
        """Return each."""
        return str(request.param)


def by_openjpeg(data: bytes, layout: Layout) -> Any:  # noqa: ARG001 - all others need it
    """Return what OpenJPEG of pylibjpeg makes of a code stream."""
    return openjpeg.decode(data)


def by_charls(data: bytes, layout: Layout) -> Any:
    """Return what CharLS of pyjpegls makes of a stream, the sign extended."""
    return bits.extended(charls(data), layout.bits_stored, layout)


def charls(data: bytes) -> Any:
    """Return the unsigned numbers of a JPEG-LS stream."""
    return jpeg_ls.decode(np.frombuffer(data, "u1"))


def by_rle(data: bytes, layout: Layout) -> Any:
    """Return what pylibjpeg-rle makes of a frame: plane by plane."""
    if layout.dtype.itemsize == 1 and layout.bits_allocated == 1:
        raise NotImplementedError
    flat = pylibjpeg_rle.decode_frame(data, layout.rows * layout.columns, layout.bits_allocated, "<")
    planes = np.frombuffer(bytes(flat), layout.dtype).reshape(layout.samples, layout.rows, layout.columns)
    return planes[0] if layout.samples == 1 else planes.transpose(1, 2, 0)


def by_zlib(data: bytes, layout: Layout) -> Any:
    """Return what zlib makes of a deflated frame."""
    return np.frombuffer(zlib.decompress(data, -15), layout.dtype, np.prod(layout.shape)).reshape(layout.shape)


def by_eye(data: bytes, layout: Layout) -> Any:
    """Return the samples of a native frame."""
    return np.frombuffer(data, layout.dtype, np.prod(layout.shape)).reshape(layout.shape)


INDEPENDENT = {
    uids.J2K_LOSSLESS: by_openjpeg,
    uids.HTJ2K_LOSSLESS: by_openjpeg,
    uids.HTJ2K_RPCL: by_openjpeg,
    uids.JPEG_LS: by_charls,
    uids.RLE: by_rle,
    uids.DEFLATED_FRAME: by_zlib,
    uids.ENCAPSULATED_UNCOMPRESSED: by_eye,
    syntaxes.EXPLICIT_LITTLE: by_eye,
}


@pytest.mark.parametrize("syntax", INDEPENDENT, ids=uids.NAMES.__getitem__)
def test_independent_decoders_read_the_same_samples(syntax: str) -> None:
    """Lost: what two halves of one library agree on would be taken for what the standard says."""
    codec = registry.encoder(syntax)
    for layout in layouts(codec.encodes[syntax]):
        samples = picture(layout)
        data = codec.encode(samples, layout, Options(syntax=syntax)).data
        read = INDEPENDENT[syntax](data, layout)
        assert (np.asarray(read).reshape(layout.shape) == samples).all(), layout


@pytest.mark.parametrize("syntax", [uids.J2K, uids.HTJ2K, uids.JPEG_LS_NEAR])
def test_independent_decoders_read_the_same_of_lossy_frames(syntax: str) -> None:
    """Lost: a lossy frame would look otherwise to everybody else."""
    codec = registry.encoder(syntax)
    for depth in (8, 10, 12, 16):
        layout = layout_of(depth, (50, 60), "MONOCHROME2")
        encoded, decoded, _ = round_trip(syntax, picture(layout), layout)
        read = openjpeg.decode(encoded.data) if syntax != uids.JPEG_LS_NEAR else charls(encoded.data)
        assert np.abs(bits.clipped(read, layout).astype(int) - decoded.samples).max() <= 1
    assert codec.encodes[syntax].lossless is False


def test_single_bits_in_every_lossless_syntax() -> None:
    """Lost: segmentations, whose pixels are single bits, could not be brought into another syntax."""
    layout = Layout(rows=9, columns=13, bits_allocated=1, bits_stored=1, high_bit=0)
    samples: Samples = np.random.default_rng(1).integers(0, 2, layout.shape).astype("u1")
    for syntax in WRITTEN:
        claim = registry.encoder(syntax).encodes[syntax]
        if claim.covers(layout):
            _, decoded, _ = round_trip(syntax, samples, layout)
            assert (decoded.samples == samples).all(), uids.NAMES[syntax]


@pytest.mark.parametrize("size", [(9, 13), (1, 1), (1, 2), (8, 16), (40, 64)])
def test_single_bits_by_rle_are_read_in_both_forms(size: tuple[int, int]) -> None:
    """Lost: segmentations by RLE, a byte to a pixel (PS3.5 G.2) or packed as they were, could not be read."""
    layout = Layout(rows=size[0], columns=size[1], bits_allocated=1, bits_stored=1, high_bit=0)
    samples: Samples = np.random.default_rng(1).integers(0, 2, size).astype("u1")
    for plane in (samples, np.packbits(samples.reshape(-1), bitorder="little").reshape(1, -1)):
        decoded = registry.decoder(uids.RLE).decode(rle_frame(plane), layout)
        assert (decoded.samples == samples).all()
        assert decoded.changes == Changes(high_bit=0)


def rle_frame(plane: Samples) -> bytes:
    """Return a frame of one segment."""
    segment = bytes(imagecodecs.packbits_encode(plane, axis=-1))
    return struct.pack("<16I", 1, 64, *[0] * 14) + segment + b"\0" * (len(segment) % 2)


def test_single_bits_by_rle_are_not_written_nor_made_up() -> None:
    """Lost: others could not read our segmentations, and a byte of 255 would be a bit without a word."""
    layout = Layout(rows=4, columns=4, bits_allocated=1, bits_stored=1, high_bit=0)
    with pytest.raises(BadInput) as refused:
        registry.encoder(uids.RLE).encode(np.zeros((4, 4), "u1"), layout, Options(syntax=uids.RLE))
    assert refused.value.reason is Reason.CODEC_ABSENT
    doubtful = registry.decoder(uids.RLE).decode(rle_frame(np.full((4, 4), 255, "u1")), layout)
    assert (doubtful.changes.doubt, doubtful.samples.max()) == (Doubt.BITS, 1)
    for other in ((3, 4), (1, 3)):
        with pytest.raises(BadInput) as refused:
            registry.decoder(uids.RLE).decode(rle_frame(np.zeros(other, "u1")), layout)
        assert refused.value.reason is Reason.PIXEL_LENGTH


def test_a_recompressed_frame_is_the_same_jpeg_again() -> None:
    """Lost: recompression, which promises the very bytes, would be one more lossy step."""
    layout = layout_of(8, (48, 64), "RGB")
    frame = registry.encoder(uids.JPEG_BASELINE).encode(picture(layout), layout, Options(syntax=uids.JPEG_BASELINE))
    small = jpegxl.recompressed(frame.data)
    assert jpegxl.restored(small) == frame.data
    written = frame.changes.apply(layout)
    ours = registry.decoder(uids.JPEG_XL_JPEG).decode(small, written).samples
    assert (ours == registry.decoder(uids.JPEG_BASELINE).decode(frame.data, written).samples).all()
    with pytest.raises(BadInput):
        jpegxl.restored(
            registry.encoder(uids.JPEG_XL).encode(picture(layout), layout, Options(syntax=uids.JPEG_XL)).data
        )


def test_every_syntax_of_the_standard_is_read_or_says_why_not() -> None:
    """Lost: an instance would be quarantined for want of a codec, and nobody could say which or why."""
    for uid in sorted(syntaxes._KNOWN):
        why = registry.why_not(uid)
        if any(uid in codec.decodes for codec in registry.CODECS):
            assert why == ""
            assert uid in registry.decoder(uid).decodes
            continue
        with pytest.raises(BadInput) as absent:
            registry.decoder(uid)
        assert absent.value.reason is Reason.CODEC_ABSENT
        assert why
        assert why in str(absent.value)
    assert registry.why_not("1.2.3")


def test_the_command_tells_what_the_readme_tells() -> None:
    """Lost: people would choose a syntax by a table that is not so."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    [section] = re.findall(r"^## Codecs$(.*?)^##", readme, re.DOTALL | re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    told = [tuple(cell.strip().strip("`") for cell in line.split("|")[1:-1]) for line in lines]
    assert told == [command.cells(row) for row in registry.table()]
    said = click.testing.CliRunner().invoke(command.codecs)
    assert said.exit_code == 0
    assert all(name in said.stdout for row in registry.table() for name in (row.uid, row.name))
    [line] = click.testing.CliRunner().invoke(command.codecs, ["--json"]).stdout.splitlines()
    assert [row["uid"] for row in json.loads(line)["codecs"]] == [row.uid for row in registry.table()]


def test_codecs_of_tests_stay_in_tests() -> None:
    """Lost: a library that crashes in threads, or holds the interpreter, would come into the workers."""
    runtime = [line for line in importlib.metadata.requires("dicom-farm") or [] if "extra ==" not in line]
    assert not [line for line in runtime if re.match("pylibjpeg|pyjpegls|gdcm|python-gdcm|pillow", line, re.IGNORECASE)]
