"""`farm run` and what looks at its runs, on the tests' servers."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pyarrow.parquet as pq
import pytest
from fix_celery import until
from fix_cli import ended
from fix_farm import CT, changed, make_instances, visible

from farm.cli.statuses import Status
from farm.registry import load_or_create
from farm.stores.manifest import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from fix_cli import Cli, Starter

pytestmark = pytest.mark.servers

_COUNT = 160


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a source of five instances, one in a second version, a broken one, a file that is none, and a link."""
    source = tmp_path / "Doe^Jane"
    instances = make_instances(source / "a", 5)
    (source / "b").mkdir()
    (source / "b" / "other").write_bytes(changed(instances[1].read_bytes()))
    (source / "b" / "Doe^Jane").write_bytes(CT.read_bytes()[:2000])
    (source / "notes.txt").write_text("Doe^Jane")
    (source / "link").symlink_to(CT)
    return source


def test_a_run_and_all_that_looks_at_it(farm: Cli, mixed: Path, tmp_path: Path) -> None:
    """The way of a user: run, run again, look, write the manifest, try again; and nothing identifying is ever said."""
    out = tmp_path / "out"
    first = farm("run", mixed, out, "--json", "--strict")
    assert first.status == Status.QUARANTINED, first.err
    assert first.json | {"output_bytes": 0} == {
        "run": 1,
        "state": "complete",
        "new": True,
        "found": 8,
        "changed": 0,
        "nothing_to_do": False,
        "trouble": None,
        "total": 8,
        "done": 5,
        "quarantined": 3,
        "skipped": 0,
        "waiting": 0,
        "pixels_at_risk": 0,
        "output_bytes": 0,
        "reasons": {"conflict": 1, "not-dicom": 1, "truncated": 1},
        "left_out": {"symlinks": 1},
    }
    assert len(visible(out)) == 5
    assert first.err.count("A new ") == first.err.count("Keep a copy, apart from the data.") == 2

    again = farm("run", mixed, out)
    assert again.status == Status.DONE
    assert again.out.startswith("Run 1 was complete already: there was nothing to do.\n")
    assert "A new " not in again.err

    said = [first, again, *_looks(farm), *_manifests(farm, tmp_path)]

    retried = farm("quarantine", "retry", "--reason", "truncated")
    assert retried.out == "1 instances of run 1 are back at work: give its `farm run` again, or `farm up`.\n"
    nothing = farm("quarantine", "retry", "--reason", "truncated")
    assert nothing.out == "Nothing of that reason is quarantined in run 1.\n"
    assert farm("status", "1", "--json").json["waiting"] == 1
    end = farm("run", mixed, out)
    assert end.status == Status.DONE
    assert end.out.startswith("Run 1 is complete: every instance is accounted for.\n")
    words = "".join(one.out + one.err for one in [*said, retried, end])
    assert not [canary for canary in ("Doe", "CompressedSamples", "1CT1", "notes") if canary in words]


def test_runs_are_told_apart(farm: Cli, tmp_path: Path) -> None:
    """Lost otherwise: of ten runs in a table nobody knows which is whose."""
    make_instances(tmp_path / "in", 1)
    assert farm("run", tmp_path / "in", tmp_path / "out", "--project", "trial2", "--recipe", "basic").status == 0
    told = {"run": 1, "project": "trial2", "kind": "folder", "recipe": "basic"}
    [listed] = farm("status", "--json").json["runs"]
    assert listed | told == listed
    one = farm("status", "1", "--json").json
    assert one | told == one
    assert "project trial2, recipe basic, kind folder" in farm("status", "1").out
    assert farm("status").out.splitlines()[1].split()[:4] == ["1", "trial2", "folder", "basic"]


