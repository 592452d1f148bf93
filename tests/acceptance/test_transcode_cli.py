"""`farm transcode`: every way in which an instance can end, and what befalls the program on the way."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pydicom
import pytest
from blake3 import blake3
from fix_celery import until
from fix_cli import ended
from fix_farm import CT, changed, make_instances, visible
from pydicom.data import get_testdata_file

from farm.cli.progress import Display, line
from farm.cli.statuses import Status
from farm.transcoding.targets import TARGETS
from tests.generate.multiframe import enhanced_mr
from tests.generate.part10 import encode

if TYPE_CHECKING:
    from fix_cli import Cli, Starter

    from farm.cli.progress import Frames

_COUNT = 120
_ROOT = Path(__file__).parents[2]
_HTJ2K = TARGETS["htj2k-lossless"]


def _shipped(name: str) -> bytes:
    return Path(str(get_testdata_file(name))).read_bytes()


def digests(folder: Path) -> dict[str, str]:
    """Return what a folder holds."""
    return {str(path.relative_to(folder)): blake3(path.read_bytes()).hexdigest() for path in visible(folder)}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a source with an instance for every end, below names that say something."""
    source = tmp_path / "in"
    make_instances(source / "Doe^Jane" / "CT", 3)
    (source / "Doe^Jane" / "plan").write_bytes(_shipped("rtplan.dcm"))
    (source / "Doe^Jane" / "jpeg.dcm").write_bytes(_shipped("SC_rgb_jpeg_dcmtk.dcm"))
    (source / "Doe^Jane" / "many").write_bytes(encode(enhanced_mr("many", frames=5)))
    os.link(source / "Doe^Jane" / "jpeg.dcm", os.fsencode(source) + b"/\xe9\n1.dcm")
    (source / "DICOMDIR").write_bytes(_shipped("DICOMDIR"))
    (source / "broken.dcm").write_bytes(CT.read_bytes()[:2000])
    (source / "notes.txt").write_text("not DICOM")
    (source / "empty").touch()
    (source / "link").symlink_to(CT)
    return source


