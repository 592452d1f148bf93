"""A codec host as the settings say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.host.device_host import WINDOW_BYTES, DeviceHost
from farm.host.host import Host
from farm.host.process import HostLimits

if TYPE_CHECKING:
    from farm.settings import Settings


def host_of(settings: Settings, threads: int = 0) -> Host:
    """Return a host that is not started; `threads` other than the settings' where it has an instance for itself."""
    device = int(settings.gpu_device) if settings.gpu_device else None
    limits = HostLimits(
        memory_bytes=settings.codec_memory_bytes,
        frame_seconds=settings.codec_seconds,
        frame_bytes=settings.frame_limit_bytes,
        device_bytes=settings.gpu_memory_bytes,
    )
    if device is not None:
        limits = replace(limits, window_bytes=WINDOW_BYTES)
    kind = Host if device is None else DeviceHost
    return kind(limits, threads=threads or settings.codec_threads, device=device)
