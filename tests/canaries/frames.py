"""Compressed frames of 16 x 16 samples, made by hand, with room for what does not belong into them.

Each is the smallest stream of its kind that a decoder accepts: a flat grey picture. Marker segments and boxes are added
where software adds them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

SIDE = 16
JPEG, JPEG_LS, J2K = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 80, 90))
RLE = "1.2.840.10008.1.2.5"


def segment(marker: int, body: bytes) -> bytes:
    """Return a marker segment: FF, the marker, its length (T.81 B.1.1.4), its content."""
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def box(kind: bytes, body: bytes) -> bytes:
    """Return a box of a JP2 or JPEG XL file (T.800 I.4)."""
    return (len(body) + 8).to_bytes(4, "big") + kind + body


def exif(text: bytes) -> bytes:
    """Return an APP1 segment as cameras write it: a TIFF header and one entry, Artist."""
    entry = b"\x3b\x01\2\0" + len(text).to_bytes(4, "little") + (26).to_bytes(4, "little")
    return segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\1\0" + entry + bytes(4) + text)


def jumbf(text: bytes) -> bytes:
    """Return an APP11 segment with a JUMBF box (ISO/IEC 19566-5), labelled by the text."""
    return segment(0xEB, b"JP\0\1\0\0\0\1" + box(b"jumb", box(b"jumd", bytes(16) + b"\3" + text + b"\0")))


def jpeg(extra: Sequence[bytes] = (), *, between: Sequence[bytes] = (), behind: bytes = b"") -> bytes:
    """Return a baseline JPEG with more segments behind SOI, behind the scan and behind EOI."""
    tables = segment(0xDB, b"\0" + b"\1" * 64)
    tables += segment(0xC0, b"\x08\0\x10\0\x10\1\1\x11\0")
    tables += segment(0xC4, b"\0" + b"\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10" + b"\1" + bytes(15) + b"\0")
    scan = segment(0xDA, b"\1\1\0\0\x3f\0") + b"\0"  # four blocks: each a zero difference and an end of block
    return even(b"".join((b"\xff\xd8", *extra, tables, scan, *between, b"\xff\xd9", behind)))


def jpeg_ls(extra: Sequence[bytes] = (), *, behind: bytes = b"") -> bytes:
    """Return a JPEG-LS stream with more segments behind SOI, and bytes behind EOI."""
    head = segment(0xF7, b"\x08\0\x10\0\x10\1\1\x11\0") + segment(0xDA, b"\1\1\0\0\0\0")
    return even(b"".join((b"\xff\xd8", *extra, head, b"\xff\x7f\xff\x7e\xff\xd9", behind)))


def j2k(
    main: Sequence[bytes] = (), *, tile: Sequence[bytes] = (), open_ended: bool = False, behind: bytes = b""
) -> bytes:
    """Return a JPEG 2000 code stream with more segments in its main and tile-part headers, and bytes behind EOC.

    `open_ended`: the tile-part does not tell its length.
    """
    long = (SIDE).to_bytes(4, "big")
    sizes = b"\0\0" + long * 2 + bytes(8) + long * 2 + bytes(8) + b"\0\1\7\1\1"
    coding = segment(0x52, b"\0\0\0\1\0" + b"\0\4\4\0\1") + segment(0x5C, b"\x40\x40")
    rest = b"".join(tile) + b"\xff\x93\0"  # one empty packet
    length = 0 if open_ended else 12 + len(rest)
    start = segment(0x90, b"\0\0" + length.to_bytes(4, "big") + b"\0\1")
    return even(b"".join((b"\xff\x4f", segment(0x51, sizes), coding, *main, start, rest, b"\xff\xd9", behind)))


def jp2(stream: bytes, *more: bytes) -> bytes:
    """Return a JP2 file around a code stream, with more boxes."""
    header = box(b"ihdr", SIDE.to_bytes(4, "big") * 2 + b"\0\1\7\7\0\0") + box(b"colr", b"\1\0\0\0\0\0\x11")
    signature = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return even(b"".join((signature, box(b"jp2h", header), *more, box(b"jp2c", stream))))


def rle(spare: bytes = b"") -> bytes:
    """Return an RLE frame of one segment, with bytes among the offsets that are not in use."""
    offsets = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + spare
    return offsets.ljust(64, b"\0") + b"\x81\0" * (SIDE * SIDE // 128)


def deflated(samples: bytes) -> bytes:
    """Return the bytes of a native frame as a raw deflate stream."""
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return even(stream.compress(samples) + stream.flush())


def even(stream: bytes) -> bytes:
    """Return the stream at even length, as an item wants it."""
    return stream + b"\0" * (len(stream) % 2)
