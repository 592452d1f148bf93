"""The codec host as the farm's process sees it: how it is started, given frames, listened to and ended.

It is a plain child process, since Celery's processes may have no children of `multiprocessing`. It gets four
descriptors and nothing else: a socket for messages, the end of a pipe, and two pieces of memory that are files without
a name. Frames are written into the one, and what becomes of them is read out of the other. They are written and read
as files on this side: the host could cut memory short that is mapped here, and the reader would die of it; of a file
only less is read. All of it belongs to one host and ends with it, so what a broken host left meets no other.

The pipe says that this process lives: its end is closed with it, however it dies, and the host dies of that.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from farm.errors import Reason, Unavailable
from farm.frames.encapsulated import Frame
from farm.frames.work import Job
from farm.host.bench import Done, Unit
from farm.host.messages import ANSWER, ASK, END, READY, Channel, Nonsense, done_of, of_job
from farm.transcoding.frames import Worked

PROGRAM = "farm.host.program"
_START_SECONDS = 60.0
_STARTS = 3
_KEPT = 32 << 20
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
"""For the C library: what a frame's samples took serves the next frame's, and its pages need not be made anew."""
_FURTHEST = 1 << 62
"""Where in its memory a host can have put anything."""
_FRAMES_A_SECOND = 1
"""What is asked of a codec of video, which may be silent while it is at all frames that it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """What codecs may take.

    `memory_bytes` is the address space that a host may take over what it has when it starts (0: any); `frame_seconds`
    the time for a frame; `frame_bytes` the size of a frame's samples. `window_bytes` of frames are handed over at a
    time, measured by their samples, and one frame at least. Results of an instance that are larger than memory should
    hold wait in a file without a name in `spill_dir`; None: where the system keeps such files. `device_bytes` of a
    device's memory are used; 0: half of it.
    """

    memory_bytes: int = 4 << 30
    frame_seconds: float = 60
    frame_bytes: int = 1 << 30
    window_bytes: int = 16 << 20
    spill_dir: str | None = None
    device_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How to start a host: within limits, with so many threads, for a device, running a module."""

    limits: HostLimits
    threads: int = 1
    device: int | None = None
    program: str = PROGRAM


class Lost(Exception):
    """The host died, was silent for too long, or answered nonsense; the reason is for what it had in hand."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def started(order: Order) -> Process:
    """Return a host that is ready; raise `Unavailable` where three of them did not come so far."""
    for _ in range(_STARTS):
        try:
            process = Process(order)
        except OSError:
            continue
        try:
            if process.is_ready():
                return process
        except BaseException:
            process.end()
            raise
        process.end()
    raise Unavailable(Reason.SERVER_FAILED, "the codec host does not start")


@contextlib.contextmanager
def _losses() -> Iterator[None]:
    """Turn the ways in which a host can fail to answer into `Lost`."""
    try:
        yield
    except TimeoutError:
        raise Lost(Reason.CODEC_HUNG) from None
    except (EOFError, ConnectionError, Nonsense):
        raise Lost(Reason.CODEC_CRASHED) from None


