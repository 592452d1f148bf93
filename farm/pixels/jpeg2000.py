"""JPEG 2000 and HTJ2K without what is not needed to decode them (ITU-T T.800 annex A, T.814, T.801).

Segments of the main header are cut. Those in a tile-part's header are blanked instead, because Psot, TLM and PLT count
its bytes. Lists of where parts are (TLM, PLT) help readers, and stay where they are true; those of packets in the main
header (PLM), places of components (CRG) and profiles (CPF) tell nothing that decodes. Segments of the extensions stay
where the stream says that it uses them. A JP2 file (annex I) yields its code stream: a bare one is what PS3.5 A.4.4
asks for.
"""

from __future__ import annotations

from collections.abc import Iterator

from farm.pixels.segments import bad, behind, boxes, joined, written

_KEPT = frozenset({0x50, 0x51, 0x52, 0x53, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61})  # tables A.2 and, for CAP, T.814
_EXTENDED = frozenset(range(0x70, 0x7A))  # T.801
_EXTENSIONS = 0x80  # in the first byte of Rsiz
_CAP, _SIZ, _COD, _TLM, _PLT, _COM = 0x50, 0x51, 0x52, 0x55, 0x58, 0x64
_MAGIC = b"\xff\x4f\xff\x51"
_JP2_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
_TILE, _DATA, _ENDS = b"\xff\x90", b"\xff\x93", b"\xff\xd9"


def stripped(frame: bytes) -> bytes:
    """Cut the main header's other segments, blank the tile-parts', end at EOC; a JP2 file gives its code stream."""
    if frame[:12] == _JP2_MAGIC:
        frame = _code_stream(frame)
    if frame[:4] != _MAGIC:
        raise bad()
    kept = _KEPT | (_EXTENDED if len(frame) > 6 and frame[6] & _EXTENSIONS else frozenset())
    parts: list[bytes] = []
    run = 0
    header = list(_header(frame, 2, _TILE))
    tiles = list(_tile_parts(frame, header[-1][2] if header else 2))
    are_true = _lists(frame, header) == [(number, end - start) for number, start, end in tiles]
    for marker, start, end in header:
        body = frame[start + 4 : end]
        if marker in kept:
            new = written(marker, body[: _length(marker, body)])
        else:
            new = frame[start:end] if marker == _TLM and are_true else b""
        if new != frame[start:end]:
            parts += (frame[run:start], new)
            run = end
    at = header[-1][2] if header else 2
    for _, start, at in tiles:
        for first, blank in _blanked(frame, start, at, kept):
            parts += (frame[run:first], blank)
            run = first + len(blank)
    if frame[at : at + 2] == _ENDS:
        at += 2
    elif any(frame[at:]):
        raise bad()
    return joined(frame, parts, run, at)


def _header(frame: bytes, at: int, ends: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the segments of a header up to a marker: each one's marker, where it starts, and where it ends."""
    while frame[at : at + 2] != ends:
        start, at = at, behind(frame, at)
        if frame[start] != 0xFF:
            raise bad()
        yield frame[start + 1], start, at


def _tile_parts(frame: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Yield the tile-parts: the number of each one's tile, where it starts, and where it ends (A.4.2)."""
    while frame[at : at + 2] == _TILE:
        start, at = at, _tile_part_end(frame, at)
        yield int.from_bytes(frame[start + 4 : start + 6], "big"), start, at


def _tile_part_end(frame: bytes, at: int) -> int:
    """Return where a tile-part ends: by Psot, or at EOC where it is the last and does not say."""
    length = int.from_bytes(frame[at + 6 : at + 10], "big")
    if length == 0:
        found = frame.find(_ENDS, at)
        return found if found >= 0 else len(frame)
    if length < 14:
        raise bad()
    return min(at + length, len(frame))


def _length(marker: int, body: bytes) -> int:
    """Return how many bytes of a segment of the main header define something."""
    if marker == _SIZ:
        return 36 + 3 * int.from_bytes(body[34:36], "big")
    if marker == _CAP:
        return 4 + 2 * int.from_bytes(body[:4], "big").bit_count()
    if marker == _COD and len(body) >= 10:
        return 10 + (body[5] + 1) * (body[0] & 1)
    return len(body)


def _lists(frame: bytes, header: list[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Return what the lists of tile-parts say, the tile's number and a length (A.7.1); empty where that is nothing."""
    segments = sorted(
        (frame[start + 4 : start + 5], frame[start + 5 : end]) for mark, start, end in header if mark == _TLM
    )
    found: list[tuple[int, int]] = []
    for _, body in segments:
        number, length = body[0] >> 4 & 3 if body else 0, 4 if body[:1] and body[0] & 0x40 else 2
        if (len(body) - 1) % (number + length):
            return []
        for at in range(1, len(body), number + length):
            tile = int.from_bytes(body[at : at + number], "big") if number else len(found)
            found.append((tile, int.from_bytes(body[at + number : at + number + length], "big")))
    return found


def _blanked(frame: bytes, start: int, end: int, kept: frozenset[int]) -> Iterator[tuple[int, bytes]]:
    """Yield what takes the place of what is not needed in a tile-part's header: where it starts, and its bytes.

    Of a comment it is the text, of other segments all but the length; a list of packets becomes an empty comment.
    """
    segments = list(_header(frame, behind(frame, start), _DATA))
    data = (segments[-1][2] if segments else behind(frame, start)) + 2
    listed = b"".join(frame[first + 5 : stop] for marker, first, stop in segments if marker == _PLT)
    is_true = _sum(listed) == end - data
    for marker, first, stop in segments:
        if marker == _PLT:
            if not is_true:
                yield first, bytes((0xFF, _COM)) + frame[first + 2 : first + 4] + bytes(stop - first - 4)
        elif marker not in kept and any(frame[first + 4 : stop]):
            yield first + 4, bytes(stop - first - 4)


def _sum(listed: bytes) -> int:
    """Return what lengths of packets add up to, each in groups of seven bits (A.7.3)."""
    total = number = 0
    for one in listed:
        number = number << 7 | one & 0x7F
        if one < 0x80:
            total, number = total + number, 0
        elif number >> 32:
            return -1
    return total


def _code_stream(frame: bytes) -> bytes:
    """Return the code stream of a JP2 file; one with a palette cannot do without its boxes."""
    found = dict(boxes(frame))
    if b"jp2c" not in found or b"pclr" in found.get(b"jp2h", b""):
        raise bad()
    return found[b"jp2c"]
