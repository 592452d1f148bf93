"""Processes that share a stream of work, of which any may die at any moment.

What the work is, the order knows: each process asks it once for what works batches of its items, and tallies come back.
The pools of the standard library lose everything, or hang, when a process is killed, and cannot tell what it had in
hand. Here each process has a pipe and one batch, so the pipe's end says both. As in the ledger, a started attempt
counts: what a dead process had in hand goes on alone, one item at a time, and the order says what it means that the
last attempt that is allowed has failed. A batch that runs for too long is ended; an item that is larger than batches
are has as many times longer.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any, Generic

from farm.cli.pooled import Item, Order, Told
from farm.errors import FarmError, Reason, Unavailable, place_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from multiprocessing.process import BaseProcess

    from farm.settings import Settings

log = logging.getLogger(__name__)

_SPAWN = multiprocessing.get_context("spawn")  # a fork would share the parent's threads' locks
_LOOK_EVERY = 1.0
_FIRST = 8
"""Items of the first batches: small ones reach every process, and show headway."""
_START_DEATHS = 3
_GRACE = 5.0
_STARTED = "started"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch(Generic[Item]):
    """Items, and how many attempts at them were started before."""

    items: list[Item]
    attempts: int = 0

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)


def serve(order: Order[Any, Any], connection: Connection) -> None:
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


def _answer(order: Order[Any, Any], connection: Connection) -> None:
    """Say that the process has started, then send a tally for each batch; end with the error that ends the work."""
    try:
        with closing(order.begun()) as work:
            connection.send(_STARTED)
            while True:
                batch: _Batch[Any] = connection.recv()
                connection.send(work.run(batch.items, again=batch.attempts > 0))
    except FarmError as error:
        connection.send(error)


def seconds_for(size: int, settings: Settings) -> float:
    """Return how long a batch of so many bytes may take."""
    return settings.task_seconds * max(1.0, size / max(1, settings.parcel_bytes))


class _Worker(Generic[Item, Told]):
    """One process, its pipe, and what it has in hand."""

    def __init__(self, order: Order[Item, Told]) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        self.process: BaseProcess = _SPAWN.Process(target=serve, args=(order, theirs), name="farm-pool", daemon=True)
        # The child starts with SIGINT blocked: Ctrl-C reaches all in the foreground, and is the parent's to act on.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        self.batch: _Batch[Item] | None = None
        self.busy_since = time.monotonic()
        self.started = False
        self.late = False

    def give(self, batch: _Batch[Item]) -> None:
        """Hand over a batch; if the process is dead already, the pipe's end will say so."""
        self.batch, self.busy_since = batch, time.monotonic()
        try:
            self.connection.send(batch)
        except OSError:
            return

    def answer(self) -> Told | FarmError | str | None:
        """Return what the process has sent; a word: it has started; None: it died."""
        try:
            received: Told | FarmError | str = self.connection.recv()
        except (EOFError, OSError):
            return None
        return received

    def end_if_late(self, seconds: float) -> None:
        """Kill the process if it is at its batch for longer than that; the pipe's end will say so."""
        if self.started and self.batch and time.monotonic() - self.busy_since > seconds:
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


class Pool(Generic[Item, Told]):
    """So many processes for one order."""

    def __init__(self, order: Order[Item, Told], processes: int) -> None:
        self._order = order
        self._settings = order.settings
        self._processes = processes
        self._workers: list[_Worker[Item, Told]] = []
        self._again: deque[_Batch[Item]] = deque()
        self._deaths_at_start = 0
        self._trouble: FarmError | None = None
        self.tally = order.none()

    def run(self, items: Iterator[Item], stop: threading.Event, on_tally: Callable[[Told], None]) -> FarmError | None:
        """Work all items, or, once `stop` is set, what is in hand; return what ended the work early, if anything."""
        batches = self._batches(items)
        try:
            while True:
                if not stop.is_set() and self._trouble is None:
                    self._hand_out(batches)
                if not any(worker.batch for worker in self._workers):
                    return self._trouble
                self._collect()
                on_tally(self.tally)
        finally:
            for worker in self._workers:
                worker.end()

    def _batches(self, items: Iterator[Item]) -> Iterator[_Batch[Item]]:
        """Pack items into batches that double up to a parcel's size."""
        batch: list[Item] = []
        given, size = 0, 0
        for item in items:
            most = min(self._settings.parcel_instances, _FIRST << min(given // self._processes, 16))
            if batch and (len(batch) >= most or size + item.size > self._settings.parcel_bytes):
                yield _Batch(items=batch)
                given += 1
                batch, size = [], 0
            batch.append(item)
            size += item.size
        if batch:
            yield _Batch(items=batch)

    def _hand_out(self, batches: Iterator[_Batch[Item]]) -> None:
        """Give every idle process a batch; start one where there are too few."""
        for at in range(self._processes):
            if at < len(self._workers) and self._workers[at].batch:
                continue
            batch = self._again.popleft() if self._again else next(batches, None)
            if batch is None:
                return
            if at == len(self._workers):
                self._workers.append(_Worker(self._order))
            self._workers[at].give(batch)

    def _collect(self) -> None:
        """Wait until a process has something to say; end those that take too long."""
        busy = {worker.connection: worker for worker in self._workers if worker.batch}
        for connection in wait(list(busy), timeout=_LOOK_EVERY):
            if isinstance(connection, Connection):
                self._take(busy[connection])
        for worker in busy.values():
            if worker.batch:
                worker.end_if_late(seconds_for(worker.batch.size, self._settings))

    def _take(self, worker: _Worker[Item, Told]) -> None:
        answer = worker.answer()
        if isinstance(answer, str):
            worker.started, worker.busy_since = True, time.monotonic()
            self._deaths_at_start = 0
        elif answer is None or isinstance(answer, FarmError):
            self._end(worker, answer)
        else:
            worker.batch = None
            for place in answer.faults:
                log.error("an instance ends as %s: %s", Reason.INTERNAL_ERROR.value, place)
            self.tally.add(answer)

    def _end(self, worker: _Worker[Item, Told], error: FarmError | None) -> None:
        """Take leave of a process that met trouble, or died."""
        self._workers.remove(worker)
        status = worker.end()
        if error is None:
            self._lost(worker, status)
        else:
            self._trouble = self._trouble or error

    def _lost(self, worker: _Worker[Item, Told], status: int | None) -> None:
        """Report a process that died, and see to what it had in hand."""
        batch = worker.batch
        log.warning("a process ended with status %s; what it had in hand goes on alone", status)
        if batch is None:
            return
        if not worker.started:
            self._again.append(batch)
            self._deaths_at_start += 1
            if self._deaths_at_start >= _START_DEATHS * self._processes:
                self._trouble = Unavailable(Reason.SERVER_FAILED, "the processes do not start")
        elif batch.attempts + 1 >= self._settings.max_attempts:
            reason = Reason.TIME_LIMIT if worker.late else Reason.WORKER_LOST
            self.tally.add(self._order.lost(batch.items, reason))
        else:
            self._again.extend(_Batch(items=[item], attempts=batch.attempts + 1) for item in batch.items)
