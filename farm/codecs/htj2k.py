"""High-Throughput JPEG 2000 (PS3.5 section 8.2.14): OpenJPH where it is exact, OpenJPEG where it is not.

OpenJPH does not bring values back into their bounds: 255 that became 256 comes out as 0. That cannot happen in a
lossless frame of full size, which it reads several times as fast as OpenJPEG; every other frame OpenJPEG reads.

The encoder is given samples as signed words, moved to the middle, and the precision in the code stream's SIZ segment is
set afterwards. It is told no precision and would say 8 or 16, where DICOM wants Bits Stored (PS3.5 8.2.14); and since a
word that is signed is not shifted by the coder (T.800 annex G.1), the same bits come out as if it had been told. Lossy
samples are spread over the whole word first, because the quantisation step is a part of the full scale (T.800 E.1).
Every lossless stream has RPCL order and tile-part lengths, so it serves both lossless syntaxes. Colours are those of
JPEG 2000.

OpenJPH 0.26 builds its tables when the first frame is encoded, and two threads that encode the first at once
spoil each other's: one in twenty came out wrong. So a frame of no account goes first, and alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from threading import Lock

import imagecodecs
import numpy as np

from farm.codecs import openjph, uids
from farm.codecs.faults import admitted, agree, conformed, contiguous, faults_of
from farm.codecs.jpeg2000 import LOSSLESS, LOSSY, REVERSIBLE, cropped, encoded, openjpeg
from farm.codecs.streams import jpeg2000
from farm.frames.codec import Claim, Decoded, Encoded, Options, Region
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples

METHOD = "ISO_15444_15"
_LEAST_LEVELS, _LOWEST = 5, 64  # PS3.5 A.4.14: the lowest resolution of RPCL has sides of at most 64
_SSIZ = 42

_CLAIMS = {uids.HTJ2K_LOSSLESS: LOSSLESS, uids.HTJ2K_RPCL: LOSSLESS, uids.HTJ2K: LOSSY}


@dataclass(frozen=True, slots=True)
class Htj2k:
    """Frames by wavelets and fast block coding; lossless ones through OpenJPH."""

    name: str = "htj2k"
    library: str = "OpenJPH"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.HTJ2K_LOSSLESS, uids.HTJ2K_RPCL)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)

    @property
    def version(self) -> str:
        """The library's, and that of the binding where it has one of its own."""
        return str(imagecodecs.htj2k_version()).split()[-1] + openjph.version()

    def decode(self, data: Frame, layout: Layout, *, reduce: int = 0, region: Region | None = None) -> Decoded:
        """Return a frame's samples: those of a reversible stream at full size by OpenJPH, others by OpenJPEG."""
        head = jpeg2000(data)
        agree(head, layout)
        if reduce or head.process != REVERSIBLE:
            return openjpeg(data, layout, head, METHOD, reduce=reduce, region=region)
        with faults_of(self.library):
            array = imagecodecs.htj2k_decode(bytes(data[head.start :]), planar=False)
        return cropped(conformed(array, layout, head.precision, signed=head.signed), layout, region)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a code stream: reversible, or with the quantisation step of the options."""
        lossless = admitted(self.encodes, samples, layout, options.syntax).lossless
        levels = _levels(layout)
        if lossless and openjph.FOUND and levels is not None:
            with faults_of(self.library):
                return encoded(openjph.encoded(samples, layout, levels), layout, METHOD, lossless=True)
        words = _centred(samples, layout, spread=not lossless)
        with faults_of(self.library):
            with _FIRST:
                _warmed()
            data = imagecodecs.htj2k_encode(
                words,
                None if lossless else options.step,
                rgb=layout.photometric == "RGB" if layout.samples > 1 else None,
                planar=False if layout.samples > 1 else None,
                resolutions=levels,
                reversible=lossless,
                tlm=True,
            )
        return encoded(_precise(bytes(data), layout), layout, METHOD, lossless=lossless)


@dataclass(frozen=True, slots=True)
class LossyHtj2k:
    """Frames of HTJ2K that may be lossy, also by a reversible transform: OpenJPEG reads them."""

    name: str = "htj2k"
    library: str = "OpenJPEG"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.HTJ2K,)
    encodes: Mapping[str, Claim] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.jpeg2k_version().split()[-1]

    def decode(self, data: Frame, layout: Layout, *, reduce: int = 0, region: Region | None = None) -> Decoded:
        """Return a frame's samples, at 2 to the power of `reduce` of its size, or those of a region of that."""
        head = jpeg2000(data)
        agree(head, layout)
        return openjpeg(data, layout, head, METHOD, reduce=reduce, region=region)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return what the encoder of the family does."""
        return CODEC.encode(samples, layout, options)


_FIRST = Lock()


@cache
def _warmed() -> None:
    """Have the library build its tables."""
    imagecodecs.htj2k_encode(np.zeros((8, 8), "u2"), reversible=True)


def _centred(samples: Samples, layout: Layout, *, spread: bool) -> Samples:
    """Return samples as signed words with zero in the middle; `spread`: over all 16 bits."""
    middle = 0 if layout.signed else 1 << layout.bits_stored - 1
    words = (samples.astype("u2", copy=False) - np.uint16(middle)).view("i2")
    return contiguous(words << (16 - layout.bits_stored) if spread else words)


def _precise(data: bytes, layout: Layout) -> bytes:
    """Return a code stream that says the sign and Bits Stored of each component in its SIZ segment (T.800 A.5.1)."""
    depth = layout.bits_stored - 1 | (0x80 if layout.signed else 0)
    said = bytearray(data)
    said[_SSIZ : _SSIZ + 3 * layout.samples : 3] = bytes([depth]) * layout.samples
    return bytes(said)


def _levels(layout: Layout) -> int | None:
    """Return how often a frame is halved: five times, or until its lowest resolution is no larger than 64.

    None is the library's own choice: OpenJPH 0.32 loses the least value of a single row or column that it is told of.
    """
    if min(layout.rows, layout.columns) == 1:
        return None
    return max(_LEAST_LEVELS, ((max(layout.rows, layout.columns) - 1) // _LOWEST).bit_length())


CODEC, READS_LOSSY = Htj2k(), LossyHtj2k()
