"""Processes that share a batch stream, of which any may die at any moment.

The pools of the standard library lose everything, or hang, when a process is killed, and cannot tell what it had in
hand. Here each process has a pipe and one batch, so the pipe's end says both. As in the ledger, a started attempt
counts: what a dead process had in hand goes on alone, one instance at a time, and the last attempt that is allowed
quarantines it.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from farm.cli.batch import Batch, Tally
from farm.errors import FarmError, Reason, Unavailable, place_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

    from farm.cli.batch import Order
    from farm.sources import Entry

log = logging.getLogger(__name__)

_SPAWN = multiprocessing.get_context("spawn")  # a fork would share the parent's threads' locks
_LOOK_EVERY = 1.0
_FIRST = 8
"""Instances of the first batches: small ones reach every process, and show headway."""
_START_DEATHS = 3
_GRACE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A batch, and how many attempts at it were started before."""

    entries: list[Entry]
    attempts: int = 0


def serve(order: Order, connection: Connection) -> None:
    """Work batch after batch until the other end of the pipe is gone (this is the process's whole life)."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        _answer(order, connection)
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - the standard library would print its text, which may carry a value
        sys.stderr.write(f"farm: {Reason.INTERNAL_ERROR.value}: {place_of(error)}\n")
        sys.stderr.flush()
        os._exit(1)


def _answer(order: Order, connection: Connection) -> None:
    """Say that the process has started, then send a tally for each batch; end with the error that ends the work."""
    try:
        batch = Batch.of(order)
        connection.send(Tally())
        while True:
            work: _Work = connection.recv()
            connection.send(batch.run(work.entries, again=work.attempts > 0))
    except FarmError as error:
        connection.send(error)


class _Worker:
    """One process, its pipe, and what it has in hand."""

    def __init__(self, order: Order) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        self.process: BaseProcess = _SPAWN.Process(target=serve, args=(order, theirs), name="farm-deid", daemon=True)
        # The child starts with SIGINT blocked: Ctrl-C reaches all in the foreground, and is the parent's to act on.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        self.work: _Work | None = None
        self.busy_since = time.monotonic()
        self.started = False
        self.late = False

    def give(self, work: _Work) -> None:
        """Hand over a batch; if the process is dead already, the pipe's end will say so."""
        self.work, self.busy_since = work, time.monotonic()
        try:
            self.connection.send(work)
        except OSError:
            return

    def answer(self) -> Tally | FarmError | None:
        """Return what the process has sent; None: it died."""
        try:
            received: Tally | FarmError = self.connection.recv()
        except (EOFError, OSError):
            return None
        return received

    def end_if_late(self, seconds: float) -> None:
        """Kill the process if it is at its batch for longer than that; the pipe's end will say so."""
        if self.started and self.work and time.monotonic() - self.busy_since > seconds:
            self.late = True
            self.process.kill()

    def end(self) -> int | None:
        """Close the pipe, at which the process ends; return its exit status."""
        self.connection.close()
        self.process.join(_GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        return self.process.exitcode


class Pool:
    """So many processes for one order."""

    def __init__(self, order: Order, processes: int) -> None:
        self._order = order
        self._processes = processes
        self._most = order.settings.max_attempts
        self._workers: list[_Worker] = []
        self._again: deque[_Work] = deque()
        self._deaths_at_start = 0
        self._trouble: FarmError | None = None
        self.tally = Tally()

    def run(
        self, entries: Iterator[Entry], stop: threading.Event, on_tally: Callable[[Tally], None]
    ) -> FarmError | None:
        """Work all entries, or, once `stop` is set, what is in hand; return what ended the work early, if anything."""
        batches = self._batches(entries)
        try:
            while True:
                if not stop.is_set() and self._trouble is None:
                    self._hand_out(batches)
                if not any(worker.work for worker in self._workers):
                    return self._trouble
                self._collect()
                on_tally(self.tally)
        finally:
            for worker in self._workers:
                worker.end()

    def _batches(self, entries: Iterator[Entry]) -> Iterator[_Work]:
        """Pack entries into batches that double up to a parcel's size."""
        settings = self._order.settings
        batch: list[Entry] = []
        given, size = 0, 0
        for entry in entries:
            most = min(settings.parcel_instances, _FIRST << min(given // self._processes, 16))
            if batch and (len(batch) >= most or size + entry.size > settings.parcel_bytes):
                yield _Work(entries=batch)
                given += 1
                batch, size = [], 0
            batch.append(entry)
            size += entry.size
        if batch:
            yield _Work(entries=batch)

    def _hand_out(self, batches: Iterator[_Work]) -> None:
        """Give every idle process a batch; start one where there are too few."""
        for at in range(self._processes):
            if at < len(self._workers) and self._workers[at].work:
                continue
            work = self._again.popleft() if self._again else next(batches, None)
            if work is None:
                return
            if at == len(self._workers):
                self._workers.append(_Worker(self._order))
            self._workers[at].give(work)

    def _collect(self) -> None:
        """Wait until a process has something to say; end those that take too long."""
        busy = {worker.connection: worker for worker in self._workers if worker.work}
        for connection in wait(list(busy), timeout=_LOOK_EVERY):
            if isinstance(connection, Connection):
                self._take(busy[connection])
        for worker in busy.values():
            worker.end_if_late(self._order.settings.task_seconds)

    def _take(self, worker: _Worker) -> None:
        answer = worker.answer()
        if isinstance(answer, Tally):
            self._count(worker, answer)
            return
        self._workers.remove(worker)
        status = worker.end()
        if isinstance(answer, FarmError):
            self._trouble = self._trouble or answer
        else:
            self._lost(worker, status)

    def _count(self, worker: _Worker, answer: Tally) -> None:
        """Take a batch's tally; the first answer only says that the process has started."""
        if not worker.started:
            worker.started, worker.busy_since = True, time.monotonic()
            self._deaths_at_start = 0
            return
        worker.work = None
        for place in answer.faults:
            log.error("an instance is quarantined as %s: %s", Reason.INTERNAL_ERROR.value, place)
        self.tally.add(answer)

    def _lost(self, worker: _Worker, status: int | None) -> None:
        """Report a process that died, and see to what it had in hand."""
        work = worker.work
        log.warning("a process ended with status %s; what it had in hand goes on alone", status)
        if work is None:
            return
        if not worker.started:
            self._again.append(work)
            self._deaths_at_start += 1
            if self._deaths_at_start >= _START_DEATHS * self._processes:
                self._trouble = Unavailable(Reason.SERVER_FAILED, "the processes do not start")
        elif work.attempts + 1 >= self._most:
            self.tally.quarantined[Reason.TIME_LIMIT if worker.late else Reason.WORKER_LOST] += len(work.entries)
        else:
            self._again.extend(_Work(entries=[entry], attempts=work.attempts + 1) for entry in work.entries)
