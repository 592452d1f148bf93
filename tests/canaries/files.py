"""Files full of canaries: one for each transfer syntax and character set, in memory or in a folder.

A file holds all names and a share of the other attributes, so that the files of a syntax together hold all of them; or
everything, where one file has to do. A canary that cannot be found in the file as written does not count.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.canaries import frames
from tests.canaries.marks import CHARSETS, Canary, Charset, Mint
from tests.canaries.places import Planter, add
from tests.canaries.search import tokens
from tests.generate.part10 import put

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "big": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "encapsulated": "",
}
"""The five ways of writing; what is encapsulated takes turns: JPEG, JPEG-LS, JPEG 2000, JP2, RLE."""

_META = (
    *((0x00020000 | element, "AE") for element in (0x16, 0x17, 0x18)),
    *((0x00020000 | element, "UR") for element in (0x26, 0x27, 0x28)),
    (0x00020012, "UI"),
    (0x00020013, "SH"),
    (0x00020100, "UI"),
    (0x00020102, "OB"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One file: its name, its bytes, the canaries that are found in it, and those that are not."""

    name: str
    syntax: str
    charset: str
    data: bytes = field(repr=False)
    canaries: tuple[Canary, ...] = field(repr=False)
    lost: tuple[Canary, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which canaries stand in which files."""

    files: tuple[Planted, ...]

    @property
    def canaries(self) -> Iterator[Canary]:
        """Yield all canaries."""
        return (canary for file in self.files for canary in file.canaries)

    @property
    def categories(self) -> list[str]:
        """Return the names of all categories."""
        return sorted({canary.category for canary in self.canaries})


def plant(
    syntaxes: Iterable[str] = tuple(SYNTAXES), charsets: Sequence[Charset] = CHARSETS, *, whole: bool = False
) -> Plan:
    """Return the files of each syntax in each character set.

    `whole`: every file holds all attributes, and nothing that tools refuse a file for.
    """
    files: list[Planted] = []
    number = 0
    for syntax in syntaxes:
        for turn, charset in enumerate(charsets):
            mint = Mint(charset, number)
            part = (0, 1) if whole else (turn, len(charsets))
            files.append(_file(mint, syntax, turn, part))
            number = mint.number
    return Plan(files=tuple(files))


def write(folder: Path, syntaxes: Iterable[str] = tuple(SYNTAXES), *, whole: bool = False) -> Plan:
    """Write the files into a folder."""
    plan = plant(syntaxes, whole=whole)
    for file in plan.files:
        (folder / file.name).write_bytes(file.data)
    return plan


def leaks(plan: Plan, outputs: Mapping[str, bytes | Path]) -> dict[str, list[Canary]]:
    """Return the canaries of each category, none where it is clean, that show in any of the outputs.

    An output under a planted file's name is what became of that file. Under any other name (a log, a manifest) it is
    searched for what is unique in the plan: all but dates and ages.
    """
    found = {name: tokens(data if isinstance(data, bytes) else data.read_bytes()) for name, data in outputs.items()}
    anywhere = set().union(*found.values())
    leaked: dict[str, list[Canary]] = {category: [] for category in plan.categories}
    for file in plan.files:
        own = found.get(file.name, set())
        for canary in file.canaries:
            if not (anywhere if canary.unique else own).isdisjoint(canary.forms()):
                leaked[canary.category].append(canary)
    return leaked


def _file(mint: Mint, syntax: str, turn: int, part: tuple[int, int]) -> Planted:
    """Return one file with all that it carries."""
    planter = Planter(mint)
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        planter.attributes(*part)
        planter.others()
        if part[1] > 1:
            planter.misused()
        uid = _pixels(planter.dataset, mint, syntax, turn)
        data = _encoded(planter.dataset, mint, uid)
        if part[1] > 1:
            data += mint.text("trailing/data set").encode()
    found = tokens(data)
    there, lost = [], []
    for canary in mint.canaries:
        (lost if found.isdisjoint(canary.forms()) else there).append(canary)
    return Planted(
        name=f"{syntax}-{mint.charset.name.replace(' ', '_')}.dcm",
        syntax=uid,
        charset=mint.charset.name,
        data=data,
        canaries=tuple(there),
        lost=tuple(lost),
    )


def _pixels(dataset: Dataset, mint: Mint, syntax: str, turn: int) -> UID:
    """Add what makes the data set an image of the syntax; return the transfer syntax."""
    put(
        dataset,
        SpecificCharacterSet=list(mint.charset.terms),
        SOPClassUID=CTImageStorage,
        Modality="CT",
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=frames.SIDE,
        Columns=frames.SIDE,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
    )
    if syntax != "encapsulated":
        behind = mint.text("trailing/pixels", 0x7FE00010).encode()
        add(dataset, 0x7FE00010, "OW" if syntax == "implicit" else "OB", bytes([17]) * frames.SIDE**2 + behind)
        return SYNTAXES[syntax]
    uid, frame, offsets = _frame(mint, turn)
    items = b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in (offsets, frame))
    element = DataElement(0x7FE00010, "OB", items)
    element.is_undefined_length = True
    dataset.add(element)
    return UID(uid)


def _frame(mint: Mint, turn: int) -> tuple[str, bytes, bytes]:
    """Return the transfer syntax, a frame and the offset table of an encapsulated file, one family after the other."""

    def text(where: str) -> bytes:
        return mint.text(f"frame/{where}", 0x7FE00010).encode()

    def comment(where: str) -> bytes:
        return frames.segment(0x64, b"\0\1" + text(where))

    match turn % 5:
        case 0:
            segments = [frames.exif(text("exif")), frames.segment(0xFE, text("comment")), frames.jumbf(text("jumbf"))]
            between = [frames.segment(0xFE, text("comment between scans"))]
            return frames.JPEG, frames.jpeg(segments, between=between, behind=text("behind")), b""
        case 1:
            segments = [frames.segment(0xE8, text("application data")), frames.segment(0xFE, text("comment"))]
            return frames.JPEG_LS, frames.jpeg_ls(segments, behind=text("behind")), b""
        case 2:
            stream = frames.j2k([comment("comment")], tile=[comment("comment of a tile")], behind=text("behind"))
            return frames.J2K, stream, b""
        case 3:
            boxes = frames.box(b"xml ", text("box")), frames.box(b"uuid", bytes(16) + text("box"))
            return frames.J2K, frames.jp2(frames.j2k(), *boxes), b""
        case _:
            return frames.RLE, frames.rle(text("spare offsets")), text("offset table") + b"\0\0"


def _encoded(dataset: Dataset, mint: Mint, syntax: UID) -> bytes:
    """Return the file, with canaries in the preamble and in File Meta Information."""
    meta = FileMetaDataset()
    put(
        meta,
        FileMetaInformationGroupLength=0,
        FileMetaInformationVersion=b"\0\1",
        MediaStorageSOPClassUID=CTImageStorage,
        MediaStorageSOPInstanceUID=dataset.SOPInstanceUID,
        TransferSyntaxUID=syntax,
    )
    for tag, vr in _META:
        add(meta, tag, vr, mint.value(vr, "file meta", tag))
    dataset.file_meta = meta
    dataset.preamble = mint.text("preamble").encode().ljust(128, b"\0")
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=False)
    return buffer.getvalue()
