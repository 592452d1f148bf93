"""`farm verify`: what has happened to outputs since they were released, on the tests' servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psutil
import pydicom
import pytest
from fix_celery import until
from fix_cli import ended
from fix_farm import make_instances, visible
from pydicom.data import get_testdata_file

from farm.cli.differences import Kind
from farm.cli.statuses import Status
from tests.generate.multiframe import enhanced_mr
from tests.generate.part10 import encode

if TYPE_CHECKING:
    from fix_cli import Cli, Said, Starter

pytestmark = pytest.mark.servers

_COUNT = 40
_NOBODY_READS = "1.2.840.10008.1.2.4.92"


def _shipped(name: str) -> Path:
    return Path(str(get_testdata_file(name)))


@pytest.fixture
def released(farm: Cli, tmp_path: Path) -> Path:
    """Return a destination with the outputs of a run: native, compressed, multi-frame, without pixels, and unread."""
    source = tmp_path / "in"
    make_instances(source, _COUNT, first=10001)
    for name in ("MR_small_jp2klossless.dcm", "JPEG2000.dcm", "rtplan.dcm"):
        shutil.copy(_shipped(name), source)
    (source / "many").write_bytes(encode(enhanced_mr("many", frames=5)))
    unread = pydicom.dcmread(_shipped("693_J2KI.dcm"))
    unread.file_meta.TransferSyntaxUID = pydicom.uid.UID(_NOBODY_READS)
    unread.save_as(source / "unread")
    (source / "notes.txt").write_text("Doe^Jane")
    said = farm("run", source, tmp_path / "out", "--recipe", "basic", "--json")
    assert (said.status, said.json["done"]) == (Status.DONE, _COUNT + 5), said.err
    return tmp_path / "out"


def _by_syntax(destination: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in visible(destination):
        syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
        found.setdefault(str(syntax), []).append(path)
    return found


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _differences(said: Said) -> set[tuple[str, str, str | None]]:
    found = [(one["path"], one["kind"], one["reason"]) for one in said.json["differences"]]
    assert len(set(found)) == len(found)
    return set(found)


def test_everything_that_can_differ(farm: Cli, released: Path, tmp_path: Path) -> None:
    """Damage is named exactly: each kind where it was done, and nothing anywhere else."""
    sound = farm("verify", "1", "--json")
    assert sound.status == Status.DONE, sound.out
    assert sound.json | {"read_bytes": 0} == {
        "run": 1,
        "interrupted": False,
        "trouble": None,
        "total": _COUNT + 5,
        "sound": _COUNT + 5,
        "different": 0,
        "waiting": 0,
        "decoded": _COUNT + 3,
        "not_decoded": 1,
        "read_bytes": 0,
        "files": _COUNT + 5,
        "staged": 0,
        "orphans": 0,
        "left_out": {},
        "kinds": dict.fromkeys(map(str, Kind), 0),
        "differences": [],
    }
    assert sound.json["read_bytes"] == sum(path.stat().st_size for path in visible(released))
    wanted = _damage(released, tmp_path)
    for name in ("tmp/killed", "orphans/first", "orphans/second"):
        (released / ".farm" / name).touch()
    said = farm("verify", "1", "--json", "-j", "2")
    assert said.status == Status.QUARANTINED
    assert _differences(said) == wanted
    kinds = {kind: sum(1 for one in wanted if one[1] == kind) for kind in Kind}
    assert (said.json["kinds"], kinds) == (kinds, {**kinds, **{kind: kinds[kind] or 1 for kind in Kind}})
    assert said.json["different"] == len({path for path, kind, _ in wanted if kind != Kind.UNCLAIMED})
    assert said.json["left_out"] == {"symlinks": 2}
    assert (said.json["staged"], said.json["orphans"]) == (1, 2)
    _check_numbers(farm, said, tmp_path)
    words = farm("verify", "1")
    assert words.status == Status.QUARANTINED
    assert words.out.startswith("Not everything is as run 1 has released it.\n")
    assert "\n  1 staged in .farm/tmp: " in words.out
    assert "\n  2 set aside in .farm/orphans: " in words.out
    lines = [re.sub(r": \d+ ", ": ", line) for line in words.out.splitlines()[-len(wanted) :]]
    shown = {
        f"{kind}: {click.format_filename(path)}{f' ({reason})' if reason else ''}" for path, kind, reason in wanted
    }
    assert set(lines) == shown
    assert re.search(r"^    missing +1  There is no file of this name\.$", words.out, re.MULTILINE)
    assert not [word for word in ("Doe", str(tmp_path)) if word in said.out + said.err + words.out + words.err]


def _damage(destination: Path, folder: Path) -> set[tuple[str, str, str | None]]:
    """Do to outputs what disks and people do; return what has to be found."""
    found = _by_syntax(destination)
    native = sorted(found["1.2.840.10008.1.2.1"], key=lambda path: path.stat().st_size)[2:]
    first, second = next((one, two) for one, two in pairwise(native) if one.stat().st_size == two.stat().st_size)
    cut, pixel, attribute, gone, folded, linked = [path for path in native if path not in {first, second}][:6]
    lossless, lossy = found["1.2.840.10008.1.2.4.90"][0], found["1.2.840.10008.1.2.4.91"][0]
    wanted: set[tuple[Path, Kind, str | None]] = set()
    cut.write_bytes(cut.read_bytes()[:-1000])
    wanted |= {(cut, Kind.SIZE, None), (cut, Kind.UNDECODABLE, "truncated")}
    _flip(pixel, -5000)
    _flip(attribute, attribute.read_bytes().index(b"ORIGINAL"))
    wanted |= {(pixel, Kind.DIGEST, None), (attribute, Kind.DIGEST, None)}
    gone.unlink()
    wanted.add((gone, Kind.MISSING, None))
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    wanted |= {(path, kind, None) for path in (first, second) for kind in (Kind.DIGEST, Kind.INSTANCE)}
    for path in (folded, linked):
        path.rename(folder / path.name)
    folded.mkdir()
    linked.symlink_to(folder / linked.name)
    wanted |= {(path, Kind.UNREADABLE, None) for path in (folded, linked)}
    data = lossless.read_bytes()
    lossless.write_bytes(data.replace(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.4.91"))
    wanted |= {(lossless, Kind.DIGEST, None), (lossless, Kind.SYNTAX, None)}
    data = lossy.read_bytes()
    start = data.index(b"\xff\x4f\xff\x51") + 4
    lossy.write_bytes(data[:start] + bytes(40) + data[start + 40 :])
    wanted |= {(lossy, Kind.DIGEST, None), (lossy, Kind.UNDECODABLE, "pixels-undecodable")}
    stray, odd = destination / "stray.dcm", Path(os.fsdecode(os.fsencode(pixel.parent) + b"/\xe9.dcm"))
    stray.write_bytes(pixel.read_bytes())
    odd.touch()
    (destination / "link").symlink_to(stray)
    wanted |= {(stray, Kind.UNCLAIMED, None), (odd, Kind.UNCLAIMED, None)}
    return {(str(path.relative_to(destination)), kind.value, reason) for path, kind, reason in wanted}


def _check_numbers(farm: Cli, said: Said, folder: Path) -> None:
    """Check that the number of an instance leads to its row in the manifest."""
    assert farm("manifest", "1", "--out", folder / "manifest.jsonl").status == Status.DONE
    paths = {row["id"]: row["path"] for row in map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())}
    for one in said.json["differences"]:
        assert one["path"] == paths[one["instance"]] if one["kind"] != Kind.UNCLAIMED else one["instance"] is None


def test_interrupted_and_away(farm: Cli, start: Starter, released: Path, tmp_path: Path) -> None:
    """Ctrl-C ends it in order; a destination that is not there is no million of missing outputs, nor is it all well."""
    program = start("verify", "1", "--json")
    worker = until(lambda: _pooled(program.pid), "a process of the pool")
    worker.suspend()
    program.send_signal(signal.SIGINT)
    assert program.stderr is not None
    until(lambda: "Finishing" in program.stderr.readline(), "the interruption to be heeded")
    worker.resume()
    said = ended(program)
    assert (said.status, said.json["interrupted"]) == (Status.INTERRUPTED, True), said.err
    assert 0 < said.json["sound"] < _COUNT
    assert (said.json["waiting"], said.json["files"]) == (_COUNT + 5 - said.json["sound"], 0)
    released.rename(tmp_path / "elsewhere")
    away = farm("verify", "1")
    assert (away.status, away.out) == (Status.AWAY, "")
    assert away.err.splitlines()[-1].startswith("farm: storage-error: ")
    unknown = farm("verify", "7")
    assert (unknown.status, unknown.err) == (Status.ORDER, "farm: bad-option: there is no such run (run=7)\n")


def _pooled(pid: int) -> psutil.Process | None:
    children = psutil.Process(pid).children()
    return next((child for child in children if "spawn_main" in " ".join(child.cmdline())), None)
