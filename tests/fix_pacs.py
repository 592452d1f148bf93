"""What is harvested in tests: small studies made by code, lists that want them, and a faulty wire before a PACS."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from fix_peers import Running, free_port
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from farm.net.client import Proposal, connect
from tests.generate import encode

ROOT: Final = "1.2.826.0.1.3680043.10.1337"
PROXY: Final = Path(__file__).parents[2] / "shared" / "peers" / "faultproxy.py"
_SIDE: Final = 16


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as a PACS is given it: `sizes` has the number of instances of each series."""

    number: int
    sizes: tuple[int, ...] = (3, 2)
    accession: str = ""
    patient: str = ""
    date: str = "20200101"
    time: str = "120000"
    side: int = _SIDE

    @property
    def uid(self) -> str:
        """Return its Study Instance UID."""
        return f"{ROOT}.{self.number}"

    @property
    def instances(self) -> list[str]:
        """Return its SOP Instance UIDs."""
        return [uid for uid, _ in self.members]

    @property
    def members(self) -> list[tuple[str, str]]:
        """Return (SOP Instance UID, Series Instance UID) of each instance."""
        return [
            (f"{self.uid}.{series}.{at}", f"{self.uid}.{series}")
            for series, size in enumerate(self.sizes, 1)
            for at in range(1, size + 1)
        ]

    @property
    def count(self) -> int:
        """Return how many instances it has."""
        return sum(self.sizes)


@cache
def part10_of(study: Study) -> dict[str, bytes]:
    """Return a study's instances as files, by SOP Instance UID."""
    return {uid: encode(_dataset(study, uid, series)) for uid, series in study.members}


def _dataset(study: Study, uid: str, series: str) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = MRImageStorage, uid
    made.StudyInstanceUID, made.SeriesInstanceUID = study.uid, series
    made.StudyDate, made.StudyTime, made.AccessionNumber = study.date, study.time, study.accession
    made.PatientID = study.patient or f"P{study.number}"
    made.PatientName, made.Modality = "DOE^JANE", "MR"
    made.SeriesNumber, made.InstanceNumber = int(series.rpartition(".")[2]), int(uid.rpartition(".")[2])
    made.Rows = made.Columns = study.side
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    made.ImageType, made.ScanningSequence, made.SequenceVariant = ["ORIGINAL", "PRIMARY", "OTHER"], "SE", "NONE"
    made.PixelData = bytes(2 * study.side * study.side)
    return made


def fill(peer: Running, studies: Iterable[Study]) -> None:
    """Store studies at a peer."""

    async def store() -> None:
        proposal = Proposal(sop_class=MRImageStorage, transfer_syntaxes=(ExplicitVRLittleEndian,))
        async with connect(peer.peer(calling="FILLER"), [proposal]) as client:
            for study in studies:
                for data in part10_of(study).values():
                    assert (await client.store(data)).ok

    asyncio.run(store())


def write_list(path: Path, rows: Sequence[str], header: str = "row_id,study_instance_uid,accession_number") -> Path:
    """Write a list."""
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@dataclass(frozen=True, kw_only=True)
class Described:
    """A PACS file with one PACS, `PACS`, of small times."""

    port: int
    title: str
    facts: dict[str, object] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        """Write the file."""
        facts: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "ae_title": self.title,
            "timeout_s": 5.0,
            "settle_s": 1.0,
            "backoff_s": 0.2,
            "query_rate": 0,
        }
        lines = [f"{name} = {_toml(value)}" for name, value in (facts | self.facts).items()]
        path.write_text("\n".join(["[PACS]", *lines]) + "\n")
        return path


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


@contextmanager
def faulty(upstream: int, *faults: str, listen: int = 0) -> Iterator[int]:
    """Put faults between a client and a port of loopback; give the port to speak to."""
    if not PROXY.is_file():
        pytest.skip("the fault proxy is not at hand")
    port = listen or free_port()
    process = subprocess.Popen(
        [sys.executable, str(PROXY), str(port), str(upstream), *faults],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(process, port)
        yield port
    finally:
        process.kill()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    """Wait until a port of loopback is listened on, without a connection, which a proxy would count."""
    listening = re.compile(rf" [0-9A-F]{{8}}:{port:04X} 00000000:0000 0A ")
    for _ in range(1000):
        if listening.search(Path("/proc/net/tcp").read_text()):
            return
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail("the fault proxy does not listen")
