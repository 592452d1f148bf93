"""Videos lose what is not needed to decode them, and every frame that is shown stays what it was."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.dicom import syntaxes
from farm.errors import BadInput, Reason
from farm.frames.layout import Samples
from farm.pixels import video_streams
from farm.pixels.video_streams import Coding, coding_of, stripped
from tests import videos
from tests.canaries.frames import box, even

SECRET = b"ZQ000001QZ"
UUID = bytes(range(1, 17))


def unit(*head: int, body: bytes = b"") -> bytes:
    """Return a unit behind its start code: of H.264 and HEVC, or a header or slice of MPEG-2."""
    return b"\0\0\0\1" + bytes(head) + body


def message(kind: int, body: bytes) -> bytes:
    """Return a supplemental message (H.264 7.3.2.3.1); its unit ends with 80."""
    return bytes((kind,)) + b"\xff" * (len(body) // 255) + bytes((len(body) % 255,)) + body


AVC_PICTURES = [unit(0x67, body=b"\x42\0\x1e\xab\x40"), unit(0x68, body=b"\xce\x38\x80"), unit(0x65, body=b"\x88\x84")]
HEVC_PICTURES = [unit(0x40, 1, body=b"\x0c\1"), unit(0x42, 1, body=b"\1\1\x60"), unit(0x26, 1, body=b"\xaf\x80")]
MPEG2_PICTURES = [
    unit(0xB3, body=b"\x10\0\x60\x83\xff\xff\xe0\x80"),
    unit(0xB5, body=b"\x14\x8a\0\1\0\0"),
    unit(0xB8, body=b"\0\x08\0\x40"),
    unit(0x00, body=b"\0\x0f\xff\xf8"),
    unit(0x01, body=b"\x13\xf8\x7d\x29"),
]
TIMES = message(1, b"\x12\x34")
PICTURES: dict[Coding, list[bytes]] = {"avc": AVC_PICTURES, "hevc": HEVC_PICTURES, "mpeg2": MPEG2_PICTURES}
GOES: dict[str, tuple[Coding, bytes]] = {
    "an encoder's words": ("avc", unit(6, body=message(5, UUID + SECRET) + b"\x80")),
    "registered user data": ("avc", unit(6, body=message(4, b"\xb5" + SECRET) + b"\x80")),
    "user data behind other messages": ("avc", unit(6, body=TIMES + message(5, UUID + SECRET) + b"\x80")),
    "user data of a kind above 255": ("avc", unit(6, body=b"\xff" + message(3, SECRET) + b"\x80")),
    "a long message": ("avc", unit(6, body=message(1, SECRET * 30) + b"\x80")),
    "words behind the messages": ("avc", unit(6, body=TIMES + b"\x80" + SECRET)),
    "a message past its end": ("avc", unit(6, body=b"\1\xf0" + SECRET)),
    "a unit that nobody has defined": ("avc", unit(24, body=SECRET)),
    "words as filler": ("avc", unit(12, body=SECRET + b"\x80")),
    "words in a delimiter": ("avc", unit(9, body=b"\xf0" + SECRET)),
    "an encoder's words in HEVC": ("hevc", unit(0x4E, 1, body=message(5, UUID + SECRET) + b"\x80")),
    "user data behind a picture": ("hevc", unit(0x50, 1, body=message(4, SECRET) + b"\x80")),
    "a reserved slice": ("hevc", unit(0x34, 1, body=SECRET)),
    "an unspecified unit": ("hevc", unit(0x60, 1, body=SECRET)),
    "user data of MPEG-2": ("mpeg2", unit(0xB2, body=SECRET)),
    "a copyright": ("mpeg2", unit(0xB5, body=b"\x48" + SECRET)),
    "a system's code": ("mpeg2", unit(0xBE, body=SECRET)),
}
STAYS: dict[str, tuple[Coding, bytes]] = {
    "times": ("avc", unit(6, body=TIMES + b"\x80")),
    "a recovery point with emulation prevention": ("avc", unit(6, body=b"\6\3\0\0\3\1\x80")),
    "a delimiter": ("avc", unit(9, body=b"\xf0")),
    "filler": ("avc", unit(12, body=b"\xff" * 40 + b"\x80")),
    "the end": ("avc", unit(11)),
    "hashes": ("hevc", unit(0x50, 1, body=message(132, b"\0" + bytes(range(1, 49))) + b"\x80")),
    "the end of HEVC": ("hevc", unit(0x4A, 1)),
    "a display extension": ("mpeg2", unit(0xB5, body=b"\x23\6\6\6\x08\2\3\4")),
    "the end of MPEG-2": ("mpeg2", unit(0xB7)),
}
USER_DATA: dict[Coding, str] = {
    "avc": "an encoder's words",
    "hevc": "an encoder's words in HEVC",
    "mpeg2": "user data of MPEG-2",
}
CONTAINERS = dict.fromkeys((videos.AVC, videos.BD), "h264") | dict.fromkeys((videos.HEVC, videos.HEVC_10), "hevc")
CONTAINERS[videos.MPEG2] = "mpegvideo"
ENDS: dict[str, tuple[Coding, bytes]] = {
    "avc": ("avc", unit(11)),
    "avc, of a sequence": ("avc", unit(10)),
    "hevc": ("hevc", unit(0x4A, 1)),
    "mpeg2": ("mpeg2", unit(0xB7)),
}


def stream(coding: Coding, *more: bytes) -> bytes:
    """Return a stream with more units in front of its last slice."""
    pictures = PICTURES[coding]
    return even(b"".join((*pictures[:-1], *more, pictures[-1])))


@pytest.mark.parametrize("name", GOES)
def test_what_is_not_needed_goes(name: str) -> None:
    """Lost otherwise: who made a film, and of whom, would be released inside the pixels."""
    coding, extra = GOES[name]
    new = stripped(stream(coding, extra), coding)
    assert new == (stream(coding), True)
    behind = stripped(stream(coding) + even(extra), coding).stream
    assert behind.rstrip(b"\0") == stream(coding).rstrip(b"\0")


@pytest.mark.parametrize("name", STAYS)
def test_what_decodes_is_handed_back(name: str) -> None:
    """Lost otherwise: times and hashes of pictures would be missed, or every video be copied for nothing."""
    coding, extra = STAYS[name]
    data = stream(coding, extra)
    assert stripped(data, coding).stream is data


@pytest.mark.parametrize("name", ENDS)
def test_what_stands_behind_the_end_goes(name: str) -> None:
    """Lost otherwise: a film could end with words that no decoder reads."""
    coding, end = ENDS[name]
    clean = stream(coding).rstrip(b"\0") + end
    assert stripped(even(clean + SECRET), coding) == (even(clean), True)
    more = clean + SECRET + PICTURES[coding][-1]  # another recording, appended
    assert stripped(even(more), coding).stream == even(more.replace(SECRET, b""))


@pytest.mark.parametrize(("coding", "data"), [("avc", SECRET), ("hevc", b""), ("mpeg2", stream("avc"))])
def test_what_is_no_video_is_refused(coding: Coding, data: bytes) -> None:
    """Lost otherwise: what cannot be read would be released unseen."""
    with pytest.raises(BadInput) as caught:
        stripped(data, coding)
    assert caught.value.reason is Reason.BAD_STRUCTURE


@pytest.mark.parametrize(
    "data", [(b"\x47" + bytes(187)) * 4, (bytes(4) + b"\x47" + bytes(187)) * 4, b"\0\0\1\xba" + bytes(40)]
)
def test_packets_are_not_looked_into(data: bytes) -> None:
    """Lost otherwise: a stream whose words nobody looked for would pass for one without any."""
    assert stripped(data, "mpeg2") == (data, False)


def film(*in_moov: bytes, name: bytes = b"", times: bytes = bytes(8), behind: bytes = b"") -> bytes:
    """Return the boxes of an MP4 file, with more in the description of its only track."""
    header = box(b"mvhd", bytes(4) + times + bytes(88))
    handler = box(b"hdlr", bytes(8) + b"vide" + bytes(12) + name)
    track = box(b"trak", box(b"mdia", box(b"mdhd", bytes(4) + times + bytes(12)) + handler + b"".join(in_moov)))
    return (
        box(b"ftyp", b"isom\0\0\2\0isom")
        + box(b"moov", header + track + b"".join(in_moov))
        + behind
        + box(b"mdat", b"pictures")
    )


def test_a_films_metadata_is_blanked_where_it_stands() -> None:
    """Lost otherwise: who is in a film would leave in its title; or its tables would point beside the pictures."""
    extras = [box(kind, SECRET) for kind in (b"udta", b"meta", b"uuid", b"free", b"skip", b"XMP_")]
    data = film(*extras, name=SECRET, times=b"20190312", behind=box(b"uuid", SECRET))
    new, is_whole = stripped(data, "avc")
    free = [box(b"free", bytes(len(SECRET)))] * len(extras)
    assert new == film(*free, name=bytes(len(SECRET)), behind=free[0])
    assert not is_whole
    assert stripped(new, "avc").stream is new


@pytest.mark.parametrize(("coding", "only"), [("avc", b"\x06"), ("hevc", b"\x4e\x01")])
def test_a_video_of_nothing_but_messages_is_refused(coding: Coding, only: bytes) -> None:
    """Lost otherwise: an instance would be released whose video is empty, and read by nobody."""
    with pytest.raises(BadInput):
        stripped(b"\0\0\0\1" + only, coding)


@given(st.sampled_from(["avc", "hevc", "mpeg2"]), st.binary(max_size=60), st.data())
def test_anything_is_stripped_or_refused(coding: Coding, noise: bytes, data: st.DataObject) -> None:
    """Lost otherwise: a broken video would end an instance as an error of the farm's own, or never end it."""
    whole = data.draw(st.sampled_from([stream(coding), film(box(b"udta", SECRET))]))
    at = data.draw(st.integers(0, len(whole)))
    for broken in (noise, whole[:at] + noise + whole[at:], whole[:at] + noise):
        try:
            new, _ = stripped(broken, coding)
        except BadInput:
            continue
        assert len(new) <= len(broken) + 1
        assert stripped(new, coding).stream == new


