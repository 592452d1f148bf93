"""A codec host that answers its first window with what the frames hold, byte for byte, and then says no more.

It asks for the first frame of a video. Its output memory holds the numbers 0 to 255 sixteen times over.
"""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress

MADE = bytes(range(256)) * 16


def framed(said: bytes) -> bytes:
    """Return a message behind its length."""
    return len(said).to_bytes(4, "big") + said


def main() -> None:
    """Serve one window."""
    control, _, given, made = map(int, sys.argv[1:5])
    os.pwrite(made, MADE, 0)
    with socket.socket(fileno=control) as end:
        end.sendall(framed(b'"ready"'))
        if b'"video"' in end.recv(1 << 16):
            end.sendall(framed(b'"ask"'))
            end.recv(1 << 16)
        with suppress(OSError):  # it is not listened to
            end.sendall(os.pread(given, os.fstat(given).st_size, 0))
            end.shutdown(socket.SHUT_WR)
        while end.recv(1 << 16):
            pass


if __name__ == "__main__":
    main()
