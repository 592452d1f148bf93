"""What all commands share: help, exit statuses, and errors that say one line and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest
from fix_cli import PROGRAM
from fix_farm import make_instances

from farm import __version__
from farm.cli import main, run
from farm.cli.statuses import MEANING, Status
from farm.sources import FolderSource

if TYPE_CHECKING:
    from pathlib import Path

    from fix_cli import Cli


def test_version(cli: Cli) -> None:
    """A report of a fault has to name the version."""
    assert cli("--version").out == f"farm {__version__}\n"


def test_help_tells_commands_and_statuses(cli: Cli) -> None:
    """`farm --help` is where people look first: a command or a status that is missing there does not exist."""
    said = cli("--help")
    assert said.status == Status.DONE
    assert {found.name for found in entry_points(group="farm.commands")} == main.SUMMARIES.keys()
    assert all(f"\n  {name} " in said.out for name in main.SUMMARIES)
    assert all(f"\n  {status.value} " in said.out for status in Status)
    assert MEANING.keys() == set(Status)


def test_every_command_has_help(cli: Cli) -> None:
    """A command that cannot be loaded would show only when it is needed."""
    for name in main.SUMMARIES:
        said = cli(name, "--help")
        assert said.status == Status.DONE
        assert said.out.startswith(f"Usage: farm {name}")


def test_help_is_quick() -> None:
    """Asking for help must not load the database driver, Celery or pydicom."""
    code = (
        "import sys; from farm.cli.main import status; status(['--help']);"
        " print(*sorted({'psycopg', 'celery', 'pydicom', 'rich', 'pyarrow'} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "\n"


@pytest.mark.parametrize("line", ["", "rum", "run", "run a b --nosuch", "deid a b -j 0", "manifest 1", "status one"])
def test_a_wrong_command_line_ends_with_2(cli: Cli, line: str) -> None:
    """A script must be able to tell its own mistake from the farm's troubles."""
    said = cli(*line.split())
    assert said.status == Status.USAGE
    assert "Usage: farm" in said.err


@pytest.mark.parametrize("command", ["run", "deid"])
@pytest.mark.parametrize(
    ("source", "destination", "code"),
    [
        ("nothing", "out", "bad-source"),
        ("in", "in", "bad-destination"),
        ("in", "in/out", "bad-destination"),
        ("in/below", "in", "bad-destination"),
        ("in", "link/out", "bad-destination"),
    ],
)
def test_an_order_that_cannot_be_carried_out(  # noqa: PLR0913, PLR0917
    cli: Cli, tmp_path: Path, command: str, source: str, destination: str, code: str
) -> None:
    """Output that lies in the input would be found as input: refused in one line, before a key or a server is made."""
    make_instances(tmp_path / "in" / "below", 1)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    said = cli(command, tmp_path / source, tmp_path / destination)
    assert said.status == Status.ORDER
    assert said.err.startswith(f"farm: {code}: ")
    assert said.err.count("\n") == 1
    assert str(tmp_path) not in said.err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("recipe", "told"),
    [("bsic", "did you mean basic?"), ("gone.json", "cannot be read"), ("bad.json", "line=1"), ("odd.json", "polcy")],
)
def test_a_recipe_that_cannot_be_used(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, told: str
) -> None:
    """A misspelt recipe must stop the command and say what is wrong with it, not fall back on something else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "odd.json").write_text('{"polcy": {"profile": "basic"}}')
    make_instances(tmp_path / "in", 1)
    said = cli("deid", "in", "out", "--recipe", recipe)
    assert said.status == Status.ORDER
    assert said.err.startswith("farm: bad-recipe: ")
    assert told in said.err
    assert not (tmp_path / "out").exists()


def test_a_setting_that_cannot_be_used(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line must name the variable, or nobody finds it."""
    monkeypatch.setenv("FARM_LEASE_SECONDS", "soon")
    said = cli("status")
    assert said.status == Status.ORDER
    assert "FARM_LEASE_SECONDS" in said.err


@pytest.mark.parametrize(
    ("line", "reason", "status"),
    [("rum", "bad-option", 2), ("status", "bad-option", 4), ("recipe show bsic", "bad-recipe", 4)],
)
def test_what_ends_a_command_is_json_too(cli: Cli, line: str, reason: str, status: int) -> None:
    """A program that asked for JSON would get nothing, and have to read a line that is meant for people."""
    said = cli(*line.split(), "--json")
    told = said.json["error"]
    assert (said.status, told["reason"], told["status"]) == (status, reason, status)
    assert told["message"] in said.err


@pytest.mark.parametrize("command", ["status", "quarantine list", "quarantine retry"])
def test_looking_before_the_first_run(cli: Cli, tmp_path: Path, command: str) -> None:
    """A look must not make a database where there is none."""
    said = cli(*command.split())
    assert said.status == Status.ORDER
    assert "no run yet" in said.err
    assert not (tmp_path / "home").exists()


def test_a_fault_tells_its_place_alone(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of an unexpected exception may carry a value or a path: none of it may reach the screen."""

    def fail(_: FolderSource) -> None:
        raise ValueError("Doe^Jane")

    monkeypatch.setattr(FolderSource, "check", fail)
    said = cli("run", tmp_path, tmp_path / "out")
    assert said.status == Status.FAULT
    assert said.err.startswith("farm: internal-error: ValueError at test_cli:")
    told = cli("run", tmp_path, tmp_path / "out", "--json")
    assert (told.status, told.json["error"]["reason"]) == (Status.FAULT, "internal-error")
    assert "Doe" not in said.err + told.err + told.out


def test_a_broken_pipe() -> None:
    """`farm ... | head` must not end in a traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*PROGRAM, "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (Status.FAULT, "")


def test_the_demos_source_is_there() -> None:
    """`farm demo` needs the files that pydicom ships; without them a newcomer's first command would fail."""
    assert len(list(run.demo_source().rglob("*.dcm"))) > 50
