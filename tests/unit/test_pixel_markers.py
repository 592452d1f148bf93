"""Compressed frames lose what is not needed to decode them, and nothing else."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codecs import registry
from farm.dicom import syntaxes
from farm.errors import BadInput, Reason
from farm.frames.codec import Options
from farm.frames.layout import Layout
from farm.pixels.markers import Family, family_of, stripped
from tests.canaries import frames
from tests.canaries.frames import box, exif, jumbf, segment

SECRET = b"ZQ000001QZ"
SIZE = frames.SIDE * frames.SIDE
NATIVE = bytes(range(256))
JFIF = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0")
ADOBE = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
MRFX = segment(0xE8, b"mrfx\2")
COMMENT = segment(0xFE, SECRET)
J2K_COMMENT = segment(0x64, b"\0\1" + SECRET)
JPEG_EXTRAS = [exif(SECRET), jumbf(SECRET), COMMENT, segment(0xE2, b"ICC_PROFILE\0" + SECRET), segment(0xE0, SECRET)]
JXL = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
STREAM = box(b"jxlc", b"\xff\x0asamples")

TILES = segment(0x55, b"\0\x50\0\0\0\0\x15")  # of tile 0, with its list of packets, 21 bytes
TABLE = b"\1" * 64

CLEAN: dict[str, tuple[Family, bytes]] = {
    "jpeg": ("jpeg", frames.jpeg()),
    "jpeg with its colours": ("jpeg", frames.jpeg([JFIF, ADOBE])),
    "jpeg-ls": ("jpeg-ls", frames.jpeg_ls()),
    "jpeg-ls with its colours": ("jpeg-ls", frames.jpeg_ls([MRFX])),
    "j2k": ("j2k", frames.j2k()),
    "j2k, open-ended": ("j2k", frames.j2k(open_ended=True)),
    "j2k with true lists": ("j2k", frames.j2k([TILES], tile=[segment(0x58, b"\0\1")])),
    "jxl": ("jxl", b"\xff\x0asamples\0"),
    "jxl in boxes": ("jxl", frames.even(JXL + STREAM)),
    "rle": ("rle", frames.rle()),
    "deflated": ("deflated", frames.deflated(NATIVE)),
    "deflated, a frame padded within": ("deflated", frames.deflated(NATIVE + b"\0")),
    "uncompressed": ("uncompressed", NATIVE),
}
DIRTY: dict[str, tuple[Family, bytes, bytes]] = {
    "jpeg": ("jpeg", frames.jpeg(JPEG_EXTRAS, between=JPEG_EXTRAS, behind=SECRET), frames.jpeg()),
    "jpeg, fill bytes": ("jpeg", frames.jpeg([b"\xff\xff" + COMMENT]), frames.jpeg([b"\xff\xff"])),
    "a thumbnail in JFIF": (
        "jpeg",
        frames.jpeg([segment(0xE0, JFIF[4:16] + b"\2\2" + SECRET * 2)]),
        frames.jpeg([JFIF]),
    ),
    "jpeg, segments longer than what they define": (
        "jpeg",
        frames.jpeg([segment(0xDD, b"\0\0" + SECRET)]).replace(
            segment(0xDB, b"\0" + TABLE), segment(0xDB, b"\0" + TABLE + SECRET)
        ),
        frames.jpeg([segment(0xDD, b"\0\0")]),
    ),
    "jpeg, tables that no scan goes by": (
        "jpeg",
        frames.jpeg([segment(0xDB, bytes((number,)) + SECRET.ljust(64, b"!")) for number in (0, 3)]),
        frames.jpeg(),
    ),
    "jpeg, a table among others": (
        "jpeg",
        frames.jpeg().replace(segment(0xDB, b"\0" + TABLE), segment(0xDB, b"\3" + SECRET * 6 + b"quot\0" + TABLE)),
        frames.jpeg(),
    ),
    "jpeg, a hierarchy that is none": (
        "jpeg",
        frames.jpeg([segment(0xDE, SECRET), segment(0xDF, SECRET)]),
        frames.jpeg(),
    ),
    "jpeg, a long number of lines": (
        "jpeg",
        frames.jpeg(between=[segment(0xDC, b"\0\x10" + SECRET), segment(0xDC, SECRET)]),
        frames.jpeg(between=[segment(0xDC, b"\0\x10")]),
    ),
    "jpeg-ls, parameters of a strange kind": (
        "jpeg-ls",
        frames.jpeg_ls([segment(0xF8, b"\5" + SECRET)]),
        frames.jpeg_ls(),
    ),
    "jpeg-ls, a palette that nobody names": (
        "jpeg-ls",
        frames.jpeg_ls([segment(0xF8, b"\2\7\1" + SECRET)]),
        frames.jpeg_ls(),
    ),
    "j2k, lists that are not true": (
        "j2k",
        frames.j2k([segment(0x55, b"\0\x50" + SECRET), segment(0x57, SECRET)], tile=[segment(0x58, b"\0" + SECRET)]),
        frames.j2k(tile=[segment(0x64, bytes(1 + len(SECRET)))]),
    ),
    "j2k, places, profiles, extensions": (
        "j2k",
        frames.j2k([segment(marker, SECRET) for marker in (0x54, 0x59, 0x63, 0x74, 0x78)]),
        frames.j2k(),
    ),
    "jxl, an index": ("jxl", JXL + box(b"jxll", SECRET) + box(b"jxli", SECRET) + STREAM, frames.even(JXL + STREAM)),
    "jxl, a strange beginning": ("jxl", JXL + box(b"ftyp", SECRET) + STREAM, frames.even(JXL + STREAM)),
    "words behind Adobe": ("jpeg", frames.jpeg([segment(0xEE, ADOBE[4:] + SECRET)]), frames.jpeg([ADOBE])),
    "jpeg-ls": ("jpeg-ls", frames.jpeg_ls([COMMENT, MRFX, COMMENT], behind=SECRET), frames.jpeg_ls([MRFX])),
    "j2k": ("j2k", frames.j2k([J2K_COMMENT, segment(0x6F, SECRET)], behind=SECRET), frames.j2k()),
    "j2k, open-ended": ("j2k", frames.j2k([J2K_COMMENT], open_ended=True, behind=SECRET), frames.j2k(open_ended=True)),
    "a comment in a tile-part": (
        "j2k",
        frames.j2k(tile=[J2K_COMMENT]),
        frames.j2k(tile=[segment(0x64, bytes(2 + len(SECRET)))]),
    ),
    "jp2": ("j2k", frames.jp2(frames.j2k([J2K_COMMENT]), box(b"xml ", SECRET), box(b"uuid", SECRET)), frames.j2k()),
    "jxl": ("jxl", JXL + box(b"Exif", SECRET) + STREAM + box(b"jbrd", SECRET), frames.even(JXL + STREAM)),
    "rle": ("rle", frames.rle(SECRET), frames.rle()),
    "rle, words behind": ("rle", frames.even(frames.rle() + SECRET), frames.rle()),
    "rle, words in front": (
        "rle",
        b"\1\0\0\0\x4a\0\0\0".ljust(64, b"\0") + SECRET + frames.rle()[64:],
        frames.rle(),
    ),
    "rle, words in its last run": (
        "rle",
        frames.rle()[:-2] + b"\x82\0\x0a\0" + SECRET,
        frames.rle()[:-2] + b"\x82\0\0\0",
    ),
    "deflated": ("deflated", frames.even(frames.deflated(NATIVE) + SECRET), frames.deflated(NATIVE)),
    "uncompressed": ("uncompressed", NATIVE + SECRET, NATIVE),
}
BROKEN: dict[str, tuple[Family, bytes]] = {
    "nothing": ("jpeg", b""),
    "another family": ("jpeg", frames.j2k()),
    "not a code stream": ("j2k", frames.jpeg()),
    "a segment past the end": ("jpeg", b"\xff\xd8\xff\xe1\xff\xff" + SECRET),
    "a segment of length 0": ("jpeg", b"\xff\xd8\xff\xe1\0\0\xff\xd9"),
    "no marker where one belongs": ("jpeg", b"\xff\xd8" + SECRET),
    "a main header that does not end": ("j2k", frames.j2k()[:20]),
    "no marker in the main header": ("j2k", b"\xff\x4f" + segment(0x51, b"") + SECRET),
    "no marker in a tile-part": ("j2k", frames.j2k(tile=[SECRET])),
    "a tile-part without room": (
        "j2k",
        frames.j2k().replace(b"\xff\x90\0\x0a\0\0\0\0\0\x0f", b"\xff\x90\0\x0a\0\0\0\0\0\x0d"),
    ),
    "words behind the last tile-part": ("j2k", frames.j2k().removesuffix(b"\xff\xd9") + SECRET),
    "a palette in a jp2": ("j2k", frames.jp2(frames.j2k()).replace(b"colr", b"pclr")),
    "a box past the end": ("jxl", JXL + b"\0\0\1\0Exif"),
    "a box inside its header": ("jxl", JXL + b"\0\0\0\4Exif"),
    "not JPEG XL": ("jxl", SECRET),
    "half an RLE header": ("rle", bytes(40)),
    "more segments than an RLE header holds": ("rle", b"\x10" + bytes(80)),
    "an RLE segment inside the header": ("rle", b"\1\0\0\0\x20" + bytes(80)),
    "not deflated": ("deflated", b"\xff" + SECRET),
    "half a deflated frame": ("deflated", frames.deflated(NATIVE)[:20]),
    "a frame that inflates to less": ("deflated", frames.deflated(NATIVE[:200])),
    "words within a deflated frame": ("deflated", frames.deflated(NATIVE + SECRET)),
    "a word as a deflated frame's padding": ("deflated", frames.deflated(NATIVE + b"Q")),
    "half an uncompressed frame": ("uncompressed", NATIVE[:100]),
}
_COLOURS = {1: "MONOCHROME2", 2: "MONOCHROME2", 3: "RGB"}


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_frame_is_handed_back(name: str) -> None:
    """Lost otherwise: every frame would be copied, and offset tables written anew, for nothing."""
    family, frame = CLEAN[name]
    assert stripped(frame, family, SIZE) is frame


@pytest.mark.parametrize("name", DIRTY)
def test_what_is_not_needed_goes(name: str) -> None:
    """Lost otherwise: the owner of a camera and a tool's command line would be released inside the pixels."""
    family, frame, clean = DIRTY[name]
    assert SECRET in frame
    new = stripped(frame, family, SIZE)
    assert new == clean
    assert stripped(new, family, SIZE) is new


