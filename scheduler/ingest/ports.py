"""The receiving processes of one listener, and what has to be done beside them: an `Intake` for a campaign.

The processes are started, not forked: the campaign has threads. They inherit the listening socket, so the kernel gives
each connection to one of them, and none is lost when one dies; its peers send again what was not acknowledged.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.errors import BadRecipe, Reason, Unavailable
from farm.net.server import listen
from farm.net.slots import Slots
from farm.recipe.recipe import Recipe
from scheduler.ingest.keeper import Keeper, clear
from scheduler.ingest.order import PortOrder, ProcessOrder
from scheduler.ingest.spool import Spool
from scheduler.intake import Attendance
from scheduler.worker_process import environment

if TYPE_CHECKING:
    from farm.ledger import Progress, Run
    from farm.queue import Tables
    from scheduler.campaign import Desk

log = logging.getLogger(__name__)

_KEEP_EVERY = 1.0
_DRAIN = 30.0
"""Seconds that the processes may take to finish what they are in the middle of."""
_QUICK, _QUICK_DEATHS = 5.0, 3
"""A process that lives shorter than this, so often in a row, dies of its surroundings."""


def listener(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `BadRecipe` where the address cannot be had."""
    try:
        return listen(host, port)
    except (OSError, OverflowError):
        raise BadRecipe(Reason.BAD_OPTION, "The port cannot be listened on: it is taken, or not allowed") from None


class _Process:
    """One receiving process."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        self.started = time.monotonic()


class Ports:
    """Receives for one run, whose source is the spool."""

    def __init__(self, desk: Desk, run: Run, spool: Spool, order: PortOrder, listening: socket.socket) -> None:
        self._desk, self._run, self._spool, self._order = desk, run, spool, order
        self._listener, self._count = listening, order.processes
        count = order.processes
        self._slots_fd = os.memfd_create("farm-slots")
        os.ftruncate(self._slots_fd, Slots.size(processes=count, each=order.max_connections))
        self._slots = Slots(self._slots_fd, processes=count, each=order.max_connections)
        self._processes: dict[int, _Process] = {}
        self._quick_deaths = 0
        self._session = desk.session()
        self._attendance = Attendance(run.id)
        self._keeper = Keeper(spool, run.id, desk.settings)
        self._kept = 0.0
        self._stopped = False

    @property
    def new(self) -> int:
        """Return nothing: the ledger knows what has arrived."""
        return 0

    @property
    def counters(self) -> dict[str, int]:
        """Return how many associations there are."""
        return {"associations": self._slots.taken()}

    def start(self) -> None:
        """Clear what a crash left in the spool, report what is owed, and let peers come."""
        self._session.call(self._attendance.keep)
        self._session.call(lambda tables: tables.reports.hasten(self._run.id))
        removed = self._session.call(lambda tables: clear(self._spool, self._run.id, tables.ledger))
        if removed:
            log.info("run %d: %d instances that were never acknowledged were removed", self._run.id, removed)
        for row in range(self._count):
            self._start(row)

    def check(self) -> None:
        """Start again what died, and keep studies and spool; raise `Unavailable` where processes do not stay alive."""
        for row, process in self._processes.items():
            status = process.child.poll()
            if status is not None:
                self._died(row, process, status)
        if time.monotonic() - self._kept >= _KEEP_EVERY:
            self._kept = time.monotonic()
            with suppress(Unavailable):  # the campaign tells what is away
                self._session.call(self._keep)

    def over(self, _tables: Tables, _progress: Progress) -> bool:
        """Tell that there is more to come: a peer may send at any time."""
        return False

    def stop(self) -> None:
        """Take no more associations, let those in the middle of a request finish it, and note that nothing follows."""
        if self._stopped:
            return
        self._stopped = True
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.child.send_signal(signal.SIGTERM)
        until = time.monotonic() + _DRAIN
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.child.wait(max(0.0, until - time.monotonic()))
            process.child.kill()
            process.child.wait()
            _close(process.child)
        self._listener.close()
        with suppress(Unavailable):
            self._session.call(lambda tables: self._attendance.leave(tables, {}))
        self._session.close()
        self._spool.close()
        os.close(self._slots_fd)

    def _keep(self, tables: Tables) -> None:
        self._attendance.keep(tables)
        self._keeper.keep(tables.ledger)

    def _start(self, row: int) -> None:
        settings = self._desk.settings
        logs = settings.home / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = ProcessOrder(
            port=self._order,
            run_id=self._run.id,
            source_key=self._run.source_key.hex(),
            spool=str(self._spool.root),
            listener=self._listener.fileno(),
            slots=self._slots_fd,
            row=row,
            processes=self._count,
            target=Recipe.from_json(self._run.recipe_json).wanted.syntax,
        )
        with (logs / "scp.log").open("ab") as words:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "scheduler.ingest.port"],
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                env=os.environ | environment(settings),
                cwd=settings.home,
                pass_fds=(told.listener, told.slots),
                process_group=0,
            )
        self._processes[row] = _Process(child)
        with suppress(BrokenPipeError):
            assert child.stdin is not None  # noqa: S101 - it was asked for
            child.stdin.write(told.to_json().encode() + b"\n")
            child.stdin.flush()

    def _died(self, row: int, process: _Process, status: int) -> None:
        # Who was killed did not die of its surroundings: those make a process end by itself.
        quick = status >= 0 and time.monotonic() - process.started < _QUICK
        self._quick_deaths = self._quick_deaths + 1 if quick else 0
        _close(process.child)
        self._slots.wipe(row)
        log.warning("a receiving process ended with status %d and is started again", status)
        if self._quick_deaths >= _QUICK_DEATHS:
            raise Unavailable(Reason.SERVER_FAILED, "receiving does not start: see logs/scp.log in FARM_HOME")
        self._start(row)


def _close(child: subprocess.Popen[bytes]) -> None:
    with suppress(BrokenPipeError):
        if child.stdin is not None:
            child.stdin.close()