class Process:
    """One codec host; whoever makes it has to end it."""

    def __init__(self, order: Order) -> None:
        self._limits = order.limits
        self._most = (
            order.limits.memory_bytes if order.device is None else 0
        )  # a driver takes address space as it likes
        with contextlib.ExitStack() as held:
            ours, theirs = socket.socketpair()
            held.callback(ours.close)
            lifeline, mine = os.pipe()
            held.callback(os.close, mine)
            with contextlib.closing(theirs), _closing(lifeline):
                self._given, self._made = _memory(held), _memory(held)
                handed = (theirs.fileno(), lifeline, self._given, self._made)
                self._popen = subprocess.Popen(  # noqa: S603 - our own program
                    _command(order, handed),
                    pass_fds=handed,
                    env=_environment(order.device),
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,  # libraries print what they read
                    process_group=0,  # Ctrl-C reaches all in the foreground, and is for this process to act on
                )
            self._socket, self._channel = ours, Channel(ours, ANSWER)
            self._held = held.pop_all()
        self._size = _Size(self._popen.pid, self._held)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._popen.pid

    def is_ready(self) -> bool:
        """Wait until the host says that it is ready; tell whether it does."""
        try:
            ready = self._channel.receive(time.monotonic() + _START_SECONDS) == READY
        except (EOFError, OSError, Nonsense):
            return False
        self._size.begin()
        return ready

    def is_fit(self) -> bool:
        """Tell whether work can be given to it: it lives, says nothing unasked, and has memory left.

        A library that loses memory would otherwise cost instances that can do nothing for it.
        """
        says = select.poll()
        says.register(self._socket, select.POLLIN)
        return not says.poll(0) and not (self._most and self._size.grown() > self._most // 2)

    def work(self, units: Sequence[Unit]) -> Iterator[Done]:
        """Yield what became of each unit as soon as the host tells; raise `Lost` where it does not."""
        with _losses():
            self._give(units)
            left = dict(enumerate(units))
            while left:
                told = self._channel.receive(self._until())
                if not isinstance(told, list) or not told:
                    raise Nonsense
                for one in told:
                    done = done_of(one, left, self._read)
                    del left[done.at]
                    yield done
        self._give_back()

    def film(self, job: Job, frames: Iterable[Frame], *, to_video: bool) -> Iterator[Done]:
        """Yield what becomes of each frame of a video, or, `to_video`, the one that becomes of frames.

        The host asks for frames, and is told when a result was taken, so that neither process holds more than a few.
        Where something cannot be done, that is the last. Raises `Lost` where the host does not tell of all.
        """
        left, source = 1 if to_video else job.count, _Source(frames)
        with _losses():
            self._channel.send({"video": of_job(job)}, self._until())
            while (told := self._heard(source)) != END:
                unit = Unit(frame=b"", job=job, frames=source.asked)
                done = done_of(told, {0: unit}, self._read)
                if isinstance(done.outcome, Worked) and not left:
                    raise Nonsense
                yield done
                if not isinstance(done.outcome, Worked):
                    break
                left -= 1
                self._channel.send(None, self._until())
            else:
                if left:
                    raise Nonsense
        self._give_back()

    def end(self) -> int:
        """End it at once, in the middle of whatever it does; return its status."""
        self._popen.kill()
        status = self._popen.wait()
        self._held.close()
        return status

    def _until(self, more: float = 0) -> float:
        return time.monotonic() + self._limits.frame_seconds + more

    def _heard(self, source: _Source) -> object:
        """Return what the host tells when it has the frames that it asks for; None is the end of them."""
        while (told := self._channel.receive(self._until(source.asked / _FRAMES_A_SECOND))) == ASK:
            frame = source.next()
            _write(self._given, frame or b"", 0)
            self._channel.send(None if frame is None else len(frame), self._until())
        return told

    def _give(self, units: Sequence[Unit]) -> None:
        """Write the frames one behind the other, and say where each stands and what is to be done with it."""
        jobs = {id(unit.job): unit.job for unit in units}
        numbers = {key: number for number, key in enumerate(jobs)}
        at, places = 0, []
        for unit in units:
            _write(self._given, unit.frame, at)
            places.append((numbers[id(unit.job)], at, len(unit.frame)))
            at += len(unit.frame)
        self._channel.send({"jobs": [of_job(job) for job in jobs.values()], "units": places}, self._until())

    def _read(self, start: int, length: int) -> bytes:
        """Return what the host has made at a place; raise `Nonsense` where there is not so much."""
        if not 0 <= start <= _FURTHEST:
            raise Nonsense
        data = os.pread(self._made, length, start)
        while len(data) < length:
            more = os.pread(self._made, length - len(data), start + len(data))
            if not more:
                raise Nonsense
            data += more
        return data

    def _give_back(self) -> None:
        """Free what a very large frame took; else its pages serve the next window, and need not be made anew."""
        for memory in (self._given, self._made):
            if os.fstat(memory).st_size > max(self._limits.window_bytes, _KEPT):
                os.ftruncate(memory, 0)


def _command(order: Order, handed: Sequence[int]) -> list[str]:
    command = [sys.executable, "-P", "-m", order.program, *map(str, handed)]
    command += [f"--threads={order.threads}", f"--memory-bytes={order.limits.memory_bytes}"]
    if order.device is None:
        return command
    return [*command, f"--device={order.device}", f"--device-bytes={order.limits.device_bytes}"]


def _environment(device: int | None) -> dict[str, str]:
    """Return the host's environment: where modules are, and nothing of this process's own.

    Only what a device's driver goes by is handed on, to the host that uses one.
    """
    drivers = ("CUDA_", "NVIDIA_", "LD_LIBRARY_PATH") if device is not None else ()
    return {name: value for name, value in os.environ.items() if name.startswith(drivers)} | {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
        "OPENBLAS_NUM_THREADS": "1",  # threads that nothing uses would take address space
        **_MALLOC,
    }


@contextlib.contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _memory(held: contextlib.ExitStack) -> int:
    """Return memory as a file without a name, to be closed with the rest."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("farm-codec-host")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    held.callback(os.close, descriptor)
    return descriptor


def _write(descriptor: int, data: Frame, at: int) -> None:
    view = memoryview(data)
    while view:
        try:
            written = os.pwrite(descriptor, view, at)
        except OSError:
            raise Unavailable(Reason.STORAGE_ERROR, "shared memory takes no more") from None
        view, at = view[written:], at + written


class _Source:
    """Frames that a host asks for one by one, and how many it has asked for."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = chain(frames, [None])
        self.asked = 0

    def next(self) -> Frame | None:
        """Return the next frame, or None where there are no more; raise `Nonsense` where that was said before."""
        self.asked += 1
        for frame in self._frames:
            return frame
        raise Nonsense


class _Size:
    """How much address space a process has taken since it was ready, as the kernel tells; 0 where it does not."""

    def __init__(self, pid: int, held: contextlib.ExitStack) -> None:
        self._begin, self._descriptor = 0, None
        with contextlib.suppress(OSError):
            self._descriptor = os.open(f"/proc/{pid}/statm", os.O_RDONLY)
            held.callback(os.close, self._descriptor)

    def begin(self) -> None:
        """Count from here."""
        self._begin = self._taken()

    def grown(self) -> int:
        """Return the bytes that were taken since."""
        return self._taken() - self._begin

    def _taken(self) -> int:
        with contextlib.suppress(OSError):
            if self._descriptor is not None:
                return int((os.pread(self._descriptor, 64, 0).split() or [b"0"])[0]) * mmap.PAGESIZE
        return 0
