"""Compressed frames without what their streams carry beside the samples: EXIF, JUMBF, comments, boxes, trailing bytes.

A codec's stream is a small file of its own. A camera writes its owner into APP1, an editor its user into APP11, a tool
its command line into COM; the profile sees none of it, because to DICOM the stream is one value (PS3.5 A.4). Nothing of
it is needed: what a decoder wants are the segments that define the coding, so those are kept by an allow-list, and the
entropy-coded data are handed on byte for byte. No sample can change.

* JPEG and JPEG-LS (ITU-T T.81 B.1, T.87 C.1): segments between SOI and EOI, between scans too. Of the application data
  three tell how to read colours and are written anew: JFIF (APP0), Adobe (APP14) and the colour transform of JPEG-LS
  (APP8 `mrfx`). What stands behind EOI goes.
* JPEG 2000 and HTJ2K (T.800 annex A): segments of the main header are cut; those in a tile-part's header are blanked
  instead, because Psot, TLM and PLT count its bytes. A JP2 file (annex I) yields its code stream: a bare one is what
  PS3.5 A.4.4 asks for.
* JPEG XL (ISO/IEC 18181-2): a bare code stream has no such place; of a container the boxes of the code stream stay.
* RLE (PS3.5 G.5): the header's offsets of segments that are not there have to be zero, and are made so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias

from farm.errors import BadInput, Reason

Family: TypeAlias = Literal["jpeg", "jpeg-ls", "j2k", "jxl", "rle"]
_UID = "1.2.840.10008.1.2.4."
_FAMILIES: dict[str, Family] = {
    "1.2.840.10008.1.2.5": "rle",
    **dict.fromkeys((f"{_UID}{n}" for n in (*range(50, 67), 70)), "jpeg"),
    **dict.fromkeys((f"{_UID}{n}" for n in (80, 81)), "jpeg-ls"),
    **dict.fromkeys((f"{_UID}{n}" for n in (90, 91, 92, 93, 201, 202, 203)), "j2k"),
    **dict.fromkeys((f"{_UID}{n}" for n in (110, 111, 112)), "jxl"),
}

# T.81 table B.1 and T.87 C.1.1: frames, tables, lines, restart interval, hierarchy, scan; F7 and F8 are JPEG-LS.
_EOI, _SOS = 0xD9, 0xDA
_JPEG_KEPT = frozenset({*range(0xC0, 0xC8), *range(0xC9, 0xD0), *range(0xDA, 0xE0), 0xF7, 0xF8})
# Within a scan FF is followed by a stuffed bit or byte (< 80) or a restart (D0 to D7): anything else ends it.
_SCAN_END = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0"
_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"  # and the transform, one byte
_MRFX = b"\xff\xe8\0\7mrfx"  # likewise

# T.800 table A.2 with T.814 (CAP, CPF) and T.801's extensions (70 to 79): all that tells how to decode.
_J2K_KEPT = frozenset({*range(0x50, 0x60), 0x60, 0x61, 0x63, *range(0x70, 0x7A)})
_J2K_MAGIC = b"\xff\x4f\xff\x51"
_JP2_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
_JXL_MAGIC = b"\0\0\0\x0cJXL \r\n\x87\n"
_JXL_KEPT = frozenset({b"JXL ", b"ftyp", b"jxll", b"jxli", b"jxlc", b"jxlp"})


class _Segment(NamedTuple):
    """A marker segment: its marker's second byte, where it starts, and where it ends."""

    marker: int
    start: int
    end: int


def family_of(syntax: str) -> Family | None:
    """Return the family of a transfer syntax whose frames can be stripped; None: there is nothing to strip by."""
    return _FAMILIES.get(syntax)


def stripped(frame: bytes, family: Family) -> bytes:
    """Return one whole compressed frame without what is not needed to decode it, at even length.

    The same object comes back where nothing had to go. Raises `BadInput` where the frame is not a stream of its family.
    """
    return _STRIPPERS[family](frame)


def _bad() -> BadInput:
    return BadInput(Reason.BAD_STRUCTURE, "a frame is not the stream that its transfer syntax says")


def _behind(frame: bytes, at: int) -> int:
    """Return where the segment whose marker stands at an offset ends, by its length."""
    length = int.from_bytes(frame[at + 2 : at + 4], "big")
    behind = at + 2 + length
    if length < 2 or behind > len(frame):
        raise _bad()
    return behind


def _joined(frame: bytes, parts: list[bytes], run: int, end: int) -> bytes:
    """Return the parts and what is left of the run at even length, or the frame itself where nothing changed."""
    if not parts and frame[end:] in {b"", b"\0"} and len(frame) % 2 == 0:
        return frame
    new = b"".join([*parts, frame[run:end]])
    return new + b"\0" * (len(new) % 2)


# JPEG and JPEG-LS.


def _jpeg(frame: bytes) -> bytes:
    """Copy the runs of a stream that are kept; a stream of nothing else is handed back."""
    if frame[:2] != b"\xff\xd8":
        raise _bad()
    parts: list[bytes] = []
    run, end = 0, len(frame)
    for segment in _jpeg_segments(frame):
        if segment.marker == _EOI:
            end = segment.end
        elif segment.marker not in _JPEG_KEPT:
            new = _colours(segment.marker, frame[segment.start + 4 : segment.end])
            if new != frame[segment.start : segment.end]:
                parts += (frame[run : segment.start], new)
                run = segment.end
    return _joined(frame, parts, run, end)


