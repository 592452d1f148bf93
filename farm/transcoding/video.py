"""Work on a video: all its frames are one stream, so it is the instance that is decoded and encoded, not the frame.

A stream becomes frames of another syntax, each with its proof; frames of any syntax, or those of another stream, become
one stream, which is decoded again to prove that every frame is in it. Frames pass through one by one: no more than a
few are held at a time, and a stream only while it is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from farm.errors import BadInput, Reason
from farm.frames.codec import Codec, Decoded
from farm.frames.video import VideoCodec
from farm.frames.work import Job, Work
from farm.transcoding.steps import Finder, Worked, blanked, finished


def holds_video(job: Job, decoder: Finder, encoder: Finder) -> bool:
    """Tell whether a job's source or target is video, so that `video_worked` has to carry it out."""
    codecs = [decoder(job.source), *([encoder(job.options.syntax)] if job.options else [])]
    return any(isinstance(codec, VideoCodec) for codec in codecs)


def video_worked(work: Work, decoder: Finder, encoder: Finder) -> Iterator[Worked]:
    """Yield what becomes of each frame, or the one stream that becomes of all, where source or target is video.

    The source's stream is the one item of `work.frames`, or they are its frames. Raises `BadInput` on the way, also
    after some frames, where a stream is damaged or holds other than `count` frames, or a proof fails.
    """
    job = work.job
    frames = _decoded(work, decoder(job.source))
    target = encoder(job.options.syntax) if job.options else None
    if isinstance(target, VideoCodec):
        yield _stream(frames, job, target, decoder)
        return
    for frame in frames:
        yield finished(frame, job, decoder, encoder)


def _decoded(work: Work, reader: Codec) -> Iterator[Decoded]:
    job = work.job
    if not isinstance(reader, VideoCodec):
        yield from (reader.decode(frame, job.layout) for frame in work.frames)
        return
    streams = list(work.frames)
    if len(streams) != 1:
        raise BadInput(Reason.PIXEL_LENGTH, "a video is one stream", expected=1, found=len(streams))
    changes = reader.decoded(job.layout)
    for samples in reader.decode_all(streams[0], job.layout, job.count):
        yield Decoded(samples=samples, changes=changes)


def _stream(frames: Iterator[Decoded], job: Job, target: VideoCodec, decoder: Finder) -> Worked:
    """Return the stream of all frames, which are of one kind."""
    assert job.options is not None  # noqa: S101 - it has a target
    first = next(frames, None)
    if first is None:
        raise BadInput(Reason.PIXEL_LENGTH, "a video has at least one frame", expected=job.count, found=0)
    layout = first.changes.apply(job.layout)
    samples = (blanked(_alike(one, first).samples, job.blank, layout) for one in chain([first], frames))
    encoded = target.encode_all(samples, layout, job.options)
    reader = decoder(job.options.syntax)
    if job.prove and isinstance(reader, VideoCodec):
        for _ in reader.decode_all(encoded.data, encoded.changes.apply(layout), job.count):
            pass
    return Worked(data=encoded.data, changes=first.changes.then(encoded.changes))


def _alike(frame: Decoded, first: Decoded) -> Decoded:
    if frame.changes != first.changes:
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the frames are not of one kind")
    return frame
