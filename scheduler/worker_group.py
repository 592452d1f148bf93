"""The workers of one machine: one for the processor, and one for each device that there is.

The first has to run, or there is no farm. A worker of a device that does not is given up: what would have gone to it
goes to the processor, as it does everywhere without a device.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import Unavailable
from scheduler.devices import look
from scheduler.routing import AUTO, GPU
from scheduler.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.settings import Settings
    from scheduler.devices import Devices

log = logging.getLogger(__name__)


class WorkerGroup:
    """Workers that are started together, and again when they die."""

    def __init__(self, settings: Settings, *, events: bool = False, looking: Callable[[], Devices] = look) -> None:
        self._settings = settings
        self._events = events
        self._looking = looking
        self._worker = WorkerProcess(settings, events=events)
        self._of_devices: list[WorkerProcess] | None = None

    def ensure(self) -> None:
        """Start what does not run; raise `Unavailable` (server-failed) if the processor's worker keeps dying."""
        self._worker.ensure()
        if self._of_devices is None:
            self._of_devices = self._found()
        for worker in list(self._of_devices):
            try:
                worker.ensure()
            except Unavailable:
                log.warning("a device's worker does not start: the processor does its work")
                self._of_devices.remove(worker)

    def stop(self) -> None:
        """End all of them at a time: each finishes the parcels in hand, if that does not take too long."""
        workers = [self._worker, *(self._of_devices or ())]
        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(WorkerProcess.stop, workers))

    def _found(self) -> list[WorkerProcess]:
        if self._settings.gpu != AUTO:
            return []
        devices = self._looking()
        if not devices.found:
            log.debug("no worker for a device: %s", devices.why_not)
        return [self._of_device(device.index, device.name) for device in devices.found]

    def _of_device(self, index: int, name: str) -> WorkerProcess:
        log.info("device %d (%s) gets a worker", index, name)
        settings = replace(self._settings, workers=1, gpu_device=str(index))
        return WorkerProcess(settings, queues=(GPU,), events=self._events, name=f"-gpu{index}")
