"""The heads of video streams: which container it is, what its sequence says of itself, and what need not be in it.

Only what has to be known before a library is let loose, or cannot be asked of it afterwards, is read here: the marks by
which containers begin, profile and level in the sequence header or parameter set (H.262 6.2.2, H.264 7.3.2.1, H.265
7.3.3), and the units that hold nothing but the encoder's name and options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from farm.codecs.video.syntaxes import Codec
from farm.frames.encapsulated import Frame

_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_START = b"\0\0\1"
_SEQUENCE, _EXTENSION = _START + b"\xb3", _START + b"\xb5"
SEQUENCE_ENDS = _START + b"\xb7"
_BARE = {"h264": "h264", "hevc": "hevc"}
_H264_SPS, _H264_SEI, _HEVC_SPS = 7, 6, 33
_USER_DATA = 5  # user_data_unregistered (H.264 D.1.7)
_WIDE = 3  # aspect_ratio_information of 16:9 (H.262 table 6-3)


def container(stream: Frame, codec: Codec) -> str:
    """Return libavformat's name of a stream's container; empty where it is none that a video comes in.

    A bare stream of H.264 or HEVC is not allowed (PS3.5 8.2.7), but it says all that is needed, and is read.
    """
    head = bytes(stream[:197])
    if head[4:8] in _BOXES:
        return "mov"
    if any(head[at : at + 1] == head[at + step : at + step + 1] == b"\x47" for at, step in ((0, 188), (4, 192))):
        return "mpegts"
    if head[:4] == _START + b"\xba" or (head[:3] == _START and head[3:4] in {bytes([n]) for n in range(0xE0, 0xF0)}):
        return "mpeg"
    if head[:4] == _SEQUENCE:
        return "mpegvideo"
    return _BARE.get(codec, "") if head[:3] == _START or head[:4] == b"\0" + _START else ""


def units(data: bytes) -> Iterator[bytes]:
    """Yield what stands between the start codes of a bare stream (H.264 annex B)."""
    parts = re.split(rb"\x00?\x00\x00\x01", data)
    return (part for part in parts if part)


def told(data: bytes, codec: Codec) -> tuple[int, int] | None:
    """Return the numbers of profile and level in the first sequence of a bare stream; None where it says none."""
    if codec == "mpeg2video":
        at = data.find(_EXTENSION)
        return (data[at + 4] & 7, data[at + 5] >> 4) if 0 <= at < len(data) - 5 and data[at + 4] >> 4 == 1 else None
    for unit in units(data):
        plain = unit.replace(b"\0\0\3", b"\0\0")
        if codec == "h264" and unit[0] & 31 == _H264_SPS and len(unit) > 3:
            return unit[1], unit[3]
        if codec == "hevc" and unit[0] >> 1 & 63 == _HEVC_SPS and len(plain) > 14:
            return plain[3] & 31, plain[14]
    return None


def anonymous(data: bytes) -> bytes:
    """Return an access unit of H.264 without the options that an encoder writes of itself; otherwise unchanged."""
    kept = [unit for unit in units(data) if not (unit[0] & 31 == _H264_SEI and unit[1:2] == bytes([_USER_DATA]))]
    return b"".join(b"\0\0\0\1" + unit for unit in kept)


def wide(data: bytes) -> bytes:
    """Return a picture of MPEG-2 whose sequence header says that it is displayed at 16:9 (PS3.5 8.2.6)."""
    changed = bytearray(data)
    at = data.find(_SEQUENCE)
    while at >= 0:
        changed[at + 7] = changed[at + 7] & 0x0F | _WIDE << 4
        at = data.find(_SEQUENCE, at + 4)
    return bytes(changed)
