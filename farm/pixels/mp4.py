"""MP4 files without a film's metadata: what is not needed to find and decode pictures is blanked (ISO/IEC 14496-12).

Tables of a file tell at which byte each picture stands, so nothing may move. A box that is not in the list becomes free
space of zeros; in those that stay, times of making, names of handlers and compressors and places of other files become
zeros as well. The pictures themselves, in `mdat`, are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator

from farm.errors import BadInput, Reason

OPENS = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
_HOLDERS = frozenset(b"moov trak edts mdia minf dinf stbl mvex moof traf mfra".split())
_KEPT = _HOLDERS | frozenset(
    b"ftyp styp mdat mvhd tkhd elst mdhd hdlr vmhd smhd nmhd dref stsd stts ctts cslg stsc stsz stz2 stco co64 stss "
    b"stsh sdtp sbgp sgpd subs mehd trex mfhd tfhd tfdt trun saiz saio sidx tfra mfro tref".split()
)
_DATED = frozenset(b"mvhd tkhd mdhd".split())
_DEPTH = 8
_NAME = 24  # of a handler, behind its version, its kind and what is reserved
_COMPRESSOR = (50, 82)  # in a sample entry of pictures, behind its header
_ENTRIES = 8  # of a table of descriptions or references: behind version, flags and their number


def blanked(stream: bytes) -> bytes:
    """Return a file of the same length without a film's metadata; the same object where there is none.

    Raises `BadInput` where it is no sequence of boxes.
    """
    changed = bytearray(stream)
    _level(changed, 0, len(stream), 0)
    changed += b"\0" * (len(changed) % 2)
    return stream if changed == stream else bytes(changed)


def _level(data: bytearray, at: int, end: int, depth: int) -> None:
    """Blank what has to go among the boxes between two offsets, and in them."""
    if depth > _DEPTH:
        raise _bad()
    for kind, start, body, stop in _boxes(data, at, end):
        if kind in _HOLDERS:
            _level(data, body, stop, depth + 1)
        elif kind in _KEPT:
            _inside(data, kind, body, stop)
        else:
            data[start + 4 : start + 8] = b"free"
            _zero(data, body, stop)


def _boxes(data: bytearray, at: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield each box: its kind, where it, its content and what is behind it begin; zeros behind the last are none."""
    while at < end:
        size, header = int.from_bytes(data[at : at + 4], "big"), 8
        if end - at < header or not any(data[at : at + header]):
            _zero(data, at, end)
            return
        if size == 1:
            size, header = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        stop = at + size if size else end
        if stop < at + header or stop > end:
            raise _bad()
        yield bytes(data[at + 4 : at + 8]), at, at + header, stop
        at = stop


def _inside(data: bytearray, kind: bytes, body: int, stop: int) -> None:
    """Blank the times, names and places in a box that stays."""
    if kind in _DATED:
        _zero(data, body + 4, min(stop, body + (20 if data[body : body + 1] == b"\1" else 12)))
    elif kind == b"hdlr":
        _zero(data, body + _NAME, stop)
    elif kind == b"dref":
        for _, _, inner, behind in _boxes(data, min(body + _ENTRIES, stop), stop):
            _zero(data, inner + 4, behind)
    elif kind == b"stsd":
        for entry, start, inner, behind in _boxes(data, min(body + _ENTRIES, stop), stop):
            if entry[:2] in {b"av", b"hv", b"he", b"mp"} and entry != b"mp4a":
                _zero(data, start + _COMPRESSOR[0], min(behind, start + _COMPRESSOR[1]))
            del inner


def _zero(data: bytearray, start: int, end: int) -> None:
    """Write zeros between two offsets."""
    if start < end:
        data[start:end] = bytes(end - start)


def _bad() -> BadInput:
    return BadInput(Reason.BAD_STRUCTURE, "a video is in no stream that its transfer syntax allows")
