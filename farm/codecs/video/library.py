"""PyAV, which brings FFmpeg: an optional library, because its wheel carries x264 and x265 under the GPL.

It is silenced as it is loaded: what it says could hold what it read. Colours are converted by the constants of ITU-R
BT.601 with luminance from 16 to 235, which is what YBR_PARTIAL_420 means (PS3.3 C.7.6.3.1.2), rounded and not
approximated: RGB comes back to within one step where neighbours have the same colour.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from farm.errors import BadInput, Reason

NAME = "PyAV"
ABSENT = "video needs PyAV: pip install dicom-farm[video]"


@cache
def found() -> bool:
    """Tell whether the library is installed and can be loaded."""
    try:
        load()
    except BadInput:
        return False
    return True


def load() -> ModuleType:
    """Return the library; raise `BadInput` where it is not installed."""
    try:
        import av  # noqa: PLC0415 - optional
        import av.logging  # noqa: PLC0415 - optional
        import av.video.reformatter  # noqa: PLC0415 - optional
    except ImportError:
        raise BadInput(Reason.CODEC_ABSENT, ABSENT) from None
    av.logging.set_level(None)
    return av


def version() -> str:
    """Return the library's version; empty where it is not installed."""
    return str(load().__version__) if found() else ""
