"""JPEG XL: lossless, lossy, and frames of JPEG Baseline taken over bit by bit (PS3.5 section 8.2.16).

JPEG XL knows no sign, and DICOM allows none in it: signed samples are refused. Lossless colours stay what they are;
lossy RGB is coded as XYB, and comes back as RGB. A recompressed frame is turned into its JPEG frame again and read as
that, so its colours are those of JPEG; one that has lost the data for it is read as it is, in RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import imagecodecs

from farm.codecs import jpeg, uids
from farm.codecs.faults import GREY, PLAIN, admitted, agree, conformed, contiguous, faults_of, lossy, planar, told
from farm.codecs.streams import Head, jpegxl
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Claim, Decoded, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples

METHOD = "ISO_18181_1"
_LOSSLESS_EFFORT, _LOSSY_EFFORT = 1, 3  # [M] effort 1 is 15 times as fast as 3, and a quarter larger

_CLAIMS = {
    uids.JPEG_XL_LOSSLESS: Claim(bits=(1, 16), signed=False, colours=PLAIN),
    uids.JPEG_XL: Claim(bits=(8, 16), signed=False, colours=(*GREY, "RGB"), lossless=False),
}
_BASELINE = {uids.JPEG_XL_JPEG: jpeg.CODEC.encodes[uids.JPEG_BASELINE]}


@dataclass(frozen=True, slots=True)
class JpegXl:
    """Frames of JPEG XL."""

    name: str = "jpegxl"
    library: str = "libjxl"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.JPEG_XL_LOSSLESS,)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)
    lossy: bool = False

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.jpegxl_version().split()[-1]

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return a frame's samples."""
        return _decoded(bytes(data), layout, lossy=self.lossy)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a frame: lossless, or with the distance of the options."""
        lossless = admitted(self.encodes, samples, layout, options.syntax).lossless
        with faults_of(self.library):
            data = bytes(
                imagecodecs.jpegxl_encode(
                    contiguous(samples.astype("u1" if layout.bits_stored <= 8 else "u2", copy=False)),
                    effort=_LOSSLESS_EFFORT if lossless else _LOSSY_EFFORT,
                    distance=0.0 if lossless else options.distance,
                    lossless=lossless,
                    bitspersample=layout.bits_stored,
                    numthreads=1,
                )
            )
        high = layout.bits_stored - 1
        if lossless:
            return Encoded(data=data, changes=Changes(planar=planar(layout), high_bit=high))
        colours = "XYB" if layout.photometric == "RGB" else None
        return Encoded(data=data, changes=replace(lossy(METHOD, data, layout, colours), high_bit=high))


@dataclass(frozen=True, slots=True)
class JpegXlJpeg:
    """Frames of JPEG Baseline within JPEG XL."""

    name: str = "jpegxl-jpeg"
    library: str = "libjxl"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.JPEG_XL_JPEG,)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _BASELINE)
    rewrites: tuple[tuple[str, str], ...] = (
        (uids.JPEG_BASELINE, uids.JPEG_XL_JPEG),
        (uids.JPEG_XL_JPEG, uids.JPEG_BASELINE),
    )

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.jpegxl_version().split()[-1]

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return a frame's samples as those of its JPEG frame."""
        _agree(data, layout)
        try:
            inner = restored(data)
        except BadInput:
            return _decoded(bytes(data), layout, lossy=True)
        return jpeg.CODEC.decode(inner, layout)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a frame of JPEG Baseline, recompressed; all that is lost is lost by JPEG."""
        admitted(self.encodes, samples, layout, options.syntax)
        inner = jpeg.CODEC.encode(samples, layout, replace(options, syntax=uids.JPEG_BASELINE))
        return replace(inner, data=recompressed(inner.data))

    def rewrite(self, data: Frame, source: str, target: str) -> bytes:
        """Return a frame of JPEG Baseline as JPEG XL, or the other way round."""
        del source
        return recompressed(data) if target == uids.JPEG_XL_JPEG else restored(data)


def recompressed(data: Frame) -> bytes:
    """Return a frame of JPEG Baseline as JPEG XL, a fifth smaller; `restored` gives the same bytes back."""
    with faults_of("libjxl"):
        return bytes(imagecodecs.jpegxl_encode_jpeg(bytes(data), usecontainer=True, numthreads=1))


def restored(data: Frame) -> bytes:
    """Return the frame of JPEG Baseline that was recompressed; raise `BadInput` where there was none."""
    with faults_of("libjxl"):
        inner = bytes(_restore(bytes(data)))
    if inner[:2] != b"\xff\xd8":
        raise BadInput(Reason.PIXELS_UNDECODABLE, "a frame is not the stream that its transfer syntax says")
    return inner


_restore: Callable[..., bytes | bytearray] = imagecodecs.jpegxl_decode_jpeg


def _agree(data: Frame, layout: Layout) -> None:
    rows, columns = jpegxl(data)
    agree(Head(rows=rows, columns=columns, samples=layout.samples), layout)


def _decoded(data: bytes, layout: Layout, *, lossy: bool) -> Decoded:
    _agree(data, layout)
    with faults_of("libjxl"):
        array = imagecodecs.jpegxl_decode(data, 0, numthreads=1)  # an animation may be a bomb
    colours = "RGB" if layout.samples > 1 and layout.photometric not in PLAIN else None
    read = conformed(array, layout, 8 * array.dtype.itemsize, lossy=lossy)
    return told(read, Changes(photometric=colours))


CODEC, RECOMPRESSED = JpegXl(), JpegXlJpeg()
READS_LOSSY = JpegXl(decodes=(uids.JPEG_XL,), lossy=True)
