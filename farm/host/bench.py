"""What does the work in the codec host: a bench is given frames, and tells of each what became of it.

Frames come in windows, of one instance or of several, and what became of one is told as soon as it is known: the other
process takes the silence between two answers for a hang, and knows by the answers which frames a death has left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol, TypeAlias

from farm.errors import BadInput, Reason, place_of
from farm.frames.encapsulated import Frame
from farm.frames.work import Job, WhyNot
from farm.transcoding.frames import Finder, Worked, codec_of, worked


class HostFault(Exception):
    """Our own code failed in the codec host; says the class of the error and its place there, never its text."""


Outcome: TypeAlias = Worked | BadInput | HostFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One frame, and what is to be done with it; `frames`: how many frames are in what is made of it."""

    frame: Frame = field(repr=False)
    job: Job
    frames: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of the unit at a place in its window, and what did it; see `Result` for the rest."""

    at: int
    outcome: Outcome
    codec: str = ""
    handed_back: bool = False
    why_not: WhyNot | None = None


class Bench(Protocol):
    """What works units."""

    def work(self, units: Sequence[Unit]) -> Iterator[Done]:
        """Yield what became of each unit, once, in any order, as soon as it is known; raise nothing."""


class CpuBench:
    """Works frame by frame with the codecs of the processor, `threads` at a time."""

    def __init__(self, threads: int, decoder: Finder, encoder: Finder, *, handed_back: bool = False) -> None:
        """Take what finds codecs; `handed_back`: a device was to do the work."""
        self._decoder, self._encoder = cache(decoder), cache(encoder)  # asked for with every frame
        self._handed_back = handed_back
        self._last: tuple[Job | None, str] = (None, "")
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def work(self, units: Sequence[Unit]) -> Iterator[Done]:
        """Yield what became of each unit; in their order where there is one thread."""
        if self._pool is None:
            return (self._done(at, unit) for at, unit in enumerate(units))
        futures = [self._pool.submit(self._done, at, unit) for at, unit in enumerate(units)]
        return (future.result() for future in as_completed(futures))

    def _done(self, at: int, unit: Unit) -> Done:
        outcome = self._outcome(unit)
        codec = self._codec(unit.job) if isinstance(outcome, Worked) else ""
        return Done(at=at, outcome=outcome, codec=codec, handed_back=self._handed_back)

    def _codec(self, job: Job) -> str:
        """Return what does a job; asked once for each, as libraries are slow to tell their versions."""
        if job is not self._last[0]:
            self._last = (job, codec_of(job, self._decoder, self._encoder))
        return self._last[1]

    def _outcome(self, unit: Unit) -> Outcome:
        try:
            return worked(unit.frame, unit.job, self._decoder, self._encoder)
        except Exception as error:  # noqa: BLE001 - every error is an outcome
            return failure(error)


def failure(error: Exception) -> BadInput | HostFault:
    """Return what an error means: its own reason, want of memory, also behind that, or a fault of ours."""
    if isinstance(error, MemoryError) or isinstance(error.__context__, MemoryError):
        return BadInput(Reason.CODEC_MEMORY)
    return error if isinstance(error, BadInput) else HostFault(place_of(error))
