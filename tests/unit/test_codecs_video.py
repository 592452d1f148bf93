"""Videos that are written: near their source, of the profile and level that they claim, and the same every time."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import re
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pydicom.uid
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codecs import registry, video
from farm.codecs.video import heads, library, syntaxes, writing
from farm.dicom import syntaxes as known
from farm.errors import BadInput, Reason
from farm.frames.codec import Options
from farm.frames.layout import Layout, Samples
from tests import videos
from tests.videos import AVC, AVC_2D, AVC_3D, BD, HEVC, HEVC_10, MPEG2, MPEG2_HIGH, STEREO, WRITTEN

NEAR = 40
"""Decibels; the pattern comes back with 43 to 48."""
NAMES = {uid: uid.removeprefix("1.2.840.10008.1.2.4.") for uid in video.SYNTAXES}
INTRA = "keyint=1:level-idc=5.1:high-tier=0:pools=none:frame-threads=1:wpp=0:log-level=none"
PROFILES = {MPEG2: "Main", HEVC: "Main", HEVC_10: "Main 10"}


def opened(data: bytes) -> Any:
    """Return a stream as libav opens it when it is told nothing."""
    return av.open(io.BytesIO(data))


def refused(uid: str, layout: Layout, rate: float = 25.0, count: int = 1) -> BadInput:
    """Return why frames are not made a video."""
    with pytest.raises(BadInput) as error:
        videos.codec_of(uid).encode_all(videos.pattern(count, layout), layout, Options(syntax=uid, rate=rate))
    return error.value


def test_every_transfer_syntax_of_video_is_there() -> None:
    """Lost: an instance of a syntax that was forgotten would be quarantined, and nobody could say why."""
    of_video = {uid for uid in known._KNOWN if re.fullmatch(r"1\.2\.840\.10008\.1\.2\.4\.10[0-8](\.1)?", uid)}
    assert set(video.SYNTAXES) == of_video
    assert len(of_video) == 16
    for uid, syntax in video.SYNTAXES.items():
        assert video.is_video(uid)
        assert syntax.name.replace(" ", "").lower() in pydicom.uid.UID(uid).name.replace(" ", "").lower()
        assert syntax.fragments == (uid.endswith(".1") or syntax.codec == "hevc")
    assert not video.is_video(known.EXPLICIT_LITTLE)


@pytest.mark.parametrize("uid", WRITTEN, ids=NAMES.__getitem__)
def test_frames_come_back(uid: str) -> None:
    """Lost: what is written could be another film, in other colours, or say the wrong things of itself."""
    layout, rate = videos.usual(uid)
    made = videos.codec_of(uid).encode_all(videos.pattern(7, layout), layout, Options(syntax=uid, rate=rate))
    after = made.changes.apply(layout)
    frames = videos.decoded(uid, made.data, after, 7)
    assert videos.psnr(videos.pattern(7, layout), frames, layout) > NEAR
    assert {(frame.shape, frame.dtype) for frame in frames} == {(layout.shape, layout.dtype)}
    assert (after.photometric, after.planar, after.samples) == ("YBR_PARTIAL_420", 0, 3)
    assert made.changes.lossy_method == syntaxes.METHODS[video.SYNTAXES[uid].codec]
    assert made.changes.lossy_ratio == pytest.approx(7 * layout.frame_bits / 8 / len(made.data), abs=0.01)
    assert videos.codec_of(uid).decoded(after).apply(after) == replace(layout, planar=0)


@pytest.mark.parametrize("uid", WRITTEN, ids=NAMES.__getitem__)
def test_a_stream_is_what_its_transfer_syntax_says(uid: str) -> None:
    """Lost: a viewer that holds the UID to its word would refuse the video, or show it distorted."""
    data, layout = videos.encoded(uid)
    syntax, (_, rate) = video.SYNTAXES[uid], videos.usual(uid)
    with opened(data) as container:
        [stream] = container.streams
        context = stream.codec_context
        assert heads.container(data, syntax.codec) in syntax.containers
        assert (context.name, context.level) == (syntax.codec, syntax.level.code)
        assert context.profile == PROFILES.get(uid, "High" if syntax.codec == "h264" else "Main")
        assert (context.height, context.width) == (layout.rows, layout.columns)
        assert context.pix_fmt == ("yuv420p10le" if syntax.bits == 10 else "yuv420p")
        assert context.sample_aspect_ratio == 1
        assert (context.colorspace, context.color_range) == (6, 1)
        assert stream.guessed_rate == syntaxes.rate_of(rate)
        assert len(list(container.decode(video=0))) == 8


@pytest.mark.parametrize("uid", [MPEG2, MPEG2_HIGH, AVC, BD, HEVC], ids=NAMES.__getitem__)
def test_groups_of_pictures_are_closed(uid: str) -> None:
    """Lost: a player that starts in the middle would show nothing, or rubbish, until the next group."""
    form, rate = videos.usual(uid)
    count = round(rate) + 3
    data, _ = videos.encoded(uid, count)
    with opened(data) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        assert len(keys) > 1
        fresh: Any = av.CodecContext.create(video.SYNTAXES[uid].codec, "r")
        fresh.extradata = container.streams.video[0].codec_context.extradata
        fresh.options = {"err_detect": "explode"}
        frames = [frame for packet in [*packets[keys[1] :], None] for frame in fresh.decode(packet)]
    assert len(frames) == count - keys[1]
    assert (frames[0].width, frames[0].height) == (form.columns, form.rows)


@pytest.mark.parametrize("uid", [MPEG2, MPEG2_HIGH, AVC, BD, HEVC, HEVC_10], ids=NAMES.__getitem__)
def test_the_same_frames_give_the_same_bytes(uid: str) -> None:
    """Lost: a run that goes on would release other bytes than the one that was killed, and call that a conflict."""
    data, _ = videos.encoded(uid)
    assert videos.encoded(uid)[0] == data
    code = "import hashlib, sys; from tests.videos import encoded; "
    code += "print(hashlib.sha256(encoded(sys.argv[1])[0]).hexdigest())"
    there = subprocess.run(
        [sys.executable, "-c", code, uid], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == hashlib.sha256(data).hexdigest()
    with ThreadPoolExecutor(3) as pool:
        assert {made for made, _ in pool.map(videos.encoded, [uid] * 3)} == {data}


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("uid", [MPEG2, AVC, HEVC], ids=NAMES.__getitem__)
def test_short_videos(uid: str, count: int) -> None:
    """Lost: x265 leaves the times of its first frames open, so a video of one or two has any, or fails."""
    data, layout = videos.encoded(uid, count)
    assert len(videos.decoded(uid, data, layout, count)) == count
    assert data == videos.encoded(uid, count)[0]
    with opened(data) as container:
        assert container.duration is None or container.duration < 1_000_000


@pytest.mark.parametrize("uid", [MPEG2, MPEG2_HIGH, AVC, BD, HEVC], ids=NAMES.__getitem__)
def test_nobody_signs_a_stream(uid: str) -> None:
    """Lost: an encoder's version, options or clock would stand in what is released, and change its bytes."""
    data, _ = videos.encoded(uid)
    assert not re.search(rb"x26[45]|lav[cf]|options|ffmpeg", data, re.IGNORECASE)
    for box in (b"mvhd", b"tkhd", b"mdhd"):
        at = data.find(box)
        assert at < 0 or data[at + 8 : at + 16] == bytes(8)


