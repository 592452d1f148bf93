"""A process of its own with a codec host, to measure what both hold of an instance of 200 large frames."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from farm.codecs import uids
from farm.dicom.syntaxes import EXPLICIT_LITTLE
from farm.frames.codec import Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout
from farm.frames.work import Job, Result, Work
from farm.host.host import Host, HostLimits

FRAMES = 200
LAYOUT = Layout(rows=2048, columns=1024)


def status(pid: int, *names: str) -> int:
    """Return the sum of figures of the kernel's on a process, in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(found) << 10 for name in names for found in re.findall(rf"{name}:\s+(\d+) kB", text))


def shared(pid: int) -> int:
    """Return the bytes of shared memory that a host's descriptors stand for."""
    links = [link for link in Path(f"/proc/{pid}/fd").iterdir() if "memfd" in str(link.readlink())]
    pieces = {one.st_ino: one.st_blocks * 512 for one in (link.stat() for link in links)}
    return sum(pieces.values())


def main() -> None:
    """Work one instance frame by frame, and print the peaks."""
    picture = np.random.default_rng(0).integers(0, 1 << 16, LAYOUT.shape, "u2")
    peaks = {"ours": 0, "shared": 0}

    def frames() -> Iterator[Frame]:
        for number in range(FRAMES):
            peaks["ours"] = max(peaks["ours"], status(os.getpid(), "RssAnon", "RssShmem"))
            peaks["shared"] = max(peaks["shared"], shared(host.pid or 0))
            picture[0, 0] = number
            yield picture.tobytes()

    options = Options(syntax=uids.ENCAPSULATED_UNCOMPRESSED)
    job = Job(source=EXPLICIT_LITTLE, layout=LAYOUT, count=FRAMES, options=options)
    with Host(HostLimits()) as host:
        host.run([Work(job=Job(source=EXPLICIT_LITTLE, layout=Layout(rows=1, columns=1)), frames=[b"\0\0"])])
        base = {"ours": status(os.getpid(), "RssAnon", "RssShmem"), "theirs": status(host.pid or 0, "VmHWM")}
        [result] = host.run([Work(job=job, frames=frames())])
        assert isinstance(result, Result)
        assert [int.from_bytes(stream[:2], "little") for stream in result.streams] == list(range(FRAMES))
        peaks["theirs"] = status(host.pid or 0, "VmHWM")
    print(json.dumps({"base": base, "peaks": peaks}))


if __name__ == "__main__":
    main()
