"""Tells how often two threads that encode the first frames of a process in HTJ2K spoil them: `python -m ... TIMES`.

A library that builds its tables when they are first wanted does so once in a process, so each trial has one of its own.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from farm.codecs import htj2k, uids
from tests.suites.codec_suite import layout_of, picture, round_trip

LAYOUT = layout_of(12, (48, 64), "MONOCHROME2")
_SPOILT = 3


def main() -> None:
    """Print how many trials of so many went wrong."""
    print(sum(_spoils() for _ in range(int(sys.argv[1]))))


def _spoils() -> bool:
    """Tell whether the frames of a fresh process do not come back; what the library prints of them is nobody's."""
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        status = _SPOILT
        try:
            status = 0 if _trial() else _SPOILT
        finally:
            os._exit(status)
    return os.waitpid(pid, 0)[1] != 0


def _trial() -> bool:
    together = Barrier(2)

    def back(seed: int) -> bool:
        frame = picture(LAYOUT, seed)
        together.wait()
        return bool((round_trip(uids.HTJ2K_LOSSLESS, frame, LAYOUT)[1].samples == frame).all())

    with ThreadPoolExecutor(2) as pool:
        return all(pool.map(back, range(2)))


if __name__ == "__main__":
    _ = htj2k.CODEC.version  # the library is loaded
    main()
