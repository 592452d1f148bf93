"""A frame's layout: what the attributes of the Image Pixel module say of its samples (PS3.3 C.7.6.3).

A frame is one array of samples: (rows, columns), or (rows, columns, samples) where a pixel has three. So it is handed
about whatever Planar Configuration says: that, the byte order and unused bits are matters of how Pixel Data is written.
The sizes are checked when a layout is read, before anything is allocated for it: a file of a few bytes can claim
60,000 rows of 60,000 columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from farm.errors import BadInput, Reason

Samples: TypeAlias = NDArray[np.integer]
Order: TypeAlias = Literal["little", "big"]

SAMPLES, PHOTOMETRIC, PLANAR, FRAMES, ROWS, COLUMNS, ALLOCATED, STORED, HIGH_BIT, SIGN = (
    0x00280000 + n for n in (2, 4, 6, 8, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103)
)
"""The attributes that a layout is read from; Number of Frames stands beside them."""
FRAME_LIMIT = 1 << 30
"""Bytes that the samples of one frame may take."""

_SAMPLES_OF = {
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"), 3),
}
SUBSAMPLED = "YBR_FULL_422"
_CHROMINANCE = frozenset({"YBR_FULL", SUBSAMPLED})
"""The colours whose samples are luminance and chrominance also when they are decoded."""
PARTIAL = "YBR_PARTIAL_420"
"""The colours of video alone: no frame of samples has them (PS3.3 C.7.6.3.1.2)."""


@dataclass(frozen=True, kw_only=True)  # no slots: what follows from it is asked for with every frame, and kept
class Layout:
    """How the samples of each frame are laid out; raises `BadInput` where that cannot be."""

    rows: int
    columns: int
    samples: int = 1
    bits_allocated: int = 16
    bits_stored: int = 16
    high_bit: int = 15
    signed: bool = False
    photometric: str = "MONOCHROME2"
    planar: int = 0

    def __post_init__(self) -> None:
        sizes = 0 < self.rows < 1 << 16 and 0 < self.columns < 1 << 16
        bits = self.bits_allocated in {1, 8, 16, 32} and 0 < self.bits_stored <= self.high_bit + 1
        if not (sizes and bits and self.high_bit < self.bits_allocated and self.planar in {0, 1}):
            raise BadInput(Reason.PIXELS_UNDECODABLE, "rows, columns, bits or planes are not what they can be")
        if _SAMPLES_OF.get(self.photometric) != self.samples or (
            self.bits_allocated == 1 and (self.samples > 1 or self.signed)
        ):
            raise BadInput(Reason.PIXELS_UNDECODABLE, "the photometric interpretation does not fit the samples")

    @cached_property
    def dtype(self) -> np.dtype[np.integer]:
        """The type of one sample; single bits are bytes of 0 and 1."""
        return np.dtype(f"{'i' if self.signed else 'u'}{(self.bits_allocated + 7) // 8}")

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of a frame's array."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)

    @cached_property
    def size(self) -> int:
        """The bytes of a frame's array."""
        return self.rows * self.columns * self.samples * self.dtype.itemsize

    @property
    def frame_bits(self) -> int:
        """The bits of a frame in native Pixel Data, where frames of single bits share bytes (PS3.5 8.1.1)."""
        samples = 2 if self.photometric == SUBSAMPLED else self.samples
        return self.rows * self.columns * samples * self.bits_allocated

    @property
    def black(self) -> int | tuple[int, int, int]:
        """What a pixel has where nothing is to be seen."""
        least, most = self.bounds
        if self.photometric in _CHROMINANCE:
            return least, 1 << self.bits_stored - 1, 1 << self.bits_stored - 1
        return most if self.photometric == "MONOCHROME1" else least

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest value that Bits Stored and the sign allow."""
        if self.signed:
            return -(1 << self.bits_stored - 1), (1 << self.bits_stored - 1) - 1
        return 0, (1 << self.bits_stored) - 1


def read(values: Mapping[int, bytes], order: Order = "little", limit: int = FRAME_LIMIT) -> Layout:
    """Return the layout that attributes' values give; raise `BadInput` where they give none, or one beyond the limit.

    What may be missing has its default: one sample, as many bits stored as allocated, the high bit on top of them.
    """

    def number(tag: int, default: int) -> int:
        value = values.get(tag, b"")
        return int.from_bytes(value[:2], order) if len(value) >= 2 else default

    allocated, samples = number(ALLOCATED, 0), number(SAMPLES, 1)
    stored = number(STORED, allocated)
    layout = Layout(
        rows=number(ROWS, 0),
        columns=number(COLUMNS, 0),
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=number(HIGH_BIT, stored - 1),
        signed=number(SIGN, 0) == 1,
        photometric=values.get(PHOTOMETRIC, b"").strip(b"\0 ").decode("ascii", "replace"),
        planar=number(PLANAR, 0) if samples > 1 else 0,
    )
    check(layout, limit)
    return layout


def check(layout: Layout, limit: int = FRAME_LIMIT) -> None:
    """Raise `BadInput` where a frame's samples take more bytes than the limit."""
    if layout.size > limit:
        raise BadInput(Reason.PIXELS_TOO_LARGE, bytes=layout.size, limit=limit)