def test_a_folder(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Every file of the source has an end that is told by rule or reason, and DST has the paths and names of SRC."""
    before = digests(mixed)
    out = tmp_path / "out"
    said = cli("transcode", mixed, out, "--to", "j2k", "--psnr", "70", "-j", "2", "--json")
    assert said.status == Status.DONE, said.err
    sizes = {name: said.json[name] for name in ("input_bytes", "output_bytes", "ratio")}
    assert said.json | dict.fromkeys(sizes, 0) == {
        "interrupted": False,
        "trouble": None,
        "syntax": TARGETS["j2k"],
        "total": 11,
        "done": 7,
        "encoded": 4,
        "rewritten": 0,
        "copied": 3,
        "refused": 4,
        "skipped": 0,
        "waiting": 0,
        "lossy": 4,
        "input_bytes": 0,
        "output_bytes": 0,
        "ratio": 0,
        "rules": {
            "it has no Pixel Data": 1,
            "it was lossy already": 2,
            "it is encoded": 4,
        },
        "reasons": {"dicomdir": 1, "truncated": 1, "not-dicom": 1, "empty-file": 1},
        "left_out": {"symlinks": 1},
    }
    outputs = visible(out)
    assert sizes["output_bytes"] == sum(path.stat().st_size for path in outputs)
    assert sizes["ratio"] == round(sizes["input_bytes"] / sizes["output_bytes"], 3) > 1
    names = {str(path.relative_to(mixed)) for path in visible(mixed) if not path.is_symlink()}
    refused = {"DICOMDIR", "broken.dcm", "notes.txt", "empty"}
    assert {str(path.relative_to(out)) for path in outputs} == names - refused
    assert not (out / ".farm").exists()
    assert digests(mixed) == before


def test_lossless_is_lossless(cli: Cli, tmp_path: Path) -> None:
    """What another program decodes is what was there before, frame by frame, and no other attribute has changed."""
    make_instances(tmp_path / "in", 2, first=10001)
    many = enhanced_mr("many", frames=20)
    (tmp_path / "in" / "many").write_bytes(encode(many))
    (tmp_path / "in" / "colour.dcm").write_bytes(_shipped("SC_rgb_rle.dcm"))
    assert cli("transcode", tmp_path / "in", tmp_path / "out", "--to", "htj2k-lossless").status == Status.DONE
    for path in visible(tmp_path / "in"):
        before, after = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "out" / path.name)
        assert after.file_meta.TransferSyntaxUID == _HTJ2K
        assert np.array_equal(before.pixel_array, after.pixel_array)
        differing = {element.keyword for element in before if element != after.get(element.tag)}
        assert differing <= {"PixelData", "PhotometricInterpretation", "PlanarConfiguration"}
        assert before.file_meta.MediaStorageSOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID


def test_the_summary_is_for_people(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Counts, rules, reasons with their meaning and sizes; what cannot be done is refused, and nothing is claimed."""
    said = cli("transcode", mixed, tmp_path / "out", "--to", "native")
    assert said.status == Status.DONE
    assert "Every instance is accounted for.\n  encoded        2\n" in said.out
    assert "  copied         5\n  refused        4\n" in said.out
    assert "  1  it has no Pixel Data\n      4  its frames are in that transfer syntax already" in said.out
    assert "    truncated   1  The data set ends inside an element.\n" in said.out
    assert "left out: 1 links" in said.out
    assert " MB in, " in said.out
    assert f"Output  {tmp_path / 'out'}\n" in said.out
    assert not [word for word in ("Key", "key", "de-identif", "quarantine", "Doe") if word in said.out + said.err]
    assert not (tmp_path / "home").exists()
    assert "This does not de-identify" in " ".join(cli("transcode", "--help").out.split())


def test_the_same_again(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Nothing is written twice, nothing that is there is written over, and `--strict` is a status for scripts."""
    out = tmp_path / "out"
    command = ("transcode", mixed, out, "--to", "rle")
    cli(*command)
    before = {path: path.stat().st_ino for path in visible(out)}
    said = cli(*command, "--strict")
    assert said.status == Status.QUARANTINED
    assert said.out.startswith("There was nothing to do")
    assert {path: path.stat().st_ino for path in visible(out)} == before
    taken = out / "Doe^Jane" / "CT" / "00000.dcm"
    taken.write_bytes(b"mine")
    (out / "Doe^Jane" / "CT" / "00001.dcm").unlink()
    (out / "Doe^Jane" / "CT" / "00001.dcm").mkdir()
    (out / "Doe^Jane" / "CT" / "00002.dcm").unlink()
    said = cli(*command, "--json")
    assert (said.json["done"], said.json["reasons"]["conflict"], said.json["skipped"]) == (1, 2, 4)
    assert taken.read_bytes() == b"mine"


def test_a_file_for_a_folder(cli: Cli, tmp_path: Path) -> None:
    """A file of DST that stands where a folder would have to costs those below it, and no other."""
    make_instances(tmp_path / "in" / "a" / "b", 2)
    make_instances(tmp_path / "in" / "c", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("mine")
    said = cli("transcode", tmp_path / "in", tmp_path / "out", "--to", "rle", "--json")
    assert (said.status, said.json["done"], said.json["reasons"]) == (Status.DONE, 1, {"conflict": 2})
    assert "Something else has its name" in cli("transcode", tmp_path / "in", tmp_path / "out", "--to", "rle").out


def test_a_single_file(cli: Cli, tmp_path: Path) -> None:
    """A file becomes the file that was named, or keeps its name in a folder; the bytes are those of a folder's run."""
    many = tmp_path / "in" / "many.v2"
    many.parent.mkdir()
    many.write_bytes(encode(enhanced_mr("many", frames=30)))
    to = ("--to", TARGETS["j2k-lossless"])
    assert cli("transcode", many, tmp_path / "one.dcm", *to).status == Status.DONE
    assert cli("transcode", many, tmp_path / "one", *to, "-j", "3").status == Status.DONE
    assert cli("transcode", many.parent, tmp_path / "all", *to).status == Status.DONE
    one = (tmp_path / "one.dcm").read_bytes()
    assert one == (tmp_path / "one" / many.name).read_bytes() == (tmp_path / "all" / many.name).read_bytes()
    assert len(one) < len(many.read_bytes())
    again = cli("transcode", many, tmp_path / "one.dcm", *to, "--json")
    assert (again.status, again.json["skipped"]) == (Status.DONE, 1)
    many.write_bytes(changed(many.read_bytes()))
    other = cli("transcode", many, tmp_path / "one.dcm", *to, "--json")
    assert (other.status, other.json["reasons"]) == (Status.QUARANTINED, {"conflict": 1})
    assert (tmp_path / "one.dcm").read_bytes() == one


def test_a_single_file_that_cannot_be_done(cli: Cli, tmp_path: Path) -> None:
    """`farm transcode a.dcm b.dcm && rm a.dcm` must not go on without b.dcm."""
    (tmp_path / "a.dcm").write_bytes(CT.read_bytes()[:2000])
    said = cli("transcode", tmp_path / "a.dcm", tmp_path / "b.dcm", "--to", "rle")
    assert said.status == Status.QUARANTINED
    assert "truncated" in said.out
    assert {path.name for path in tmp_path.iterdir()} == {"a.dcm"}


def test_lossy(cli: Cli, tmp_path: Path) -> None:
    """A lossy copy says so and has a UID of its own; what was lossy already is spared, refused or coded as ordered."""
    [source] = make_instances(tmp_path / "in", 1, first=10001)
    out = tmp_path / "lossy.dcm"
    assert cli("transcode", source, out, "--to", "htj2k", "--step", "0.0005").status == Status.DONE
    before, after = pydicom.dcmread(source), pydicom.dcmread(out)
    error = np.abs(before.pixel_array.astype(int) - after.pixel_array).max()
    assert 0 < error < 100
    assert after.LossyImageCompression == "01"
    assert after.SOPInstanceUID not in {before.SOPInstanceUID, ""}
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID
    spared = cli("transcode", out, tmp_path / "spared.dcm", "--to", "j2k", "--json")
    assert (spared.json["rules"], spared.json["lossy"]) == ({"it was lossy already": 1}, 0)
    assert (tmp_path / "spared.dcm").read_bytes() == out.read_bytes()
    again = cli("transcode", out, tmp_path / "again.dcm", "--to", "j2k", "--again", "--psnr", "40", "--json")
    assert (again.json["encoded"], again.json["lossy"]) == (1, 1)
    kept = cli("transcode", source, tmp_path / "kept.dcm", "--to", "jpeg-baseline", "--json")
    assert (kept.status, kept.json["copied"]) == (Status.DONE, 1)
    refused = cli("transcode", source, tmp_path / "refused.dcm", "--to", "jpeg-baseline", "--refuse", "--json")
    assert (refused.status, refused.json["reasons"]) == (Status.QUARANTINED, {"codec-absent": 1})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--to", "htj2k-loosless"), "did you mean htj2k-lossless?"),
        (("--to", "1.2.840.10008.1.2"), "there is no such transfer syntax to ask for"),
        (("--to", "rle", "--near", "2"), "--near does nothing for rle: it is for jpeg-ls-near."),
        (("--to", "jpeg-ls-near", "--near", "0"), "0 is not in the range"),
        ((), "Missing option '--to'"),
    ],
)
def test_an_order_that_is_wrong(cli: Cli, tmp_path: Path, options: tuple[str, ...], told: str) -> None:
    """A misspelt name must not become a long run of nothing, nor an option one that silently does nothing."""
    said = cli("transcode", CT, tmp_path / "out.dcm", *options)
    assert said.status == Status.USAGE
    assert told in said.err
    assert not list(tmp_path.iterdir())


