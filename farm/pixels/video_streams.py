"""Video streams without what they carry beside the pictures: user data, encoders' words, a film's metadata.

A video is one stream for all frames (PS3.5 8.2.5 to 8.2.11). What decodes is kept by an allow-list, and kept byte for
byte, so no sample can change:

* H.264 and HEVC (ITU-T H.264 annex B, H.265 annex B): parameter sets, slices and what bounds them stay, and of the
  supplemental messages those that tell how to show pictures; units with user data, or of kinds that nobody has defined,
  go. What stands in the unit that ends a sequence or a stream goes.
* MPEG-2 (H.262 6.2): headers, their extensions and slices stay; user data and what a copyright extension says go.

An MP4 file (ISO/IEC 14496-12), which PS3.5 8.2.7 asks for, counts its bytes, so there what goes is blanked where it
stands: boxes that are not needed become free space, and names and dates in others zeros. The pictures in it, and the
packets of transport and program streams, are not looked into: `Stripped.is_whole` tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from farm.errors import BadInput, Reason
from farm.pixels import mp4

Coding: TypeAlias = Literal["mpeg2", "avc", "hevc"]
_UID = "1.2.840.10008.1.2.4."
_NUMBERS: dict[Coding, tuple[int, ...]] = {"mpeg2": (100, 101), "avc": (102, 103, 104, 105, 106), "hevc": (107, 108)}
_CODINGS: dict[str, Coding] = {
    f"{_UID}{number}{variant}": coding
    for coding, numbers in _NUMBERS.items()
    for number in numbers
    for variant in ("", ".1")  # fragmentable
}

_START = re.compile(b"\0\0\1")
_PREFIX = 3
# H.264 table 7-1: slices, parameter sets, delimiters, and those of the extensions for layers and views.
_AVC_KEPT = frozenset({*range(1, 16), 19, 20, 21})
_AVC_SEI, _AVC_ENDS, _AVC_FILLER, _AVC_DELIMITER = frozenset({6}), frozenset({10, 11}), 12, 9
# H.265 table 7-1 without what is reserved or unspecified.
_HEVC_KEPT = frozenset({*range(10), *range(16, 22), *range(32, 41)})
_HEVC_SEI, _HEVC_ENDS, _HEVC_FILLER, _HEVC_DELIMITER = frozenset({39, 40}), frozenset({36, 37}), 38, 35
# Annexes D of both: times, recovery, packing of views, orientation, light, and hashes of the pictures.
_SEI_KEPT = frozenset({0, 1, 2, 6, 45, 47, 128, 129, 130, 131, 132, 136, 137, 144})
_SEI_MOST, _SEI_UNIT = 64, 4_096
# H.262 table 6-1: picture, slices, sequence header, extension, sequence end, group of pictures.
_MPEG2_KEPT = frozenset({0x00, *range(0x01, 0xB0), 0xB3, 0xB5, 0xB7, 0xB8})
_SEQUENCE = b"\xb3"  # with its header a stream begins
_EXTENSION, _EXTENSIONS = 0xB5, frozenset({1, 2, 3, 5, 7, 8, 9, 10})  # table 6-2, without copyright
_MPEG2_LENGTHS = {0xB7: 0, 0xB8: 4}
_SYSTEMS = re.compile(rb"\x00\x00\x01[\xba\xbb\xbd-\xef]")
_PACKETS = ((0, 188), (4, 192))  # where packets of a transport stream begin, and how long each is


class Stripped(NamedTuple):
    """A stream without what does not belong to its pictures; whether all of it could be looked into."""

    stream: bytes
    is_whole: bool


def coding_of(syntax: str) -> Coding | None:
    """Return the coding of a transfer syntax of video; None: it is none."""
    return _CODINGS.get(syntax)


def stripped(stream: bytes, coding: Coding) -> Stripped:
    """Return a stream without what is not needed to decode it, at even length.

    The same object comes back where nothing had to go. Raises `BadInput` where it is no stream in which a video comes.
    """
    if stream[4:8] in mp4.OPENS:
        return Stripped(mp4.blanked(stream), is_whole=False)
    if _SYSTEMS.match(stream) or _is_packets(stream):
        return Stripped(stream, is_whole=False)
    first = _START.search(stream)
    begins = first is not None and not any(stream[: first.start()])
    if first is None or not begins or (coding == "mpeg2" and stream[first.end() : first.end() + 1] != _SEQUENCE):
        raise BadInput(Reason.BAD_STRUCTURE, "a video is in no stream that its transfer syntax allows")
    kept = _KEPT[coding]
    parts: list[bytes] = []
    run = 0
    for start, end in _units(stream, first.start()):
        body = stream[start + _PREFIX : end].rstrip(b"\0")
        length = kept(body)
        if length < len(body):
            parts.append(stream[run : start + _PREFIX + length if length else start])
            run = end if not length else start + _PREFIX + len(body)
    if not parts and len(stream) % 2 == 0:
        return Stripped(stream, is_whole=True)
    new = b"".join([*parts, stream[run:]])
    if not _START.search(new):
        raise BadInput(Reason.BAD_STRUCTURE, "a video has nothing that belongs to pictures")
    return Stripped(new + b"\0" * (len(new) % 2), is_whole=True)


def _is_packets(stream: bytes) -> bool:
    """Tell whether a stream is made of the packets of a transport stream (ISO/IEC 13818-1, 2.4.3.2)."""
    marks = (stream[first : first + 4 * step : step] for first, step in _PACKETS)
    return any(len(found) > 1 and not found.strip(b"\x47") for found in marks)


def _units(stream: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield where each start code stands, and where the next one or the stream's end does."""
    starts = (found.start() for found in _START.finditer(stream, at))
    last = next(starts)
    for start in starts:
        yield last, start
        last = start
    yield last, len(stream)


