"""The codec host's program: takes frames out of shared memory, puts what becomes of them there, and says so.

It has no keys, no database, no paths and no environment to speak of. It lowers its own limits before it reads the first
frame: no core files, which would hold pixels; a bound on its address space, over what its libraries take by being
there; a bound on what it writes. Of all that the kernel may end for want of memory, it offers itself first.

It must not outlive the process that started it, and cannot look for that while a library is at a frame, perhaps for
ever. So the kernel does: at the end of a pipe that the other process holds, and that nobody ever writes to, it sends a
signal that cannot be ignored. Where it cannot do that, the end of the socket is seen when the frame in hand is done.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import mmap
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from farm.codecs import registry
from farm.codecs.video import is_video
from farm.frames.encapsulated import Frame
from farm.frames.video import VideoCodec
from farm.frames.work import Job, Work
from farm.host.bench import Bench, CpuBench, Done, Unit, failure
from farm.host.device import with_device
from farm.host.messages import ASK, END, READY, TOGETHER, Channel, job_of, of_done
from farm.transcoding.frames import Worked, codec_of
from farm.transcoding.video import video_worked

_OFTEN = 0.01
"""Seconds after which what is done is told: a message costs as much as a small frame."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Work until the other end of the socket is gone."""
    order = _parser().parse_args(arguments)
    _tie(order.lifeline)
    bench = bench_of(order.threads, order.device, order.device_bytes)
    _limit(order.memory_bytes if order.device is None else 0)
    with socket.socket(fileno=order.control) as control, contextlib.suppress(EOFError, ConnectionError):
        serve(Channel(control), bench, Memory(order.given, order.made))


def bench_of(threads: int, device: int | None, device_bytes: int = 0) -> Bench:
    """Return what does the work; all its libraries are loaded then, but that for video, which few instances need."""
    for codec in registry.CODECS:
        _ = isinstance(codec, VideoCodec) or codec.version
    bench = CpuBench(threads, registry.decoder, registry.encoder, handed_back=device is not None)
    return bench if device is None else with_device(device, device_bytes, bench)


class Memory:
    """The shared memory: frames are read where they stand, and what becomes of them is written one behind the other."""

    def __init__(self, given: int, made: int) -> None:
        """Take the descriptors of both pieces."""
        self._given, self._made = given, made
        self._view = memoryview(b"")
        self._at = 0

    def forget(self) -> None:
        """Begin anew: what was made was taken."""
        self._at = 0

    def frames(self, places: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Return frames at their places, each a view of memory that no library can write to."""
        end = max(start + length for start, length in places)
        if end > len(self._view):
            self._view = memoryview(mmap.mmap(self._given, 0, access=mmap.ACCESS_READ)) if end else memoryview(b"")
        return [self._view[start : start + length] for start, length in places]

    def put(self, data: bytes) -> tuple[int, int]:
        """Write what became of a frame; return where it stands and how long it is."""
        start, view = self._at, memoryview(data)
        while view:
            written = os.pwrite(self._made, view, self._at)
            view, self._at = view[written:], self._at + written
        return start, len(data)


def serve(channel: Channel, bench: Bench, memory: Memory) -> None:
    """Say that all is ready; then take window after window, and tell of each frame as soon as it is done."""
    channel.send(READY)
    while True:
        order: dict[str, Any] = channel.receive()  # type: ignore[assignment]  # the farm's own process says it
        if "video" in order:
            _film(channel, job_of(order["video"]), memory)
            continue
        memory.forget()
        _tell(channel, bench.work(_units(order, memory)), memory)


def _tell(channel: Channel, work: Iterator[Done], memory: Memory) -> None:
    """Say what became of units: of one that takes its time at once, of quick ones several together."""
    told: list[object] = []
    since = time.monotonic()
    for done in work:
        told.append(of_done(done, _put(done, memory)))
        if time.monotonic() - since > _OFTEN or len(told) == TOGETHER:
            channel.send(told)
            told, since = [], time.monotonic()
    if told:
        channel.send(told)


def work_instance(job: Job, frames: Iterable[Frame]) -> Iterator[Worked]:
    """Yield what becomes of an instance whose frames, or what is made of them, are one stream."""
    return video_worked(Work(job=job, frames=frames), registry.decoder, registry.encoder)


def _film(channel: Channel, job: Job, memory: Memory) -> None:
    """Ask for what is needed of an instance; say one by one what becomes of it, and go on when that was taken."""
    try:
        for worked in work_instance(job, _asked(channel, job, memory)):
            memory.forget()
            done = Done(at=0, outcome=worked, codec=codec_of(job, registry.decoder, registry.encoder))
            channel.send(of_done(done, memory.put(worked.data)))
            channel.receive()
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # noqa: BLE001 - every error is an outcome
        channel.send(of_done(Done(at=0, outcome=failure(error)), (0, 0)))
    else:
        channel.send(END)


def _asked(channel: Channel, job: Job, memory: Memory) -> Iterator[Frame]:
    """Yield frames as they come: the only one is that of a video, all others make room for the next."""
    channel.send(ASK)
    while isinstance(length := channel.receive(), int):
        [frame] = memory.frames([(0, length)])
        yield frame if is_video(job.source) else bytes(frame)
        channel.send(ASK)


def _units(order: dict[str, Any], memory: Memory) -> list[Unit]:
    jobs = [job_of(said) for said in order["jobs"]]
    frames = memory.frames([(start, length) for _, start, length in order["units"]])
    return [Unit(frame=frame, job=jobs[unit[0]]) for frame, unit in zip(frames, order["units"], strict=True)]


def _put(done: Done, memory: Memory) -> tuple[int, int]:
    return memory.put(done.outcome.data) if isinstance(done.outcome, Worked) else (0, 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    for name in ("control", "lifeline", "given", "made"):
        parser.add_argument(name, type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-bytes", type=int, default=0)
    parser.add_argument("--device", type=int)
    parser.add_argument("--device-bytes", type=int, default=0)
    return parser


def _tie(lifeline: int) -> None:
    """Have the kernel end this process when the other end of a pipe is closed."""
    if sys.platform != "linux":
        return
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
    closed = select.poll()
    closed.register(lifeline, select.POLLIN)
    if closed.poll(0):  # it was before that
        raise SystemExit


def _limit(memory_bytes: int) -> None:
    """Lower this process's limits; `memory_bytes` 0: its memory has none."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text("1000")
    if not memory_bytes:
        return
    _lower(resource.RLIMIT_FSIZE, memory_bytes)
    with contextlib.suppress(OSError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        _lower(resource.RLIMIT_AS, taken + memory_bytes)


def _lower(limit: int, value: int) -> None:
    _, most = resource.getrlimit(limit)
    bound = value if most == resource.RLIM_INFINITY else min(value, most)
    resource.setrlimit(limit, (bound, bound))


if __name__ == "__main__":
    main()
