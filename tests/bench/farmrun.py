"""`farm run` as people run it: the command, its embedded servers, its workers.

What starting costs (servers, a Celery worker, its imports) is measured by a run over one instance and subtracted, so
the figures are those of a long run. CPU time covers every process of the command: workers, scheduler, Postgres and
Valkey.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import Absent
from tests.bench.figures import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way to run the farm."""

    workers: int
    parcel: int

    @property
    def name(self) -> str:
        """Return what the table calls it."""
        return f"farm run, {self.workers} worker{'s' if self.workers > 1 else ''}, parcels of {self.parcel}"


SHAPES = tuple(Shape(workers=workers, parcel=parcel) for workers in (1, 2) for parcel in (64, 1))


class FarmCommand:
    """The `farm` of this environment with a home of its own for the time of the benchmark."""

    def __init__(self, scratch: Path) -> None:
        command = Path(sys.executable).with_name("farm")
        if not command.exists():
            raise Absent("the project is not installed in this environment (make setup)")
        self._command = command
        self._scratch = scratch
        self._home = Path(tempfile.mkdtemp(prefix="farm-bench-"))  # short: the servers' sockets lie below it
        self._home.chmod(0o711)  # as root the servers run as another user, who must get there

    def measure(self, shape: Shape, source: Path, single: Path) -> Sample:
        """Return what the instances below `source` cost beyond the one below `single`."""
        whole, start = self._run(shape, source), self._run(shape, single)
        return Sample(cpu=whole.cpu - start.cpu, wall=whole.wall - start.wall, count=whole.count - start.count)

    def warm_up(self, single: Path) -> None:
        """Make the data base and the keys, which happens once in a farm's life."""
        self._run(SHAPES[0], single)

    def close(self) -> None:
        """Remove the home."""
        shutil.rmtree(self._home)

    def _run(self, shape: Shape, source: Path) -> Sample:
        count = sum(len(names) for _, _, names in os.walk(source))
        settings = {
            "FARM_HOME": str(self._home),
            "FARM_WORKERS": str(shape.workers),
            "FARM_PARCEL_INSTANCES": str(shape.parcel),
        }
        with tempfile.TemporaryDirectory(dir=self._scratch) as target:
            cpu, wall = _children_cpu(), time.perf_counter()
            done = subprocess.run(
                [self._command, "run", source, Path(target) / "out", "--recipe", "basic"],
                check=False,
                capture_output=True,
                text=True,
                env={**os.environ, **settings},
            )
            sample = Sample(cpu=_children_cpu() - cpu, wall=time.perf_counter() - wall, count=count)
            written = len(list(Path(target).rglob("*.dcm")))
        if done.returncode or written < count:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise Absent(f"exit status {done.returncode}, {written} of {count} instances, said: {said}")
        return sample


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