def test_a_destination_that_cannot_be(cli: Cli, tmp_path: Path) -> None:
    """Output must not be found as input, nor lie among what is de-identified, where everybody takes it for that."""
    make_instances(tmp_path / "in" / "sub", 1)
    assert cli("deid", tmp_path / "in", tmp_path / "clean").status == Status.DONE
    (tmp_path / "file").touch()
    before = digests(tmp_path)
    for source, destination in (
        ("in", "in/sub/out"),
        ("in/sub", "in"),
        ("in", "clean"),
        ("in", "clean/more"),
        ("in/sub/00000.dcm", "clean/00000.dcm"),
        ("in/sub/00000.dcm", "nowhere/out.dcm"),
        ("in/sub/00000.dcm", "out.txt"),
        ("in", "file"),
    ):
        said = cli("transcode", tmp_path / source, tmp_path / destination, "--to", "rle")
        assert said.status == Status.ORDER, destination
        assert said.err.startswith("farm: bad-destination: ")
    assert cli("transcode", tmp_path / "gone", tmp_path / "out", "--to", "rle").status == Status.ORDER
    assert digests(tmp_path) == before


@pytest.fixture
def many(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - the environment
    """Return a source of many batches."""
    monkeypatch.setenv("FARM_PARCEL_INSTANCES", "4")
    make_instances(tmp_path / "in", _COUNT)
    return tmp_path / "in"


def test_kill_nine_in_the_middle(start: Starter, cli: Cli, many: Path, tmp_path: Path) -> None:
    """Nothing partial is ever visible under a name, and the same command does the rest, to the same bytes."""
    out = tmp_path / "out"
    command = ("transcode", many, out, "--to", "htj2k-lossless", "--json")
    program = start(*command, "-j", "2")
    until(lambda: visible(out), "the first output")
    family = psutil.Process(program.pid).children(recursive=True)
    program.kill()
    program.communicate()
    _gone, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    survived = digests(out)
    assert 0 < len(survived) < _COUNT
    said = cli(*command)
    assert (said.status, said.json["refused"]) == (Status.DONE, 0)
    assert (said.json["done"], said.json["skipped"]) == (_COUNT - len(survived), len(survived))
    assert digests(out).items() >= survived.items()
    for path in visible(out):
        assert np.array_equal(
            pydicom.dcmread(path).pixel_array, pydicom.dcmread(tmp_path / "in" / path.name).pixel_array
        )


def test_ctrl_c_drains(start: Starter, cli: Cli, many: Path, tmp_path: Path) -> None:
    """What is in hand is finished, the summary is true, no process stays, and the same command does the rest."""
    command = ("transcode", many, tmp_path / "out", "--to", "rle", "--json")
    program = start(*command, "-j", "2")
    until(lambda: visible(tmp_path / "out"), "the first output")
    program.send_signal(signal.SIGINT)
    said = ended(program)
    assert (said.status, said.json["interrupted"]) == (Status.INTERRUPTED, True)
    assert said.json["done"] == len(visible(tmp_path / "out")) < _COUNT
    assert not (tmp_path / "out" / ".farm").exists()
    again = cli(*command)
    assert (again.json["done"] + again.json["skipped"], again.json["skipped"]) == (_COUNT, said.json["done"])


@pytest.mark.parametrize(("name", "number"), [("out.dcm", signal.SIGINT), ("out", signal.SIGTERM)])
def test_ctrl_c_within_a_single_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: signal.Signals
) -> None:
    """Lost: a large instance could not be stopped without a word, or left a part of an output; nor be watched."""
    source, target = tmp_path / "many.dcm", tmp_path / name
    source.write_bytes(encode(enhanced_mr("many", frames=5)))
    shown: list[str] = []

    def show(_display: Display, standing: Frames) -> None:
        shown.append(line(standing, 2.0))
        if standing.ended == 5:
            signal.raise_signal(number)

    monkeypatch.setattr(Display, "show", show)
    children = psutil.Process().children()
    said = cli("transcode", source, target, "--to", "rle", "--json")
    assert shown == ["0 of 5 frames, 2.0/s, about 2 s left", "5 of 5 frames, 2.0/s"]
    assert said.status == Status.INTERRUPTED
    assert said.json.items() >= {"interrupted": True, "total": 1, "done": 0, "waiting": 1, "trouble": None}.items()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [source]
    assert psutil.Process().children() == children