@pytest.mark.parametrize(
    ("uid", "size", "rate"),
    [
        (MPEG2, (578, 720), 25),
        (MPEG2, (576, 722), 25),
        (MPEG2, (576, 720), 30),  # 576 rows have 25 frames a second
        (MPEG2, (480, 640), 24),
        (MPEG2, (480, 640), 12.5),
        (MPEG2_HIGH, (576, 720), 25),
        (MPEG2_HIGH, (1080, 1920), 50),
        (MPEG2_HIGH, (1080, 1920), 60),
        (AVC, (1080, 1920), 50),
        (AVC, (1088, 2048), 25),  # 8704 macroblocks
        (AVC, (16, 4112), 25),
        (BD, (1080, 1920), 30),
        (BD, (1080, 1920), 50),
        (BD, (720, 1280), 25),
        (BD, (480, 640), 25),
        (AVC_2D, (1080, 1920), 72),
        (HEVC, (4096, 4096), 25),
        (HEVC, (2160, 3840), 72),
        (HEVC, (64, 128), 25),  # the encoder errs
        (HEVC, (96, 78), 25),
        (AVC, (97, 128), 25),
        (AVC, (96, 129), 25),
        (AVC, (96, 128), 0),
        (AVC, (96, 128), float("nan")),
        (AVC, (96, 128), 1e9),
        (AVC_3D, (96, 128), 25),
        (STEREO, (96, 128), 25),
    ],
)
def test_what_a_level_does_not_allow_is_refused(uid: str, size: tuple[int, int], rate: float) -> None:
    """Lost: a stream would break the promise of its transfer syntax, or an encoder would end the process."""
    layout = videos.layout_of(size)
    with pytest.raises(BadInput) as error:
        families(uid).encode_all(iter(()), layout, Options(syntax=uid, rate=rate))
    assert error.value.reason is Reason.CODEC_ABSENT
    assert error.value.hint


