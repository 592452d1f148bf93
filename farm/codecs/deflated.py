"""Deflated Image Frame Compression: the bytes of a native frame as a raw stream of RFC 1951 (PS3.5 A.4.13).

The frame's size is known, so a stream that inflates to more ends there. Colours are those of native frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import imagecodecs

from farm.codecs import native, uids
from farm.codecs.faults import admitted, faults_of
from farm.errors import BadInput, Reason
from farm.frames.codec import Claim, Decoded, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples

_LEVEL = 6
_MOST = 1032  # RFC 1951 can do no better: less than that cannot fill the frame

_CLAIMS = {uids.DEFLATED_FRAME: native.CLAIM}


@dataclass(frozen=True, slots=True)
class Deflated:
    """Frames deflated one by one."""

    name: str = "deflated"
    library: str = "libdeflate"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.DEFLATED_FRAME,)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.deflate_version().split()[-1]

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Inflate a frame, to its size and no further."""
        size = (layout.frame_bits + 7) // 8
        if len(data) * _MOST < size:
            raise BadInput(Reason.PIXEL_LENGTH, expected=size, found=len(data))
        out = bytearray(size + size % 2)  # a frame of odd length may be padded within the stream
        with faults_of(self.library):
            inflated = imagecodecs.deflate_decode(bytes(data), raw=True, out=out)
        if len(inflated) < size:
            raise BadInput(Reason.PIXEL_LENGTH, expected=size, found=len(inflated))
        return native.read(bytes(inflated), layout)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Deflate a frame."""
        admitted(self.encodes, samples, layout, options.syntax)
        plain = native.write(samples, layout)
        with faults_of(self.library):
            data = bytes(imagecodecs.deflate_encode(plain.data, _LEVEL, raw=True))
        return Encoded(data=data, changes=plain.changes)


CODEC = Deflated()
