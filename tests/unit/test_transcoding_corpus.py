"""Real instances in other transfer syntaxes: all but those named here, with the samples that pydicom sees before."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels import pixel_array

from farm.codecs import registry
from farm.dicom import part10
from farm.errors import BadInput, Reason
from farm.frames.codec import Codec, Decoded
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples
from farm.transcoding.frames import Inline
from farm.transcoding.instance import Transcoded
from farm.transcoding.plan import Action
from tests import images
from tests.compare.iod import errors

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
FILES = (
    sorted(path for path in CORPUS.rglob("*") if path.is_file() and path.name != "INDEX.tsv") if CORPUS.exists() else []
)
pytestmark = [
    pytest.mark.skipif(not FILES, reason="the shared corpus is not at hand"),
    pytest.mark.filterwarnings("ignore"),  # pydicom warns of what is wrong in real files
]
TARGETS = ("htj2k-lossless", "jpeg-ls-lossless", "rle", "native", "deflated")
COMPARED = ("htj2k-lossless", "jpeg-ls-lossless", "rle")
MUTATIONS = os.environ.get("TRANSCODE_MUTATIONS", "200")
_MOST = 1 << 20  # samples of a frame up to which pydicom is asked, for it takes its time
_AT_ONCE = 4

NOT_DONE = {
    "DICOMDIR": Reason.DICOMDIR,  # it is none
    "GH364.dcm": Reason.BAD_STRUCTURE,  # a delimiter stands among its elements
    "rtplan_truncated.dcm": Reason.TRUNCATED,  # it says so
    "meta_missing_tsyntax.dcm": Reason.NO_SOP_CLASS,  # nothing says of what class it is
    "generated_encapsulated_defined_bot_2_to_2.dcm": Reason.PIXELS_UNDECODABLE,  # its fragments are no code streams
    "multiframe.dcm": Reason.PIXELS_UNDECODABLE,  # its frames have several sizes
    "genFile.dcm": Reason.PIXELS_UNDECODABLE,  # its bitstream is an item of zeros
}
TOO_SHORT = {"FileWithLotsOfTags.dcm": Reason.PIXEL_LENGTH}  # 37 frames are declared, and less than one is there
"""What is not transcoded, and why; the latter only where its samples are looked at."""


@dataclass
class Remembering:
    """A decoder that decodes each frame once, because every file goes to several targets."""

    real: Codec
    known: dict[tuple[bytes, Layout], Decoded] = field(default_factory=dict)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Decode a frame, or remember it."""
        key = (bytes(data), layout)
        if key not in self.known:
            self.known[key] = self.real.decode(data, layout)
        return self.known[key]


def outcomes_of(data: bytes) -> Iterator[tuple[str, Transcoded | BadInput]]:
    """Yield what becomes of a file in each target; pydicom is the proof here."""
    codecs: dict[str, Remembering] = {}

    def decoder(syntax: str) -> Codec:
        return codecs.setdefault(syntax, Remembering(registry.decoder(syntax)))  # type: ignore[return-value]

    transcoder = Inline(decoder, registry.encoder)
    for name in TARGETS:
        try:
            yield name, images.transcoded(data, name, transcoder, prove=False)
        except BadInput as error:
            yield name, error


@cache
def outcomes() -> dict[Path, dict[str, Transcoded | BadInput]]:
    """Return what becomes of each file in each target."""
    return {path: dict(outcomes_of(path.read_bytes())) for path in FILES}


def encoded(*names: str) -> Iterator[tuple[Path, str, bytes]]:
    """Yield the files that were encoded, and what was made of them."""
    for path, made in outcomes().items():
        for name in names:
            found = made[name]
            if isinstance(found, Transcoded) and found.action is Action.ENCODE:
                yield path, name, images.joined(found)


def test_every_instance_is_transcoded_or_stays_but_those_that_are_named() -> None:
    """Lost: what real archives hold would be quarantined for want of care, or nobody knew."""
    for name in TARGETS:
        failed = {path.name: made[name].reason for path, made in outcomes().items() if isinstance(made[name], BadInput)}
        looked_at = name not in {"native", "deflated"}
        assert failed == NOT_DONE | (TOO_SHORT if looked_at else {}), name
        done = Counter(made[name].why for made in outcomes().values() if isinstance(made[name], Transcoded))
        assert done["it is encoded"] >= (95 if looked_at else 70), done
        beyond = 5 if name == "rle" else 4  # single bits, too
        assert done["the transfer syntax cannot hold it"] <= beyond, done
        assert done["no codec reads it"] == 0, done


