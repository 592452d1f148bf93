"""The output as a file: its segments as one run of bytes, File Meta Information, and the pixel values.

Pixel values are megabytes that nobody has to copy: where a segment is a view of the source, its length and samples of
it tell as much as comparing all of it would. What is no view is compared whole.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from farm.deid.gate.grammar import PIXEL_FACTS, Unreadable
from farm.deid.gate.values import Segment
from farm.deid.gate.walk import fragments
from farm.dicom.elements import Data, Dialect

_WHOLE = 65_536  # bytes up to which a segment is read at once
_FIRST = 4_096  # bytes of a longer one that are: mostly it is pixel values under a short header
_PIECE = 65_536
_SAMPLES, _SAMPLE = 6, 64
_SAMPLES_A_PIXEL, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS = PIXEL_FACTS
_FLOAT_BITS = {0x0008: 32, 0x0009: 64}  # Float Pixel Data, and Double Float
_SHARED = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})  # two pixels share their chrominance
_DIGITS = 10
# PS3.10 table 7.1-1 without what names systems and people: application titles, addresses, private information.
_META = frozenset(0x00020000 + element for element in (0x00, 0x01, 0x02, 0x03, 0x10, 0x12, 0x13))
_SOP_INSTANCE = 0x00020003


class File:
    """Segments as one run of bytes: `head` is its beginning, as far as reading it is cheap."""

    __slots__ = ("_ends", "_segments", "head", "size")

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        self._ends = list(accumulate(map(len, segments)))
        self.size = self._ends[-1] if segments else 0
        pieces: list[Segment] = []
        for segment in segments:
            pieces.append(segment if len(segment) <= _WHOLE else segment[:_FIRST])
            if len(segment) > _WHOLE:
                break
        self.head = b"".join(pieces)

    def all(self) -> bytes:
        """Return the whole of it."""
        return b"".join(self._segments)

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes between two offsets."""
        if end <= len(self.head):
            return self.head[start:end]
        return b"".join(piece for piece, _ in self.pieces(start, end))

    def pieces(self, start: int, end: int) -> Iterator[tuple[Segment, object]]:
        """Yield what stands between two offsets segment by segment, and whose memory each is."""
        place = bisect_right(self._ends, start)
        while start < end:
            segment = self._segments[place]
            first = self._ends[place] - len(segment)
            piece = segment[start - first : end - first]
            yield piece, segment.obj if isinstance(segment, memoryview) else None
            start += len(piece)
            place += 1


def pixels_end(file: File, value: int, length: int) -> int:
    """Return where pixel values end, fragments' delimiter included."""
    if length >= 0:
        end = value + length
        if end > file.size:
            raise Unreadable
        return end
    for _, after in fragments(file.read, value, file.size):
        value = after
    return value + 8


def has_right_length(file: File, pixels: tuple[int, int], facts: Mapping[int, bytes], dialect: Dialect) -> bool:
    """Tell whether native pixel values are as long as the frames that the facts describe, padded to even length.

    `pixels` is (offset, length). Fragments have no such length; nor has what is not described.
    """
    value, length = pixels
    rows, columns, samples, bits = (
        int.from_bytes(facts.get(tag, b"")[:2], dialect.order) for tag in (_ROWS, _COLUMNS, _SAMPLES_A_PIXEL, _BITS)
    )
    first = value - (12 if dialect.explicit else 8)
    tag = file.read(first, first + 4)
    bits = _FLOAT_BITS.get(dialect.tag_at.unpack(tag)[1], bits)
    if facts.get(_PHOTOMETRIC, b"").strip(b"\0 ") in _SHARED:
        samples = 2
    frame, frames = rows * columns * (samples or 1) * bits, facts.get(_FRAMES, b"").strip(b"\0 ") or b"1"
    if length <= 0 or not frame:
        return True
    if not frames.isdigit() or len(frames) > _DIGITS or not int(frames):
        return length * 8 % frame == 0 or (length - 1) * 8 % frame == 0
    whole = (frame * int(frames) + 7) // 8
    return length == whole + whole % 2


def same_pixels(file: File, there: tuple[int, int], data: Data, here: tuple[int, int]) -> bool:
    """Tell whether the output's pixel values are the source's, or the first of them, a padding byte apart."""
    (at, end), (value, behind) = there, here
    length = end - at
    if length > behind - value + 1:
        return False
    stop = end if length <= behind - value and file.read(end - 1, end) != b"\0" else max(at, end - 1)
    for piece, owner in file.pieces(at, stop):
        if owner is data:
            offsets = range(0, len(piece), max(1, len(piece) // _SAMPLES))
            spans = [(offset, offset + _SAMPLE) for offset in (*offsets, max(0, len(piece) - _SAMPLE))]
        else:
            spans = [(offset, offset + _PIECE) for offset in range(0, len(piece), _PIECE)]
        for first, last in spans:
            if bytes(piece[first:last]) != data[value + first : value + min(last, len(piece))]:
                return False
        value += len(piece)
    return True


def meta(head: bytes) -> tuple[bytes, list[bytes]] | None:
    """Return the SOP Instance UID of File Meta Information and all other text in front of the data set.

    None where it is not what PS3.10 7.1 asks for, or holds what names a system or a person.
    """
    if head[128:132] != b"DICM" or head[132:140] != b"\x02\0\0\0UL\x04\0":
        return None
    found: dict[int, bytes] = {}
    at, last = 132, -1
    while at < len(head):
        tag = int.from_bytes(head[at : at + 2], "little") << 16 | int.from_bytes(head[at + 2 : at + 4], "little")
        size = 12 if head[at + 4 : at + 6] == b"OB" else 8
        length = int.from_bytes(head[at + size - (4 if size == 12 else 2) : at + size], "little")
        if tag not in _META or tag <= last:
            return None
        found[tag] = head[at + size : at + size + length]
        at, last = at + size + length, tag
    if at != len(head) or int.from_bytes(found[0x00020000], "little") != at - 144:
        return None
    rest = [head[:128], *(value for tag, value in found.items() if tag != _SOP_INSTANCE)]
    return found.get(_SOP_INSTANCE, b"").strip(b"\0 "), rest
