"""Other programs read the instances that our frames make: DCMTK what is JPEG, JPEG-LS and RLE, GDCM the rest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.pixels import pixel_array
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from farm.codecs import registry, uids
from farm.frames import encapsulated
from farm.frames.codec import Options
from farm.frames.layout import Layout, Samples
from tests.suites.codec_suite import layout_of, picture

GDCM = ("gdcmconv", "--raw")
PEERS = {
    uids.JPEG_BASELINE: ("dcmdjpeg", "+cn", "+px"),
    uids.JPEG_EXTENDED: ("dcmdjpeg",),
    uids.JPEG_LOSSLESS: ("dcmdjpeg", "+px"),
    uids.JPEG_LOSSLESS_SV1: ("dcmdjpeg", "+px"),
    uids.JPEG_LS: ("dcmdjpls", "+px"),
    uids.RLE: ("dcmdrle",),
    uids.J2K_LOSSLESS: GDCM,
    uids.J2K: GDCM,
}
"""What reads a transfer syntax: options that convert no colours and bring out pixel by pixel."""


def written(path: Path, frames: list[Samples], layout: Layout, syntax: str) -> Layout:
    """Write an instance of frames; return the layout that it says."""
    codec = registry.encoder(syntax)
    made = [codec.encode(frame, layout, Options(syntax=syntax)) for frame in frames]
    after = made[0].changes.apply(layout)
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = SecondaryCaptureImageStorage, "2.25.1"
    found.Rows, found.Columns, found.SamplesPerPixel = after.rows, after.columns, after.samples
    found.BitsAllocated, found.BitsStored, found.HighBit = after.bits_allocated, after.bits_stored, after.high_bit
    found.PixelRepresentation, found.PhotometricInterpretation = int(after.signed), after.photometric
    found.NumberOfFrames = len(frames)
    if after.samples > 1:
        found.PlanarConfiguration = after.planar
    found.PixelData = b"".join(encapsulated.pixel_data([one.data for one in made]).pieces[:-1])
    found["PixelData"].VR = "OB"
    found["PixelData"].is_undefined_length = True
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    dcmwrite(path, found, implicit_vr=False, little_endian=True, enforce_file_format=True)
    return after


@pytest.mark.interop
@pytest.mark.parametrize("colours", ["MONOCHROME2", "RGB"])
@pytest.mark.parametrize("syntax", PEERS, ids=uids.NAMES.__getitem__)
def test_a_peer_reads_the_same_samples(tmp_path: Path, syntax: str, colours: str) -> None:
    """Lost: our instances would be right for us alone."""
    command = PEERS[syntax]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    claim = registry.encoder(syntax).encodes[syntax]
    if colours not in claim.colours:
        return
    for bits in sorted({max(8, claim.bits[0]), 12, 16} if colours == "MONOCHROME2" else {8}):
        if bits > claim.bits[1]:
            continue
        layout = layout_of(bits, (37, 50), colours)
        frames = [picture(layout, seed) for seed in range(3)]
        before, after = tmp_path / "before.dcm", tmp_path / "after.dcm"
        said = written(before, frames, layout, syntax)
        done = subprocess.run([*command, before, after], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (bits, done.stderr)
        read = np.asarray(pixel_array(after, raw=True)).astype(np.int64)
        assert pixel_array(after, raw=True).shape[0] == 3
        codec = registry.decoder(syntax)
        for number, frame in enumerate(frames):
            data = registry.encoder(syntax).encode(frame, layout, Options(syntax=syntax)).data
            ours = codec.decode(data, said).samples
            difference = np.abs(read[number] - ours)
            assert difference.mean() <= (0 if claim.lossless else 1), (bits, number, difference.max())


def test_an_instance_of_frames_is_whole_for_pydicom(tmp_path: Path) -> None:
    """Lost: items, tables and padding could be wrong in a way that only we forgive."""
    layout = layout_of(12, (37, 50), "MONOCHROME2", signed=True)
    frames = [picture(layout, seed) for seed in range(3)]
    for syntax in (uids.HTJ2K_RPCL, uids.J2K_LOSSLESS, uids.JPEG_LS, uids.RLE):
        written(tmp_path / "one.dcm", frames, layout, syntax)
        assert np.array_equal(pixel_array(tmp_path / "one.dcm", raw=True), np.stack(frames)), syntax
    assert ExplicitVRLittleEndian in registry.native.LITTLE.decodes
