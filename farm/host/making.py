"""A codec host, and limits for what is read, as the settings say."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from farm.dicom.part10 import Limits
from farm.host.device_host import WINDOW_BYTES, DeviceHost
from farm.host.host import Host
from farm.host.pile import joined
from farm.host.process import HostLimits

if TYPE_CHECKING:
    from farm.settings import Settings


def limits_of(settings: Settings) -> Limits:
    """Return how far a data set may inflate, where it lies then, and how large a frame may be."""
    return Limits(
        inflated_bytes=settings.inflate_limit_bytes,
        inflated_ratio=settings.inflate_ratio,
        frame_bytes=settings.frame_limit_bytes,
        joined=partial(joined, spill_of(settings)),
    )


def spill_of(settings: Settings) -> str | None:
    """Return where files without a name may lie; None: where the system keeps such, as the home is not this user's.

    That is often memory again, or too small; so the folder is the settings', and is made here. A folder that was named
    is never given up for another: what is wrong with it shows when something has to lie there.
    """
    folder = Path(settings.spill_dir or settings.home / "spill")
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
    return str(folder) if settings.spill_dir or os.access(folder, os.W_OK | os.X_OK) else None


def host_of(settings: Settings, threads: int = 0) -> Host:
    """Return a host that is not started; `threads` other than the settings' where it has an instance for itself."""
    device = int(settings.gpu_device) if settings.gpu_device else None
    limits = HostLimits(
        memory_bytes=settings.codec_memory_bytes,
        frame_seconds=settings.codec_seconds,
        frame_bytes=settings.frame_limit_bytes,
        device_bytes=settings.gpu_memory_bytes,
        spill_dir=spill_of(settings),
    )
    if device is not None:
        limits = replace(limits, window_bytes=WINDOW_BYTES)
    kind = Host if device is None else DeviceHost
    return kind(limits, threads=threads or settings.codec_threads, device=device)