def test_every_coding_is_a_known_syntax() -> None:
    """Lost otherwise: a mistyped UID would let the videos of a whole syntax pass."""
    known = [uid for uid in map(str, syntaxes._KNOWN) if coding_of(uid)]
    assert sorted(known) == sorted(video_streams._CODINGS.keys() & syntaxes._KNOWN.keys())
    assert len(known) == 16


def shown(data: bytes, container: str) -> list[Samples]:
    """Return the frames of a stream, as FFmpeg decodes them."""
    with av.open(io.BytesIO(data), "r", format=container) as opened:
        return [frame.to_ndarray() for frame in opened.decode(video=0)]


@pytest.mark.parametrize("uid", [videos.AVC, videos.BD, videos.HEVC, videos.HEVC_10, videos.MPEG2])
def test_every_frame_stays_what_it_was(uid: str) -> None:
    """Lost otherwise: a film would be damaged by what was to protect its patient."""
    coding, container = coding_of(uid), CONTAINERS[uid]
    assert coding is not None
    data, _ = videos.encoded(uid)
    plain = data if coding == "mpeg2" else videos.bare(data, container)
    assert stripped(even(plain), coding).stream == even(plain)
    dirty = plain + GOES[USER_DATA[coding]][1] + ENDS[coding][1] + SECRET
    new, is_whole = stripped(dirty, coding)
    assert is_whole
    assert SECRET not in new
    frames = shown(plain, container)
    assert frames
    assert all((one == other).all() for one, other in zip(frames, shown(new, container), strict=True))
    if coding != "mpeg2":
        film, _ = stripped(data, coding)
        assert len(film) - len(data) in {0, 1}
        assert all((one == other).all() for one, other in zip(frames, shown(film, "mov"), strict=True))


@pytest.mark.parametrize(("encoder", "coding", "container"), [("libx264", "avc", "h264"), ("libx265", "hevc", "hevc")])
def test_what_encoders_say_of_themselves_goes(encoder: str, coding: Coding, container: str) -> None:
    """Lost otherwise: the options of an encoder, which may hold a name, would leave with every film."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt, context.time_base = 128, 96, "yuv420p", Fraction(1, 25)
    context.options = {"x265-params": "log-level=none"}
    frames = [av.VideoFrame.from_ndarray(one) for one in videos.pattern(4, videos.layout_of())]
    packets = [
        bytes(packet)
        for frame in (*frames, None)
        for packet in context.encode(frame and frame.reformat(format="yuv420p"))
    ]
    data = b"".join(packets)
    assert encoder[3:].encode() in data
    new = stripped(data, coding).stream
    assert encoder[3:].encode() not in new
    assert all((one == other).all() for one, other in zip(shown(data, container), shown(new, container), strict=True))
