"""What the transfer syntaxes of video promise: a profile, a level, containers, sizes and rates (PS3.5 8.2.5 to 8.2.12).

A level bounds what a decoder has to cope with: how large a frame is, how much of it comes in a second, and how many
bits do. The bounds are those of H.262 tables 8-10 to 8-14, H.264 table A-1 (with the factor 1.25 of High) and H.265
tables A.8 and A.9. DICOM narrows some further to a table of formats. Pixels are square throughout, chrominance is that
of every second row and column (4:2:0), so rows and columns are even.

A syntax whose UID ends in `.1`, and those of HEVC, may spread the stream over fragments; the others hold it in one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal, TypeAlias

from farm.codecs.faults import refuse
from farm.frames.layout import Layout

Codec: TypeAlias = Literal["mpeg2video", "h264", "hevc"]
METHODS: Final[dict[Codec, str]] = {"mpeg2video": "ISO_13818_2", "h264": "ISO_14496_10", "hevc": "ISO_23008_2"}
"""The values of Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1)."""
FILM, NTSC, NTSC_FIELDS = Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)
_DENOMINATOR, _NEAR = 1000, Fraction(1, 2000)
_UID = "1.2.840.10008.1.2.4."


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The bounds of a level: `area`, `side` and `speed` (area a second) in blocks; `bits` a second; `buffer` bits."""

    code: int
    name: str
    block: int
    area: int
    side: int
    speed: int
    bits: int
    buffer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A size and the frame rates that it may have; `interlaced`: its frames are coded as two fields."""

    rows: int
    columns: int
    rates: tuple[Fraction | int, ...]
    interlaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Syntax:
    """A transfer syntax of video.

    `profile` and `level.code` are the numbers in the bitstream. `formats` empty: the level alone decides; else the size
    is one of them, or at most that of one where they are not `exact`. `views`: it holds more than one picture at a
    time; `packed` in each frame, or `coded` apart, which no library here reads.
    """

    uid: str
    name: str
    codec: Codec
    profile: int
    level: Level
    containers: frozenset[str]
    formats: tuple[Format, ...] = ()
    exact: bool = True
    bits: int = 8
    fragments: bool = False
    views: Literal["", "packed", "coded"] = ""

    @property
    def writable(self) -> bool:
        """Tell whether frames of one view make such a video."""
        return not self.views


_ML = Level(code=8, name="Main", block=1, area=720 * 576, side=720, speed=10_368_000, bits=15_000_000, buffer=1_835_008)
_HL = Level(
    code=4, name="High", block=1, area=1920 * 1152, side=1920, speed=62_668_800, bits=80_000_000, buffer=9_781_248
)
_4_1 = Level(code=41, name="4.1", block=16, area=8192, side=256, speed=245_760, bits=62_500_000, buffer=78_125_000)
_4_2 = replace(_4_1, code=42, name="4.2", area=8704, side=263, speed=522_240)
_5_1 = Level(
    code=153, name="5.1", block=1, area=8_912_896, side=8444, speed=534_773_760, bits=40_000_000, buffer=40_000_000
)
_BLU_RAY = replace(_4_1, bits=40_000_000, buffer=30_000_000)

_STREAMS = frozenset({"mov", "mpegts"})
_ANY = _STREAMS | {"mpeg", "mpegvideo"}
_SD = (  # PS3.5 table 8-1
    Format(rows=480, columns=720, rates=(30, NTSC)),
    Format(rows=576, columns=720, rates=(25,)),
)
_HD = (  # PS3.5 table 8-3
    Format(rows=1080, columns=1920, rates=(25, NTSC, 30)),
    Format(rows=720, columns=1280, rates=(25, NTSC, 30, 50, NTSC_FIELDS, 60)),
)
_BD = (  # PS3.5 table 8-4
    Format(rows=1080, columns=1920, rates=(25, NTSC), interlaced=True),
    Format(rows=1080, columns=1920, rates=(24, FILM)),
    Format(rows=720, columns=1280, rates=(50, NTSC_FIELDS, 24, FILM)),
)


def _mpeg2(number: int, name: str, level: Level, formats: tuple[Format, ...], *, exact: bool) -> Syntax:
    return Syntax(
        uid=f"{_UID}{number}",
        name=f"MPEG2 Main Profile / {name}",
        codec="mpeg2video",
        profile=4,
        level=level,
        containers=_ANY,
        formats=formats,
        exact=exact,
    )


def _avc(number: int, name: str, level: Level, profile: int = 100) -> Syntax:
    return Syntax(
        uid=f"{_UID}{number}",
        name=f"MPEG-4 AVC/H.264 {name}",
        codec="h264",
        profile=profile,
        level=level,
        containers=_STREAMS,
    )


def _hevc(number: int, name: str, profile: int, bits: int) -> Syntax:
    return Syntax(
        uid=f"{_UID}{number}",
        name=f"HEVC/H.265 {name} Profile / Level 5.1",
        codec="hevc",
        profile=profile,
        level=_5_1,
        containers=_STREAMS,
        bits=bits,
        fragments=True,
    )


_WHOLE = (
    _mpeg2(100, "Main Level", _ML, _SD, exact=False),
    _mpeg2(101, "High Level", _HL, _HD, exact=True),
    _avc(102, "High Profile / Level 4.1", _4_1),
    replace(_avc(103, "BD-compatible High Profile / Level 4.1", _BLU_RAY), formats=_BD),
    _avc(104, "High Profile / Level 4.2 For 2D Video", _4_2),
    replace(_avc(105, "High Profile / Level 4.2 For 3D Video", _4_2), views="packed"),
    replace(_avc(106, "Stereo High Profile / Level 4.2", _4_2, 128), views="coded"),
)
_SPREAD = tuple(replace(one, uid=f"{one.uid}.1", name=f"Fragmentable {one.name}", fragments=True) for one in _WHOLE)
SYNTAXES: Final[dict[str, Syntax]] = {
    one.uid: one for one in (*_WHOLE, _hevc(107, "Main", 1, 8), _hevc(108, "Main 10", 2, 10), *_SPREAD)
}
"""Every transfer syntax of video that holds a coded bitstream (PS3.6 table A-1)."""


def rate_of(value: float) -> Fraction:
    """Return a frame rate as a fraction: that of NTSC and its kin where a decimal number means it (29.97)."""
    refuse(when=not 0 < value < _DENOMINATOR, hint="a video needs its frame rate")
    for known in (FILM, NTSC, NTSC_FIELDS):
        if abs(Fraction(value) / known - 1) < _NEAR:
            return known
    return Fraction(value).limit_denominator(_DENOMINATOR)


def format_of(syntax: Syntax, layout: Layout, rate: Fraction) -> Format:
    """Return the format of frames in a syntax; raise `BadInput` where size or rate are beyond what the UID promises."""
    refuse(when=bool(layout.rows % 2 or layout.columns % 2), hint="a video has even rows and columns")
    level = syntax.level
    tall, wide = (-(-side // level.block) for side in (layout.rows, layout.columns))
    beyond = tall * wide > level.area or max(tall, wide) > level.side or tall * wide * rate > level.speed
    refuse(when=beyond, hint="the level of the transfer syntax does not allow this size at this frame rate")
    if not syntax.formats:
        return Format(rows=layout.rows, columns=layout.columns, rates=(rate,))
    fitting = (one for one in syntax.formats if _fits(one, layout, exact=syntax.exact) and rate in one.rates)
    found = next(fitting, None)
    refuse(when=found is None, hint="the transfer syntax does not allow this size or this frame rate")
    assert found is not None  # noqa: S101 - refused just now
    return found


def _fits(one: Format, layout: Layout, *, exact: bool) -> bool:
    size = (layout.rows, layout.columns)
    return size == (one.rows, one.columns) if exact else size[0] <= one.rows and size[1] <= one.columns
