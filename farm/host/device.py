"""A bench with a device: what the device does not do, or not rightly, the processor's codecs do in the same process.

The CUDA context is made in the codec host and nowhere else: a process that forks must not have one, and when a driver
ends its process, hangs or loses its device, it is the codec host that is started again. A device that does not open, or
is lost, leaves a bench of the processor; nothing fails for want of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from farm.codecs.nvbatch import Made
from farm.codecs.nvjpeg2000 import Device
from farm.codecs.nvlibrary import Absent
from farm.errors import place_of
from farm.frames.codec import Decoded
from farm.host.bench import Bench, Done, HostFault, Unit
from farm.transcoding.frames import Worked, digest


class DeviceBench:
    """Works units on a device, a batch at a time, and what it hands back on another bench."""

    def __init__(self, device: Device, other: Bench) -> None:
        """Take the device, and what does what it does not."""
        self._device, self._other = device, other

    def work(self, units: Sequence[Unit]) -> Iterator[Done]:
        """Yield what became of each unit, the device's first."""
        try:
            made = self._device.run([(unit.frame, unit.job) for unit in units])
        except Exception as error:  # noqa: BLE001 - our own fault; its text may carry a value
            fault = HostFault(place_of(error))
            yield from (Done(at=at, outcome=fault) for at in range(len(units)))
            return
        for at, one in enumerate(made):
            if one is not None:
                yield Done(at=at, outcome=_worked(one), codec=self._device.codec)
        left = [at for at, one in enumerate(made) if one is None]
        for done in self._other.work([units[at] for at in left]):
            unit = units[left[done.at]]
            yield replace(done, at=left[done.at], why_not=self._device.why_not(unit.frame, unit.job))


def with_device(index: int, memory_bytes: int, other: Bench) -> Bench:
    """Return a bench with a device, to use so much of its memory (0: half of it); the other one where it does not open.

    The device's small programs are compiled anew in each process: a folder to keep them in may not be there.
    """
    os.environ.setdefault("CUPY_CACHE_IN_MEMORY", "1")
    try:
        return DeviceBench(Device(index, memory_bytes), other)
    except Absent:
        return other


def _worked(made: Made) -> Worked:
    data = digest(made.samples) if isinstance(made, Decoded) else made.data
    return Worked(data=data, changes=made.changes)