@pytest.mark.usefixtures("cli")
def test_memory_stays_flat_with_a_large_deflated_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: one deflated instance would take a worker's memory several times over, and others with it."""
    monkeypatch.setenv("FARM_READ_LIMIT_BYTES", "1048576")
    large, packed, clean = (tmp_path / f"{name}.dcm" for name in ("large", "packed", "clean"))
    whole = pydicom.dcmread(CT)
    whole.Rows, whole.Columns, whole.NumberOfFrames = 1024, 1024, 24
    whole.PixelData = random.Random(0).randbytes(1 << 20) * 48
    whole.save_as(large)
    commands = [
        ("transcode", large, packed, "--to", "deflated"),
        ("deid", packed, clean, "--recipe", "basic"),
    ]
    lines = "\n".join("\t".join(map(str, command)) for command in commands)
    most = 60 << 20  # measured: 40 MiB, of which a pile may have 32; it was 160 once
    within = [sys.executable, "-m", "tests.integration.deflated_memory", str(most), lines]
    ran = subprocess.run(within, cwd=_ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert ran.returncode == 0, ran.stdout
    assert pydicom.dcmread(clean).PixelData == whole.PixelData


def test_deid_transcodes_too(cli: Cli, tmp_path: Path) -> None:
    """A recipe that names a transfer syntax is carried out without servers as with them."""
    [source] = make_instances(tmp_path / "in", 1, first=10001)
    (tmp_path / "small.json").write_text('{"$extends": "basic", "output": {"transfer_syntax": "htj2k-lossless"}}')
    recipe = ("--recipe", tmp_path / "small.json")
    assert cli("deid", source, tmp_path / "one.dcm", *recipe).status == Status.DONE
    assert cli("deid", source.parent, tmp_path / "out", *recipe).status == Status.DONE
    [output] = visible(tmp_path / "out")
    assert output.read_bytes() == (tmp_path / "one.dcm").read_bytes()
    after = pydicom.dcmread(io.BytesIO(output.read_bytes()))
    assert (after.file_meta.TransferSyntaxUID, after.PatientIdentityRemoved) == (_HTJ2K, "YES")
    assert np.array_equal(after.pixel_array, pydicom.dcmread(source).pixel_array)
