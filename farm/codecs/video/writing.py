"""From frames to a video stream: the same frames give the same bytes.

H.264 and HEVC are written as MP4, MPEG-2 as a bare elementary stream (PS3.5 8.2.5 leaves it free). Each group of
pictures is closed, so that a player may start at any of them, and lasts a second. The encoder is bound to the level's
bit rate and buffer; what it then says in the stream of profile and level is read back, and what it used is added up. It
works in one thread, and neither its name, its options nor a time are left in the stream.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from farm.codecs.faults import faults_of, refuse
from farm.codecs.video import heads, library
from farm.codecs.video.reading import careful
from farm.codecs.video.syntaxes import Codec, Format, Syntax, format_of, rate_of
from farm.errors import BadInput, Reason
from farm.frames import bits
from farm.frames.layout import Layout, Samples

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_ENCODERS: dict[Codec, str] = {"mpeg2video": "mpeg2video", "h264": "libx264", "hevc": "libx265"}
_SOURCES = {("RGB", 8): "rgb24", ("RGB", 10): "gbrp10le", ("YBR_FULL", 8): "yuv444p"}
_TARGETS = {8: "yuv420p", 10: "yuv420p10le"}
_BT601, _LIMITED, _FULL = 5, 1, 2
_SMPTE170M = 6  # matrix_coefficients (H.264 table E-5): those of BT.601
_QUALITY = 18  # constant rate factor: [M] 44 dB for ultrasound at a hundredth of its size
_REORDERED = 2  # frames that are decoded before one that is shown first: pyramids of B-frames have two
_LEAST = {"hevc": 80}  # [M] x265 ends the process at 16 rows, and errs in frames of 64 columns, one block wide


class Writing:
    """A video in the making: `add` each frame, then `finish`."""

    def __init__(self, layout: Layout, syntax: Syntax, rate: float) -> None:
        """Raise `BadInput` where the syntax cannot hold frames of the layout at the rate."""
        self.count = 0
        self._layout, self._syntax, self._rate = layout, syntax, rate_of(rate)
        self._options = _options(syntax, _admitted(syntax, layout, self._rate), self._rate)
        self._av = library.load()
        self._painter = self._av.video.reformatter.VideoReformatter()
        self._out, self._packets, self._used = io.BytesIO(), 0, 0
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        with faults_of(library.NAME):
            self._context = self._described(self._contained() if syntax.codec != "mpeg2video" else self._bare())

    def add(self, samples: Samples) -> None:
        """Encode one more frame; raise `BadInput` where its samples are not of the layout."""
        bits.check(samples, self._layout)
        with faults_of(library.NAME):
            frame = self._painted(samples)
            frame.pts, frame.time_base = self.count, 1 / self._rate
            self._put(self._encoded(frame))
        self.count += 1

    def finish(self) -> bytes:
        """Return the stream; raise `BadInput` where there were no frames, or it is not of the profile and level."""
        if not self.count:
            raise BadInput(Reason.PIXEL_LENGTH, "a video has at least one frame", expected=1, found=0)
        with faults_of(library.NAME):
            self._put(self._encoded(None))
            if self._container is not None:
                self._container.close()
        if self._container is None:
            self._out.write(heads.SEQUENCE_ENDS)
        made = self._out.getvalue()
        self._prove(made)
        return made

    def _contained(self) -> VideoCodecContext:
        """Return what encodes into a container."""
        self._container = self._av.open(self._out, "w", format="mp4", options={"fflags": "+bitexact"})
        name = _ENCODERS[self._syntax.codec]
        stream: VideoStream = self._container.add_stream(name, rate=self._rate, options=self._options)  # type: ignore[assignment]  # by its name it is video
        self._stream = stream
        return stream.codec_context

    def _bare(self) -> VideoCodecContext:
        """Return what encodes by itself."""
        context: VideoCodecContext = self._av.CodecContext.create(_ENCODERS[self._syntax.codec], "w")
        context.options = self._options
        return context

    def _described(self, context: VideoCodecContext) -> VideoCodecContext:
        flags = self._av.codec.context.Flags
        context.width, context.height = self._layout.columns, self._layout.rows
        context.pix_fmt = _TARGETS[self._syntax.bits]
        context.framerate, context.time_base = self._rate, 1 / self._rate
        context.sample_aspect_ratio = Fraction(1)
        context.colorspace, context.color_range = _SMPTE170M, _LIMITED
        context.thread_count, context.thread_type = 1, "NONE"
        context.flags |= flags.bitexact | flags.closed_gop
        return context

    def _painted(self, samples: Samples) -> VideoFrame:
        """Return a frame with chrominance for each two rows and columns."""
        name = _SOURCES[self._layout.photometric, self._syntax.bits]
        plain = samples.transpose(2, 0, 1) if name == "yuv444p" else samples
        painted: VideoFrame = self._painter.reformat(
            self._av.VideoFrame.from_ndarray(np.ascontiguousarray(plain), format=name),
            format=_TARGETS[self._syntax.bits],
            src_colorspace=_BT601,
            dst_colorspace=_BT601,
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
            interpolation=careful(self._av),
        )
        return painted

    def _encoded(self, frame: VideoFrame | None) -> list[Packet[VideoStream]]:
        return self._context.encode(frame) if self._stream is None else self._stream.encode(frame)

    def _put(self, packets: list[Packet[VideoStream]]) -> None:
        for packet in packets:
            data = bytes(packet)
            if self._syntax.codec == "h264":
                data = heads.anonymous(data)
            elif self._syntax.codec == "mpeg2video" and self._syntax.exact:
                data = heads.wide(data)
            self._used += len(data)
            if self._container is None:
                self._out.write(data)
            else:
                self._container.mux(self._renewed(packet, data))

    def _renewed(self, packet: Packet[VideoStream], data: bytes) -> Packet[VideoStream]:
        """Return a packet with other bytes, and with its time of decoding: x265 leaves it open in short videos."""
        renewed: Packet[VideoStream] = self._av.Packet(data)
        renewed.pts, renewed.dts, renewed.duration = packet.pts, self._packets - _REORDERED, 1
        renewed.time_base, renewed.is_keyframe, renewed.stream = packet.time_base, packet.is_keyframe, packet.stream
        self._packets += 1
        return renewed

    def _prove(self, made: bytes) -> None:
        """Raise `BadInput` where the stream says another profile or level, or has more bits than the level allows."""
        syntax, level = self._syntax, self._syntax.level
        said = heads.told(made if self._container is None else self._context.extradata or b"", syntax.codec)
        allowed = level.buffer + level.bits * self.count / self._rate
        if said != (syntax.profile, level.code) or self._used * 8 > allowed:
            raise BadInput(Reason.CODEC_ABSENT, "the encoder left the profile or level of the transfer syntax")


def written(frames: Iterable[Samples], layout: Layout, syntax: Syntax, rate: float) -> tuple[bytes, int]:
    """Return frames as a stream, and how many they were."""
    writing = Writing(layout, syntax, rate)
    for samples in frames:
        writing.add(samples)
    return writing.finish(), writing.count


def _admitted(syntax: Syntax, layout: Layout, rate: Fraction) -> Format:
    """Return the format of frames; raise `BadInput` where the syntax, or the encoder, takes none of the size."""
    least = _LEAST.get(syntax.codec, 1)
    refuse(when=min(layout.rows, layout.columns) < least, hint="the encoder takes no frames as small as these")
    return format_of(syntax, layout, rate)


def _options(syntax: Syntax, form: Format, rate: Fraction) -> dict[str, str]:
    """Return what an encoder is told of profile, level, rate and groups of pictures."""
    level, group = syntax.level, str(max(2, round(rate)))  # of one: HEVC would become another profile
    if syntax.codec == "mpeg2video":
        bound = {"b": str(level.bits), "maxrate": str(level.bits), "bufsize": str(level.buffer)}
        kept = {"qmin": "2", "bf": "2", "sc_threshold": "1000000000", "g": str(round(rate / 2))}
        return {"profile": str(syntax.profile), "level": str(level.code)} | bound | kept
    if syntax.codec == "h264":
        bound = {"maxrate": str(level.bits), "bufsize": str(level.buffer), "crf": str(_QUALITY)}
        further = {"x264-params": _joined(_h264(syntax, form)), "preset": "medium", "g": group}
        return {"profile": "high", "level": level.name} | bound | further
    further = {"x265-params": _joined(_hevc(syntax, group)), "preset": "fast", "crf": str(_QUALITY)}
    return {"profile": "main10" if syntax.bits > 8 else "main"} | further


def _h264(syntax: Syntax, form: Format) -> Iterator[tuple[str, object]]:
    yield from (("open-gop", 0), ("threads", 1), ("lookahead-threads", 1))
    if syntax.formats:  # what Blu-ray players ask for besides
        yield from (("bluray-compat", 1), ("nal-hrd", "vbr"), ("slices", 4), ("aud", 1), ("pic-struct", 1))
    if form.interlaced:  # progressive frames in a stream whose syntax is that of fields
        yield ("fake-interlaced", 1)


def _hevc(syntax: Syntax, group: str) -> Iterator[tuple[str, object]]:
    level = syntax.level
    yield from (("level-idc", level.name), ("high-tier", 0), ("keyint", group), ("open-gop", 0))
    yield from (("vbv-maxrate", level.bits // 1000), ("vbv-bufsize", level.buffer // 1000))
    yield from (("pools", "none"), ("frame-threads", 1), ("wpp", 0), ("info", 0), ("log-level", "none"))
    yield ("hash", 1)  # the MD5 of each picture (H.265 D.2.19), so that damage is found


def _joined(pairs: Iterator[tuple[str, object]]) -> str:
    return ":".join(f"{name}={value}" for name, value in pairs)
