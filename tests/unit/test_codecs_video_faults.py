"""Videos that are read: from every container, as they say, and never where they are not what the attributes say."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pydicom
import pytest

from farm.codecs import video
from farm.codecs.video import heads
from farm.errors import BadInput, Reason
from farm.frames import encapsulated
from farm.frames.layout import Layout
from tests import videos
from tests.videos import AVC, HEVC, HEVC_10, MPEG2, STEREO

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
INDEX = CORPUS / "INDEX.tsv"
CHANGED = "300"


def refused(uid: str, data: bytes | memoryview, layout: Layout, count: int) -> BadInput:
    """Return why a stream is not decoded."""
    with pytest.raises(BadInput) as error:
        videos.decoded(uid, data, layout, count)
    assert error.value.__cause__ is None
    return error.value


def foreign(uid: str, layout: Layout, **said: int) -> bytes:
    """Return a video of the pattern by another program's choice of colours: `colorspace`, `color_range`."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264" if uid == AVC else "mpeg2video", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = layout.columns, layout.rows, "yuv420p"
        stream.codec_context.options = {"crf": "12"} if uid == AVC else {"qmin": "2", "b": "15000000"}
        for name, value in said.items():
            setattr(stream.codec_context, name, value)
        for frame in videos.pattern(4, layout):
            space, scope = (said.get("colorspace", 5), said.get("color_range", 1))
            rgb = av.VideoFrame.from_ndarray(frame, format="rgb24")
            painted = rgb.reformat(format="yuv420p", dst_colorspace=space, src_color_range=2, dst_color_range=scope)
            container.mux(stream.encode(painted))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("uid", "source", "target"),
    [
        (MPEG2, "mpegvideo", "mpegts"),
        (MPEG2, "mpegvideo", "mpeg"),
        (MPEG2, "mpegvideo", "mp4"),
        (AVC, "mov", "mpegts"),
        (AVC, "mov", "h264"),
        (HEVC, "mov", "mpegts"),
        (HEVC_10, "mov", "hevc"),
    ],
)
def test_containers(uid: str, source: str, target: str) -> None:
    """Lost: what other vendors put their video into would be quarantined (PS3.5 8.2.5 and 8.2.7)."""
    data, layout = videos.encoded(uid)
    before = videos.decoded(uid, data, layout, 8)
    other = videos.bare(data, target) if target in {"h264", "hevc"} else videos.remuxed(data, source, target)
    assert heads.container(other, video.SYNTAXES[uid].codec) not in {"", heads.container(data, "mpeg2video")}
    after = videos.decoded(uid, memoryview(other), layout, 8)
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


@pytest.mark.parametrize("uid", [MPEG2, AVC, HEVC])
def test_the_padding_of_a_fragment_is_no_damage(uid: str) -> None:
    """Lost: every second stream, which has an odd length, would be refused."""
    data, layout = videos.encoded(uid)
    for padded in (data + b"\0", data + bytes(2)):
        assert len(videos.decoded(uid, padded, layout, 8)) == 8


@pytest.mark.parametrize("uid", [MPEG2, AVC, HEVC])
def test_more_or_fewer_frames_are_refused(uid: str) -> None:
    """Lost: Number of Frames would be untrue, and what was cut off would pass for the end."""
    data, layout = videos.encoded(uid)
    for count in (7, 9, 1, 1000):
        assert refused(uid, data, layout, count).reason is Reason.PIXEL_LENGTH


def test_another_size_or_depth_is_refused_before_a_frame_is_decoded() -> None:
    """Lost: a small stream could have the process allocate what the attributes never spoke of."""
    data, layout = videos.encoded(AVC)
    for change in (
        {"rows": 98},
        {"rows": 48, "columns": 64},
        {"bits_allocated": 16, "bits_stored": 10, "high_bit": 9},
        {"bits_stored": 7, "high_bit": 6},
        {"bits_allocated": 16},
        {"signed": True},
        {"samples": 1, "photometric": "MONOCHROME2"},
    ):
        with pytest.raises(BadInput) as error:
            videos.codec_of(AVC).decode_all(data, replace(layout, **change), 8)  # at once: no frame is asked for
        assert error.value.reason is Reason.PIXELS_UNDECODABLE, change


def test_a_size_that_changes_on_the_way_is_refused() -> None:
    """Lost: frames of another size would come in the middle, or the memory for them would be taken."""
    small, layout = videos.encoded(MPEG2, 4)
    large, _ = videos.encoded(MPEG2, 4, videos.layout_of((480, 640)))
    assert refused(MPEG2, small[:-4] + large, layout, 8).reason is Reason.PIXELS_UNDECODABLE


