"""Real instances: every one decodes but those named here, and to the samples that pydicom, DCMTK and GDCM see."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.pixels import pixel_array

from farm.codecs import registry, uids
from farm.dicom import part10, syntaxes
from farm.errors import BadInput, Reason
from farm.frames import encapsulated, layout, native
from farm.frames.layout import Layout, Samples

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
FILES = (
    sorted(path for path in CORPUS.rglob("*") if path.is_file() and path.name != "INDEX.tsv") if CORPUS.exists() else []
)
pytestmark = [
    pytest.mark.skipif(not FILES, reason="the shared corpus is not at hand"),
    pytest.mark.filterwarnings("ignore"),  # pydicom warns of what is wrong in real files
]
OPENS = (encapsulated.JPEG_OPENS, encapsulated.J2K_OPENS, encapsulated.JP2_OPENS)
MOST_PIXELS = 8_000_000
"""Frames are looked at up to so many pixels: the first ones of long cines are as good as all."""

NOT_DECODED = {
    "generated_encapsulated_defined_bot_2_to_2.dcm": "its fragments are made up: they are no code streams",
    "FileWithLotsOfTags.dcm": "37 frames are declared and Pixel Data has less than one",
    "multiframe.dcm": "some of its frames have other sizes than the attributes say",
    "genFile.dcm": "Pixel Data is an item of zeros under JPEG Baseline",
}
"""What no codec can decode, and why."""


@cache
def opened(path: Path) -> Dataset | None:
    """Return a data set with pixels, or None."""
    try:
        found = pydicom.dcmread(path, force=True)
        return found if len(found.get("PixelData", b"")) and "Rows" in found else None
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def pixel_files() -> list[Path]:
    """Return the files that have pixels and a transfer syntax that can be told."""
    return [path for path in FILES if opened(path) is not None]


def layout_of(found: Dataset) -> Layout:
    """Return what the attributes say."""
    values = {}
    for tag in (*range(layout.ROWS, layout.COLUMNS + 1), *range(layout.ALLOCATED, layout.SIGN + 1)):
        if isinstance(found[tag].value if tag in found else None, int):
            values[tag] = found[tag].value.to_bytes(2, "little")
    for tag in (layout.SAMPLES, layout.PLANAR):
        if isinstance(found[tag].value if tag in found else None, int):
            values[tag] = found[tag].value.to_bytes(2, "little")
    return layout.read(values | {layout.PHOTOMETRIC: str(found.PhotometricInterpretation).encode()})


def frames_of(path: Path) -> Iterator[Samples]:
    """Yield the decoded frames of an instance, as many as are looked at."""
    found = opened(path)
    assert found is not None
    form, data = layout_of(found), found.PixelData
    declared = str(found.get("NumberOfFrames") or 1)
    count = int(declared) if declared.isdigit() else 1
    source = part10.parse(path.read_bytes())
    looked_at = max(1, min(count, MOST_PIXELS // (form.rows * form.columns)))
    if source.syntax.encapsulated:
        codec = registry.decoder(source.syntax.uid)
        whole = data if data[-8:-4] == b"\xfe\xff\xdd\xe0" else data + bytes.fromhex("feffdde000000000")
        extended = found.get("ExtendedOffsetTable") or b""
        frames = encapsulated.frames(whole, (0, len(whole)), count, opens=OPENS, extended=extended)
        arrays = (codec.decode(frame, form).samples for frame in frames)
    else:
        order = source.dialect.order
        arrays = native.frames(data, form, count, order, words=found["PixelData"].VR == "OW")
    return (array for array, _ in zip(arrays, range(looked_at), strict=False))


def test_every_instance_with_pixels_decodes_but_those_that_are_named() -> None:
    """Lost: what real archives hold would be quarantined for want of care."""
    failed, done = {}, 0
    for path in pixel_files():
        try:
            done += any(True for _ in frames_of(path))
            for _ in frames_of(path):
                pass
        except BadInput as error:
            failed[path.name] = error.reason
    assert failed.keys() == NOT_DECODED.keys(), failed
    assert set(failed.values()) <= {Reason.PIXELS_UNDECODABLE, Reason.PIXEL_LENGTH}
    assert done >= 110


def test_the_samples_are_those_of_pydicom() -> None:
    """Lost: real instances could decode to something, and not to what is in them."""
    compared = 0
    for path in pixel_files():
        if path.name in NOT_DECODED:
            continue
        try:
            theirs = pixel_array(opened(path), raw=True, index=0)
        except Exception:  # noqa: BLE001, S112 - it lacks the codec, or the transfer syntax
            continue
        assert np.array_equal(next(frames_of(path)), theirs), path
        compared += 1
    assert compared >= 70


def test_one_segmentation_in_many_syntaxes_is_one() -> None:
    """Lost: single bits would differ from syntax to syntax."""
    paths = [path for path in pixel_files() if path.name.startswith("liver_")]
    first = [next(frames_of(path)) for path in paths]
    assert len({registry.table()[0].uid, *(part10.parse(path.read_bytes()).syntax.uid for path in paths)}) >= 4
    assert all((one == first[0]).all() for one in first)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dcmdjpeg") is None, reason="DCMTK's dcmdjpeg is not installed")
def test_lossless_jpeg_is_what_dcmtk_sees(tmp_path: Path) -> None:
    """Lost: predictors other than the first, which vendors use and no encoder here does, could be read wrongly."""
    compared = 0
    for path in pixel_files():
        if part10.parse(path.read_bytes()).syntax.uid not in {uids.JPEG_LOSSLESS, uids.JPEG_LOSSLESS_SV1}:
            continue
        target = tmp_path / "plain.dcm"
        if subprocess.run(["dcmdjpeg", "+px", path, target], capture_output=True, check=False).returncode:
            continue
        theirs = pixel_array(target, raw=True, index=0)
        assert np.array_equal(next(frames_of(path)), theirs), path
        compared += 1
    assert compared >= 8


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dcmdjpeg") is None, reason="DCMTK's dcmdjpeg is not installed")
def test_jpeg_by_cosine_transform_is_near_what_dcmtk_sees(tmp_path: Path) -> None:
    """Lost: colours would be converted, or 12 bits scaled, where the attributes do not say so."""
    compared = 0
    for path in pixel_files():
        syntax = part10.parse(path.read_bytes()).syntax.uid
        if syntax not in registry.jpeg.CODEC.decodes or path.name in NOT_DECODED:
            continue
        target = tmp_path / "plain.dcm"
        # Without a conversion of colours, chrominance brought to every pixel as here.
        if subprocess.run(["dcmdjpeg", "+cn", "+px", path, target], capture_output=True, check=False).returncode:
            continue
        theirs = pixel_array(target, raw=True, index=0)
        ours = next(frames_of(path))
        assert ours.shape == theirs.shape, path
        difference = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
        assert difference.mean() <= 1, (path, difference.mean())
        compared += 1
    assert compared >= 12


def test_every_transfer_syntax_of_the_corpus_is_known() -> None:
    """Lost: a syntax that is in real files could have no row in the table."""
    seen = {part10.parse(path.read_bytes()).syntax.uid for path in pixel_files()}
    assert seen <= {row.uid for row in registry.table()}
    assert {uids.JPEG_EXTENDED, uids.HTJ2K_LOSSLESS, uids.JPEG_XL_JPEG, uids.DEFLATED_FRAME} <= seen
    assert syntaxes.EXPLICIT_BIG in seen
