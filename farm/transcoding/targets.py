"""The transfer syntaxes that outputs may be asked for, by the names that recipes and `farm transcode --to` use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from farm.dicom import syntaxes
from farm.frames.codec import Options

_UID = "1.2.840.10008.1.2."
KEEP, EXPLICIT = "keep", "explicit"
"""Leave the transfer syntax; leave it, but write implicit VR data sets with explicit VRs."""

TARGETS: Mapping[str, str] = MappingProxyType(
    {
        "native": syntaxes.EXPLICIT_LITTLE,
        "deflated": syntaxes.DEFLATED_LITTLE,
        "encapsulated": _UID + "1.98",
        "deflated-frames": _UID + "8.1",
        "rle": _UID + "5",
        "jpeg-baseline": _UID + "4.50",
        "jpeg-extended": _UID + "4.51",
        "jpeg-lossless": _UID + "4.57",
        "jpeg-lossless-sv1": _UID + "4.70",
        "jpeg-ls-lossless": _UID + "4.80",
        "jpeg-ls-near": _UID + "4.81",
        "j2k-lossless": _UID + "4.90",
        "j2k": _UID + "4.91",
        "htj2k-lossless": _UID + "4.201",
        "htj2k-lossless-rpcl": _UID + "4.202",
        "htj2k": _UID + "4.203",
        "jpeg-xl-lossless": _UID + "4.110",
        "jpeg-xl-jpeg": _UID + "4.111",
        "jpeg-xl": _UID + "4.112",
        "mpeg2-main": _UID + "4.100",
        "mpeg2-high": _UID + "4.101",
        "h264-4.1": _UID + "4.102",
        "h264-4.1-bd": _UID + "4.103",
        "h264-4.2": _UID + "4.104",
        "hevc-main": _UID + "4.107",
        "hevc-main-10": _UID + "4.108",
    }
)
"""The transfer syntax of each name, in the order in which they are shown."""
NAMES: Mapping[str, str] = MappingProxyType({uid: name for name, uid in TARGETS.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an output's pixels are to be: the transfer syntax, how to get there, and what may be done on the way.

    `syntax` is a UID; empty: the one that the instance has. `again`: what was lossy already may be coded lossily again.
    `refuse`: an instance that cannot be had in the syntax is `BadInput`; else it stays in its own. `prove`: what was
    encoded is decoded again.
    """

    syntax: str = ""
    options: Options = field(default_factory=lambda: Options(syntax=""))
    again: bool = False
    refuse: bool = False
    prove: bool = True
