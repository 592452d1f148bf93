"""Carries jobs out in a codec host, a process of its own: what a codec does to it costs one instance a reason.

A host is started when there is work and lives for many instances. When it dies, what it had not told of goes on in a
fresh one, frame by frame: the frame that a host dies of alone is `codec-crashed`, the frame that it is silent about for
longer than the limit is `codec-hung`, and their instances with them. All others are as if nothing had happened. A frame
that asks for more memory than there is gets a second chance alone too, because what it lacked others may have had. A
video is one stream for all its frames, so there the instance is what is tried, alone from the beginning.

That a library gave up for want of memory is known only where it says so: `codec-memory`. One that aborts then has
crashed, and one that calls it an error of the bitstream is believed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from farm.codecs.video import is_video
from farm.errors import BadInput, Reason
from farm.frames import layout
from farm.frames.encapsulated import Frame
from farm.frames.work import Job, Result, Work
from farm.host.bench import Done, HostFault, Unit
from farm.host.process import PROGRAM, HostLimits, Lost, Order, Process, started
from farm.host.results import Gathered

__all__ = ["Headway", "Host", "HostFault", "HostLimits"]

log = logging.getLogger(__name__)

_UNITS = 256
"""Frames of a window at most, however small they are."""

Headway: TypeAlias = Callable[[int, int], None]
"""Is told, of the instance in hand, how many frames are done, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """A frame that was asked for, and where its result belongs."""

    unit: Unit
    into: Gathered


