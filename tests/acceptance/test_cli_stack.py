"""`farm up` and `farm down`: the farm kept on, with servers of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psutil
import pytest
from fix_celery import until
from fix_cli import ended
from fix_farm import make_instances

from farm.cli.statuses import Status
from farm.embedded import Stack
from farm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fix_cli import Cli, Starter

pytestmark = pytest.mark.servers


@pytest.fixture
def kept(cli: Cli, made_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """Return the command line with a home whose database is made; nothing is left on at the end.

    The folder in which it is called has names in it that Python must not take for the program's.
    """
    monkeypatch.setenv("FARM_HOME", str(made_home))
    monkeypatch.setenv("FARM_FLOWER_PORT", "0")
    (tmp_path / "farm").mkdir()
    monkeypatch.chdir(tmp_path)
    yield cli
    cli("down")


def _flower(url: str, path: str, query: dict[str, str] | None = None) -> bytes:
    assert url.startswith("http://127.0.0.1:")
    data = urlencode(query).encode() if query else None
    with urllib.request.urlopen(f"{url}{path}", data, timeout=30) as answer:  # noqa: S310 - the line above
        return bytes(answer.read())


def _tasks(url: str) -> list[dict[str, Any]]:
    query = {"draw": "1", "start": "0", "length": "10", "search[value]": ""}
    query |= {"order[0][column]": "0", "order[0][dir]": "asc", "columns[0][data]": "name"}
    return list(json.loads(_flower(url, "/tasks/datatable", query))["data"])


def test_in_the_background(start: Starter, kept: Cli, made_home: Path, tmp_path: Path) -> None:
    """It lives on, shows itself on loopback without a value, does what is left of a run, and goes when told to."""
    facts = ended(start("up", "--background", "--json"), 60).json
    assert psutil.pid_exists(facts["pid"])
    again = kept("up", "--background")
    assert again.out.startswith("The farm is up already.\n")
    assert facts["flower_url"] in again.out
    until(lambda: _answers(facts["flower_url"]), "Flower")

    (tmp_path / "Doe^Jane").mkdir()
    make_instances(tmp_path / "Doe^Jane", 3)
    (tmp_path / "Doe^Jane" / "notes").write_text("Doe^Jane")
    assert kept("run", "Doe^Jane", "out", "--json").json["done"] == 3
    assert kept("quarantine", "retry", "--json").json == {"run": 1, "retried": 1}
    until(lambda: kept("status", "1", "--json").json["state"] == "complete", "the run's end")
    # Of whatever project: the workers are the same.
    assert kept("run", "Doe^Jane", "out2", "--project", "trial2", "--json").json["quarantined"] == 1
    assert kept("quarantine", "retry", "--json").json == {"run": 2, "retried": 1}
    until(lambda: kept("status", "2", "--json").json["state"] == "complete", "the second run's end")
    tasks = until(lambda: _tasks(facts["flower_url"]), "a task in Flower")
    assert tasks[0]["args"].endswith("instances")
    pages = json.dumps(tasks).encode() + _flower(facts["flower_url"], "/workers")
    logs = b"".join(path.read_bytes() for path in (made_home / "logs").iterdir())
    assert not [canary for canary in (b"Doe", b"CompressedSamples", b"1CT1") if canary in pages + logs]

    assert kept("down", "--json").json == {"was_up": True, "is_up": False}
    until(lambda: not _lives(facts["pid"]), "its end")
    assert Stack.running(Settings(home=made_home)) is None
    assert kept("down").out == "The farm was not up.\n"


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(url: str) -> bool:
    try:
        return _flower(url, "/healthcheck") == b"OK"
    except OSError:
        return False


def test_in_the_foreground(start: Starter, kept: Cli) -> None:  # noqa: ARG001 - the environment
    """Ctrl-C ends it, with its worker, Flower and servers."""
    program = start("up")
    assert program.stdout is not None
    assert program.stdout.readline() == "The farm is up; Ctrl-C stops it.\n"
    program.send_signal(signal.SIGINT)
    assert ended(program).status == Status.DONE


def test_a_killed_one_leaves_nothing_for_good(start: Starter, kept: Cli, made_home: Path) -> None:
    """After kill -9 its worker and Flower end by themselves, and `farm down` stops the servers."""
    program = start("up", "--json")
    assert program.stdout is not None
    facts = json.loads(program.stdout.readline())
    family = psutil.Process(program.pid).children(recursive=True)
    os.kill(facts["pid"], signal.SIGKILL)
    program.communicate(timeout=60)
    _gone, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    assert Stack.running(Settings(home=made_home)) is not None
    assert kept("down").out == "The farm was not up.\n"
    assert Stack.running(Settings(home=made_home)) is None


def test_a_port_that_is_taken(kept: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line must say which setting helps, in the background as well."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("FARM_FLOWER_PORT", str(other.getsockname()[1]))
        said = kept("up", "--background")
    assert said.status == Status.ORDER
    assert "FARM_FLOWER_PORT" in said.err