def first_frame(data: bytes) -> Samples | None:
    """Return the first frame as pydicom reads it; None where it does not."""
    try:
        found = images.read(data)
        if found.Rows * found.Columns * found.get("SamplesPerPixel", 1) > _MOST:
            return None
        raw = pixel_array(found, raw=True, index=0, correct_unused_bits=False)
    except Exception:  # noqa: BLE001 - it lacks the codec or the transfer syntax, or does not read the file
        return None
    return images.plain(raw, found.BitsAllocated, found.get("BitsStored", found.BitsAllocated), high_of(found))


def high_of(found: images.pydicom.Dataset) -> int:
    """Return High Bit, where it stands as a rule."""
    return int(found.get("HighBit", found.get("BitsStored", found.BitsAllocated) - 1))


def test_the_samples_are_those_that_pydicom_sees_in_the_source() -> None:
    """Lost: the lake would hold other pixels than the archive."""
    compared = Counter[str]()
    for path, made in outcomes().items():
        files = [(name, found) for at, name, found in encoded_of(path, made) if at]
        before = first_frame(path.read_bytes()) if files else None
        for name, found in files if before is not None else []:
            after = first_frame(found)
            if after is None:
                continue
            assert np.array_equal(before, after), (path, name)
            compared[name] += 1
    assert min(compared[name] for name in COMPARED) >= 50, compared
    assert compared["native"] >= 25, compared


def encoded_of(path: Path, made: dict[str, Transcoded | BadInput]) -> Iterator[tuple[bool, str, bytes]]:
    """Yield what was encoded of one file for pydicom to compare."""
    for name in (*COMPARED, "native"):
        found = made[name]
        if isinstance(found, Transcoded) and found.action is Action.ENCODE:
            yield path.name not in TOO_SHORT, name, images.joined(found)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="DCMTK's dcmdump is not installed")
def test_every_output_opens_in_dcmdump(tmp_path: Path) -> None:
    """Lost: outputs would be read by pydicom alone, which forgives much."""
    for number, (_, _, data) in enumerate(encoded(*TARGETS)):
        (tmp_path / f"{number}.dcm").write_bytes(data)
    made = subprocess.run(
        ["dcmdump", "-q", "+sd", tmp_path], capture_output=True, text=True, errors="replace", check=False
    )
    assert (made.returncode, [line for line in made.stderr.splitlines() if line.startswith("E:")]) == (0, [])


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools' dciodvfy is not installed")
def test_no_output_has_an_error_that_its_source_has_not(tmp_path: Path) -> None:
    """Lost: outputs would be no instances of their SOP class, and archives and readers would refuse them."""
    pairs = []
    for number, (path, _, data) in enumerate(encoded("native", "jpeg-ls-lossless")):
        if part10.parse(path.read_bytes()).syntax.deflated:
            continue  # dciodvfy does not know it, so the source was not checked
        target = tmp_path / f"{number}.dcm"
        target.write_bytes(data)
        pairs.append((path, target))
    sources = sorted({path for path, _ in pairs})
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        before = dict(zip(sources, pool.map(errors, sources), strict=True))
        after = list(pool.map(errors, [target for _, target in pairs]))
    found = {path.name: new_errors(one - before[path], data) for (path, data), one in zip(pairs, after, strict=True)}
    assert {name: new for name, new in found.items() if new} == {}


def new_errors(new: Counter[str], output: Path) -> list[str]:
    """Return the errors that count: not those of File Meta Information, which tells what the data set says.

    Chrominance that two pixels shared is given to both, and some SOP classes enumerate no YBR_FULL: a decoder can give
    no other colours without a loss.
    """
    full = images.text_of(output.read_bytes(), 0x00280004) == "YBR_FULL"
    return [error for error in new if "(0x0002," not in error and not (full and "enumerated value" in error)]


def test_no_changed_instance_ends_the_process() -> None:
    """Lost: one instance, broken or made to break, could take its worker along; and nobody would know which."""
    root = Path(__file__).parents[2]
    made = subprocess.run(
        [sys.executable, "-m", "tests.transcode_mutations", MUTATIONS],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root / "tests")},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=280,
        check=False,
    )
    last = made.stderr.splitlines()[-12:]
    assert made.returncode == 0, (made.returncode, made.stdout, last)
    found = re.fullmatch(r"(\d+) transcoded or refused, (\d+) refused\n", made.stdout)
    assert found
    assert found[1] == MUTATIONS
    assert int(MUTATIONS) // 10 < int(found[2]) < int(MUTATIONS), "nearly all refused or none: these are no mutations"
