"""Images that look like those of a modality to a codec: smooth where it is smooth, noise where it is noisy.

What a codec is fast or slow at is decided by how much of an image is background and how much of each sample is noise,
so each set is made to compress about as far as images of patients do (HTJ2K: CT 4.5, MR 3.3, DX 1.8, MG 6, US 10).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

Frames = NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One modality: how its frames are made, how many a file has, and Bits Stored."""

    name: str
    frames: int
    bits: int
    make: Callable[[np.random.Generator, int], Frames]


def _disc(rows: int, columns: int, size: float, at: tuple[float, float] = (0.0, 0.0)) -> NDArray[np.bool_]:
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j]
    return np.asarray((y - at[0]) ** 2 + (x - at[1]) ** 2 < size**2)


def _smooth(random: np.random.Generator, rows: int, columns: int, depth: float) -> NDArray[np.float64]:
    """Return a field that changes over some thirty pixels."""
    coarse = random.normal(0, depth, (rows // 32 + 2, columns // 32 + 2))
    down = np.arange(rows) / 32
    across = np.arange(columns) / 32
    lines = np.stack([np.interp(down, np.arange(len(coarse)), column) for column in coarse.T], 1)
    return np.stack([np.interp(across, np.arange(lines.shape[1]), line) for line in lines])


def _ct(random: np.random.Generator, _number: int) -> Frames:
    body, view = _disc(512, 512, 0.72), _disc(512, 512, 0.98)
    image = np.where(body, 1060 + _smooth(random, 512, 512, 60), 24)
    image = np.where(_disc(512, 512, 0.2, (0.2, -0.3)), 240, image)
    image = np.where(_disc(512, 512, 0.09, (0.4, 0.0)), 1700, image)
    image += random.normal(0, np.where(body, 6, 2), (512, 512))
    return np.where(view, np.clip(image, 0, 4095), 0).astype("u2")


def _mr(random: np.random.Generator, _number: int) -> Frames:
    head = _disc(256, 256, 0.75)
    image = np.where(head, 700 + _smooth(random, 256, 256, 160), 0)
    noise = random.normal(0, 7, (2, 256, 256))
    return np.clip(np.hypot(image + noise[0], noise[1]), 0, 4095).astype("u2")


def _dx(random: np.random.Generator, _number: int) -> Frames:
    image = 7000 + _smooth(random, 2500, 2048, 1500) + random.normal(0, 75, (2500, 2048))
    return np.clip(image, 0, 16383).astype("u2")


def _mg(random: np.random.Generator, _number: int) -> Frames:
    y, x = np.mgrid[-1 : 1 : 4000 * 1j, 0 : 1 : 3000 * 1j]
    breast = y**2 / 0.6 + x**2 / 0.45 < 1
    image = 2200 + _smooth(random, 4000, 3000, 250) + random.normal(0, 11, (4000, 3000))
    return np.where(breast, np.clip(image, 0, 4095), 0).astype("u2")


def _us(random: np.random.Generator, number: int) -> Frames:
    y, x = np.mgrid[0:480, 0:640]
    angle, depth = np.arctan2(x - 320, y + 60), np.hypot(x - 320, y + 60)
    sector = (abs(angle) < 0.6) & (depth > 80) & (depth < 480)
    speckle = random.rayleigh(22, (240, 320)).repeat(2, 0).repeat(2, 1) * (1 - depth / 700)
    grey = np.where(sector, np.clip(speckle, 0, 255), 0).astype("u1")
    frame = np.stack([grey] * 3, -1)
    frame[20:40, 20 : 60 + number] = (255, 200, 0)
    return frame


KINDS = (
    Kind(name="CT", frames=32, bits=12, make=_ct),
    Kind(name="MR", frames=64, bits=12, make=_mr),
    Kind(name="DX", frames=1, bits=14, make=_dx),
    Kind(name="MG", frames=1, bits=12, make=_mg),
    Kind(name="US", frames=30, bits=8, make=_us),
)


def write(kind: Kind, path: Path) -> int:
    """Write a file of a kind; return the bytes of its samples."""
    random = np.random.default_rng(7)
    frames = np.stack([kind.make(random, number) for number in range(kind.frames)])
    made = Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7.4" if kind.name == "US" else "1.2.840.10008.5.1.4.1.1.7.3"
    made.SOPInstanceUID, made.StudyInstanceUID, made.SeriesInstanceUID = (
        generate_uid(None, [kind.name, n]) for n in "abc"
    )
    made.PatientID = made.PatientName = "BENCH"
    made.Modality = kind.name
    made.NumberOfFrames = kind.frames
    made.Rows, made.Columns = frames.shape[1:3]
    made.SamplesPerPixel = 3 if frames.ndim == 4 else 1
    made.PhotometricInterpretation = "RGB" if frames.ndim == 4 else "MONOCHROME2"
    if frames.ndim == 4:
        made.PlanarConfiguration = 0
    made.BitsAllocated = frames.dtype.itemsize * 8
    made.BitsStored, made.HighBit, made.PixelRepresentation = kind.bits, kind.bits - 1, 0
    made.PixelData = frames.tobytes()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = (
        made.SOPClassUID,
        made.SOPInstanceUID,
    )
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    return int(frames.nbytes)