@pytest.mark.parametrize("name", BROKEN)
def test_a_frame_of_another_kind_is_refused(name: str) -> None:
    """Lost otherwise: what cannot be read would be released unseen."""
    family, frame = BROKEN[name]
    with pytest.raises(BadInput) as error:
        stripped(frame, family, SIZE)
    assert error.value.reason is Reason.BAD_STRUCTURE


def stuffed(data: bytes, most: int) -> bytes:
    """Return entropy-coded data as a coder writes them: FF is never followed by a marker's byte."""
    return re.sub(rb"\xff(?=(.?))", lambda found: b"\xff\0" if found[1] > bytes((most,)) else b"\xff", data + b"\0")


segments = st.builds(segment, st.sampled_from([*range(0xE0, 0xF0), 0xFE, 0xF0, 0xFD]), st.binary(max_size=20))
huffman = st.builds(
    lambda kind, symbols: segment(0xC4, bytes((kind,)) + bytes((0, len(symbols))) + bytes(14) + symbols),
    st.sampled_from([0x00, 0x10]),
    st.binary(max_size=9),
)
scans = st.builds(
    lambda table, interval, data, restart: (
        table
        + segment(0xDD, interval)
        + segment(0xDA, b"\1\1\0\0\x3f\0")
        + stuffed(data, 0)
        + b"\xff"
        + bytes((restart,))
        + b"\1"
    ),
    huffman,
    st.binary(min_size=2, max_size=2),
    st.binary(max_size=40),
    st.integers(0xD0, 0xD7),
)
PARTS = st.lists(st.tuples(st.just("cut"), segments) | st.tuples(st.just("kept"), scans), max_size=12)


