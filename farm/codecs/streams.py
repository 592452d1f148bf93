"""What a bitstream declares of its frame, read before any library sees it.

A library allocates what the header claims, and a stream of a few bytes can claim gigabytes. So the sizes are read here
and held against the attributes first. Read are the frame header of JPEG and JPEG-LS (ITU-T T.81 B.2.2, T.87 C.2.2), the
main header of JPEG 2000 and HTJ2K (T.800 A.5.1, A.6.1), and the size header of JPEG XL (ISO/IEC 18181-1 D.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from farm.errors import BadInput, Reason
from farm.frames.encapsulated import Frame

_SOF = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_SOS, _EOI = 0xDA, 0xD9
_SOF0, _APP0, _APP14 = 0xC0, 0xE0, 0xEE
_JP2, _J2K = b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"
_ENDS = b"\xff\xd9"
_JXL, _JXL_BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL "
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a bitstream declares: size, samples, bits, sign, and by which process it is coded."""

    rows: int
    columns: int
    samples: int
    precision: int = 0
    signed: bool = False
    process: int = 0
    """JPEG: the frame header's marker; JPEG 2000: 1 where the transform is reversible."""
    near: int = 0
    interleave: int = 0
    rgb: bool | None = None
    """JPEG: what it tells of three components, that they are red, green and blue, or luminance and chrominance."""
    start: int = 0
    """Where the code stream begins, behind the boxes of a JP2 file."""


def jpeg(data: Frame) -> Head:
    """Read the frame header of JPEG or JPEG-LS, and of the latter's scan what it may lose."""
    head: Head | None = None
    told: dict[int, bytes] = {}
    for marker, body in _segments(data):
        if marker in _SOF and len(body) >= 6:
            rows, columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            head = Head(rows=rows, columns=columns, samples=body[5], precision=body[0], process=marker)
            told[_SOF0] = body[6:]
        elif marker in {_APP0, _APP14}:
            told.setdefault(marker, body)
        elif marker == _SOS and head is not None and len(body) >= 4:
            _whole(data)
            return Head(
                rows=head.rows,
                columns=head.columns,
                samples=head.samples,
                precision=head.precision,
                process=head.process,
                near=body[-3],
                interleave=body[-2],
                rgb=_rgb(told) if head.samples == 3 else None,
            )
    raise _bad()


def _rgb(told: dict[int, bytes]) -> bool | None:
    """Return what JPEG tells of its colours (T.871 section 6, T.872 section 6.5.3); None: nothing.

    Chrominance alone is thinned out. JFIF knows no red, green and blue, and counts before Adobe's marker, which numbers
    the transform that was made: none, or one to luminance and chrominance.
    """
    components, adobe = told[_SOF0], told.get(_APP14, b"")
    if len({components[at : at + 1] for at in (1, 4, 7)}) > 1 or told.get(_APP0, b"")[:5] == b"JFIF\0":
        return False
    if adobe[:5] == b"Adobe" and len(adobe) >= 12 and adobe[11] < 2:
        return adobe[11] == 0
    return True if components[0:9:3] == b"RGB" else None


def _segments(data: Frame) -> Iterator[tuple[int, bytes]]:
    """Yield the marker segments up to the first scan's."""
    if data[:2] != b"\xff\xd8":
        raise _bad()
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise _bad()
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length < 2 or marker == _EOI:
            raise _bad()
        yield marker, bytes(data[at + 4 : at + 2 + length])
        at += 2 + length


def jpeg2000(data: Frame) -> Head:
    """Read the SIZ and the COD segment of a code stream, or of the one in a JP2 file."""
    start = 0
    if data[:6] == _JP2:
        start = bytes(data).find(_J2K)
    if start < 0 or data[start : start + 4] != _J2K or len(data) < start + 44:
        raise _bad()
    columns, rows, left, top = (int.from_bytes(data[at : at + 4], "big") for at in range(start + 8, start + 24, 4))
    samples = int.from_bytes(data[start + 40 : start + 42], "big")
    _whole(data)
    depths = [bytes(data[at : at + 3]) for at in range(start + 42, start + 42 + 3 * samples, 3)]
    if not depths or len(set(depths)) != 1 or depths[0][1:] != b"\1\1":
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the components of a code stream differ")
    return Head(
        rows=rows - top,
        columns=columns - left,
        samples=samples,
        precision=(depths[0][0] & 0x7F) + 1,
        signed=depths[0][0] > 0x7F,
        process=_transform(data, start + 2),
        start=start,
    )


def _transform(data: Frame, at: int) -> int:
    """Return the wavelet of the COD segment: 1 is the reversible one (T.800 table A.20)."""
    while at + 14 <= len(data) and data[at] == 0xFF and data[at + 1] != 0x90:
        if data[at + 1] == 0x52:
            return data[at + 13]
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise _bad()


def jpegxl(data: Frame) -> tuple[int, int]:
    """Read rows and columns from the size header of JPEG XL."""
    stream = bytes(data[: 1 << 16])
    if stream[:8] == _JXL_BOXES:
        stream = _code_stream(stream)
    if stream[:2] != _JXL:
        raise _bad()
    bits = _Bits(int.from_bytes(stream[2:16], "little"))
    small = bits.take(1)
    rows = _side(bits, small)
    ratio = bits.take(3)
    if ratio:
        wide, high = _RATIOS[ratio - 1]
        return rows, rows * wide // high
    return rows, _side(bits, small)


class _Bits:
    """A number of bits, taken from the lowest on."""

    def __init__(self, number: int) -> None:
        self._rest = number

    def take(self, count: int) -> int:
        """Return the next bits as a number."""
        taken = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return taken


def _side(bits: _Bits, small: int) -> int:
    """Return one side: a multiple of eight in five bits, or a number in 9, 13, 18 or 30."""
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


def _code_stream(boxes: bytes) -> bytes:
    """Return the beginning of the code stream in a JPEG XL container (ISO/IEC 18181-2)."""
    at = 0
    while at + 8 <= len(boxes):
        length, kind = int.from_bytes(boxes[at : at + 4], "big"), boxes[at + 4 : at + 8]
        if kind in {b"jxlc", b"jxlp"}:
            return boxes[at + (8 if length != 1 else 16) + (4 if kind == b"jxlp" else 0) :]
        at += length if length > 8 else len(boxes)
    raise _bad()


def _whole(data: Frame) -> None:
    """Raise `BadInput` where a stream has no end: EOI of JPEG, EOC of JPEG 2000, which stand nowhere within coded data.

    libjpeg-turbo and OpenJPH fill up what is missing and say nothing, and CharLS goes on to read zeros for ten seconds.
    """
    if _ENDS not in bytes(data[-16:]) and _ENDS not in bytes(data):
        raise BadInput(Reason.PIXELS_UNDECODABLE, "a frame's bitstream was cut off")


def _bad() -> BadInput:
    return BadInput(Reason.PIXELS_UNDECODABLE, "a frame is not the stream that its transfer syntax says")
