"""ICC profiles: every word gone, every colorimetric tag as it was, nothing moved."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.deid.icc import cleaned, srgb

SECRET = b"Doe^Jane 0815"
WIDE = SECRET.decode().encode("utf-16-be")
COLOURS = {
    b"rXYZ": b"XYZ \0\0\0\0" + bytes(range(12)),
    b"rTRC": b"curv\0\0\0\0\0\0\0\2\0\1\xff\xff",
    b"A2B0": b"mft2\0\0\0\0" + bytes(range(60)),
    b"chad": b"sf32\0\0\0\0" + bytes(range(36)),
    b"tech": b"sig \0\0\0\0fscn",
}
WORDS = {
    b"desc": b"desc\0\0\0\0\0\0\0\x0e" + SECRET + b"\0" + bytes(80),
    b"cprt": b"text\0\0\0\0" + SECRET + b"\0",
    b"dmnd": b"mluc" + struct.pack(">3I4s2I", 0, 1, 12, b"deDE", len(WIDE), 28) + WIDE,
    b"targ": b"text\0\0\0\0" + SECRET,
    b"mmod": b"mmod\0\0\0\0" + SECRET,
    b"calt": b"dtim\0\0\0\0" + struct.pack(">6H", 1961, 4, 1, 12, 30, 0),
    b"pseq": b"pseq\0\0\0\0\0\0\0\1" + SECRET,
    b"bXYZ": b"text\0\0\0\0" + SECRET,  # a colour's name on a text
    b"\0\0\0\0": SECRET,
}


def profile(tags: list[tuple[bytes, bytes]], *, gap: bytes = b"", behind: bytes = b"") -> bytes:
    """Return a profile with bytes between its tags and behind it; tags of the same value share their place."""
    at, table, body = 132 + 12 * len(tags), b"", b""
    placed: dict[bytes, int] = {}
    for name, value in tags:
        if value not in placed:
            body += gap
            placed[value] = at + len(body)
            body += value
        table += name + struct.pack(">2I", placed[value], len(value))
    head = struct.pack(">I4sI", at + len(body), b"JANE", 0x02400000) + b"scnrRGB XYZ "
    head += struct.pack(">6H", 1961, 4, 1, 12, 30, 0)
    head += b"acsp" + b"APPL" + bytes(4) + b"DoeJ0815" + bytes(8) + bytes(4) + srgb()[68:80] + SECRET.ljust(48, b"!")
    return head + struct.pack(">I", len(tags)) + table + body + behind


def value(data: bytes, name: bytes) -> bytes:
    """Return what the tag table says a tag's value is."""
    for at in range(132, 132 + 12 * int.from_bytes(data[128:132], "big"), 12):
        if data[at : at + 4] == name:
            start, size = struct.unpack_from(">2I", data, at + 4)
            return data[start : start + size]
    raise AssertionError(name)


drawn = st.lists(st.sampled_from(sorted((COLOURS | WORDS).items())), unique_by=lambda tag: tag[0])


@given(drawn, st.sampled_from([b"", SECRET]), st.sampled_from([b"", SECRET, b"\0"]))
def test_the_words_go_and_the_colours_stay(tags: list[tuple[bytes, bytes]], gap: bytes, behind: bytes) -> None:
    """Lost otherwise: a name in a profile would leave with every slide, or its colours would change."""
    before = profile(tags, gap=gap, behind=behind)
    after = cleaned(before)
    assert len(after) == len(before)
    for part in (SECRET, WIDE, b"JANE", b"DoeJ", b"0815", struct.pack(">3H", 1961, 4, 1)):
        assert part not in after
    for name, written in tags:
        if name in COLOURS:
            assert value(after, name) == written
        assert len(value(after, name)) == len(written)
    assert cleaned(after) == after
    for start, end in ((0, 4), (8, 24), (36, 48), (56, 80), (128, 132 + 12 * len(tags))):
        assert after[start:end] == before[start:end]