@given(PARTS, st.binary(max_size=9))
def test_what_decodes_is_kept_to_the_byte(parts: list[tuple[str, bytes]], behind: bytes) -> None:
    """Lost otherwise: a sample could change where a progressive image has comments between its scans."""
    frame = b"\xff\xd8" + b"".join(part for _, part in parts) + b"\xff\xd9" + behind
    kept = b"\xff\xd8" + b"".join(part for what, part in parts if what == "kept") + b"\xff\xd9"
    colours = re.compile(rb"\xff\xe0..JFIF\0|\xff\xee..Adobe|\xff\xe8\0\x07mrfx", re.DOTALL)
    if not colours.search(frame):
        assert stripped(frame, "jpeg") == frames.even(kept)


@given(
    st.sampled_from(["jpeg", "jpeg-ls", "j2k", "jxl", "rle", "deflated", "uncompressed"]),
    st.binary(max_size=60),
    st.data(),
)
def test_anything_is_stripped_or_refused(family: Family, noise: bytes, data: st.DataObject) -> None:
    """Lost otherwise: a broken frame would end an instance as an error of the farm's own, or never end it."""
    frame = data.draw(st.sampled_from([frame for kind, frame in CLEAN.values() if kind == family]))
    at = data.draw(st.integers(0, len(frame)))
    for broken in (
        noise,
        frame[:at] + noise + frame[at:],
        frame[:at] + noise,
        frame[:at] + noise + frame[at + len(noise) :],
    ):
        try:
            new = stripped(broken, family, SIZE)
        except BadInput:
            continue
        assert len(new) % 2 == 0
        assert len(new) <= len(broken) + 1


