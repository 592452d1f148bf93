"""`farm up` and `farm down`: the embedded servers, a worker and Flower, kept on.

In the background the same command runs detached; that it is up is known from the one line that it prints.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from io import BytesIO
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.flower import Flower, is_installed
from farm.cli.interrupt import draining
from farm.cli.kept_up import LOCK, Facts, whoever_is_up
from farm.cli.keys import make_keys
from farm.cli.options import json_option, settings_with
from farm.cli.statuses import Status
from farm.embedded import Stack
from farm.embedded.server import locked, open_lock
from scheduler.campaign import desk_of
from scheduler.service import Service
from scheduler.worker_process import environment

if TYPE_CHECKING:
    from pathlib import Path

    from farm.settings import Settings

_LOG = "up.log"
_DOWN_SECONDS = 90.0


@click.command()
@click.option("--background", is_flag=True, help="Return once it is up; `farm down` stops it.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
@json_option
def up(*, background: bool, workers: int | None, as_json: bool) -> Status:
    """Keep the farm on: embedded Postgres and Valkey, a worker, and Flower on loopback.

    What is left of the runs of all projects is done meanwhile, and what `farm run` orders uses the same servers. It
    neither receives nor harvests: `farm scp` and `farm harvest` do, beside it. In the foreground, Ctrl-C stops it.
    """
    settings = settings_with(workers=workers)
    make_keys(settings, "project", "vault")
    found = whoever_is_up(settings.home)
    if found:
        _announce(found, "The farm is up already.", as_json=as_json)
        return Status.DONE
    if background:
        return _in_background(settings, as_json=as_json)
    return _in_foreground(settings, as_json=as_json)


@click.command()
@json_option
def down(*, as_json: bool) -> Status:
    """Stop what `farm up` keeps on; parcels in hand are finished first.

    The servers stay for as long as a `farm run` still uses them.
    """
    settings = settings_with()
    found = whoever_is_up(settings.home)
    if found:
        os.kill(found.pid, signal.SIGTERM)
        if not _is_gone(settings.home):
            screen.say("farm: it is still finishing what is in hand; look again later")
            if as_json:
                screen.emit({"was_up": True, "is_up": True})
            return Status.AWAY
    _stop_leftovers(settings)
    if as_json:
        screen.emit({"was_up": found is not None, "is_up": False})
    else:
        screen.tell("The farm is down." if found else "The farm was not up.")
    return Status.DONE


def _in_foreground(settings: Settings, *, as_json: bool) -> Status:
    screen.show_log(settings.log_level)
    with draining() as stop, ExitStack() as stack:
        lock = stack.enter_context(open_lock(settings.home / LOCK))
        if not locked(lock, fcntl.LOCK_EX):
            screen.say("farm: it is just coming up")
            if as_json:
                screen.emit({"coming_up": True})
            return Status.DONE
        os.ftruncate(lock, 0)
        desk, servers = stack.enter_context(desk_of(settings, stop))
        shown, found = settings.to_dict(), desk.settings
        service = Service(desk, servers)
        stack.callback(service.close)
        flower = Flower(found) if is_installed() else None
        if flower:
            stack.callback(flower.stop)
        facts = Facts(
            pid=os.getpid(),
            database_url=str(shown["database_url"]) or found.database_url,
            broker_url=str(shown["broker_url"]) or found.broker_url,
            flower_url=flower.url if flower else None,
        )
        os.pwrite(lock, json.dumps(asdict(facts)).encode(), 0)
        _announce(facts, "The farm is up; Ctrl-C stops it.", as_json=as_json)
        service.run(stop)
    return Status.DONE


def _in_background(settings: Settings, *, as_json: bool) -> Status:
    """Start the same command detached; return once it has said that it is up."""
    logs = settings.home / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = {"project_key_file": settings.project_key_path, "vault_key_file": settings.vault_key_path}
    absolute = replace(settings, **{name: str(path.absolute()) for name, path in keys.items()})  # type: ignore[arg-type]
    with (logs / _LOG).open("ab") as words:
        before = words.tell()
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "farm.cli", "up", "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            env=os.environ | environment(absolute),
            start_new_session=True,
            cwd=settings.home,  # it must not keep the user's folder busy
        )
    with child.stdout or BytesIO() as pipe:
        said = pipe.readline()
    facts = json.loads(said or "{}")
    if "pid" not in facts:
        status = child.wait()
        screen.say((logs / _LOG).read_bytes()[before:].decode("utf-8", "replace").rstrip())
        if as_json and facts:
            screen.emit(facts)
        return Status(status) if status in set(Status) else Status.FAULT
    child.returncode = 0  # it lives on: this process will not wait for it
    _announce(Facts(**facts), "The farm is up, in the background; `farm down` stops it.", as_json=as_json)
    return Status.DONE


def _announce(facts: Facts, title: str, *, as_json: bool) -> None:
    if as_json:
        screen.emit(asdict(facts))
        return
    screen.tell(title, "bold")
    rows = [("Database", facts.database_url), ("Broker", facts.broker_url)]
    rows.append(("Flower", facts.flower_url or "not installed (it comes with the extra `embedded`)"))
    rows.append(("Look at", "farm status"))
    screen.tell_rows(("", ""), rows)


def _is_gone(home: Path) -> bool:
    """Wait for the lock to be free; tell whether it became so."""
    deadline = time.monotonic() + _DOWN_SECONDS
    while time.monotonic() < deadline:
        with open_lock(home / LOCK) as lock:
            if locked(lock, fcntl.LOCK_SH):
                return True
        time.sleep(0.05)
    return False


def _stop_leftovers(settings: Settings) -> None:
    """Stop servers that a killed command has left on, unless somebody uses them: adopt them, and leave."""
    if Stack.running(settings):
        with Stack(settings):
            pass
