"""A codec host with a device, as the farm's process sees it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farm.frames.work import Result, WhyNot
from farm.host.host import Host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.errors import BadInput
    from farm.frames.work import Work

log = logging.getLogger(__name__)

WINDOW_BYTES = 256 << 20
"""Of frames that are handed over at a time: a device is fast when it has many."""


class DeviceHost(Host):
    """A codec host with a device; says once when the device does not do what it is there for, or does it wrong."""

    _said = _distrusted = False

    def run(self, works: Sequence[Work]) -> list[Result | BadInput]:
        """Carry out each work."""
        results = super().run(works)
        back = sum(isinstance(one, Result) and one.handed_back for one in results)
        if back and not self._said:
            self._said = True
            log.warning("the device handed %d of %d instances back: the processor did them", back, len(works))
        if not self._distrusted and any(isinstance(one, Result) and one.why_not is WhyNot.DIFFERS for one in results):
            self._distrusted = True
            log.warning("the device read a frame otherwise than the processor: it reads none that is coded so")
        return results