def _jpeg_segments(frame: bytes) -> Iterator[_Segment]:
    """Yield the segments behind SOI, a scan's data with its SOS; EOI is the last one, and may be missing."""
    at = 2
    while at < len(frame):
        start = at
        if frame[at] != 0xFF or at + 1 >= len(frame):
            raise _bad()
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte (T.81 B.1.1.2)
            at += 1
            continue
        if marker == _EOI:
            yield _Segment(marker, start, at + 2)
            return
        at = _behind(frame, at)
        if marker == _SOS:
            found = _SCAN_END.search(frame, at)
            at = found.start() if found else len(frame)
        yield _Segment(marker, start, at)


def _colours(marker: int, body: bytes) -> bytes:
    """Return what stands in place of a segment: what it tells of colours, else nothing."""
    if marker == 0xE0 and body[:5] == b"JFIF\0":
        return _JFIF
    if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
        return _ADOBE + body[11:12]
    if marker == 0xE8 and body[:4] == b"mrfx" and len(body) == 5:
        return _MRFX + body[4:]
    return b""


# JPEG 2000 and HTJ2K.


def _j2k(frame: bytes) -> bytes:
    """Cut the main header's other segments, blank the tile-parts', end at EOC; a JP2 file gives its code stream."""
    if frame[:12] == _JP2_MAGIC:
        frame = _code_stream(frame)
    if frame[:4] != _J2K_MAGIC:
        raise _bad()
    parts: list[bytes] = []
    run, at = 0, 2
    while frame[at : at + 2] != b"\xff\x90":
        start, at = at, _behind(frame, at)
        if frame[start] != 0xFF:
            raise _bad()
        if frame[start + 1] not in _J2K_KEPT:
            parts.append(frame[run:start])
            run = at
    while frame[at : at + 2] == b"\xff\x90":
        for start, end in _not_needed(frame, at):
            parts += (frame[run:start], bytes(end - start))
            run = end
        at = _tile_part_end(frame, at)
    if frame[at : at + 2] == b"\xff\xd9":
        at += 2
    elif any(frame[at:]):
        raise _bad()
    return _joined(frame, parts, run, at)


def _tile_part_end(frame: bytes, at: int) -> int:
    """Return where a tile-part ends: by Psot, or at EOC where it is the last and does not say (T.800 A.4.2)."""
    length = int.from_bytes(frame[at + 6 : at + 10], "big")
    if length == 0:
        found = frame.find(b"\xff\xd9", at)
        return found if found >= 0 else len(frame)
    if length < 14:
        raise _bad()
    return min(at + length, len(frame))


def _not_needed(frame: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Yield what to blank in a tile-part's header: a comment's text, and all but the length of unknown segments."""
    at = _behind(frame, at)
    while frame[at : at + 2] != b"\xff\x93":
        start, at = at, _behind(frame, at)
        if frame[start] != 0xFF:
            raise _bad()
        if frame[start + 1] not in _J2K_KEPT and any(frame[start + 4 : at]):
            yield start + 4, at


def _code_stream(frame: bytes) -> bytes:
    """Return the code stream of a JP2 file; one with a palette cannot do without its boxes."""
    found = dict(_boxes(frame))
    if b"jp2c" not in found or b"pclr" in found.get(b"jp2h", b""):
        raise _bad()
    return found[b"jp2c"]


# JPEG XL.


def _jxl(frame: bytes) -> bytes:
    """Keep the boxes of the code stream; a bare code stream is handed back."""
    if frame[:2] == b"\xff\x0a":
        return _joined(frame, [], 0, len(frame))
    if frame[:12] != _JXL_MAGIC:
        raise _bad()
    boxes = list(_boxes(frame))
    if all(kind in _JXL_KEPT for kind, _ in boxes):
        return _joined(frame, [], 0, len(frame))
    parts = [(len(body) + 8).to_bytes(4, "big") + kind + body for kind, body in boxes if kind in _JXL_KEPT]
    return _joined(frame, parts, len(frame), len(frame))


def _boxes(frame: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes of a file by type and content (T.800 I.4); what pads the frame is none."""
    at = 0
    while at + 8 <= len(frame):
        length, kind, size = int.from_bytes(frame[at : at + 4], "big"), frame[at + 4 : at + 8], 8
        if length == 1:
            length, size = int.from_bytes(frame[at + 8 : at + 16], "big"), 16
        end = at + length if length else len(frame)
        if end < at + size or end > len(frame):
            raise _bad()
        yield kind, frame[at + size : end]
        at = end


# RLE.


def _rle(frame: bytes) -> bytes:
    """Zero the offsets behind those that the header counts."""
    used = 4 + 4 * int.from_bytes(frame[:4], "little")
    if len(frame) < 64 or used > 64:
        raise _bad()
    if not any(frame[used:64]):
        return _joined(frame, [], 0, len(frame))
    return _joined(frame, [frame[:used], bytes(64 - used)], 64, len(frame))


_STRIPPERS: dict[Family, Callable[[bytes], bytes]] = {
    "jpeg": _jpeg,
    "jpeg-ls": _jpeg,
    "j2k": _j2k,
    "jxl": _jxl,
    "rle": _rle,
}
