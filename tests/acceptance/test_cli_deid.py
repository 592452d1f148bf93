"""`farm deid`: files and folders without servers, and what befalls its processes."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import poisoned
import psutil
import pydicom
import pytest
from blake3 import blake3
from fix_celery import until
from fix_cli import ended
from fix_farm import CT, changed, make_instances, visible

from farm.cli import pool
from farm.cli.statuses import Status
from farm.errors import Reason, Unavailable
from farm.stores import LocalStore

if TYPE_CHECKING:
    from fix_cli import Cli, Starter

_COUNT = 400


def digests(folder: Path) -> dict[str, str]:
    """Return what a folder holds."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): blake3(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a source of five instances, one twice, another in a second version, and two files that are none."""
    source = tmp_path / "in"
    instances = make_instances(source / "a", 5)
    (source / "b").mkdir()
    (source / "b" / "twin").write_bytes(instances[0].read_bytes())
    (source / "b" / "other").write_bytes(changed(instances[1].read_bytes()))
    (source / "notes.txt").write_text("not DICOM")
    (source / "empty").touch()
    (source / "link").symlink_to(CT)
    return source


def test_a_folder(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Every file of the source has an end that is told, the outputs are DICOM, and the source is as it was."""
    before = digests(mixed)
    said = cli("deid", mixed, tmp_path / "out", "-j", "2", "--json")
    assert said.status == Status.DONE
    assert said.json | {"output_bytes": 0} == {
        "interrupted": False,
        "trouble": None,
        "total": 9,
        "done": 5,
        "quarantined": 3,
        "skipped": 1,
        "waiting": 0,
        "pixels_at_risk": 0,
        "output_bytes": 0,
        "reasons": {"duplicate": 1, "conflict": 1, "not-dicom": 1, "empty-file": 1},
        "left_out": {"symlinks": 1},
    }
    outputs = visible(tmp_path / "out")
    assert said.json["output_bytes"] == sum(path.stat().st_size for path in outputs)
    assert len(outputs) == 5
    for path in outputs:
        instance = pydicom.dcmread(path)
        assert path.relative_to(tmp_path / "out").parts == (
            instance.PatientID,
            instance.StudyInstanceUID,
            instance.SeriesInstanceUID,
            f"{instance.SOPInstanceUID}.dcm",
        )
    assert digests(mixed) == before
    assert not list((tmp_path / "out" / ".farm" / "tmp").iterdir())


def test_the_summary_is_for_people(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Counts, reasons with their meaning, where output and key are; and what losing the new key means."""
    said = cli("deid", mixed, tmp_path / "out")
    assert "Every instance is accounted for." in said.out
    assert "  done           5\n" in said.out
    assert "    not-dicom   1  The file is not DICOM" in said.out
    assert "left out: 1 links" in said.out
    key = tmp_path / "home" / "keys" / "project.key"
    assert f"Key     {key}\n" in said.out
    assert f"A new project key was made: {key}\n" in said.err
    assert "Keep a copy, apart from the data." in said.err
    assert not (tmp_path / "home" / "keys" / "vault.key").exists()


def test_the_same_folder_again(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Nothing is written twice, people are told so, and `--strict` is a status for scripts that need every instance."""
    cli("deid", mixed, tmp_path / "out")
    before = {path: path.stat().st_ino for path in visible(tmp_path / "out")}
    said = cli("deid", mixed, tmp_path / "out", "--strict")
    assert said.status == Status.QUARANTINED
    assert said.out.startswith("There was nothing to do")
    assert "A new project key" not in said.err
    assert {path: path.stat().st_ino for path in visible(tmp_path / "out")} == before


def test_a_file_into_a_folder(cli: Cli, tmp_path: Path) -> None:
    """A single file gets the same name and bytes as in a folder's run."""
    [source] = make_instances(tmp_path / "in", 1)
    assert cli("deid", source, tmp_path / "one").status == Status.DONE
    assert cli("deid", source.parent, tmp_path / "all").status == Status.DONE
    [one], [other] = visible(tmp_path / "one"), visible(tmp_path / "all")
    assert one.relative_to(tmp_path / "one") == other.relative_to(tmp_path / "all")
    assert one.read_bytes() == other.read_bytes()


def test_a_file_into_exactly_that_file(cli: Cli, tmp_path: Path) -> None:
    """The name is the user's; what has it is never written over, and no working files lie beside it."""
    first, second = make_instances(tmp_path / "in", 2)
    target = tmp_path / "my file [1].dcm"
    assert cli("deid", first, target).status == Status.DONE
    assert pydicom.dcmread(target).PatientIdentityRemoved == "YES"
    before = target.read_bytes()
    again = cli("deid", first, target, "--json")
    assert (again.status, again.json["skipped"]) == (Status.DONE, 1)
    other = cli("deid", second, target, "--json")
    assert (other.status, other.json["reasons"]) == (Status.QUARANTINED, {"conflict": 1})
    assert target.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"home", "in", target.name}


def test_a_single_file_that_cannot_be_done(cli: Cli, tmp_path: Path) -> None:
    """`farm deid a.dcm b.dcm && use b.dcm` must not go on without b.dcm."""
    (tmp_path / "a.dcm").write_bytes(CT.read_bytes()[:2000])
    said = cli("deid", tmp_path / "a.dcm", tmp_path / "b.dcm")
    assert said.status == Status.QUARANTINED
    assert "truncated" in said.out
    assert not (tmp_path / "b.dcm").exists()


@pytest.mark.parametrize("name", ["out.txt", "nowhere/out.dcm", "in.dcm"])
def test_a_name_that_cannot_be_written(cli: Cli, tmp_path: Path, name: str) -> None:
    """What is neither a folder nor a .dcm file is most likely a mistake; the source itself surely is."""
    (tmp_path / "in.dcm").write_bytes(CT.read_bytes())
    said = cli("deid", tmp_path / "in.dcm", tmp_path / name)
    assert said.status == Status.ORDER
    assert said.err.startswith("farm: bad-destination: ")


def test_a_destination_of_another_origin(cli: Cli, tmp_path: Path) -> None:
    """A folder with other content must not be mixed with de-identified output."""
    make_instances(tmp_path / "in", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    said = cli("deid", tmp_path / "in", tmp_path / "out")
    assert said.status == Status.ORDER
    assert said.err.splitlines()[-1].startswith("farm: bad-destination: ")


def test_a_destination_of_another_home(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two homes have two keys for one name of a project: one person would be two, side by side, and nobody be told."""
    make_instances(tmp_path / "in", 1)
    assert cli("deid", tmp_path / "in", tmp_path / "out").status == Status.DONE
    monkeypatch.setenv("FARM_HOME", str(tmp_path / "another"))
    said = cli("deid", tmp_path / "in", tmp_path / "out")
    assert said.status == Status.ORDER
    assert "bad-destination: The destination was begun with another key" in said.err
    assert len(visible(tmp_path / "out")) == 1


def test_no_space(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is one line and the status that says: later."""

    def full(*_: object) -> None:
        raise Unavailable(Reason.NO_SPACE)

    [source] = make_instances(tmp_path / "in", 1)
    monkeypatch.setattr(LocalStore, "stage", full)
    said = cli("deid", source, tmp_path / "out")
    assert said.status == Status.AWAY
    assert said.err.splitlines()[-1] == "farm: no-space: The destination has no space left."


def _poisoned(tmp_path: Path, name: str) -> Path:
    source = tmp_path / "in"
    make_instances(source, 30)
    (source / "00007.dcm").rename(source / name)
    return source


def test_an_instance_that_kills_its_process(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is quarantined at its third attempt, and costs no other instance anything."""
    monkeypatch.setattr(pool, "serve", poisoned.poisoned)
    said = cli("deid", _poisoned(tmp_path, "deadly.dcm"), tmp_path / "out", "-j", "2", "--json")
    assert said.status == Status.DONE
    assert (said.json["done"], said.json["reasons"]) == (29, {"worker-lost": 1})
    assert said.err.count("a process ended with status -9") == 3


def test_an_instance_that_takes_too_long(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hang ends at the time limit instead of holding the command for ever."""
    monkeypatch.setenv("FARM_TASK_SECONDS", "1")
    monkeypatch.setenv("FARM_MAX_ATTEMPTS", "2")
    monkeypatch.setattr(pool, "serve", poisoned.poisoned)
    said = cli("deid", _poisoned(tmp_path, "endless.dcm"), tmp_path / "out", "--json")
    assert (said.json["done"], said.json["reasons"]) == (29, {"time-limit": 1})


def test_a_disk_that_fills_up(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command stops, tells what is done and what waits, and can be given again."""
    source = _poisoned(tmp_path, "full.dcm")
    with monkeypatch.context() as patch:
        patch.setattr(pool, "serve", poisoned.poisoned)
        said = cli("deid", source, tmp_path / "out", "--json")
    assert (said.status, said.json["trouble"]) == (Status.AWAY, "no-space")
    assert said.json["waiting"] == said.json["total"] - said.json["done"] > 0
    again = cli("deid", source, tmp_path / "out", "--json")
    assert (again.status, again.json["done"] + again.json["skipped"]) == (Status.DONE, 30)


def test_a_fault_on_one_instance(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours costs the instance, not the batch; what is told is its place, never its text."""
    monkeypatch.setattr(pool, "serve", poisoned.poisoned)
    said = cli("deid", _poisoned(tmp_path, "faulty.dcm"), tmp_path / "out", "--json")
    assert (said.json["done"], said.json["reasons"]) == (29, {"internal-error": 1})
    assert "ValueError at poisoned:" in said.err
    assert "Doe" not in said.err


def test_processes_that_do_not_start(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the command would start new ones for ever."""
    monkeypatch.setattr(pool, "serve", poisoned.dead_at_start)
    make_instances(tmp_path / "in", 1)
    said = cli("deid", tmp_path / "in", tmp_path / "out", "--json")
    assert (said.status, said.json["trouble"], said.json["waiting"]) == (Status.AWAY, "server-failed", 1)


def _processes(program: subprocess.Popen[str]) -> list[psutil.Process]:
    """Return the pool's processes; beside them the standard library keeps one of its own."""
    children = psutil.Process(program.pid).children()
    found = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert len(found) == 2
    return found


def test_kill_nine_of_a_process(start: Starter, tmp_path: Path) -> None:
    """The program itself: a process that is killed is reported, and nothing is lost."""
    make_instances(tmp_path / "in", _COUNT)
    program = start("deid", tmp_path / "in", tmp_path / "out", "-j", "2", "--json")
    until(lambda: visible(tmp_path / "out"), "the first output")
    workers = _processes(program)
    workers[0].suspend()  # so that it surely has something in hand
    until(lambda: len(visible(tmp_path / "out")) > 200, "the other process to go on")
    workers[0].kill()
    said = ended(program)
    assert said.status == Status.DONE, said.err
    assert (said.json["done"], said.json["quarantined"], said.json["skipped"]) == (_COUNT, 0, 0)
    assert "a process ended with status -9" in said.err
    assert len(visible(tmp_path / "out")) == _COUNT


def test_ctrl_c_drains(start: Starter, cli: Cli, tmp_path: Path) -> None:
    """What is in hand is finished, the summary is true, and the same command does the rest."""
    make_instances(tmp_path / "in", _COUNT)
    program = start("deid", tmp_path / "in", tmp_path / "out", "-j", "2", "--json")
    until(lambda: visible(tmp_path / "out"), "the first output")
    program.send_signal(signal.SIGINT)
    said = ended(program)
    assert (said.status, said.json["interrupted"]) == (Status.INTERRUPTED, True)
    assert said.json["done"] == len(visible(tmp_path / "out")) < _COUNT
    assert "Finishing what is in hand" in said.err
    again = cli("deid", tmp_path / "in", tmp_path / "out", "--json")
    assert (again.json["done"] + again.json["skipped"], again.json["skipped"]) == (_COUNT, said.json["done"])


def test_a_second_ctrl_c_stops_at_once(start: Starter, tmp_path: Path) -> None:
    """Whoever cannot wait is heeded, even while something hangs; no process and no half output stays."""
    make_instances(tmp_path / "in", _COUNT)
    program = start("deid", tmp_path / "in", tmp_path / "out", "-j", "2", "--json")
    until(lambda: visible(tmp_path / "out"), "the first output")
    workers = _processes(program)
    for worker in workers:
        worker.suspend()
    program.send_signal(signal.SIGINT)
    assert program.stderr is not None
    until(lambda: "Finishing" in program.stderr.readline(), "the first to be heeded")
    program.send_signal(signal.SIGINT)
    assert ended(program).status == Status.INTERRUPTED
    _gone, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    assert all(pydicom.dcmread(path) for path in visible(tmp_path / "out"))


def test_nothing_identifying_is_said(cli: Cli, tmp_path: Path) -> None:
    """No value and no source path reaches the screen, a file name or the process list."""
    source = tmp_path / "in" / "Doe^Jane-19700101"
    make_instances(source, 3)
    (source / "Doe^Jane.txt").write_text("Doe^Jane")
    (source / "Doe^Jane.dcm").write_bytes(CT.read_bytes()[:2000])
    said = cli("deid", tmp_path / "in", tmp_path / "out")
    names = " ".join(os.fsdecode(path) for path in (tmp_path / "out").rglob("*"))
    for canary in ("Doe", "CompressedSamples", "1CT1"):
        assert canary not in said.out + said.err + names
