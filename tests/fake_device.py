"""A device that is none: numpy arrays, the processor's codecs, and the faults that a test gives it.

It stands for the libraries of a device where only batches, budgets, order and fallback are tested; its arithmetic is
that of OpenJPEG and OpenJPH, so nothing is learnt from it about a device's. As nvJPEG2000, it writes no tile lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np

from farm.codecs import htj2k, j2k_markers, jpeg2000, uids
from farm.codecs.nvlibrary import Coding
from farm.frames.codec import Options
from farm.frames.layout import Layout, Samples


class DeviceFault(Exception):
    """What a library raises."""


@dataclass(slots=True)
class FakeLibrary:
    """The library of a device, in numpy.

    `room`: what a call may hold in bytes of samples. `refuses`: which arrays and streams come back as None. `spoils`:
    what is done to samples that were decoded. `lives`: calls until the device is lost for good.
    """

    name: str = "a device of numpy"
    version: str = "0"
    memory_bytes: int = 1 << 30
    room: int = 1 << 40
    refuses: Callable[[Any], bool] = lambda _: False
    spoils: Callable[[Samples], Samples] = lambda samples: samples
    lives: int = 1 << 40
    decoded: list[int] = field(default_factory=list)
    """How many frames each call to decode had."""
    encoded: list[int] = field(default_factory=list)
    uploads: int = 0
    downloads: int = 0
    freed: int = 0

    def decode(self, streams: Sequence[bytes]) -> list[Samples | None]:
        """Return the samples of code streams."""
        self._live()
        self.decoded.append(len(streams))
        arrays = [None if self.refuses(one) else imagecodecs.jpeg2k_decode(one, planar=False) for one in streams]
        self._fit([array for array in arrays if array is not None])
        return [None if array is None else self.spoils(array) for array in arrays]

    def encode(self, arrays: Sequence[Samples], coding: Coding) -> list[bytes | None]:
        """Return code streams."""
        self._live()
        self.encoded.append(len(arrays))
        self._fit(arrays)
        return [None if self.refuses(array) else _written(array, coding) for array in arrays]

    def upload(self, samples: Samples) -> Samples:
        """Bring samples to where they are."""
        self._live()
        self.uploads += 1
        return samples.copy()

    def download(self, array: Samples) -> Samples:
        """Bring them back."""
        self._live()
        self.downloads += 1
        return array

    def works(self) -> bool:
        """Tell whether the device lives."""
        return self.lives > 0

    def free(self) -> None:
        """Count."""
        self.freed += 1

    def _live(self) -> None:
        self.lives -= 1
        if self.lives <= 0:
            raise DeviceFault("700")

    def _fit(self, arrays: Sequence[Samples]) -> None:
        if sum(array.nbytes for array in arrays) > self.room:
            raise DeviceFault("2")


def _written(array: Samples, coding: Coding) -> bytes:
    rows, columns = array.shape[:2]
    three = array.ndim == 3
    layout = Layout(
        rows=rows,
        columns=columns,
        samples=3 if three else 1,
        bits_allocated=array.dtype.itemsize * 8,
        bits_stored=coding.bits,
        high_bit=coding.bits - 1,
        signed=array.dtype.kind == "i",
        photometric="RGB" if coding.colours else "YBR_FULL" if three else "MONOCHROME2",
    )
    if coding.high_throughput:
        step = coding.quality / (1 << coding.bits)
        options = Options(syntax=uids.HTJ2K_LOSSLESS if coding.lossless else uids.HTJ2K, step=step or 1)
        return without_tile_lengths(htj2k.CODEC.encode(array, layout, options).data)
    options = Options(syntax=uids.J2K_LOSSLESS if coding.lossless else uids.J2K, psnr=int(coding.quality))
    return jpeg2000.CODEC.encode(array, layout, options).data


def without_tile_lengths(stream: bytes) -> bytes:
    """Return a code stream without the TLM segment that stands last in its main header."""
    end = j2k_markers.read(stream).tiles_at
    start = stream.rindex(b"\xff\x55", 0, end)
    assert start + 2 + int.from_bytes(stream[start + 2 : start + 4], "big") == end
    return stream[:start] + stream[end:]


def shifted(samples: Samples) -> Samples:
    """Return samples as a device gives them that knows words only: moved to their upper end."""
    return np.asarray(samples << 4, samples.dtype)
