"""The main header of a JPEG 2000 code stream, as far as a device must be judged by it (T.800 annex A, T.814 A.3).

What a device wrote is held against what it was asked for, and what it is to read against what it can. HTJ2K with RPCL
options (PS3.5 A.4.14) wants progression by resolution, the lengths of all tile-parts in TLM segments, and a lowest
resolution with sides of at most 64. nvJPEG2000 cannot be asked for TLM; it stands in the SOT segments what it says, so
it is added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from farm.errors import BadInput, Reason

_SOC, _COD, _TLM, _CAP, _COM, _SOT, _EOC = 0xFF4F, 0xFF52, 0xFF55, 0xFF50, 0xFF64, 0xFF90, 0xFFD9
RPCL = 2
LOWEST = 64
"""The greatest side of the lowest resolution of RPCL."""
_MOST_TILE_PARTS = 10_000
_TILE_IN_16_LENGTH_IN_32 = b"\x60"  # Stlm (T.800 A.7.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a main header says of how a code stream is coded."""

    order: int
    layers: int
    levels: int
    high_throughput: bool
    reversible: bool
    colours: bool
    """Three components went through a transform of colours."""
    tile_lengths: bool
    mixed: bool
    """Some blocks may be coded otherwise, or in several HT sets."""
    comment: bytes
    tiles_at: int
    """Where the first tile-part begins."""
    segments: tuple[tuple[int, bytes], ...] = field(repr=False)
    """All of them: their markers and their bodies."""

    def serves_rpcl(self, rows: int, columns: int) -> bool:
        """Tell whether it keeps the rules of HTJ2K with RPCL options, for a frame of a size."""
        lowest = (max(rows, columns) + (1 << self.levels) - 1) >> self.levels
        return self.order == RPCL and self.tile_lengths and lowest <= LOWEST


def read(stream: bytes | memoryview) -> Header:
    """Return the main header of a code stream; raise `BadInput` where there is none."""
    at, cod, cap, comment, tile_lengths = 2, b"", b"", b"", False
    segments = tuple(_segments(stream))
    for marker, body in segments:
        if marker == _COD:
            cod = body
        elif marker == _CAP:
            cap = body
        elif marker == _COM:
            comment += body[2:]
        tile_lengths |= marker == _TLM
        at += 4 + len(body)
    if len(cod) < 10 or _word(stream, 0) != _SOC:
        raise _bad()
    return Header(
        order=cod[1],
        layers=int.from_bytes(cod[2:4], "big"),
        levels=cod[5],
        high_throughput=bool(cod[8] & 0x40),
        reversible=cod[9] == 1,
        colours=cod[4] == 1,
        tile_lengths=tile_lengths,
        mixed=bool(cap[4:] and cap[4] & 0xE0),
        comment=comment,
        tiles_at=at,
        segments=segments,
    )


def _segments(stream: bytes | memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and the body of each segment of a main header; raise `BadInput` where it does not end."""
    at = 2
    while (marker := _word(stream, at)) != _SOT:
        length = _word(stream, at + 2)
        body = bytes(stream[at + 4 : at + 2 + length])
        if marker < 0xFF00 or length < 2 or len(body) != length - 2:
            raise _bad()
        yield marker, body
        at += 2 + length


def with_tile_lengths(stream: bytes) -> bytes:
    """Return a code stream with a TLM segment before its tile-parts; the same where it has one already."""
    header = read(stream)
    if header.tile_lengths:
        return stream
    entries: list[bytes] = []
    at = header.tiles_at
    while (marker := _word(stream, at)) == _SOT:
        length = int.from_bytes(stream[at + 6 : at + 10], "big") or _to_the_end(stream, at)
        if length < 14 or len(entries) == _MOST_TILE_PARTS:
            raise _bad()
        entries.append(bytes(stream[at + 4 : at + 6]) + length.to_bytes(4, "big"))
        at += length
    if marker != _EOC:
        raise _bad()
    body = b"\0" + _TILE_IN_16_LENGTH_IN_32 + b"".join(entries)
    segment = _TLM.to_bytes(2, "big") + (len(body) + 2).to_bytes(2, "big") + body
    return stream[: header.tiles_at] + segment + stream[header.tiles_at :]


def _to_the_end(stream: bytes, at: int) -> int:
    """Return the length of a tile-part that says none: it reaches to the end of the code stream (T.800 A.4.2)."""
    return stream.rindex(b"\xff\xd9") - at


def _word(stream: bytes | memoryview, at: int) -> int:
    if len(stream) < at + 2:
        raise _bad()
    return int.from_bytes(stream[at : at + 2], "big")


def _bad() -> BadInput:
    return BadInput(Reason.PIXELS_UNDECODABLE, "a code stream's headers cannot be followed")