def families(uid: str) -> video.families.Family:
    """Return the family of a syntax, also of one that it does not read."""
    return next(one for one in video.FAMILIES if one.codec == video.SYNTAXES[uid].codec)


@pytest.mark.parametrize(
    ("uid", "size", "rate"),
    [
        (MPEG2, (576, 720), 25),
        (MPEG2, (480, 720), 29.97),
        (MPEG2_HIGH, (1080, 1920), 29.97),
        (MPEG2_HIGH, (720, 1280), 60),
        (AVC, (1080, 1920), 30),
        (AVC, (768, 1024), 80),
        (AVC, (2, 2), 7.5),
        (BD, (1080, 1920), 25),
        (BD, (1080, 1920), 23.976),
        (AVC_2D, (1080, 1920), 60),
        (HEVC, (80, 80), 1),
    ],
)
def test_the_bounds_of_a_level_are_within_it(uid: str, size: tuple[int, int], rate: float) -> None:
    """Lost: frames that the standard's tables allow would be refused."""
    layout = videos.layout_of(size)
    made = videos.codec_of(uid).encode_all(videos.pattern(2, layout), layout, Options(syntax=uid, rate=rate))
    frames = videos.decoded(uid, made.data, made.changes.apply(layout), 2)
    assert videos.psnr(videos.pattern(2, layout), frames, layout) > NEAR - 3


