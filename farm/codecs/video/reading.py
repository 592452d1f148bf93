"""From a video stream to frames, one by one.

The container is chosen by its first bytes and its codec by the transfer syntax, so that nothing else of the library is
reached: a stream cannot name other files, and sound or data beside the pictures are never decoded. Size and kind of the
samples are compared with the attributes before the first frame is decoded, and again for each frame, because a stream
may change them on its way. Decoders mend what is damaged as well as they can; here what is damaged is refused.

Colours are converted as the stream says, and as PS3.3 says (BT.601) where it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from farm.codecs.faults import faults_of
from farm.codecs.video import heads, library
from farm.codecs.video.syntaxes import Codec
from farm.errors import BadInput, Reason
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.reformatter import Interpolation, VideoReformatter
    from av.video.stream import VideoStream

_KINDS = {8: ("yuv420p", "yuvj420p"), 10: ("yuv420p10le",)}
_MATRICES = {1: 1, 4: 4, 7: 7, 9: 9}  # H.264 table E-5 to libswscale's; all others are those of BT.601
_BT601, _LIMITED, _FULL = 5, 1, 2
_ASKED = {"mpeg2video": "mpeg1video,mpeg2video"}  # a bare stream is taken for MPEG-1 until its extension is read
_ALIGNED = 128
"""A decoder's frames may be larger than the picture by so many rows and columns."""
_PACKETS_A_FRAME, _PACKETS = 4, 256


class Video:
    """An open stream whose frames have the layout; a context manager. Raises `BadInput` where it is something else."""

    def __init__(self, stream: Frame, layout: Layout, codec: Codec) -> None:
        self._layout, self._codec = layout, codec
        self._pixels = str((layout.rows + _ALIGNED) * (layout.columns + _ALIGNED))
        self._av = library.load()
        kind = heads.container(stream, codec)
        if not kind:
            raise BadInput(Reason.PIXELS_UNDECODABLE, "a stream is in no container that a video comes in")
        with faults_of(library.NAME):
            self._container: InputContainer = self._open(stream, kind)
        try:
            self._stream = self._only()
        except BadInput:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def frames(self, count: int) -> Iterator[Samples]:
        """Yield the frames; raise `BadInput` where they are not as many, or one is damaged."""
        painter, found = self._av.video.reformatter.VideoReformatter(), 0
        for found, frame in enumerate(self._pictures(count), 1):
            if found > count:
                raise BadInput(Reason.PIXEL_LENGTH, "a video has more frames than the attributes say", expected=count)
            self._compare(frame.width, frame.height, frame.format.name)
            if frame.is_corrupt:
                raise BadInput(Reason.PIXELS_UNDECODABLE, "a video is damaged")
            with faults_of(library.NAME):
                samples = self._samples(frame, painter)
            yield samples
        if found < count:
            raise BadInput(Reason.PIXEL_LENGTH, "a video has fewer frames than the attributes say", expected=count)

    def _open(self, stream: Frame, kind: str) -> InputContainer:
        opened: InputContainer = self._av.open(
            _Bytes(stream),
            "r",
            format=kind,
            options={"max_pixels": self._pixels, "threads": "1"},
            container_options={
                "codec_whitelist": _ASKED.get(self._codec, self._codec),
                "protocol_whitelist": "none",
                "max_streams": "64",
            },
        )
        return opened

    def _only(self) -> VideoStream:
        """Return the one stream of pictures, ready to decode."""
        pictures = self._container.streams.video
        if len(pictures) != 1 or pictures[0].codec_context is None or pictures[0].codec_context.name != self._codec:
            raise BadInput(Reason.PIXELS_UNDECODABLE, "a stream is not the one video that its transfer syntax says")
        only: VideoStream = pictures[0]
        context = only.codec_context
        self._compare(context.width, context.height, context.pix_fmt)
        with faults_of(library.NAME):
            for stream in self._container.streams:
                if stream is not only:
                    stream.discard = self._av.stream.Discard.all
            context.thread_count, context.thread_type = 1, "NONE"
            context.options = {"err_detect": "crccheck+buffer+explode", "max_pixels": self._pixels}
        return only

    def _compare(self, columns: int, rows: int, kind: str | None) -> None:
        layout = self._layout
        if (rows, columns) != (layout.rows, layout.columns) or kind not in _KINDS.get(layout.bits_stored, ()):
            raise BadInput(Reason.PIXELS_UNDECODABLE, "a video has another size or depth than the attributes say")

    def _pictures(self, count: int) -> Iterator[VideoFrame]:
        """Yield the library's frames in the order in which they are shown."""
        packets = iter(self._container.demux(self._stream))
        for _ in range(_PACKETS + _PACKETS_A_FRAME * count):
            with faults_of(library.NAME):
                packet = next(packets, None)
                decoded = [] if packet is None else packet.decode()
            yield from decoded
            if packet is None:
                return
        raise BadInput(Reason.PIXELS_UNDECODABLE, "a video is in more packets than its frames can be")

    def _samples(self, frame: VideoFrame, painter: VideoReformatter) -> Samples:
        layout = self._layout
        full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
        names = {(1, 8): "gray", (3, 8): "rgb24", (3, 10): "gbrp10le"}
        painted = painter.reformat(
            frame,
            format=names[layout.samples, layout.bits_stored],
            src_colorspace=_MATRICES.get(frame.colorspace, _BT601),
            dst_colorspace=_BT601,
            src_color_range=_FULL if full else _LIMITED,
            dst_color_range=_FULL,
            interpolation=careful(self._av),
        )
        return np.asarray(painted.to_ndarray(), layout.dtype)


def careful(av: ModuleType) -> Interpolation:
    """Return the flags by which colours are rounded, not approximated, and are the same on every processor."""
    flags = av.video.reformatter.Interpolation
    chosen: Interpolation = (
        flags.BICUBIC | flags.ACCURATE_RND | flags.FULL_CHR_H_INT | flags.FULL_CHR_H_INP | flags.BITEXACT
    )
    return chosen


class _Bytes:
    """Bytes as the library reads them: without a copy of the whole."""

    def __init__(self, data: Frame) -> None:
        self._data, self._at = memoryview(data), 0

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        part = bytes(self._data[self._at : self._at + size])
        self._at += len(part)
        return part

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset from the start, from here, or from the end; return it."""
        self._at = max(0, offset + (0, self._at, len(self._data))[whence])
        return self._at

    def tell(self) -> int:
        """Return the offset."""
        return self._at
