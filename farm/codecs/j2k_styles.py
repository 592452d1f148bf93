"""How a JPEG 2000 code stream is coded, as far as decoders differ in what they know of it (T.800 annex A).

The standard has many ways to code the same picture that hardly any encoder takes: blocks without arithmetic coding, a
region that comes first, headers that stand apart. A decoder that was only ever shown the usual way may do another one
wrong without an error. So what is unusual is told apart here: two code streams of one `Style` ask the same of a
decoder, and their `Numbers` say how often or how large.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farm.codecs import j2k_markers
from farm.errors import BadInput, Reason

_SIZ, COD, _QCD, _COM, _SOT, _SOD = 0xFF51, 0xFF52, 0xFF5C, 0xFF64, b"\xff\x90", b"\xff\x93"
_EXTENSIONS = 0xC0
"""Bits of Rsiz: part 2, and part 15 (T.800 table A.10, T.814 A.2)."""
_TILE_PART = 12
"""Bytes of a SOT segment with its marker (T.800 A.4.2)."""
_XSIZ, _EOC = 8, b"\xff\xd9"
"""Where the width stands; the height is behind it."""
PRECINCTS, ONE_PRECINCT = 1, frozenset[int]()
"""The bit of Scod that says that their sizes follow (T.800 table A.13)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What a code stream asks a decoder to know.

    `extensions` are bits of Rsiz, `packets` those of Scod but for the precincts' (marks around packets), `blocks` the
    code block's width, height and style (bypass, reset, termination, vertical, predictable, segmentation; high
    throughput), `precincts` their sizes where a resolution has several, `segments` all of the main header but comments.
    """

    extensions: int
    moved: bool
    """The picture or its tiles do not begin at the origin."""
    tiled: bool
    plain_parts: bool
    """Each tile is one tile-part, in their order, with nothing in its header."""
    packets: int
    order: int
    layered: bool
    colours: int
    blocks: tuple[int, int, int]
    wavelet: int
    waves: bool
    """There is at least one level of the wavelet."""
    precincts: frozenset[int]
    quantisation: int
    segments: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """How much of it there is: levels, guard bits, and the rows and columns of a tile (one tile: none)."""

    levels: int
    guards: int
    tile: tuple[int, int]


def read(stream: bytes) -> tuple[Style, Numbers]:
    """Return how a code stream is coded; raise `BadInput` where its headers cannot be followed."""
    return read_behind(j2k_markers.read(stream), stream)


def read_behind(header: j2k_markers.Header, stream: bytes) -> tuple[Style, Numbers]:
    """Return the same of a code stream whose main header was read."""
    bodies = dict(reversed(header.segments))
    siz, cod, qcd = (bodies.get(marker, b"") for marker in (_SIZ, COD, _QCD))
    if len(siz) < 39 or len(cod) < 10 or not qcd:
        raise BadInput(Reason.PIXELS_UNDECODABLE, "a code stream's headers cannot be followed")
    columns, rows, left, top, tile_columns, tile_rows, tile_left, tile_top = (
        int.from_bytes(siz[at : at + 4], "big") for at in range(2, 34, 4)
    )
    tiled = tile_left + tile_columns < columns or tile_top + tile_rows < rows
    style = Style(
        extensions=siz[0] & _EXTENSIONS,
        moved=any((left, top, tile_left, tile_top)),
        tiled=tiled,
        plain_parts=_plain(stream, header.tiles_at),
        packets=cod[0] & ~PRECINCTS,
        order=cod[1],
        layered=cod[2:4] != b"\0\1",
        colours=cod[4],
        blocks=(cod[6], cod[7], cod[8]),
        wavelet=cod[9],
        waves=cod[5] > 0,
        precincts=_several(cod, max(min(columns, tile_columns), min(rows, tile_rows))),
        quantisation=qcd[0] & 31,
        segments=tuple(sorted(marker for marker, _ in header.segments if marker != _COM)),
    )
    return style, Numbers(levels=cod[5], guards=qcd[0] >> 5, tile=(tile_rows, tile_columns) if tiled else (0, 0))


def _several(cod: bytes, side: int) -> frozenset[int]:
    """Return the sizes of precincts, as they are written; none where each resolution is one."""
    sizes = frozenset(cod[10:]) if cod[0] & PRECINCTS else ONE_PRECINCT
    return sizes if any(1 << min(size & 15, size >> 4) < side for size in sizes) else ONE_PRECINCT


def _plain(stream: bytes, at: int) -> bool:
    """Tell whether the tile-parts are the tiles, from the first to the last, and say nothing of their own."""
    tile = 0
    while stream[at : at + 2] == _SOT and len(stream) >= at + _TILE_PART:
        length = int.from_bytes(stream[at + 6 : at + 10], "big")
        index, part, parts = int.from_bytes(stream[at + 4 : at + 6], "big"), *stream[at + 10 : at + _TILE_PART]
        bare = stream[at + _TILE_PART : at + _TILE_PART + 2] == _SOD
        if index != tile or part or parts > 1 or not bare:
            return False
        if length == 0:  # to the end of the code stream
            return True
        if length < _TILE_PART + 2:
            return False
        tile, at = tile + 1, at + length
    return tile > 0


def tiled(parts: Sequence[bytes], across: int) -> bytes:
    """Return one code stream whose tiles are pictures of one size and coding, so many of them in a row.

    Their sides have to be a multiple of what their levels halve, and no larger than a code block, so that the tiles'
    wavelets and blocks begin where the pictures' did (T.800 B.5 to B.7).
    """
    first = j2k_markers.read(parts[0]).tiles_at
    head = bytearray(parts[0][:first])
    columns, rows = (int.from_bytes(head[at : at + 4], "big") for at in (_XSIZ, _XSIZ + 4))
    head[_XSIZ : _XSIZ + 4] = (columns * across).to_bytes(4, "big")
    head[_XSIZ + 4 : _XSIZ + 8] = (rows * (len(parts) // across)).to_bytes(4, "big")
    body = b""
    for index, part in enumerate(parts):
        start = j2k_markers.read(part).tiles_at
        body += part[start : start + 4] + index.to_bytes(2, "big") + part[start + 6 : part.rindex(_EOC)]
    return bytes(head) + body + _EOC


def ordered(stream: bytes, order: int) -> bytes:
    """Return a code stream of one layer and one precinct with another order of progression, and precincts unsaid."""
    at = stream.index(COD.to_bytes(2, "big"))
    length = int.from_bytes(stream[at + 2 : at + 4], "big")
    body = bytearray(stream[at + 4 : at + 14])
    body[0] &= ~PRECINCTS
    body[1] = order
    return stream[: at + 2] + (len(body) + 2).to_bytes(2, "big") + bytes(body) + stream[at + 2 + length :]
