"""Looking for devices, in a process of its own, on machines that have none."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import click.testing
import pytest

from farm.cli import codecs as command
from farm.codecs.nvjpeg2000 import CLAIMS
from scheduler import devices
from scheduler.devices import Device, Devices, look

if TYPE_CHECKING:
    from pathlib import Path

ONE = Devices(found=(Device(index=0, name="NVIDIA H100", memory_bytes=80 << 30),))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a program that is asked instead of ours, as if the libraries were installed."""
    monkeypatch.setattr(devices, "find_spec", lambda _: True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "asked.py"


def test_the_program_always_answers() -> None:
    """Lost: a machine without a device could not be told from one whose driver died."""
    command = [sys.executable, "-P", "-m", "workers.devices"]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.splitlines()[-1]
    told = json.loads(answer)
    assert bool(told["devices"]) != bool(told["why_not"])


def test_devices_are_found_behind_what_libraries_print(program: Path) -> None:
    """Lost: a library's greeting would hide every device."""
    told = {"devices": [{"index": 0, "name": "NVIDIA H100", "memory_bytes": 80 << 30}], "why_not": ""}
    program.write_text(f"print('hello')\nprint({json.dumps(told)!r})")
    assert look("asked") == ONE


@pytest.mark.parametrize(
    "text", ["import os; os.abort()", "print('{}')", "print('[1]')", "", "print('no')", "raise SystemExit(1)"]
)
def test_a_driver_that_ends_its_process_ends_no_other(program: Path, text: str) -> None:
    """Lost: a broken driver would take the scheduler with it."""
    program.write_text(text)
    found = look("asked")
    assert found.found == ()
    assert found.why_not


def test_a_driver_that_hangs_is_not_waited_for(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a run would not begin because of a device that it does not need."""
    monkeypatch.setattr(devices, "_SECONDS", 0.5)
    program.write_text("import threading; threading.Event().wait()")
    assert look("asked") == Devices(why_not="the driver does not answer")


def test_without_the_libraries_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: every start on every machine without a device would wait for one more process."""
    monkeypatch.setattr(devices, "find_spec", lambda _: None)
    monkeypatch.setattr(devices.subprocess, "run", None)
    assert "gpu" in look().why_not


@pytest.mark.parametrize(("there", "library"), [(ONE, "nvJPEG2000"), (Devices(why_not="none in sight"), "no")])
def test_the_command_shows_what_devices_do(there: Devices, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: whoever bought a device could not see whether the farm uses it, or why not."""
    monkeypatch.setattr(command, "look", lambda: there)
    said = click.testing.CliRunner().invoke(command.codecs)
    rows = [line.split() for line in said.stdout.splitlines() if "gpu" in line.split()]
    assert [row[0] for row in rows] == list(CLAIMS)
    assert all(row.count(library) == 2 for row in rows)
    assert (there.why_not or "NVIDIA H100, 81920 MiB") in said.output
    [line] = click.testing.CliRunner().invoke(command.codecs, ["--json"]).stdout.splitlines()
    told = json.loads(line)["gpu"]
    assert [row["uid"] for row in told["codecs"]] == list(CLAIMS)
    assert len(told["devices"]) == len(there.found)