@pytest.mark.parametrize(("uid", "other"), [(AVC, HEVC), (HEVC, AVC), (AVC, MPEG2), (MPEG2, AVC)])
def test_another_codec_is_refused(uid: str, other: str) -> None:
    """Lost: the transfer syntax would be untrue, and any decoder of the library would be within reach."""
    data, layout = videos.encoded(other)
    assert refused(uid, data, layout, 8).reason is Reason.PIXELS_UNDECODABLE
    if other == MPEG2:
        assert refused(uid, videos.remuxed(data, "mpegvideo", "mpegts"), layout, 8)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SECRET" * 50,
        b"\0\0\0\x18ftypisom" + b"SECRET" * 50,
        (b"\x47" + bytes(187)) * 20,
        b"\0\0\1\xb3SECRET",
        b"\0\0\1\xba" + bytes(300),
        b"\0\0\0\1\x67SECRET" * 9,
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    ],
)
@pytest.mark.parametrize("uid", [MPEG2, AVC, HEVC])
def test_what_is_no_video_is_refused_in_our_words(uid: str, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    """Lost: a library's message could reach a log, or a play list open files of the machine."""
    error = refused(uid, data, videos.layout_of(), 3)
    assert error.reason in {Reason.PIXELS_UNDECODABLE, Reason.PIXEL_LENGTH}
    assert "SECRET" not in str(error)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("uid", [MPEG2, AVC, HEVC])
@pytest.mark.parametrize("contained", [False, True])
def test_what_was_cut_off_is_refused(uid: str, contained: bool, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: FBT001 - a parameter
    """Lost: half a film, the rest of it grey, would pass for a whole one."""
    data, layout = videos.encoded(uid)
    data = videos.remuxed(data, "mpegvideo" if uid == MPEG2 else "mov", "mpegts") if contained else data
    for part in (0.02, 0.3, 0.6, 0.8, 0.9):
        error = refused(uid, data[: int(len(data) * part)], layout, 8)
        assert error.reason in {Reason.PIXELS_UNDECODABLE, Reason.PIXEL_LENGTH}
    assert capfd.readouterr() == ("", "")


def test_damage_in_hevc_is_found_by_the_digests_of_its_pictures() -> None:
    """Lost: a bit that turned within a picture would give other pixels, and nothing would tell."""
    data, layout = videos.encoded(HEVC, 6)
    healthy = videos.decoded(HEVC, data, layout, 6)
    start, found = data.index(b"mdat") + 4, 0
    random = np.random.default_rng(1)
    for at in random.integers(start, start + 1000, 60):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(random.integers(8))
        try:
            after = videos.decoded(HEVC, bytes(damaged), layout, 6)
        except BadInput:
            found += 1
            continue
        same = all(np.array_equal(one, two) for one, two in zip(healthy, after, strict=True))
        found += not same and 1000  # never seen; a digest that was hit itself is found as damage too
    assert 20 < found < 100


def test_no_changed_video_ends_the_process() -> None:
    """Lost: one instance, broken or made to break, could take its worker along."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.video_mutations", CHANGED],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=280,
        check=False,
    )
    assert made.returncode == 0, (made.returncode, made.stdout, made.stderr.splitlines()[-1:])
    found = re.fullmatch(r"(\d+) decoded or refused, (\d+) refused\n", made.stdout)
    assert found
    assert found[1] == CHANGED
    assert int(CHANGED) // 3 < int(found[2]) < int(CHANGED)


def test_sound_is_left_alone() -> None:
    """Lost: a decoder of sound, or what speaks in the operating theatre, would come into play."""
    data, layout = videos.encoded(AVC)
    beside = videos.remuxed(data, "mov", "mp4", sound=True)
    with av.open(io.BytesIO(beside)) as container:
        assert len(container.streams) == 2
    before, after = (videos.decoded(AVC, stream, layout, 8) for stream in (data, beside))
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))


def test_two_films_in_one_stream_are_refused() -> None:
    """Lost: one of them would be looked at and redacted, and the other released."""
    data, layout = videos.encoded(AVC)
    assert refused(AVC, videos.remuxed(data, "mov", "mp4", twice=True), layout, 8)


@pytest.mark.parametrize("said", [{}, {"colorspace": 1}, {"color_range": 2}, {"colorspace": 9, "color_range": 1}])
def test_colours_are_those_that_the_stream_says(said: dict[str, int]) -> None:
    """Lost: endoscopy in high definition, which says BT.709, would be shown with too little red."""
    layout = videos.layout_of()
    frames = videos.decoded(AVC, foreign(AVC, layout, **said), layout, 4)
    assert videos.psnr(videos.pattern(4, layout), frames, layout) > 38


def test_grey_mpeg2_is_its_luminance() -> None:
    """Lost: MPEG-2 under MONOCHROME2, which PS3.5 8.2.5 allows, would be quarantined, or be read too dark."""
    grey = videos.layout_of(colours="MONOCHROME2")
    coloured = [np.repeat(frame[..., None], 3, axis=2) for frame in videos.pattern(5, grey)]
    form = videos.layout_of()
    made = videos.codec_of(MPEG2).encode_all(coloured, form, video.families.Options(syntax=MPEG2))
    frames = videos.decoded(MPEG2, made.data, grey, 5)
    assert videos.psnr(videos.pattern(5, grey), frames, grey) > 40
    assert videos.codec_of(MPEG2).decoded(grey).apply(grey) == grey


def test_stereo_is_passed_on() -> None:
    """Lost: one of two views would come out, and nobody would miss the other."""
    with pytest.raises(BadInput) as error:
        videos.registry.decoder(STEREO)
    assert "passed on" in str(error.value)


def recorded() -> Iterator[Path]:
    """Yield the videos of the shared corpus."""
    lines = INDEX.read_text().splitlines()[1:] if INDEX.exists() else []
    for line in lines:
        path, syntax, *_ = line.split("\t")
        if video.is_video(syntax):
            yield CORPUS / path


@pytest.mark.skipif(not any(recorded()), reason="the shared corpus is not at hand, or has no video")
def test_real_videos() -> None:
    """Lost: what real devices record would be quarantined."""
    for path in recorded():
        found = pydicom.dcmread(path)
        layout = replace(videos.layout_of((found.Rows, found.Columns), found.BitsStored), photometric="YBR_PARTIAL_420")
        value = found.PixelData + bytes.fromhex("feffdde000000000")
        [stream] = encapsulated.frames(value, (0, len(value)), 1)
        frames = videos.codec_of(found.file_meta.TransferSyntaxUID).decode_all(
            stream, layout, int(found.NumberOfFrames)
        )
        assert sum(1 for _ in frames) == found.NumberOfFrames
