"""JPEG-LS: lossless, and near-lossless with a greatest error (ITU-T T.87; PS3.5 section 8.2.3).

The coder knows no sign: signed samples are coded as the bits of their two's complement, and the sign is extended when
they come back, because every decoder hands out unsigned numbers. With an error that would turn the greatest value into
the least, so near-lossless takes unsigned samples alone. Colours stay what they are. imagecodecs before 2026.10 cannot
be told the precision and writes 8 or 16; then others may see the error reach above Bits Stored, where we bring it back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import imagecodecs

from farm.codecs import uids
from farm.codecs.faults import GREY, PLAIN, admitted, agree, conformed, contiguous, faults_of, lossy, planar, told
from farm.codecs.streams import jpeg
from farm.frames import bits
from farm.frames.codec import Changes, Claim, Decoded, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples

METHOD = "ISO_14495_1"
_encode: Callable[..., bytes | bytearray] = imagecodecs.jpegls_encode
_PRECISE = "bitspersample" in signature(_encode).parameters
_BY_PLANE = 0

_CLAIMS = {
    uids.JPEG_LS: Claim(bits=(1, 16), signed=True, colours=PLAIN),
    uids.JPEG_LS_NEAR: Claim(bits=(8, 16), signed=False, colours=(*GREY, "RGB", "YBR_FULL"), lossless=False),
}


@dataclass(frozen=True, slots=True)
class JpegLs:
    """Frames by context modelling."""

    name: str = "jpeg-ls"
    library: str = "CharLS"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.JPEG_LS, uids.JPEG_LS_NEAR)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.jpegls_version().split()[-1]

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return a frame's samples, the sign extended, or what the error pushed over Bits Stored brought back."""
        head = jpeg(data)
        agree(head, layout)
        with faults_of(self.library):
            array = imagecodecs.jpegls_decode(bytes(data))
        if layout.samples > 1 and head.interleave == _BY_PLANE and array.shape[0] == layout.samples:
            array = array.transpose(1, 2, 0)
        lost = METHOD if head.near else None
        return told(conformed(array, layout, head.precision, lossy=head.near > 0), Changes(lost=lost))

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a frame, with the error of the options where the syntax allows one."""
        near = 0 if admitted(self.encodes, samples, layout, options.syntax).lossless else options.near
        depth = max(2, layout.bits_stored) if _PRECISE else 8 if layout.bits_stored <= 8 else 16
        # The sign reaches as far as the precision: others extend it from there.
        word = f"{samples.dtype.kind}{1 if depth <= 8 else 2}"
        wide = replace(layout, bits_allocated=8 if depth <= 8 else 16, bits_stored=depth, high_bit=depth - 1)
        pixels = contiguous(bits.masked(samples.astype(word, copy=False), wide))
        precision: dict[str, Any] = {"bitspersample": depth} if _PRECISE else {}
        with faults_of(self.library):
            data = _without_spiff(bytes(_encode(pixels, near, **precision)))
        if near:
            return Encoded(data=data, changes=lossy(METHOD, data, layout), error=near)
        return Encoded(data=data, changes=Changes(planar=planar(layout), high_bit=layout.bits_stored - 1))


def _without_spiff(data: bytes) -> bytes:
    """Return a stream without the SPIFF header that CharLS puts in front (T.84 annex F): DICOM says what it says."""
    at = 2
    while data[at : at + 2] == b"\xff\xe8":
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:2] + data[at:]


CODEC = JpegLs()
