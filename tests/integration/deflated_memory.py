"""A process of its own in which commands may take only so much memory more than it has, whatever they are given."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

# What commands import is taken before, so that it does not count.
from farm.cli import deid, main, transcode

_LOADED = (deid, transcode)


def main_within(most: int, commands: str) -> int:
    """Carry commands out, one a line, in so many bytes; return the first exit status that is not 0."""
    found = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    taken = int(found[1]) << 10 if found else 0
    resource.setrlimit(resource.RLIMIT_DATA, (taken + most, resource.RLIM_INFINITY))
    return next((ended for line in commands.splitlines() if (ended := main.status(line.split("\t")))), 0)


if __name__ == "__main__":
    sys.exit(main_within(int(sys.argv[1]), sys.argv[2]))
