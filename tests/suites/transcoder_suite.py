"""What everything that carries jobs out promises, here or in another process; the tests of each inherit this suite."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from farm.codecs import registry, uids
from farm.dicom.syntaxes import EXPLICIT_LITTLE
from farm.errors import BadInput, Reason
from farm.frames.codec import Options, Region
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job, Result, Transcoder, Work
from farm.transcoding.frames import digest
from tests.suites.codec_suite import layout_of, picture

LAYOUTS = (
    layout_of(12, (33, 40), "MONOCHROME2"),
    layout_of(16, (7, 65), "MONOCHROME1", signed=True),
    layout_of(8, (64, 30), "RGB"),
    layout_of(8, (1, 1), "MONOCHROME2"),
)
SYNTAXES = (uids.RLE, uids.HTJ2K_LOSSLESS, uids.JPEG_LS)
CT = layout_of(12, (32, 32), "MONOCHROME2")
WINDOW = 8 * CT.size
"""Bytes of samples that a transcoder may ask for ahead, in this suite."""


def native_job(layout: Layout = CT, syntax: str = "", **rest: object) -> Job:
    """Return a job for native frames: to a syntax, or to digests where there is none."""
    options = Options(syntax=syntax) if syntax else None
    return replace(Job(source=EXPLICIT_LITTLE, layout=layout, options=options), **rest)  # type: ignore[arg-type]


def native_work(samples: Iterable[Samples], layout: Layout = CT, syntax: str = "", **rest: object) -> Work:
    """Return the work on frames of samples."""
    frames = [one.tobytes() for one in samples]
    return Work(job=native_job(layout, syntax, count=len(frames), **rest), frames=frames)


def only(results: list[Result | BadInput]) -> Result:
    """Return the one result, which is none of an error."""
    [result] = results
    assert isinstance(result, Result), result
    return result


def reason(result: Result | BadInput) -> Reason:
    """Return why a work was not done."""
    assert isinstance(result, BadInput), result
    return result.reason


def decoded(result: Result, job: Job) -> list[Samples]:
    """Return the samples of a result's bitstreams, as another would read them by the attributes that it leaves."""
    assert job.options is not None
    codec, layout = registry.decoder(job.options.syntax), result.changes.apply(job.layout)
    return [codec.decode(bytes(stream), layout).samples for stream in result.streams]


SCENE = Layout(rows=96, columns=128, samples=3, bits_allocated=8, bits_stored=8, high_bit=7, photometric="RGB")
AVC = "1.2.840.10008.1.2.4.102"
"""H.264 at High Profile and Level 4.1."""


def scenes(count: int) -> list[Samples]:
    """Return frames that grow brighter one by one, with a mark that moves."""
    frames = [np.full(SCENE.shape, 20 + 8 * number, "u1") for number in range(count)]
    for number, frame in enumerate(frames):
        frame[16:48, 4 * number : 4 * number + 24] = 255
    return frames


def video(transcoder: Transcoder, count: int) -> tuple[Result, Layout]:
    """Return a video of scenes, and its layout."""
    result = only(transcoder.run([native_work(scenes(count), SCENE, AVC)]))
    return result, result.changes.apply(SCENE)


