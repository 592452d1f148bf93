"""ICC profiles (0028,2000): the colours stay, the words go (ICC.1, ISO 15076-1; PS3.3 C.11.15).

A profile says how to show the pixels, so it should stay; but it is a file of its own inside the instance, with a
description, a copyright, device names and serial numbers, a date, private tags, and gaps between them. What stays is
what is needed for colour: the header's technical fields, and the tags that are known to be colorimetric and of a type
made of numbers. Every other tag is written as an empty value of its type, every other byte as zero. Nothing is moved,
so that what stays needs no decoding; a profile whose tags overlap cannot be cleaned this way, and counts as none.
"""

from __future__ import annotations

import struct
from itertools import pairwise

_DATE = struct.pack(">6H", 1900, 1, 1, 0, 0, 0)
_D50 = bytes.fromhex("0000f6d6 00010000 0000d32d")
_HEADER, _COUNTED = 128, 132  # the tag table begins with its count

# Header fields that say nothing of who, where and when: begin and end. Not among them: the preferred CMM, the date,
# manufacturer, model, creator, the profile's digest, and what is reserved.
_TECHNICAL = ((0, 4), (8, 24), (36, 48), (56, 80))

_COLORIMETRIC = frozenset(
    b"rXYZ gXYZ bXYZ wtpt bkpt lumi chad chrm clro rTRC gTRC bTRC kTRC A2B0 A2B1 A2B2 A2B3 B2A0 B2A1 B2A2 B2A3 D2B0"
    b" D2B1 D2B2 D2B3 B2D0 B2D1 B2D2 B2D3 gamt pre0 pre1 pre2 meas view tech rig0 rig2 ciis".split()
)
_NUMERIC = frozenset({b"XYZ ", b"curv", b"para", b"mft1", b"mft2", b"mAB ", b"mBA ", b"mpet", b"sf32", b"chrm"})
_NUMERIC |= {b"meas", b"view", b"sig ", b"clro"}

# How a value of a type begins that holds nothing; zeros follow. Any other type becomes an empty text.
_EMPTY: dict[bytes, bytes] = {
    b"desc": b"desc" + struct.pack(">2I", 0, 1),
    b"mluc": b"mluc" + struct.pack(">3I4s2I", 0, 1, 12, b"enUS", 0, 28),
    b"dtim": b"dtim" + bytes(4) + _DATE,
    b"pseq": b"pseq",
    b"psid": b"psid",
    b"dict": b"dict" + struct.pack(">3I", 0, 0, 16),
}


def cleaned(profile: bytes) -> bytes:
    """Return a profile of the same length without its words; empty where it is no profile that can be cleaned."""
    places = _places(profile)
    if places is None:
        return b""
    new = bytearray(len(profile))
    for start, end in _TECHNICAL:
        new[start:end] = profile[start:end]
    new[24:36] = _DATE
    count = _long(profile, _HEADER)
    new[_HEADER : _COUNTED + 12 * count] = profile[_HEADER : _COUNTED + 12 * count]
    for (start, end), names in places.items():
        kind = profile[start : start + 4]
        if names <= _COLORIMETRIC and kind in _NUMERIC:
            new[start:end] = profile[start:end]
        else:
            empty = _EMPTY.get(kind, b"text")[: end - start]
            new[start : start + len(empty)] = empty
    return bytes(new)


def srgb() -> bytes:
    """Return an input profile, of the matrix kind and version 4.2, for the colour space sRGB (IEC 61966-2-1)."""
    matrix = {
        b"rXYZ": bytes.fromhex("00006fa2 000038f5 00000390"),
        b"gXYZ": bytes.fromhex("00006299 0000b785 000018da"),
        b"bXYZ": bytes.fromhex("000024a0 00000f84 0000b6cf"),
        b"wtpt": _D50,
    }
    curve = b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    adaptation = (1.04781, 0.02289, -0.05013, 0.02954, 0.99048, -0.01705, -0.00923, 0.01504, 0.75213)  # D65 to D50
    tags = {name: b"XYZ \0\0\0\0" + value for name, value in matrix.items()}
    tags |= {b"chad": b"sf32\0\0\0\0" + _fixed(*adaptation), b"desc": _said("sRGB"), b"cprt": _said("CC0")}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    at, table, body = _COUNTED + 12 * len(tags), b"", b""
    placed: dict[bytes, int] = {}
    for name, value in tags.items():
        if value not in placed:
            placed[value] = at + len(body)
            body += value + bytes(-len(value) % 4)
        table += name + struct.pack(">2I", placed[value], len(value))
    head = struct.pack(">I4sI12s12s4s", at + len(body), b"", 0x04200000, b"scnrRGB XYZ ", _DATE, b"acsp")
    head += bytes(28) + _D50
    return head.ljust(_HEADER, b"\0") + struct.pack(">I", len(tags)) + table + body


def _places(profile: bytes) -> dict[tuple[int, int], set[bytes]] | None:
    """Return the names of the tags at each place, by where it begins and ends; None where it is no profile.

    Tags may share a place, but places may not overlap each other, the header or the table.
    """
    if len(profile) < _COUNTED or profile[36:40] != b"acsp":
        return None
    size, table = _long(profile, 0), _COUNTED + 12 * _long(profile, _HEADER)
    if not table <= size <= len(profile):
        return None
    places: dict[tuple[int, int], set[bytes]] = {}
    for at in range(_COUNTED, table, 12):
        start, length = _long(profile, at + 4), _long(profile, at + 8)
        if start < table or length < 8 or start + length > size:
            return None
        places.setdefault((start, start + length), set()).add(profile[at : at + 4])
    if any(second[0] < first[1] for first, second in pairwise(sorted(places))):
        return None
    return places


def _long(profile: bytes, at: int) -> int:
    return int.from_bytes(profile[at : at + 4], "big")


def _fixed(*numbers: float) -> bytes:
    """Encode numbers as s15Fixed16Number."""
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def _said(text: str) -> bytes:
    """Encode a text in one language (multiLocalizedUnicodeType)."""
    words = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">3I4s2I", 0, 1, 12, b"enUS", len(words), 28) + words
