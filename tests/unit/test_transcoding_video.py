"""Work on videos: streams to frames, frames to streams, and streams to streams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from farm.codecs import registry, uids
from farm.dicom.syntaxes import EXPLICIT_LITTLE
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Codec, Options, Region
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job, Result, Work
from farm.transcoding.frames import Inline, Worked, digest, together, worked
from farm.transcoding.video import holds_video, video_worked
from tests import videos
from tests.videos import AVC, HEVC, MPEG2, decoded, encoded, psnr

COUNT = 5
CORNER = Region(8, 16, 32, 48)
TRANSCODER = Inline(registry.decoder, registry.encoder)


def work_of(frames: Iterable[Frame], source: str, layout: Layout, target: str = "", **said: object) -> Work:
    """Return the work of bringing frames, or a stream, into another syntax; none: only to decode it."""
    options = Options(syntax=target) if target else None
    job = Job(source=source, layout=layout, options=options, **{"count": COUNT, **said})  # type: ignore[arg-type]
    return Work(job=job, frames=frames)


def done(work: Work) -> list[Worked]:
    """Return all that becomes of a work."""
    return list(video_worked(work, registry.decoder, registry.encoder))


def refusal(work: Work) -> Reason:
    """Return why a work is not done."""
    with pytest.raises(BadInput) as error:
        done(work)
    return error.value.reason


def coded(syntax: str, layout: Layout, count: int = COUNT) -> tuple[list[bytes], Layout]:
    """Return the pattern frame by frame, and the layout that says what they are."""
    codec = registry.encoder(syntax)
    made = [codec.encode(frame, layout, Options(syntax=syntax)) for frame in videos.pattern(count, layout)]
    return [one.data for one in made], together([one.changes for one in made]).apply(layout)


def samples_of(frames: Sequence[Worked], syntax: str, layout: Layout) -> list[Samples]:
    """Return what was encoded frame by frame as samples."""
    after = together([frame.changes for frame in frames]).apply(layout)
    return [registry.decoder(syntax).decode(frame.data, after).samples for frame in frames]


@pytest.mark.parametrize("source", [MPEG2, AVC, HEVC])
@pytest.mark.parametrize("target", [uids.HTJ2K_LOSSLESS, uids.JPEG_LS, EXPLICIT_LITTLE])
def test_a_stream_becomes_frames(source: str, target: str) -> None:
    """Lost: the frames of a video in the lake would not be those that a viewer shows."""
    data, layout = encoded(source, COUNT)
    frames = done(work_of([data], source, layout, target))
    before = decoded(source, data, layout, COUNT)
    assert all(np.array_equal(*pair) for pair in zip(before, samples_of(frames, target, layout), strict=True))
    native = done(work_of([data], source, layout, EXPLICIT_LITTLE))
    assert {(frame.changes.photometric, frame.changes.planar) for frame in native} == {("RGB", 0)}
    assert frames[0].changes.lossy_method is None


def test_digests_are_those_of_the_frames() -> None:
    """Lost: a check that two instances show the same would compare streams, which say nothing of that."""
    data, layout = encoded(AVC, COUNT)
    told = [one.data for one in done(work_of([data], AVC, layout))]
    assert told == [digest(frame) for frame in decoded(AVC, data, layout, COUNT)]


@pytest.mark.parametrize("source", [uids.RLE, uids.HTJ2K_LOSSLESS, uids.JPEG_BASELINE, EXPLICIT_LITTLE])
@pytest.mark.parametrize("target", [MPEG2, AVC, HEVC])
def test_frames_become_a_stream(source: str, target: str) -> None:
    """Lost: a cine loop could not become a video, or would become one in other colours."""
    form = videos.layout_of()
    frames, layout = coded(source, form)
    [stream] = done(work_of(frames, source, layout, target))
    after = stream.changes.apply(layout)
    assert after.photometric == "YBR_PARTIAL_420"
    assert stream.changes.lossy_method
    assert psnr(videos.pattern(COUNT, form), decoded(target, stream.data, after, COUNT), form) > 35


def test_a_stream_becomes_another() -> None:
    """Lost: a video could not be brought into another syntax without all of its frames in memory."""
    data, layout = encoded(MPEG2, COUNT)
    [stream] = done(work_of([data], MPEG2, layout, HEVC))
    after = decoded(HEVC, stream.data, stream.changes.apply(layout), COUNT)
    assert psnr(decoded(MPEG2, data, layout, COUNT), after, layout) > 40


@pytest.mark.parametrize(("source", "target"), [(AVC, HEVC), (AVC, uids.RLE), (uids.RLE, AVC)])
def test_regions_are_blanked_on_the_way(source: str, target: str) -> None:
    """Lost: a name burned into every frame of a film would be released."""
    form = videos.layout_of()
    given, layout = ([encoded(source, COUNT)[0]], encoded(source)[1]) if source == AVC else coded(source, form)
    made = done(work_of(given, source, layout, target, blank=(CORNER,)))
    if target == uids.RLE:
        frames = samples_of(made, target, layout)
    else:
        frames = decoded(target, made[0].data, made[0].changes.apply(layout), COUNT)
    for frame in frames:
        inner = frame[CORNER.row + 2 : CORNER.row + CORNER.rows - 2, CORNER.column + 2 : CORNER.column + 46]
        assert inner.max() <= (0 if target == uids.RLE else 12)
        assert frame[60:].max() > 100


def test_a_count_that_is_not_true_is_refused() -> None:
    """Lost: frames would go missing on the way, and the attributes would say that they are there."""
    data, layout = encoded(AVC, COUNT)
    frames, form = coded(uids.RLE, videos.layout_of())
    assert refusal(work_of([data], AVC, layout, uids.RLE, count=COUNT + 1)) is Reason.PIXEL_LENGTH
    assert refusal(work_of([data], AVC, layout, uids.RLE, count=COUNT - 1)) is Reason.PIXEL_LENGTH
    assert refusal(work_of([data, data], AVC, layout, uids.RLE)) is Reason.PIXEL_LENGTH
    assert refusal(work_of([], AVC, layout, uids.RLE)) is Reason.PIXEL_LENGTH
    assert refusal(work_of(frames[:-1], uids.RLE, form, AVC)) is Reason.PIXEL_LENGTH
    assert refusal(work_of([], uids.RLE, form, AVC)) is Reason.PIXEL_LENGTH


def test_frames_of_two_kinds_make_no_video() -> None:
    """Lost: some frames would have the colours of others."""
    layout = videos.layout_of()
    frames, _ = coded(uids.RLE, layout)

    class Fickle:
        """A decoder that says of each frame that it has another bit."""

        def __init__(self) -> None:
            self.high = 7

        def decode(self, data: Frame, form: Layout) -> object:
            """Return the frame, and something else about it."""
            self.high = 15 - self.high
            return replace(registry.decoder(uids.RLE).decode(data, form), changes=Changes(high_bit=self.high))

    fickle = Fickle()
    with pytest.raises(BadInput) as error:
        list(video_worked(work_of(frames, uids.RLE, layout, AVC), lambda _: fickle, registry.encoder))  # type: ignore[arg-type, return-value]
    assert error.value.reason is Reason.PIXELS_UNDECODABLE


def test_a_proof_that_fails_is_told() -> None:
    """Lost: a codec that errs on one frame of a film would put it into the lake."""

    class Forgetful:
        """A codec that loses a value on its way back."""

        def __getattr__(self, name: str) -> object:
            return getattr(registry.decoder(uids.RLE), name)

        def decode(self, data: Frame, layout: Layout) -> object:
            """Return the frame, one value of it changed."""
            found = registry.decoder(uids.RLE).decode(data, layout)
            wrong = found.samples.copy()
            wrong[-1, -1, 0] ^= 1
            return replace(found, samples=wrong)

    def finder(uid: str) -> Codec:
        return Forgetful() if uid == uids.RLE else registry.decoder(uid)  # type: ignore[return-value]

    data, layout = encoded(AVC, COUNT)
    with pytest.raises(BadInput) as error:
        list(video_worked(work_of([data], AVC, layout, uids.RLE), finder, registry.encoder))
    assert error.value.reason is Reason.PIXELS_DIFFER
    assert len(list(video_worked(work_of([data], AVC, layout, uids.RLE, prove=False), finder, registry.encoder))) == 5


def test_frames_come_one_by_one() -> None:
    """Lost: all frames of a film would be held at a time, and an hour of it takes half a terabyte."""
    data, layout = encoded(AVC, COUNT)
    results = video_worked(work_of([data], AVC, layout, uids.RLE, count=COUNT + 1), registry.decoder, registry.encoder)
    for _ in range(COUNT):
        next(results)
    with pytest.raises(BadInput):
        next(results)  # only now the frame that is missing is missed


def test_the_transcoder_takes_videos_like_anything_else() -> None:
    """Lost: those who hand out work would have to know what a video is."""
    data, layout = encoded(AVC, COUNT)
    frames, form = coded(uids.RLE, videos.layout_of())
    given = [
        work_of([data], AVC, layout, uids.HTJ2K_LOSSLESS),
        work_of([data[:100]], AVC, layout, uids.HTJ2K_LOSSLESS),
        work_of(frames, uids.RLE, form, AVC),
        work_of(frames, uids.RLE, form, uids.JPEG_LS),
        work_of(frames, uids.RLE, videos.layout_of((97, 128)), AVC),
    ]
    first, broken, second, plain, odd = TRANSCODER.run(given)
    assert isinstance(first, Result)
    assert isinstance(second, Result)
    assert isinstance(plain, Result)
    assert isinstance(broken, BadInput)
    assert isinstance(odd, BadInput)
    assert (len(first.streams), len(second.streams), len(plain.streams)) == (COUNT, 1, COUNT)
    assert first.codec.startswith("PyAV ")
    assert " to OpenJPH " in first.codec
    assert " to PyAV " in second.codec
    assert second.changes.lossy_method == "ISO_14496_10"


def test_who_holds_video() -> None:
    """Lost: a video would be taken for a frame, or frames for a video."""
    data, layout = encoded(AVC, 1)
    found = (registry.decoder, registry.encoder)
    assert holds_video(work_of([data], AVC, layout).job, *found)
    assert holds_video(work_of([], uids.RLE, layout, AVC).job, *found)
    assert not holds_video(work_of([], uids.RLE, layout, uids.JPEG_LS).job, *found)
    one = work_of([data], AVC, layout, uids.RLE, count=1)
    assert [worked(data, one.job, *found)] == done(one)
