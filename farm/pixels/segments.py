"""What the streams of JPEG's families have in common: marker segments with a length, and runs that are kept."""

from __future__ import annotations

from collections.abc import Iterator

from farm.errors import BadInput, Reason


def bad() -> BadInput:
    """Return the error of a frame that cannot be what it should."""
    return BadInput(Reason.BAD_STRUCTURE, "a frame is not the stream that its transfer syntax says")


def even(stream: bytes) -> bytes:
    """Return a stream at even length, as an item wants it."""
    return stream + b"\0" * (len(stream) % 2)


def behind(frame: bytes, at: int) -> int:
    """Return where the segment whose marker stands at an offset ends, by its length."""
    length = int.from_bytes(frame[at + 2 : at + 4], "big")
    end = at + 2 + length
    if length < 2 or end > len(frame):
        raise bad()
    return end


def joined(frame: bytes, parts: list[bytes], run: int, end: int) -> bytes:
    """Return the parts and what is left of the run at even length, or the frame itself where nothing changed."""
    if not parts and frame[end:] in {b"", b"\0"} and len(frame) % 2 == 0:
        return frame
    return even(b"".join([*parts, frame[run:end]]))


def written(marker: int, body: bytes) -> bytes:
    """Return a segment."""
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def boxes(frame: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes of a file by type and content (T.800 I.4); what pads the frame is none."""
    at = 0
    while at + 8 <= len(frame):
        length, kind, size = int.from_bytes(frame[at : at + 4], "big"), frame[at + 4 : at + 8], 8
        if length == 1:
            length, size = int.from_bytes(frame[at + 8 : at + 16], "big"), 16
        end = at + length if length else len(frame)
        if end < at + size or end > len(frame):
            raise bad()
        yield kind, frame[at + size : end]
        at = end