class TranscoderSuite:
    """Inherit it, and give the fixture `transcoder`, which asks for no more than `WINDOW` bytes ahead."""

    @pytest.mark.parametrize("syntax", SYNTAXES, ids=uids.NAMES.__getitem__)
    def test_what_is_encoded_is_what_was_given(self, transcoder: Transcoder, syntax: str) -> None:
        """Lost: pixels would change on their way, or their attributes would not fit them."""
        for layout in LAYOUTS:
            samples = picture(layout)
            work = native_work([samples], layout, syntax)
            result = only(transcoder.run([work]))
            assert (decoded(result, work.job)[0] == samples).all(), layout
            assert registry.encoder(syntax).library in result.codec
            assert not result.handed_back

    @pytest.mark.parametrize("syntax", SYNTAXES, ids=uids.NAMES.__getitem__)
    def test_what_is_decoded_is_what_was_encoded(self, transcoder: Transcoder, syntax: str) -> None:
        """Lost: compressed instances would come out as other pixels."""
        for layout in LAYOUTS:
            samples = picture(layout)
            given = only(transcoder.run([native_work([samples], layout, syntax)]))
            there = Job(
                source=syntax,
                layout=given.changes.apply(layout),
                options=Options(syntax=uids.ENCAPSULATED_UNCOMPRESSED),
            )
            result = only(transcoder.run([Work(job=there, frames=given.streams)]))
            assert (decoded(result, there)[0] == samples).all(), layout

    def test_a_digest_is_that_of_the_samples(self, transcoder: Transcoder) -> None:
        """Lost: the check that nothing was lost, or was lost, would compare something else."""
        samples = picture(CT)
        plain = only(transcoder.run([native_work([samples])]))
        assert [bytes(one) for one in plain.streams] == [digest(samples)]
        encoded = only(transcoder.run([native_work([samples], CT, uids.HTJ2K_LOSSLESS)]))
        job = Job(source=uids.HTJ2K_LOSSLESS, layout=encoded.changes.apply(CT))
        again = only(transcoder.run([Work(job=job, frames=encoded.streams)]))
        assert [bytes(one) for one in again.streams] == [digest(samples)]

    def test_blanked_regions_are_blank_and_the_rest_stands(self, transcoder: Transcoder) -> None:
        """Lost: a name burnt into the pixels would be released, or more than it would go."""
        samples = picture(CT)
        blank = (Region(row=3, column=5, rows=4, columns=20), Region(row=0, column=30, rows=32, columns=2))
        work = native_work([samples], CT, uids.JPEG_LS, blank=blank)
        expected = samples.copy()
        expected[3:7, 5:25] = 0
        expected[:, 30:] = 0
        assert (decoded(only(transcoder.run([work])), work.job)[0] == expected).all()

    def test_what_was_lost_is_told(self, transcoder: Transcoder) -> None:
        """Lost: a lossy instance could pass for an original (PS3.3 C.7.6.1.1.5)."""
        frames = [picture(CT, seed) for seed in range(3)]
        result = only(transcoder.run([native_work(frames, CT, uids.HTJ2K)]))
        assert result.changes.lossy_method == "ISO_15444_15"
        assert result.changes.lossy_ratio == pytest.approx(
            3 * CT.rows * CT.columns * 2 / sum(map(len, result.streams)), abs=0.02
        )
        exact = only(transcoder.run([native_work(frames, CT, uids.HTJ2K_LOSSLESS)]))
        assert (exact.changes.lossy_method, exact.changes.lossy_ratio) == (None, None)

    def test_many_frames_keep_their_order(self, transcoder: Transcoder) -> None:
        """Lost: the slices of a volume, or the frames of a cine, would be shuffled."""
        frames = [picture(CT, seed) for seed in range(100)]
        work = native_work(frames, CT, uids.HTJ2K_LOSSLESS)
        for one, expected in zip(decoded(only(transcoder.run([work])), work.job), frames, strict=True):
            assert (one == expected).all()

    def test_a_work_that_fails_spoils_no_other(self, transcoder: Transcoder) -> None:
        """Lost: one bad instance would cost a whole batch."""
        good = [native_work([picture(CT, seed)], CT, uids.RLE) for seed in range(4)]
        bad = Work(job=Job(source=uids.JPEG_LS, layout=CT, options=Options(syntax=uids.RLE)), frames=[b"no such"])
        absent = Work(job=Job(source=uids.J2K_PART2, layout=CT), frames=[b""])
        results = transcoder.run([good[0], bad, good[1], absent, good[2], native_work([], CT, uids.RLE), good[3]])
        assert reason(results[1]) is Reason.PIXELS_UNDECODABLE
        assert reason(results[3]) is Reason.CODEC_ABSENT
        assert str(results[3]).count("transforms between components")
        assert reason(results[5]) is Reason.PIXELS_UNDECODABLE
        for seed, at in enumerate((0, 2, 4, 6)):
            assert (decoded(only([results[at]]), good[seed].job)[0] == picture(CT, seed)).all()

    def test_what_is_wrong_carries_its_figures(self, transcoder: Transcoder) -> None:
        """Lost: an error would name no number to look for."""
        [result] = transcoder.run([Work(job=native_job(), frames=[b"short"])])
        assert reason(result) is Reason.PIXEL_LENGTH
        assert isinstance(result, BadInput)
        assert result.fields == {"expected": CT.size, "found": 5}

    def test_a_source_of_frames_that_fails_fails_its_work(self, transcoder: Transcoder) -> None:
        """Lost: damage that shows only at a later frame would end the others' work too."""

        def frames() -> Iterator[Frame]:
            yield picture(CT).tobytes()
            raise BadInput(Reason.BAD_STRUCTURE, "here it ends")

        results = transcoder.run([Work(job=native_job(), frames=frames()), native_work([picture(CT)])])
        assert reason(results[0]) is Reason.BAD_STRUCTURE
        assert len(only(results[1:]).streams) == 1

    def test_no_more_frames_are_asked_for_than_are_worked(self, transcoder: Transcoder) -> None:
        """Lost: an instance of many frames would be in memory as a whole, or read to its end after it has failed."""
        asked = 0

        def frames() -> Iterator[Frame]:
            nonlocal asked
            for _ in range(1000):
                asked += 1
                yield b"short"

        assert reason(transcoder.run([Work(job=native_job(count=1000), frames=frames())])[0]) is Reason.PIXEL_LENGTH
        assert asked <= WINDOW // CT.size

    def test_nothing_to_do(self, transcoder: Transcoder) -> None:
        """Lost: an empty batch would start what is not needed, or fail."""
        assert transcoder.run([]) == []
        assert transcoder.batch >= 1

    def test_the_same_work_gives_the_same_bytes(self, transcoder: Transcoder) -> None:
        """Lost: two attempts at one instance would make two outputs."""
        work = native_work([np.roll(picture(CT), seed) for seed in range(9)], CT, uids.HTJ2K)
        first, second = (only(transcoder.run([work])) for _ in range(2))
        assert [bytes(one) for one in first.streams] == [bytes(one) for one in second.streams]
        assert (first.changes, first.codec) == (second.changes, second.codec)

    def test_frames_become_a_video_and_a_video_frames(self, transcoder: Transcoder) -> None:
        """Lost: instances that are one stream could not be brought into another syntax, or in another order."""
        stream, layout = video(transcoder, 20)
        assert len(stream.streams) == 1
        assert stream.changes.lossy_method == "ISO_14496_10"
        for options in (Options(syntax=uids.JPEG_LS), Options(syntax=uids.RLE)):
            job = Job(source=AVC, layout=layout, count=20, options=options)
            first, result = transcoder.run([native_work([picture(CT)]), Work(job=job, frames=stream.streams)])
            assert isinstance(first, Result)
            for one, scene in zip(decoded(only([result]), job), scenes(20), strict=True):
                assert np.abs(one.astype(int) - scene).mean() < 4

    def test_a_video_of_another_length_is_refused(self, transcoder: Transcoder) -> None:
        """Lost: an instance would be released whose Number of Frames is not so."""
        stream, layout = video(transcoder, 5)
        for count in (4, 6):
            work = Work(job=Job(source=AVC, layout=layout, count=count), frames=stream.streams)
            assert reason(transcoder.run([work])[0]) is Reason.PIXEL_LENGTH
        missing = Work(job=Job(source=AVC, layout=layout, count=5), frames=[])
        broken = Work(job=Job(source=AVC, layout=layout, count=5), frames=[bytes(stream.streams[0])[:-200]])
        right = Work(job=Job(source=AVC, layout=layout, count=5), frames=stream.streams)
        results = transcoder.run([missing, broken, right])
        assert reason(results[0]) is Reason.PIXEL_LENGTH
        assert isinstance(results[1], BadInput)
        assert len(only(results[2:]).streams) == 5

    def test_frames_of_a_video_are_asked_for_one_by_one(self, transcoder: Transcoder) -> None:
        """Lost: what fails would fail another's work, and all frames be in memory at once."""
        asked = 0

        def frames() -> Iterator[Frame]:
            nonlocal asked
            for scene in scenes(3):
                asked += 1
                yield scene.tobytes()
            yield b"short"
            raise AssertionError

        job = Job(source=EXPLICIT_LITTLE, layout=SCENE, count=9, options=Options(syntax=AVC))
        results = transcoder.run([Work(job=job, frames=frames()), native_work([picture(CT)])])
        assert reason(results[0]) is Reason.PIXEL_LENGTH
        assert asked == 3
        assert len(only(results[1:]).streams) == 1

        def ends() -> Iterator[Frame]:
            yield scenes(1)[0].tobytes()
            raise BadInput(Reason.BAD_STRUCTURE)

        results = transcoder.run([Work(job=job, frames=ends()), native_work([picture(CT)])])
        assert reason(results[0]) is Reason.BAD_STRUCTURE
        assert len(only(results[1:]).streams) == 1
