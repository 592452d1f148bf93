"""Which devices this machine has, asked of a process of its own (see `workers.devices`)."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

log = logging.getLogger(__name__)

_PROGRAM = "workers.devices"
_SECONDS = 120.0
"""A driver takes its time to wake up many devices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device that nvJPEG2000 opens."""

    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The devices there are; where there are none, why, in one line."""

    found: tuple[Device, ...] = ()
    why_not: str = ""


def look(program: str = _PROGRAM) -> Devices:
    """Return the devices of this machine; it takes seconds where the libraries are installed, and else no time."""
    if find_spec("cupy") is None:
        return Devices(why_not="CuPy is not installed: pip install 'dicom-farm[gpu]'")
    command = [sys.executable, "-P", "-m", program]
    try:
        answer = subprocess.run(  # noqa: S603 - our own program
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=True
        )
        told = json.loads(answer.stdout.splitlines()[-1])
        return Devices(found=tuple(Device(**one) for one in told["devices"]), why_not=told["why_not"])
    except subprocess.TimeoutExpired:
        return Devices(why_not="the driver does not answer")
    except (subprocess.CalledProcessError, OSError, ValueError, IndexError, KeyError, TypeError):
        return Devices(why_not="the look for devices failed: a driver may have ended it")