@pytest.mark.parametrize("command", ["run", "deid", "transcode"])
def test_a_source_without_files_is_told(farm: Cli, tmp_path: Path, command: str) -> None:
    """Lost otherwise: a share that is not mounted is an empty folder, of which every instance is accounted for."""
    source, words = tmp_path / "in", (["--to", "native"] if command == "transcode" else [])
    [path] = make_instances(source, 1)
    assert "no files" not in farm(command, source, tmp_path / "out", *words).err
    path.unlink()
    said = farm(command, source, tmp_path / "out", *words)
    assert said.status == Status.DONE
    known = ", and 1 instances are known of it" if command == "run" else ""
    assert f"farm: the source holds no files{known}\n" in said.err


def test_a_source_that_changed_is_told(farm: Cli, tmp_path: Path) -> None:
    """An instance in the place of one that was done would go unseen: there would be nothing to do, it is said."""
    first, second = make_instances(tmp_path / "in", 2)
    assert farm("run", tmp_path / "in", tmp_path / "out").status == Status.DONE
    [new] = make_instances(tmp_path / "new", 1, first=2)
    second.write_bytes(new.read_bytes())
    first.touch()
    again = farm("run", tmp_path / "in", tmp_path / "out", "--json")
    assert again.status == Status.DONE
    told = {name: again.json[name] for name in ("found", "changed", "nothing_to_do", "total", "done", "skipped")}
    assert told == {"found": 2, "changed": 2, "nothing_to_do": False, "total": 4, "done": 3, "skipped": 1}
    first.touch()
    words = farm("run", tmp_path / "in", tmp_path / "out").out
    assert "  1 came again: their source has changed since the run was done with it.\n" in words
    assert farm("run", tmp_path / "in", tmp_path / "out", "--json").json["nothing_to_do"]