def _mpeg2(body: bytes) -> int:
    """Return how many bytes behind a start code's prefix are kept; 0: none, the prefix goes too."""
    code = body[0] if body else 0  # a picture's code is 0, and taken for padding where nothing follows
    if code not in _MPEG2_KEPT or (code == _EXTENSION and (len(body) < 2 or body[1] >> 4 not in _EXTENSIONS)):
        return 0
    return min(len(body), 1 + _MPEG2_LENGTHS[code]) if code in _MPEG2_LENGTHS else len(body)


def _avc(body: bytes) -> int:
    """Return how many bytes of a unit of H.264 are kept."""
    kind = body[0] & 31 if body else 0
    if kind in _AVC_ENDS:
        return 1
    filling = kind == _AVC_FILLER and body[1:].strip(b"\xff") not in {b"", b"\x80"}
    told = kind == _AVC_DELIMITER and len(body) > 2
    return len(body) if kind in _AVC_KEPT and not filling and not told and _shows(body, 1, kind in _AVC_SEI) else 0


def _hevc(body: bytes) -> int:
    """Return how many bytes of a unit of HEVC are kept."""
    kind = body[0] >> 1 & 63 if body else 63
    if kind in _HEVC_ENDS:
        return 2
    filling = kind == _HEVC_FILLER and body[2:].strip(b"\xff") not in {b"", b"\x80"}
    told = kind == _HEVC_DELIMITER and len(body) > 3
    return len(body) if kind in _HEVC_KEPT and not filling and not told and _shows(body, 2, kind in _HEVC_SEI) else 0


def _shows(body: bytes, header: int, is_sei: bool) -> bool:  # noqa: FBT001 - the last of three
    """Tell whether a unit is no supplemental message, or holds only those that tell how to show pictures (7.3.2.3)."""
    if not is_sei:
        return True
    plain, at = body[header : header + _SEI_UNIT].replace(b"\0\0\3", b"\0\0"), 0  # without emulation prevention
    while plain[at:].rstrip(b"\0") != b"\x80":
        kind, at = _number(plain, at)
        size, at = _number(plain, at)
        if kind not in _SEI_KEPT or size > _SEI_MOST or at + size >= len(plain):
            return False
        at += size
    return at > 0


def _number(plain: bytes, at: int) -> tuple[int, int]:
    """Return a payload's type or size, and where it ends: bytes of 255, then one less than that."""
    start = at
    while plain[at : at + 1] == b"\xff":
        at += 1
    return 255 * (at - start) + (plain[at] if at < len(plain) else 0), at + 1


_KEPT: dict[Coding, Callable[[bytes], int]] = {"mpeg2": _mpeg2, "avc": _avc, "hevc": _hevc}