def test_a_scan_without_an_end_is_kept_whole() -> None:
    """Lost otherwise: images of devices that forget EOI would be refused, or cut."""
    frame = frames.jpeg([COMMENT]).rstrip(b"\0").removesuffix(b"\xff\xd9") + b"\1\2\3"
    assert stripped(frame, "jpeg") == frames.even(frame.replace(COMMENT, b""))


def test_every_family_is_a_known_syntax() -> None:
    """Lost otherwise: a mistyped UID would let a whole family pass."""
    known = {syntax: family_of(syntax) for syntax in map(str, syntaxes._KNOWN)}
    assert set(known.values()) == {None, "jpeg", "jpeg-ls", "j2k", "jxl", "rle", "deflated", "uncompressed"}
    assert sum(family is not None for family in known.values()) == 33
    assert {uid for uid in (frames.JPEG, frames.JPEG_LS, frames.J2K, frames.RLE) if not family_of(uid)} == set()


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 9), st.binary(min_size=1, max_size=40), st.randoms())
def test_rle_frames_give_the_same_samples(
    samples: int, rows: int, columns: int, behind: bytes, chance: random.Random
) -> None:
    """Lost otherwise: a run would be cut, and with it the last pixels of a plane."""
    layout = Layout(rows=rows, columns=columns, samples=samples if samples == 3 else 1, photometric=_COLOURS[samples])
    layout = replace(layout, bits_allocated=8 * (1 + samples % 2), bits_stored=8, high_bit=7)
    drawn = np.array([chance.choice([0, 7, 200]) for _ in range(rows * columns * layout.samples)])
    codec = registry.decoder(frames.RLE)
    encoded = codec.encode(drawn.astype(layout.dtype).reshape(layout.shape), layout, Options(syntax=frames.RLE))
    assert stripped(encoded.data, "rle", rows * columns) is encoded.data
    new = stripped(frames.even(encoded.data + b"\1" + behind), "rle", rows * columns)
    assert new == encoded.data
    assert (codec.decode(new, layout).samples.ravel() == drawn).all()
