"""Which devices there are: `python -m workers.devices` prints them as a line of JSON.

CUDA must not be touched in a process that forks: what was set up before does not work after, in neither of the two. So
nobody here ever loads it. Who wants to know of devices asks this program, a process of its own; and the work is done in
the codec host (`farm.host`), one more, which each process that works has anyway. A worker of a device is therefore an
ordinary Celery worker with one process, with its time limits and its kills, and needs no other way to start processes:
the CUDA context lives and dies with the codec host.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from farm.codecs.nvlibrary import Absent, devices


def main() -> None:
    """Print the devices that open, or why there are none; what libraries print stands before."""
    try:
        told: dict[str, object] = {"devices": [asdict(found) for found in devices()], "why_not": ""}
    except Absent as absent:
        told = {"devices": [], "why_not": str(absent)}
    sys.stdout.write(f"\n{json.dumps(told)}\n")


if __name__ == "__main__":
    main()