@given(rate=st.floats(0.5, 240), size=st.tuples(st.integers(1, 4400), st.integers(1, 4400)))
def test_no_level_is_exceeded(rate: float, size: tuple[int, int]) -> None:
    """Lost: some size and rate would slip through between the bounds."""
    for syntax in video.SYNTAXES.values():
        level, exact = syntax.level, syntaxes.rate_of(rate)
        try:
            found = syntaxes.format_of(syntax, videos.layout_of(size), exact)
        except BadInput:
            continue
        blocks = [-(-side // level.block) for side in size]
        assert blocks[0] * blocks[1] * exact <= level.speed
        assert max(blocks) ** 2 <= 8 * level.area
        assert not any(side % 2 for side in size)
        assert not syntax.formats or found in syntax.formats


def test_rates_of_television_are_exact() -> None:
    """Lost: 29.97 would be 2997/100, and sound and pictures would part; or no format would have it."""
    for value, rate in (
        (29.97, syntaxes.NTSC),
        (29.970030, syntaxes.NTSC),
        (1000 / 33.367, syntaxes.NTSC),
        (23.976, syntaxes.FILM),
        (59.94, syntaxes.NTSC_FIELDS),
        (30, Fraction(30)),
        (24.0, Fraction(24)),
        (7.5, Fraction(15, 2)),
        (1000 / 66.67, Fraction(15)),
    ):
        assert syntaxes.rate_of(value) == pytest.approx(rate, rel=1e-4)
        assert syntaxes.rate_of(value) == rate or value == pytest.approx(1000 / 66.67)


@pytest.mark.parametrize("uid", [MPEG2, AVC, HEVC], ids=NAMES.__getitem__)
def test_noise_stays_within_the_bits_of_the_level(uid: str) -> None:
    """Lost: a film of noise would have more bits a second than a decoder of the level has to take."""
    layout, random = videos.layout_of((480, 640)), np.random.default_rng(3)
    noise = (random.integers(0, 256, layout.shape).astype("u1") for _ in range(12))
    made = videos.codec_of(uid).encode_all(noise, layout, Options(syntax=uid, rate=30))
    level = video.SYNTAXES[uid].level
    assert len(made.data) * 8 <= 1.02 * (level.buffer + level.bits * 12 / 30)


@pytest.mark.parametrize(
    ("uid", "wrong"), [(AVC, {"level": "5.1"}), (MPEG2, {"level": "4"}), (HEVC, {"x265-params": INTRA})]
)
def test_an_encoder_that_leaves_its_level_is_found_out(
    uid: str, wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost: a library that does as it likes would be believed; x265 makes another profile of intra frames alone."""
    kept = writing._options
    monkeypatch.setattr(writing, "_options", lambda *given: kept(*given) | wrong)
    assert "left the profile or level" in str(refused(uid, videos.layout_of(), count=3))


def test_what_is_no_frame_of_three_samples_is_refused() -> None:
    """Lost: grey frames would become some colours, and ten bits eight, without a word."""
    assert "three samples" in str(refused(MPEG2, videos.layout_of(colours="MONOCHROME2")))
    assert "three samples" in str(refused(AVC, videos.layout_of(colours="MONOCHROME2")))
    assert refused(AVC, videos.layout_of(bits=10)).reason is Reason.CODEC_ABSENT
    assert refused(HEVC_10, videos.layout_of()).reason is Reason.CODEC_ABSENT
    assert refused(AVC, videos.layout_of(), count=0).reason is Reason.PIXEL_LENGTH
    with pytest.raises(BadInput) as error:
        videos.codec_of(AVC).encode_all([np.zeros((4, 4, 3), "u1")], videos.layout_of(), Options(syntax=AVC))
    assert error.value.reason is Reason.PIXELS_UNDECODABLE
    assert refused(AVC, replace(videos.layout_of(), photometric="YBR_FULL_422")).reason is Reason.CODEC_ABSENT


@pytest.mark.parametrize("uid", [MPEG2, AVC, HEVC, HEVC_10], ids=NAMES.__getitem__)
def test_black_white_and_colours_stay(uid: str) -> None:
    """Lost: luminance from 16 to 235 taken for all of the scale turns white grey, and the film of a liver brown."""
    bits = video.SYNTAXES[uid].bits
    layout, top = videos.layout_of(bits=bits), (1 << bits) - 1
    for colour in ((0, 0, 0), (1, 1, 1), (0.7, 0.3, 0.2), (0.1, 0.8, 0.4)):
        plain = np.full(layout.shape, np.round(np.array(colour) * top), layout.dtype)
        made = videos.codec_of(uid).encode_all([plain] * 3, layout, Options(syntax=uid))
        for frame in videos.decoded(uid, made.data, made.changes.apply(layout), 3):
            assert np.abs(frame.astype(int) - plain).max() <= 3 * (top + 1) // 256, colour


def test_chrominance_that_is_there_already_is_taken() -> None:
    """Lost: frames of JPEG, which have YBR_FULL, would have to become RGB first, or change their colours."""
    layout = videos.layout_of(colours="YBR_FULL")
    frames = []
    for frame in videos.pattern(5, videos.layout_of()):
        red, green, blue = (frame[..., at].astype(float) for at in range(3))
        luminance = 0.299 * red + 0.587 * green + 0.114 * blue
        planes = (luminance, (blue - luminance) / 1.772 + 128, (red - luminance) / 1.402 + 128)
        frames.append(np.clip(np.round(np.stack(planes, axis=-1)), 0, 255).astype("u1"))
    made = videos.codec_of(AVC).encode_all(frames, layout, Options(syntax=AVC))
    after = videos.decoded(AVC, made.data, made.changes.apply(layout), 5)
    assert videos.psnr(videos.pattern(5, layout), after, layout) > NEAR


def test_a_frame_is_a_video_of_one_frame() -> None:
    """Lost: those that know frames alone could do nothing with a video, and would do something wrong."""
    layout = videos.layout_of()
    [frame] = videos.pattern(1, layout)
    made = registry.encoder(AVC).encode(frame, layout, Options(syntax=AVC))
    back = registry.decoder(AVC).decode(made.data, made.changes.apply(layout))
    assert back.changes.photometric == "RGB"
    assert videos.psnr([frame], [back.samples], layout) > NEAR
    many, after = videos.encoded(AVC, 3)
    with pytest.raises(BadInput) as error:
        registry.decoder(AVC).decode(many, after)
    assert error.value.reason is Reason.PIXEL_LENGTH


def test_frames_are_not_gathered() -> None:
    """Lost: a film of an hour would have to fit into memory, many times over."""
    layout, alive = videos.layout_of(), set[int]()
    most = 0

    def drawn() -> Iterator[Samples]:
        nonlocal most
        for number, frame in enumerate(videos.pattern(60, layout)):
            alive.add(number)
            weakref.finalize(frame, alive.discard, number)
            most = max(most, len(alive))
            yield frame

    made = videos.codec_of(AVC).encode_all(drawn(), layout, Options(syntax=AVC))
    assert most <= 4
    frames = videos.codec_of(AVC).decode_all(made.data, made.changes.apply(layout), 60)
    assert next(frames).shape == layout.shape
    frames.close()  # type: ignore[attr-defined]  # what is not asked for is not decoded


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have no PyAV."""
    library.found.cache_clear()
    monkeypatch.setitem(sys.modules, "av", None)
    yield
    library.found.cache_clear()


@pytest.mark.usefixtures("without_library")
def test_without_the_extra_it_is_told_what_to_install() -> None:
    """Lost: a farm of the default install would fail on the first video, with a traceback."""
    for uid in video.SYNTAXES:
        why = registry.why_not(uid)
        assert why == video.why_not(uid) != ""
        assert "pip install dicom-farm[video]" in why or uid.startswith(STEREO)
        for find in (registry.decoder, registry.encoder):
            with pytest.raises(BadInput) as absent:
                find(uid)
            assert (absent.value.reason, absent.value.hint) == (Reason.CODEC_ABSENT, why)
    rows = [row for row in registry.table() if video.is_video(row.uid)]
    assert {(row.decoder, row.encoder) for row in rows} == {("", "")}
    assert all(row.why for row in rows)
    with pytest.raises(BadInput):
        families(AVC).encode_all(iter(()), videos.layout_of(), Options(syntax=AVC))


def test_the_library_is_never_in_the_default_install() -> None:
    """Lost: code under the GPL would come with `pip install dicom-farm`."""
    runtime = [line for line in importlib.metadata.requires("dicom-farm") or [] if "extra ==" not in line]
    assert runtime
    assert not [line for line in runtime if re.match(r"av\b", line)]


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
@pytest.mark.parametrize("uid", WRITTEN, ids=NAMES.__getitem__)
def test_another_ffmpeg_decodes_the_same_frames(tmp_path: Path, uid: str) -> None:
    """Lost: the decoder of one wheel would be the only one that reads its encoder."""
    layout, rate = videos.usual(uid)
    made = videos.codec_of(uid).encode_all(videos.pattern(5, layout), layout, Options(syntax=uid, rate=rate))
    (tmp_path / "video").write_bytes(made.data)
    kind = "rgb24" if layout.bits_stored == 8 else "rgb48le"
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "video", "-f", "rawvideo", "-pix_fmt", kind, "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert not done.stderr
    frames = np.frombuffer(done.stdout, layout.dtype).reshape(5, *layout.shape)
    scaled = [frame if layout.bits_stored == 8 else frame >> 6 for frame in frames]
    assert videos.psnr(videos.pattern(5, layout), scaled, layout) > NEAR - 3
