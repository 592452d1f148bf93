"""The command line: called in this process, where that shows the same, or as the program that people start."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from farm.cli.main import status
from farm.embedded import Stack
from farm.settings import Settings
from scheduler.worker_process import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = (sys.executable, "-P", "-m", "farm.cli")


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Return the one object that `--json` prints."""
        return dict(json.loads(self.out))


class Cli:
    """Calls commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Said:
        """Call one command."""
        self._capsys.readouterr()
        ended = status([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(status=ended, out=said.out, err=said.err)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Return the command line with a home of its own and no servers."""
    for name in [name for name in os.environ if name.startswith("FARM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FARM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FARM_WORKERS", "1")
    loggers = [logging.getLogger(name) for name in ("farm", "scheduler", "workers")]
    before = [(logger, logger.level, logger.handlers, logger.propagate) for logger in loggers]
    root = list(logging.getLogger().handlers)
    yield Cli(capsys)
    logging.getLogger().handlers = root
    for logger, level, handlers, propagate in before:
        logger.setLevel(level)
        logger.handlers, logger.propagate = handlers, propagate


@pytest.fixture
def farm(cli: Cli, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return the command line on the tests' servers."""
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return cli


@pytest.fixture
def servers(home: Path) -> Stack:
    """Return servers that this test may kill."""
    return Stack(Settings(home=home)).start()


@pytest.fixture
def apart(servers: Stack, cli: Cli, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:  # noqa: ARG001 - `cli` cleans the environment before
    """Return settings for these servers, which are in the environment too."""
    settings = replace(settings, database_url=servers.database_url, broker_url=servers.broker_url)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    return settings


class Starter:
    """Starts the program with the environment of the test."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start one command."""
        command = [*PROGRAM, *map(str, arguments)]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._started.append(program)
        return program

    def close(self) -> None:
        """End what a failed test has left."""
        for program in self._started:
            if program.poll() is None:
                for child in psutil.Process(program.pid).children(recursive=True):
                    child.kill()
            program.kill()
            program.communicate()


@pytest.fixture
def start(cli: Cli) -> Iterator[Starter]:  # noqa: ARG001 - its environment
    """Return what starts the program."""
    starter = Starter()
    yield starter
    starter.close()


def ended(program: subprocess.Popen[str], seconds: float = 120) -> Said:
    """Wait for the program's end; it must leave no process behind."""
    family = psutil.Process(program.pid).children(recursive=True) if program.poll() is None else []
    out, err = program.communicate(timeout=seconds)
    _gone, alive = psutil.wait_procs(family, timeout=30)
    assert not alive
    return Said(status=program.returncode, out=out, err=err)
