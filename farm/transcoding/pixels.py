"""Pixel Data as frames, and frames as Pixel Data, on the way from one transfer syntax to another (PS3.5 A.4 and 8.1.1).

Frames are drawn one by one, and as often as they are asked for: views where they stand by themselves, written anew
where they do not (big endian, single bits that share bytes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from farm.dicom import syntaxes
from farm.dicom.elements import EXPLICIT, PIXEL_DATA, UNDEFINED
from farm.errors import BadInput, Reason
from farm.frames import encapsulated, native
from farm.frames.encapsulated import J2K_OPENS, JP2_OPENS, JPEG_OPENS, Buffer, Frame
from farm.frames.layout import Layout, Order
from farm.transcoding.plan import NATIVE, VIDEO

_UID = "1.2.840.10008.1.2.4."
_OPENS: dict[str, tuple[bytes, ...]] = {
    **dict.fromkeys((f"{_UID}{n}" for n in (*range(50, 71), 80, 81)), (JPEG_OPENS,)),
    **dict.fromkeys((f"{_UID}{n}" for n in (*range(90, 94), 201, 202, 203)), (J2K_OPENS, JP2_OPENS)),
}
_REACH = (1 << 32) - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """Pixel Data as it stands: its value, from `start` to `end` of `data`; fragments with their delimiter.

    `order` and `vr` matter for a native value alone.
    """

    data: Buffer = field(repr=False)
    start: int
    end: int
    encapsulated: bool
    order: Order = "little"
    vr: str = "OW"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Frames, the transfer syntax that they are in, and their layout."""

    frames: Iterable[Frame] = field(repr=False)
    syntax: str
    layout: Layout


def frames_of(pixels: Pixels, source: str, layout: Layout, count: int, extended: bytes = b"") -> Given:
    """Return the frames of Pixel Data; `extended` is the Extended Offset Table.

    Raise `BadInput` where it is too short for them; fragments that do not make as many show when they are drawn.
    """
    if pixels.encapsulated:
        frames = _Fragments(pixels, count, _OPENS.get(source, ()), extended)
        return Given(frames=frames, syntax=source, layout=layout)
    if pixels.order == "little" and layout.frame_bits % 8 == 0:
        slices = _Slices(pixels, layout.frame_bits // 8, count)
        return Given(frames=slices, syntax=syntaxes.EXPLICIT_LITTLE, layout=layout)
    rewritten = _Rewritten(pixels, layout, count)
    return Given(frames=rewritten, syntax=syntaxes.EXPLICIT_LITTLE, layout=rewritten.layout)


class _Fragments:
    """The bitstreams of encapsulated frames."""

    def __init__(self, pixels: Pixels, count: int, opens: Sequence[bytes], extended: bytes) -> None:
        self._pixels, self._count, self._opens, self._extended = pixels, count, opens, extended

    def __iter__(self) -> Iterator[Frame]:
        pixels = self._pixels
        span = (pixels.start, pixels.end)
        return encapsulated.frames(pixels.data, span, self._count, opens=self._opens, extended=self._extended)


class _Slices:
    """Native frames as they stand."""

    def __init__(self, pixels: Pixels, size: int, count: int) -> None:
        found = pixels.end - pixels.start
        if found < size * count:
            raise BadInput(Reason.PIXEL_LENGTH, expected=size * count, found=found)
        self._view = memoryview(pixels.data)[pixels.start : pixels.end]
        self._size, self._count = size, count

    def __iter__(self) -> Iterator[Frame]:
        size = self._size
        return (self._view[at : at + size] for at in range(0, size * self._count, size))


class _Rewritten:
    """Native frames in big endian, or of single bits that share bytes: little endian, each by itself.

    But for that their cells stay as they are, with whatever stands in unused bits.
    """

    def __init__(self, pixels: Pixels, layout: Layout, count: int) -> None:
        view = memoryview(pixels.data)[pixels.start : pixels.end]
        self.layout = layout
        self._view, self._count = view, count
        self._order, self._words = pixels.order, pixels.vr != "OB"

    def __iter__(self) -> Iterator[Frame]:
        frames = native.cells(self._view, self.layout, self._count, self._order, words=self._words)
        if self.layout.bits_allocated == 1:
            return (np.packbits(cells, bitorder="little").tobytes() for cells in frames)
        return (cells.astype(cells.dtype.newbyteorder("<"), copy=False).tobytes() for cells in frames)


def unchanged(pixels: Pixels | None) -> list[Frame]:
    """Return Pixel Data as it stands, under a header of explicit VR little endian; nothing where there is none."""
    if pixels is None:
        return []
    length = pixels.end - pixels.start
    header = EXPLICIT.pack_header(PIXEL_DATA, *(("OB", UNDEFINED) if pixels.encapsulated else (pixels.vr, length)))
    return [header, memoryview(pixels.data)[pixels.start : pixels.end]]


def element(
    streams: Sequence[Frame], target: str, layout: Layout, count: int
) -> tuple[list[Frame], tuple[bytes, bytes] | None]:
    """Return Pixel Data with new bitstreams, and the extended offset tables that it needs."""
    if target not in NATIVE:
        made = encapsulated.pixel_data(streams, table=target not in VIDEO)
        return [EXPLICIT.pack_header(PIXEL_DATA, "OB", UNDEFINED), *made.pieces], made.extended
    pieces = native.joined(streams, layout, count)
    length = sum(map(len, pieces))
    if length > _REACH:
        raise BadInput(Reason.PIXELS_TOO_LARGE, "native Pixel Data reaches to 4 GiB", bytes=length)
    vr = "OW" if layout.bits_allocated > 8 else "OB"
    return [EXPLICIT.pack_header(PIXEL_DATA, vr, length), *pieces], None
