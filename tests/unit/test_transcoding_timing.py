"""When the frames of a video come, and what it says of that and of its pixels."""

from __future__ import annotations

from typing import Any

import pytest
import trees
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadInput, Reason
from farm.transcoding import timing
from farm.transcoding.plan import Action
from farm.transcoding.timing import ASPECT, CINE, DISPLAY, FRAME_TIME, POINTER, VECTOR
from tests import images, videos
from tests.images import Image, transcoded

TO_TIME, TO_VECTOR = b"\x18\0\x63\x10", b"\x18\0\x65\x10"
VRS = {ASPECT: "IS", CINE: "IS", DISPLAY: "IS", FRAME_TIME: "DS", VECTOR: "DS", POINTER: "AT"}


@pytest.mark.parametrize(
    ("said", "rate"),
    [
        ({DISPLAY: b"15 ", CINE: b"30", FRAME_TIME: b"40"}, 25),
        ({CINE: b"30", FRAME_TIME: b"40"}, 25),
        ({DISPLAY: b"15 ", CINE: b"30"}, 30),
        ({DISPLAY: b"15 "}, 15),
        ({CINE: b"0 ", FRAME_TIME: b"33.3"}, 30),
        ({FRAME_TIME: b"33.37 "}, 1000 / 33.37),
        ({FRAME_TIME: b"33"}, 30),
        ({FRAME_TIME: b"41.71 "}, 1000 / 41.71),
        ({FRAME_TIME: b"1500"}, 1 / 1.5),
        ({FRAME_TIME: b"4E1 "}, 25),
        ({VECTOR: b"0\\33\\33\\34\\33\\33\\34 "}, 30),
        ({VECTOR: b"0\\20\\20 ", FRAME_TIME: b"40"}, 25),
        ({VECTOR: b"0\\20\\20 ", FRAME_TIME: b"40", POINTER: TO_VECTOR}, 50),
        ({VECTOR: b"0\\20\\20 ", FRAME_TIME: b"40", POINTER: TO_TIME}, 25),
        ({CINE: b"nan", FRAME_TIME: b"inf "}, None),
        ({CINE: b"-5", FRAME_TIME: b"fast"}, None),
        ({FRAME_TIME: b"1E-999999"}, None),
        ({VECTOR: b"0 "}, None),
        ({}, None),
    ],
)
def test_how_fast_frames_follow_each_other(said: dict[int, bytes], rate: float | None) -> None:
    """Lost: a video would run too fast, or not be made for a number that is none."""
    assert timing.rate(said) == (None if rate is None else pytest.approx(rate))


@pytest.mark.parametrize(
    ("said", "films"),
    [
        ({}, True),
        ({ASPECT: b"1\\1 "}, True),
        ({ASPECT: b"2\\2 ", VECTOR: b"0\\33\\33\\34\\33\\33\\34 "}, True),
        ({ASPECT: b"4\\3 "}, False),
        ({ASPECT: b"1 "}, False),
        ({ASPECT: b"no\\no "}, False),
        ({VECTOR: b"0 "}, True),
        ({VECTOR: b"0\\33\\66 "}, False),
        ({VECTOR: b"0\\33\\33\\33\\33\\36\\36\\36\\36 "}, False),
        ({VECTOR: b"0\\33\\soon"}, False),
        ({VECTOR: b"0\\33\\0 "}, False),
    ],
)
def test_what_a_video_can_show(said: dict[int, bytes], *, films: bool) -> None:
    """Lost: a heart would beat evenly that does not, or be broader than it is, and nothing would tell."""
    assert timing.films(said) is films


@given(st.dictionaries(st.sampled_from(sorted(timing.TAGS)), st.binary(max_size=24)))
def test_any_value_is_a_rate_or_none(said: dict[int, bytes]) -> None:
    """Lost: a broken attribute would end the program, or a number without bounds be worked with."""
    rate = timing.rate(said)
    assert rate is None or 0 < rate < 1e10
    timing.films(said)
    assert timing.filmed(said, rate or 25).keys() <= timing.TAGS


def film(**said: bytes) -> bytes:
    """Return a file of frames with attributes of timing, named as here."""
    layout = videos.layout_of()
    frames = list(videos.pattern(7, layout))
    tags = {getattr(timing, name): value for name, value in said.items()}
    return Image(layout=layout, frames=frames).file(*(trees.text(tag, value, VRS[tag]) for tag, value in tags.items()))


def told(data: bytes) -> dict[int, str]:
    """Return what a file says of timing and pixels."""
    found: Any = images.read(data)
    return {tag: str(found[tag].value) for tag in timing.TAGS if tag in found}


def test_a_video_says_the_rate_that_its_stream_has() -> None:
    """Lost: times would be measured by one rate in a stream of another (PS3.5 8.2.7)."""
    even = b"0\\33\\33\\34\\33\\33\\34 "
    made = images.to(film(ASPECT=b"1\\1 ", VECTOR=even, POINTER=TO_VECTOR, CINE=b"25"), "h264-4.1")
    assert told(made) == {FRAME_TIME: "33.3333", POINTER: "(0018,1063)", CINE: "30"}
    found = images.elements(made)
    assert list(found) == sorted(found)
    made = images.to(film(FRAME_TIME=b"33.37 ", CINE=b"30", DISPLAY=b"10", POINTER=TO_TIME), "h264-4.1")
    assert told(made) == {FRAME_TIME: "33.37", POINTER: "(0018,1063)", CINE: "30", DISPLAY: "10"}
    made = images.to(film(FRAME_TIME=b"0 ", CINE=b"25", POINTER=TO_TIME), "h264-4.1")
    assert told(made) == {FRAME_TIME: "40", POINTER: "(0018,1063)", CINE: "25"}
    silent = told(images.to(film(), "h264-4.1"))
    assert silent == {}


@pytest.mark.parametrize(
    "said", [{"ASPECT": b"4\\3 "}, {"VECTOR": b"0\\33\\33\\66\\33\\33\\66 ", "POINTER": TO_VECTOR}]
)
def test_what_a_video_cannot_show_stays_as_it_is(said: dict[str, bytes]) -> None:
    """Lost: a picture would be distorted, or shown when it was not taken."""
    data = film(**said)
    made = transcoded(data, "h264-4.1")
    assert (made.action, made.why, images.joined(made)) == (Action.COPY, "the transfer syntax cannot hold it", data)
    with pytest.raises(BadInput) as refused:
        transcoded(data, "h264-4.1", refuse=True)
    assert refused.value.reason is Reason.CODEC_ABSENT
    frames = images.to(data, "htj2k-lossless")
    assert told(frames) == told(data)
