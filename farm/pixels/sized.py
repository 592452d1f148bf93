"""Frames whose bitstream does not say where it ends: their samples do, for their number is known.

What stands behind the bytes that yield the samples is read by nobody, and can be anything. It goes; each of those bytes
stays. For Encapsulated Uncompressed (PS3.5 A.4.11) they are the samples themselves, for Deflated Image Frame
Compression (A.4.13) a stream of RFC 1951, and for RLE (annex G) runs in segments, which may also have gaps between them
and a header with offsets of segments that are not there.

A stream of RFC 1951 that holds more than its frame is refused: the rest cannot be cut off without coding it anew.
"""

from __future__ import annotations

import zlib

from farm.frames.layout import FRAME_LIMIT
from farm.pixels.segments import bad, even

_HEADER = 64
_PIECE = 1 << 16
_NOTHING = 0x80  # a run of PackBits that yields no bytes (PS3.5 G.3.2)


def ended(frame: bytes, end: int) -> bytes:
    """Return a frame up to an offset, at even length: the frame itself where nothing but padding stands behind."""
    return frame if len(frame) % 2 == 0 and frame[end:] in {b"", b"\0"} else even(frame[:end])


def uncompressed(frame: bytes, size: int) -> bytes:
    """Return as many bytes as a native frame has."""
    if not 0 < size <= len(frame):
        raise bad()
    return ended(frame, size)


def deflated(frame: bytes, size: int) -> bytes:
    """Return a frame up to the end of its deflate stream, which is inflated in pieces that are not kept."""
    if not 0 < size <= FRAME_LIMIT:
        raise bad()
    stream, left, pending = zlib.decompressobj(-zlib.MAX_WBITS), size, frame
    try:
        while not stream.eof:
            piece = stream.decompress(pending, _PIECE)
            pending, left = stream.unconsumed_tail, left - len(piece)
            padding = piece[left:] if left < 0 else b""
            if padding not in {b"", b"\0"} or left < -1 or not (piece or pending or stream.eof):
                raise bad()
    except zlib.error:
        raise bad() from None
    if left > 0:
        raise bad()
    return ended(frame, len(frame) - len(stream.unused_data))


def run_lengths(frame: bytes, size: int) -> bytes:
    """Return an RLE frame whose segments end where they have yielded `size` bytes each."""
    count = int.from_bytes(frame[:4], "little")
    offsets = [int.from_bytes(frame[at : at + 4], "little") for at in range(4, 4 + 4 * count, 4)] if count < 16 else []
    bounds = [*offsets, len(frame)]
    if not offsets or size < 1 or bounds != sorted(bounds) or offsets[0] < _HEADER:
        raise bad()
    ends = [_yielded(frame, at, end, size) for at, end in zip(offsets, bounds[1:], strict=True)]
    gaps = [frame[4 + 4 * count : offsets[0]]]
    gaps += [frame[end:stop] for (end, _), stop in zip(ends, bounds[1:], strict=True)]
    if len(frame) % 2 == 0 and not any(map(any, gaps)) and not any(last for _, last in ends):
        return frame
    segments = [even(frame[at:end] + last) for at, (end, last) in zip(offsets, ends, strict=True)]
    header, at = [count], _HEADER
    for segment in segments:
        header.append(at)
        at += len(segment)
    return b"".join(number.to_bytes(4, "little") for number in header).ljust(_HEADER, b"\0") + b"".join(segments)


def _yielded(frame: bytes, at: int, end: int, left: int) -> tuple[int, bytes]:
    """Return where the runs of a segment have yielded so many bytes, and a shorter last run where one yields more."""
    while left > 0 and at < end:
        code, start = frame[at], at
        if code < _NOTHING:
            at, yields = at + 2 + code, code + 1
        elif code > _NOTHING:
            at, yields = at + 2, 257 - code
        else:
            at, yields = at + 1, 0
        if yields > left and code < _NOTHING:
            return start, bytes((left - 1,)) + frame[start + 1 : min(start + 1 + left, end)]
        if yields > left:
            return start, bytes((257 - left if left > 1 else 0,)) + frame[start + 1 : min(start + 2, end)]
        left -= yields
    return min(at, end), b""
