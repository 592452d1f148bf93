"""The codec host's program with faulty codecs: frames that begin with a mark crash it, hang in it, or eat its memory.

Only a real death shows what the other process does about it, so this is run in place of `farm.host.program`. What
stands behind a mark, up to a zero, is the path of a file through which the test and this process speak.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from farm.codecs import registry
from farm.frames.codec import Codec, Decoded
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout
from farm.host import program

_find = registry.decoder
_hoard: list[bytearray] = []


def _segfault(_path: Path) -> None:
    ctypes.string_at(0)


def _abort(_path: Path) -> None:
    os.abort()


def _hang(_path: Path) -> None:
    threading.Event().wait()


def _hang_and_hold(path: Path) -> None:
    """Say that this is where it is, and never let go of the interpreter again."""
    path.write_text("here")
    ctypes.PyDLL(None).sleep(1_000_000)


def _hang_once(path: Path) -> None:
    if not path.exists():
        path.touch()
        threading.Event().wait()


def _die_once(path: Path) -> None:
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def _eat(_path: Path) -> None:
    eaten = []
    while True:
        eaten.append(bytes(1 << 26))  # nothing is written: as quick on a busy machine


def _leak(_path: Path) -> None:
    _hoard.append(bytearray(600 << 20))


def _raise(_path: Path) -> None:
    raise ValueError("SECRET")


_FAULTS: dict[bytes, Callable[[Path], None]] = {
    b"SEGFAULT": _segfault,
    b"ABORTING": _abort,
    b"HANGING ": _hang,
    b"HOLDING ": _hang_and_hold,
    b"HANGONCE": _hang_once,
    b"DIE ONCE": _die_once,
    b"EATING  ": _eat,
    b"LEAKING ": _leak,
    b"RAISING ": _raise,
}


@dataclass(frozen=True)
class _Faulty:
    """A codec that does what another does, but for marked frames."""

    codec: Codec

    def __getattr__(self, name: str) -> object:
        return getattr(self.codec, name)

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Fail as the frame says."""
        fault = _FAULTS.get(bytes(data[:8]))
        if fault:
            fault(Path(bytes(data[8:]).split(b"\0")[0].decode()))
        return self.codec.decode(data, layout)


registry.decoder = lambda uid: _Faulty(_find(uid))  # type: ignore[assignment,return-value]

if __name__ == "__main__":
    program.main()
