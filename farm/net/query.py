"""Identifiers of C-FIND, C-GET and C-MOVE, as texts by tag (PS3.4 annex C, PS3.5 sections 6.2 and 7).

An identifier is a small flat data set. Keys are given, and answers told, as a person writes them: numbers in decimal,
several values with a backslash between them. Sequences in an answer are passed over, and so is what holds bytes alone.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from pydicom.datadict import tag_for_keyword

from farm.dicom import charsets, syntaxes
from farm.dicom.dictionary import vr_of
from farm.dicom.elements import EXPLICIT, IMPLICIT, UNDEFINED, Dialect, Header
from farm.dicom.skip import Skipper
from farm.errors import BadInput, BadRecipe, Reason

CHARACTER_SET: Final = 0x00080005
LEVEL: Final = 0x00080052
SOP_CLASS: Final = 0x00080016
SOP_INSTANCE: Final = 0x00080018
SOP_CLASSES_IN_STUDY: Final = 0x00080062
FAILED_INSTANCES: Final = 0x00080058
PATIENT_ID: Final = 0x00100020
STUDY_UID: Final = 0x0020000D
SERIES_UID: Final = 0x0020000E
_UTF8: Final = b"ISO_IR 192"
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_BYTES: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "UN"})
_TAG: Final = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")

Identifier = dict[int, str]
"""Values by tag: an empty one asks for the attribute."""


class Level(StrEnum):
    """The levels of a query (PS3.4 C.3)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


def tag_of(name: str) -> int:
    """Return the tag of a keyword or of `(gggg,eeee)`; raise `BadRecipe` where it is neither."""
    found = _TAG.fullmatch(name)
    tag = int("".join(found.groups()), 16) if found else tag_for_keyword(name)
    if tag is None:
        raise BadRecipe(Reason.BAD_OPTION, "A key is neither a keyword of the data dictionary nor (gggg,eeee).")
    return tag


def dialect_of(transfer_syntax: str) -> Dialect:
    """Return how an identifier is written in an accepted transfer syntax: explicit or implicit, little endian."""
    return IMPLICIT if transfer_syntax == syntaxes.IMPLICIT_LITTLE else EXPLICIT


def encode(identifier: Mapping[int, str], dialect: Dialect) -> bytes:
    """Return an identifier as bytes; where a value is not ASCII, it is told to be UTF-8 (PS3.3 C.12.1.1.2)."""
    values = {tag: _encoded(tag, text) for tag, text in identifier.items()}
    if not all(text.isascii() for text in identifier.values()):
        values[CHARACTER_SET] = _UTF8
    return b"".join(dialect.element(tag, _vr(tag), values[tag]) for tag in sorted(values))


def _vr(tag: int) -> str:
    """Return the VR to write: the first where the dictionary leaves a choice."""
    return vr_of(tag)[:2]


def _encoded(tag: int, text: str) -> bytes:
    vr = _vr(tag)
    if not text:
        return b""
    try:
        if vr in _NUMBERS:
            number = float if vr in {"FL", "FD"} else int
            return b"".join(struct.pack("<" + _NUMBERS[vr], number(part)) for part in text.split("\\"))
        if vr == "AT":
            return b"".join(EXPLICIT.tag_at.pack(tag >> 16, tag & 0xFFFF) for tag in map(tag_of, text.split("\\")))
    except (ValueError, struct.error):
        raise BadRecipe(Reason.BAD_OPTION, "The value of a key is not a number.", tag=tag) from None
    if vr in _BYTES - {"UN"}:
        raise BadRecipe(Reason.BAD_OPTION, "No value can be given for a key of this kind.", tag=tag)
    return text.encode()


def decode(data: bytes, dialect: Dialect) -> Identifier:
    """Return an identifier's values, without padding; raise `BadInput` where it cannot be read."""
    found = {header.tag: (header.vr, value) for header, value in _elements(data, dialect)}
    charset = found.get(CHARACTER_SET, ("CS", b""))[1]
    return {tag: _decoded(vr, value, charset) for tag, (vr, value) in found.items() if vr not in _BYTES}


def _elements(data: bytes, dialect: Dialect) -> Iterator[tuple[Header, bytes]]:
    at, end = 0, len(data)
    while at < end:
        header = dialect.header(data, at, end)
        at += header.size
        if header.length == UNDEFINED:
            at = Skipper(IMPLICIT if header.vr == "UN" else dialect).end(data, at, end)
            continue
        at += header.length
        if at > end:
            raise BadInput(Reason.TRUNCATED)
        yield header, data[at - header.length : at]


def _decoded(vr: str, value: bytes, charset: bytes) -> str:
    vr = vr[:2]
    kind = _NUMBERS.get(vr)
    if kind is not None:
        each = struct.Struct("<" + kind)
        return "\\".join(str(number) for (number,) in each.iter_unpack(value[: len(value) // each.size * each.size]))
    if vr == "AT":
        pairs = EXPLICIT.tag_at.iter_unpack(value[: len(value) // 4 * 4])
        return "\\".join(f"{group:04X}{element:04X}" for group, element in pairs)
    return charsets.decode(value, vr, charset).strip("\0 ")