@pytest.mark.parametrize("kind", ["project", "vault"])
def test_a_wrong_key_harms_nothing(farm: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """What was found with a wrong key would be sealed for nobody, and the run never come to its end."""
    source, out, other = tmp_path / "in", tmp_path / "out", tmp_path / "keys" / "other.key"
    make_instances(source, 1)
    assert farm("run", source, out).status == Status.DONE
    make_instances(source, 1, first=1)
    name = f"FARM_{kind.upper()}_KEY_FILE"
    before = os.environ.get(name, "")
    monkeypatch.setenv(name, str(other))
    missing = farm("run", source, out)
    assert (missing.status, missing.out) == (Status.ORDER, "")
    assert missing.err.startswith(f"farm: bad-key: there is no {kind} key here, and the project was begun with one")
    assert not other.exists()
    load_or_create(other, kind)
    wrong = farm("run", source, out)
    assert (wrong.status, wrong.out) == (Status.ORDER, "")
    assert wrong.err.startswith(f"farm: key-mismatch: The {kind} key ")
    monkeypatch.setenv(name, before)
    right = farm("run", source, out, "--json")
    assert (right.status, right.json["done"], right.json["waiting"]) == (Status.DONE, 2, 0)


def _looks(farm: Cli) -> list:  # type: ignore[type-arg]
    every, one = farm("status", "--json"), farm("status", "1", "--json")
    assert every.json["runs"] == [one.json]
    assert (one.json["state"], one.json["done"], one.json["quarantined"]) == ("complete", 5, 3)
    words = farm("status", "1")
    assert "Run 1 is complete." in words.out
    assert "    truncated  1  The data set ends inside an element.\n" in words.out
    assert "farm quarantine list 1" in words.out
    every_run = farm("status")
    assert every_run.out.splitlines()[1].split()[:5] == ["1", "default", "folder", "research", "complete"]
    listed = farm("quarantine", "list", "--json")
    assert sorted(row["reason"] for row in listed.json["quarantined"]) == ["conflict", "not-dicom", "truncated"]
    some = farm("quarantine", "list", "1", "--reason", "conflict")
    table, meanings, steps = some.out.split("\n\n")
    assert [line.split()[1] for line in table.splitlines()] == ["reason", "conflict"]
    assert meanings.startswith("conflict  1  Another instance")
    assert "farm quarantine list 1 --reveal --why TEXT --out FILE" in steps
    none = farm("quarantine", "list", "--reason", "no-uid")
    assert none.out == "Nothing is quarantined in run 1.\n"
    unknown = farm("status", "2")
    assert (unknown.status, unknown.err) == (Status.ORDER, "farm: bad-option: there is no such run (run=2)\n")
    return [every, one, words, every_run, listed, some, none, unknown]


def _manifests(farm: Cli, folder: Path) -> list:  # type: ignore[type-arg]
    lines, parquet = folder / "manifest.jsonl", folder / "manifest"
    said = [
        farm("manifest", "1", "--out", lines),
        farm("manifest", "1", "--out", parquet, "--format", "parquet", "--json"),
    ]
    assert said[0].out == f"8 rows in {lines}\n"
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [tuple(row) for row in rows] == [tuple(column.name for column in COLUMNS)] * 8
    assert pq.read_table(parquet).column("output_digest").to_pylist() == [row["output_digest"] for row in rows]
    assert "Doe" not in lines.read_text()
    printed = farm("manifest", "1", "--out", "-")
    assert (printed.status, printed.out) == (Status.DONE, lines.read_text())
    assert farm("run", folder, "s3://bucket/lake").status == Status.USAGE  # not a folder of that name
    assert farm("manifest", "1", "--out", folder / "manifest.csv").status == Status.USAGE
    assert farm("manifest", "1", "--out", folder / "gone" / "manifest.jsonl").status == Status.USAGE
    return said


def test_run_and_deid_give_the_same(farm: Cli, tmp_path: Path) -> None:
    """One project, one key: whichever command did it, an instance has the same name and bytes."""
    make_instances(tmp_path / "in", 5)
    assert farm("run", tmp_path / "in", tmp_path / "one").status == Status.DONE
    assert farm("deid", tmp_path / "in", tmp_path / "two").status == Status.DONE
    one, two = ({path.relative_to(root): path.read_bytes() for path in visible(root)} for root in _pair(tmp_path))
    assert one == two
    assert len(one) == 5


def _pair(folder: Path) -> tuple[Path, Path]:
    return folder / "one", folder / "two"


@pytest.fixture
def many(farm: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - the environment
    """Return a source that takes long enough to interrupt."""
    monkeypatch.setenv("FARM_PARCEL_INSTANCES", "4")
    make_instances(tmp_path / "in", _COUNT)
    return tmp_path / "in"


def test_ctrl_c_drains(start: Starter, farm: Cli, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in hand is finished, the status says interrupted, and the same command goes on."""
    program = start("run", many, tmp_path / "out", "--json")
    until(lambda: visible(tmp_path / "out"), "the first output")
    program.send_signal(signal.SIGINT)
    said = ended(program)
    assert said.status == Status.INTERRUPTED, said.err
    assert 0 < said.json["done"] == len(visible(tmp_path / "out")) < _COUNT
    monkeypatch.setenv("FARM_PARCEL_INSTANCES", "64")
    again = farm("run", many, tmp_path / "out", "--json")
    assert (again.status, again.json["done"], again.json["nothing_to_do"]) == (Status.DONE, _COUNT, False)


def test_a_second_ctrl_c_stops_at_once(
    start: Starter, farm: Cli, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever cannot wait is heeded; the worker ends by itself and the run can be gone on with."""
    program = start("run", many, tmp_path / "out")
    until(lambda: visible(tmp_path / "out"), "the first output")
    family = psutil.Process(program.pid).children(recursive=True)
    program.send_signal(signal.SIGINT)
    assert program.stderr is not None
    until(lambda: "Finishing" in program.stderr.readline(), "the first to be heeded")
    program.send_signal(signal.SIGINT)
    said = ended(program)
    assert said.status == Status.INTERRUPTED
    assert "Stopped at once." in said.err
    _gone, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    monkeypatch.setenv("FARM_PARCEL_INSTANCES", "64")
    again = farm("run", many, tmp_path / "out", "--json")
    assert (again.status, again.json["done"]) == (Status.DONE, _COUNT)
