"""kill -9 of a receiving process, or of all of `farm scp`, at random in the middle of transfers.

A sender sends each instance until it is told of success, and never again after that. So what was acknowledged and lost
stays lost, and shows; what was sent twice must come out once.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from fix_celery import until
from fix_cli import ended
from fix_farm import visible
from fix_peers import free_port
from fix_scp import Peer, instance

from farm.cli.statuses import Status
from farm.database import connect
from farm.ledger import Ledger
from farm.net.storing import SUCCESS

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from fix_cli import Cli, Starter

    from farm.ledger import Progress
    from scheduler.campaign import Desk

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1200)]

TRANSFERS = int(os.environ.get("SCP_KILLS", "40"))
_EACH = 4 if "SCP_KILLS" in os.environ else 10
"""Every so many transfers something is killed in the middle of one."""
_WHOLE = 4
"""Every so many of those kills it is the whole program."""
_LONGEST = 0.02
"""Seconds within which a kill comes: a transfer takes some milliseconds."""


class Killed:
    """The program on one port, killed and started again."""

    def __init__(self, start: Starter, desk: Desk, out: Path) -> None:
        self._start, self._desk, self._out = start, desk, out
        self.port = free_port()
        self.kills: Counter[str] = Counter()
        self.acknowledged = 0
        self.program: subprocess.Popen[str] | None = None
        self._random = random.Random(20_261_123)

    def ensure(self) -> subprocess.Popen[str]:
        """Start the program where it does not run."""
        if self.program is None or self.program.poll() is not None:
            options = ("--recipe", "basic", "--host", "127.0.0.1", "--processes", "2", "--json")
            self.program = self._start("scp", "--port", str(self.port), "--out", self._out, *options)
        return self.program

    def kill(self) -> None:
        """Kill a receiving process, or now and then everything."""
        is_whole = self.kills.total() % _WHOLE == _WHOLE - 1
        program = psutil.Process(self.ensure().pid)
        family = program.children(recursive=True)
        receivers = [process for process in family if _receives(process)]
        for process in [program, *family] if is_whole else receivers[: self._random.randint(1, 2)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.kills["whole" if is_whole else "receiver"] += 1
        if is_whole:
            psutil.wait_procs([program, *family], timeout=30)

    def transfer(self, number: int, *, kills: bool) -> None:
        """Send an instance until it is acknowledged, and kill in the middle of the first attempt."""
        until(lambda: asyncio.run(self._attempt(-1)), "the receiver")
        if kills and asyncio.run(self._killed(number)) == SUCCESS:
            self.acknowledged += 1
            return
        until(lambda: self.ensure() and asyncio.run(self._attempt(number)) == SUCCESS, "success")

    async def _killed(self, number: int) -> int | None:
        sending = asyncio.ensure_future(self._attempt(number))
        await asyncio.sleep(self._random.random() * _LONGEST)
        await asyncio.get_running_loop().run_in_executor(None, self.kill)
        return await sending

    async def _attempt(self, number: int) -> int | bool | None:
        """Send an instance, or only a C-ECHO; return the status, None where there was none."""
        self.ensure()
        try:
            async with asyncio.timeout(30), await Peer.associated(self.port) as peer:
                if number < 0:
                    return await peer.echo() == SUCCESS
                return await peer.store(*instance(number))
        except (OSError, AssertionError):
            return None

    def assert_durable(self, number: int) -> None:
        """Require that what was acknowledged has a row, and every row its file."""
        home = self._desk.settings.home
        with connect(self._desk.settings.database_url) as connection:
            ledger = Ledger(connection)
            key = self._desk.sealer.instance(instance(number)[0].encode())
            assert ledger.holds(1, [key]) == {key}
            names = set(ledger.spooled(1))
        assert names <= {path.name for path in (home / "spool").glob("*/*")}


def _receives(process: psutil.Process) -> bool:
    try:
        return "scheduler.ingest.port" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def test_what_was_acknowledged_is_never_lost_and_comes_out_once(
    start: Starter, farm: Cli, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A modality deletes what it was told is stored: nobody would ever see it again."""
    killed = Killed(start, desk, tmp_path / "out")
    for number in range(TRANSFERS):
        killed.transfer(number, kills=number % _EACH == _EACH - 1)
        killed.assert_durable(number)
    with connect(desk.settings.database_url) as connection:
        ledger = Ledger(connection)

        def ended_all() -> Progress | None:
            killed.ensure()
            progress = ledger.progress(1)
            return progress if progress.ended == progress.total else None

        progress = until(ended_all, "the outputs")
        rows = list(ledger.manifest(1))
    killed.ensure().send_signal(2)
    said = ended(killed.ensure())
    with capsys.disabled():
        print(dict(killed.kills), killed.acknowledged, "acknowledged in spite of a kill", progress)
    assert said.status == Status.DONE, said.err
    assert (progress.done, progress.quarantined) == (TRANSFERS, 0)
    released = {str(row["path"]) for row in rows if row["state"] == "done"}
    assert len(released) == TRANSFERS
    assert {str(path.relative_to(tmp_path / "out")) for path in visible(tmp_path / "out")} == released
    assert killed.kills.total() == TRANSFERS // _EACH
    assert farm("status", "1", "--json").status == Status.DONE
