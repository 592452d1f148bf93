"""Videos for tests: a pattern that moves, streams of it in other containers, and how near two films are."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np

from farm.codecs import registry, video
from farm.frames.codec import Options
from farm.frames.layout import Layout, Samples
from farm.frames.video import VideoCodec

MPEG2, MPEG2_HIGH, AVC, BD, AVC_2D, AVC_3D, STEREO, HEVC, HEVC_10 = (
    f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109)
)
WRITTEN = [one.uid for one in video.SYNTAXES.values() if one.writable]
SMALL = (96, 128)


def layout_of(size: tuple[int, int] = SMALL, bits: int = 8, colours: str = "RGB") -> Layout:
    """Return the layout of frames that become a video."""
    return Layout(
        rows=size[0],
        columns=size[1],
        samples=1 if colours == "MONOCHROME2" else 3,
        bits_allocated=8 if bits == 8 else 16,
        bits_stored=bits,
        high_bit=bits - 1,
        photometric=colours,
    )


def pattern(count: int, layout: Layout) -> Iterator[Samples]:
    """Yield frames of waves that move, all of one kind of colour, so that thinned out chrominance loses little."""
    rows, columns = np.mgrid[0 : layout.rows, 0 : layout.columns]
    tint = np.array([1.0, 0.6, 0.3])
    for at in range(count):
        waves = np.sin((columns + 3 * at) / 17) * np.cos((rows - 2 * at) / 13)
        values = 0.5 + 0.4 * (waves[..., None] * tint if layout.samples > 1 else waves)
        yield (values * layout.bounds[1]).astype(layout.dtype)


def usual(uid: str) -> tuple[Layout, float]:
    """Return a layout and a frame rate that a transfer syntax allows, as small as it goes."""
    syntax = video.SYNTAXES[uid]
    if not syntax.formats or not syntax.exact:
        return layout_of(bits=syntax.bits), 25.0
    least = min(syntax.formats, key=lambda one: one.rows)
    return layout_of((least.rows, least.columns)), float(min(least.rates))


def codec_of(uid: str) -> VideoCodec:
    """Return what reads a transfer syntax of video."""
    codec = registry.decoder(uid)
    assert isinstance(codec, VideoCodec)
    return codec


def encoded(uid: str, count: int = 8, layout: Layout | None = None) -> tuple[bytes, Layout]:
    """Return a video of the pattern, and what the attributes say of it."""
    form, rate = usual(uid)
    form = layout or form
    made = codec_of(uid).encode_all(pattern(count, form), form, Options(syntax=uid, rate=rate))
    return made.data, made.changes.apply(form)


def decoded(uid: str, data: bytes | memoryview, layout: Layout, count: int) -> list[Samples]:
    """Return the frames of a stream."""
    return list(codec_of(uid).decode_all(data, layout, count))


def psnr(before: Iterable[Samples], after: Sequence[Samples], layout: Layout) -> float:
    """Return how near two films are, in decibels of the peak signal to noise ratio."""
    errors = [np.mean((one.astype(float) - other.astype(float)) ** 2) for one, other in zip(before, after, strict=True)]
    return float(10 * np.log10(layout.bounds[1] ** 2 / max(float(np.mean(errors)), 1e-9)))


def remuxed(data: bytes, source: str, target: str, *, sound: bool = False, twice: bool = False) -> bytes:
    """Return a stream in another container of libavformat; `sound`: beside a track of it; `twice`: two pictures."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r", format=source) as given, av.open(out, "w", format=target) as made:
        pictures = given.streams.video[0]
        streams: list[Any] = [made.add_stream_from_template(pictures) for _ in range(1 + twice)]
        beside: Any = made.add_stream("aac", rate=48000) if sound else None
        step = 1 / (pictures.average_rate or Fraction(25))
        for number, packet in enumerate(given.demux(pictures)):
            if packet.size:
                if packet.dts is None:  # a bare stream has no times
                    packet.pts = packet.dts = int(number * step / packet.time_base)
                for stream in streams:
                    packet.stream = stream
                    made.mux(packet)
        for packet in _silence(beside) if sound else ():
            made.mux(packet)
    return out.getvalue()


def bare(data: bytes, codec: str) -> bytes:
    """Return the elementary stream of H.264 or HEVC in an MP4 (annex B of each)."""
    with av.open(io.BytesIO(data)) as given:
        pictures = given.streams.video[0]
        unpacked = av.BitStreamFilterContext(f"{codec}_mp4toannexb", pictures)
        packets = [packet for packet in given.demux(pictures) if packet.size]
        return b"".join(bytes(one) for packet in packets for one in unpacked.filter(packet))


def _silence(stream: Any) -> Iterator[Any]:
    for number in range(20):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "f4"), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48000, 1024 * number
        yield from stream.encode(frame)
    yield from stream.encode(None)