def test_a_text_is_left_as_an_empty_one_of_its_type() -> None:
    """Lost otherwise: colour engines would refuse the profile, and the images lose their colours all the same."""
    after = cleaned(profile(list(WORDS.items())))
    assert value(after, b"desc")[:13] == b"desc" + bytes(7) + b"\1\0"
    assert value(after, b"cprt") == b"text".ljust(len(WORDS[b"cprt"]), b"\0")
    assert struct.unpack_from(">4s3I4s2I", value(after, b"dmnd")) == (b"mluc", 0, 1, 12, b"enUS", 0, 28)
    assert value(after, b"mmod") == b"text".ljust(len(WORDS[b"mmod"]), b"\0")
    assert value(after, b"calt") == b"dtim\0\0\0\0" + struct.pack(">6H", 1900, 1, 1, 0, 0, 0)


def test_a_place_that_a_text_and_a_colour_share_is_a_text() -> None:
    """Lost otherwise: a text could hide behind the name of a colorimetric tag."""
    shared = b"XYZ \0\0\0\0" + SECRET
    assert SECRET not in cleaned(profile([(b"rXYZ", shared), (b"cprt", shared)]))
    alike = COLOURS[b"rTRC"]
    assert value(cleaned(profile([(b"rTRC", alike), (b"gTRC", alike)])), b"gTRC") == alike


def damaged() -> list[bytes]:
    """Return what looks like a profile and is none."""
    good = profile(list((COLOURS | WORDS).items()))
    first, second = struct.unpack_from(">2I", good, 136), struct.unpack_from(">2I", good, 148)
    overlapping = good[:148] + struct.pack(">2I", first[0] + 4, second[1]) + good[156:]
    outside = good[:136] + struct.pack(">2I", len(good), 8) + good[144:]
    inside_table = good[:136] + struct.pack(">2I", 132, 8) + good[144:]
    return [
        b"",
        SECRET,
        good[:131],
        good[:-1],
        good[:36] + b"ACSP" + good[40:],
        good[:128] + b"\xff\xff\xff\xff" + good[132:],
        b"\0\0\0\x84" + good[4:],
        overlapping,
        outside,
        inside_table,
    ]


@pytest.mark.parametrize("data", damaged())
def test_what_is_no_profile_is_nothing(data: bytes) -> None:
    """Lost otherwise: text in the place of a profile would pass as one."""
    assert cleaned(data) == b""


@given(st.integers(0, 250), st.binary(min_size=1, max_size=8))
def test_any_damage_gets_an_answer(at: int, new: bytes) -> None:
    """Lost otherwise: a hostile profile would crash the run, or change its length."""
    good = profile(list(COLOURS.items()))
    assert len(cleaned(good[:at] + new + good[at + len(new) :])) in {0, len(good), len(good) + len(new)}


def test_our_own_profile_is_one_that_dicom_allows() -> None:
    """Lost otherwise: where a profile is required, the dummy would be refused (PS3.3 C.11.15.1.1)."""
    ours = srgb()
    assert int.from_bytes(ours[:4], "big") == len(ours)
    assert ours[12:24] == b"scnrRGB XYZ "
    assert len(cleaned(ours)) == len(ours)
    for name in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC", b"wtpt", b"chad", b"desc", b"cprt"):
        assert value(ours, name)
    assert value(ours, b"rTRC") == value(cleaned(ours), b"bTRC")


def test_our_own_profile_is_srgb() -> None:
    """Lost otherwise: the colours of an image would be shown as those of another space."""
    g, a, b, c, d = (n / 65536 for n in struct.unpack(">5i", value(srgb(), b"rTRC")[12:]))
    for level in (0.0, 0.02, 0.04, 0.05, 0.5, 1.0):
        wanted = level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4
        assert (a * level + b) ** g if level >= d else c * level == pytest.approx(wanted, abs=1e-4)
    matrix = [struct.unpack(">3i", value(srgb(), name)[8:]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    white = [sum(column) / 65536 for column in zip(*matrix, strict=True)]
    assert white == pytest.approx([0.9642, 1.0, 0.8249], abs=2e-4)