class Host:
    """A `Transcoder` whose codecs can do no harm; `program` is the module that its process runs."""

    def __init__(
        self, limits: HostLimits, *, threads: int = 1, device: int | None = None, program: str = PROGRAM
    ) -> None:
        """Take the limits; nothing is started before there is work."""
        self._limits = limits
        self._order = Order(limits=limits, threads=threads, device=device, program=program)
        self._process: Process | None = None
        self._headway: Headway = _unwatched

    @property
    def batch(self) -> int:
        """How many instances it wants at a time."""
        return 1 if self._order.device is None else 16

    @property
    def pid(self) -> int | None:
        """The number of the process; None: none is running."""
        return None if self._process is None else self._process.pid

    def watch(self, headway: Headway) -> None:
        """Tell from now on how far the frames are."""
        self._headway = headway

    def run(self, works: Sequence[Work]) -> list[Result | BadInput]:
        """Carry out each work; one that fails spoils no other.

        Raise `Unavailable` where no host can be started or results can be kept nowhere, and `HostFault` where our own
        code failed.
        """
        gathered = [Gathered(self._limits.spill_dir) for _ in works]
        for window in self._windows(works, gathered):
            for drawn, done in zip(window, self._worked(window), strict=True):
                if done is not None:
                    _gather(drawn.into, done)
            self._headway(window[-1].into.count, window[-1].unit.job.count)
        return [
            (self._filmed(work) if _has_video(work.job) else one).result()
            for work, one in zip(works, gathered, strict=True)
        ]

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _windows(self, works: Sequence[Work], gathered: Sequence[Gathered]) -> Iterator[list[_Drawn]]:
        """Yield as many frames at a time as a window holds; no more of them are asked for before."""
        window: list[_Drawn] = []
        size = 0
        for drawn in self._drawn(works, gathered):
            window.append(drawn)
            one = max(len(drawn.unit.frame), drawn.unit.job.layout.size)
            size += one
            if size + one > self._limits.window_bytes or len(window) == _UNITS:
                yield window
                window, size = [], 0
        if window:
            yield window

    def _drawn(self, works: Sequence[Work], gathered: Sequence[Gathered]) -> Iterator[_Drawn]:
        """Yield the frames of each work until it is known to fail."""
        for work, into in zip(works, gathered, strict=True):
            if _has_video(work.job):
                continue
            self._headway(0, work.job.count)
            try:
                layout.check(work.job.layout, self._limits.frame_bytes)
                for frame in work.frames:
                    yield _Drawn(unit=Unit(frame=frame, job=work.job), into=into)
                    if into.has_failed:
                        break
            except BadInput as error:
                into.fail(error)

    def _worked(self, window: Sequence[_Drawn]) -> list[Done | None]:
        """Return what became of each frame of a window; None: it was not done, because its instance fails anyway."""
        done, _ = self._tried([drawn.unit for drawn in window])
        short = [at for at, one in done.items() if _lacks_memory(one)]
        if short:
            self.close()
        for at in short:
            del done[at]
        failed = {id(window[at].into) for at, one in done.items() if isinstance(one.outcome, BadInput)}
        for at, drawn in enumerate(window):
            if at not in done and id(drawn.into) not in failed:
                done[at] = self._alone(drawn.unit)
                if isinstance(done[at].outcome, BadInput):
                    failed.add(id(drawn.into))
        return [done.get(at) for at in range(len(window))]

    def _alone(self, unit: Unit) -> Done:
        """Return what becomes of a frame that has a host for itself."""
        done, lost = self._tried([unit])
        return done[0] if lost is None else Done(at=0, outcome=BadInput(lost))

    def _tried(self, units: Sequence[Unit]) -> tuple[dict[int, Done], Reason | None]:
        """Return what the host tells of units, by their places, and how it was lost if it does not tell of all."""
        done: dict[int, Done] = {}

        def keep(one: Done) -> None:
            done[one.at] = one

        return done, self._listen(lambda host: host.work(units), keep)

    def _filmed(self, work: Work) -> Gathered:
        """Return what becomes of a work on a video; it has a second chance, in a fresh host."""
        into = self._film(work)
        if into.reason in {Reason.CODEC_CRASHED, Reason.CODEC_HUNG, Reason.CODEC_MEMORY}:
            self.close()
            into = self._film(work)
        return into

    def _film(self, work: Work) -> Gathered:
        into, to_video = Gathered(self._limits.spill_dir), _to_video(work.job)
        frames = self._shown(work) if to_video else work.frames

        def take(done: Done) -> None:
            _gather(into, done)
            self._headway(work.job.count if to_video else into.count, work.job.count)

        self._headway(0, work.job.count)
        try:
            layout.check(work.job.layout, self._limits.frame_bytes)
            lost = self._listen(lambda host: host.film(work.job, frames, to_video=to_video), take)
        except BadInput as error:
            into.fail(error)
        else:
            if lost is not None:
                into.fail(BadInput(lost))
        return into

    def _shown(self, work: Work) -> Iterator[Frame]:
        """Yield the frames of a video that is made: when one is asked for, those before it were taken."""
        for number, frame in enumerate(work.frames):
            self._headway(number, work.job.count)
            yield frame

    def _listen(self, begin: Callable[[Process], Iterator[Done]], take: Callable[[Done], None]) -> Reason | None:
        """Take what a host tells of the work that it begins; return how it was lost if it does not tell of all."""
        process = self._ready()
        try:
            for done in begin(process):
                take(done)
        except Lost as lost:
            self._process = None
            log.warning("a codec host is lost (%s): %s, status %d", process.pid, lost.reason.value, process.end())
            return lost.reason
        except BaseException:  # whatever is still to come from it would be taken for an answer to something else
            self.close()
            raise
        return None

    def _ready(self) -> Process:
        """Return a process that is fit for work: the one that is running, or a fresh one."""
        if self._process is not None and not self._process.is_fit():
            self.close()
        if self._process is None:
            self._process = started(self._order)
        return self._process


def _unwatched(_done: int, _count: int) -> None:
    """Nobody wants to know."""


def _gather(into: Gathered, done: Done) -> None:
    """Put what became of a frame to the rest of its instance."""
    if isinstance(done.outcome, HostFault):
        log.error("our own code failed in the codec host: %s", done.outcome)
        raise done.outcome
    if isinstance(done.outcome, BadInput):
        into.fail(done.outcome)
    elif not into.has_failed:
        into.add(done, done.outcome)


def _lacks_memory(done: Done) -> bool:
    return isinstance(done.outcome, BadInput) and done.outcome.reason is Reason.CODEC_MEMORY


def _to_video(job: Job) -> bool:
    return job.options is not None and is_video(job.options.syntax)


def _has_video(job: Job) -> bool:
    return is_video(job.source) or _to_video(job)
