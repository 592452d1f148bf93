"""Codecs of video: MPEG-2, H.264 and HEVC, through PyAV.

A video is one bitstream for all frames, so beside the codec's protocol, by which a frame is a video of one frame, these
hand out the frames of a stream and take frames in, one by one (`farm.frames.video`). What comes out is RGB; what goes
in is RGB or YBR_FULL, and is YBR_PARTIAL_420 from then on. A single sample is refused: a video has three (PS3.5
8.2.7), and how grey frames get colours is not a codec's to say; but a stream of MPEG-2 under MONOCHROME2 is read as
its luminance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from farm.codecs.faults import refuse
from farm.codecs.video import library
from farm.codecs.video.reading import Video
from farm.codecs.video.syntaxes import METHODS, SYNTAXES, Codec, Syntax
from farm.codecs.video.writing import written
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Claim, Decoded, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import PARTIAL, Layout, Samples

_CODED_APART = "its second view is coded apart, and no library reads that: it is passed on as it is"
_PACKED = "two views would have to be packed into each frame"
_CLAIMS = {
    8: Claim(bits=(8, 8), signed=False, colours=("RGB", "YBR_FULL"), lossless=False),
    10: Claim(bits=(10, 10), signed=False, colours=("RGB",), lossless=False),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Streams of one codec."""

    name: str
    codec: Codec
    library: str = library.NAME
    device: str = "cpu"

    @property
    def version(self) -> str:
        """The library's, which stands for those of FFmpeg, x264 and x265 that its wheel brings."""
        return library.version()

    @property
    def decodes(self) -> tuple[str, ...]:
        """The syntaxes that it reads: none without the library."""
        return tuple(one.uid for one in self._own() if not why_not(one.uid))

    @property
    def encodes(self) -> Mapping[str, Claim]:
        """The syntaxes that it writes: none without the library."""
        return {one.uid: _CLAIMS[one.bits] for one in self._own() if one.writable and library.found()}

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return the one frame of a stream."""
        (samples,) = self.decode_all(data, layout, 1)
        return Decoded(samples=samples, changes=self.decoded(layout))

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a frame as a video of its own."""
        return self.encode_all([samples], layout, options)

    def decoded(self, layout: Layout) -> Changes:
        """Return what has to be said differently of the frames that `decode_all` yields."""
        if layout.samples == 1:
            return Changes(photometric="MONOCHROME2")
        return Changes(photometric="RGB", planar=0)

    def decode_all(self, stream: Frame, layout: Layout, count: int) -> Iterator[Samples]:
        """Return the frames of a stream, decoded as they are asked for.

        Raises `BadInput` at once where the stream is another than the layout says, and on the way where it is damaged
        or has more or fewer frames than `count`.
        """
        allocated = 16 if layout.bits_stored > 8 else 8
        if layout.signed or layout.bits_allocated != allocated or (layout.samples == 1 and self.codec != "mpeg2video"):
            raise BadInput(Reason.PIXELS_UNDECODABLE, "a video has no such samples")
        return _frames(Video(stream, layout, self.codec), count)

    def encode_all(self, frames: Iterable[Samples], layout: Layout, options: Options) -> Encoded:
        """Return frames as one stream, at `options.rate` frames a second.

        Cine Rate and Frame Time, and that Pixel Aspect Ratio is absent, are the caller's to say. Raises `BadInput`
        where profile or level of the transfer syntax cannot hold the frames.
        """
        syntax = SYNTAXES.get(options.syntax)
        refuse(when=layout.samples == 1, hint="a video has three samples: give grey frames colours first")
        refuse(when=syntax is None or syntax.codec != self.codec, hint="the codec does not write the transfer syntax")
        assert syntax is not None  # noqa: S101 - refused just now
        refuse(when=not syntax.writable, hint=_PACKED if syntax.views == "packed" else _CODED_APART)
        refuse(when=not library.found(), hint=library.ABSENT)
        refuse(when=not _CLAIMS[syntax.bits].covers(layout), hint="the transfer syntax cannot hold these samples")
        data, count = written(frames, layout, syntax, options.rate)
        return Encoded(data=data, changes=_changes(syntax, layout.frame_bits * count / 8 / len(data)))

    def _own(self) -> Iterator[Syntax]:
        return (one for one in SYNTAXES.values() if one.codec == self.codec)


def _frames(video: Video, count: int) -> Iterator[Samples]:
    with video:
        yield from video.frames(count)


def _changes(syntax: Syntax, ratio: float) -> Changes:
    return Changes(
        photometric=PARTIAL,
        planar=0,
        bits_allocated=8 if syntax.bits == 8 else 16,
        bits_stored=syntax.bits,
        high_bit=syntax.bits - 1,
        lossy_method=METHODS[syntax.codec],
        lossy_ratio=ratio,
    )


def is_video(uid: str) -> bool:
    """Tell whether a transfer syntax is one of video: one stream for all frames."""
    return uid in SYNTAXES


def why_not(uid: str) -> str:
    """Return why a transfer syntax of video is not read; empty where it is."""
    if SYNTAXES[uid].views == "coded":
        return _CODED_APART
    return "" if library.found() else library.ABSENT


FAMILIES: Final = (
    Family(name="mpeg2", codec="mpeg2video"),
    Family(name="avc", codec="h264"),
    Family(name="hevc", codec="hevc"),
)
