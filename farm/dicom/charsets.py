"""Text values as characters: decoding by Specific Character Set (PS3.5 6.1.2, PS3.3 C.12.1.1.2).

A value is decoded so that it can be looked at, never to be written back: what cannot be decoded becomes U+FFFD and
decoding never fails. The tables are pydicom's; the walk over escape sequences is our own, because pydicom's tells of
bad bytes in warnings that hold the value, and because an escape sequence that (0008,0005) does not announce is
followed as well: a name that a reader could see is a name. What is written is ASCII, which stands in the initial state
of every character set that DICOM knows.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

_DEFAULT = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
_TERMS = _DEFAULT | frozenset(python_encoding) | {"ISO_IR 203", "ISO 2022 IR 203"}
_FRAGMENTS = re.compile(rb"\x1b\$[()\-,./]?[\x30-\x7e]|\x1b[()\-,./][\x30-\x7e]|[^\x1b]+|\x1b")
_RESETS = re.compile(rb"[\\\r\n\t\f^=]")
"""The delimiters behind which the first character set holds again (PS3.5 6.1.2.5.3)."""

_TEXTUAL = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_BY_CHARSET = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_JAPANESE = "iso2022_jp_2"
_TWO_BYTES_IN_G0 = re.compile(rb"\x1b\$(B|@|\(D)")


@lru_cache(maxsize=256)
def encodings(charset: bytes) -> tuple[str, ...]:
    """Return Python's names for a value of (0008,0005); what is not known counts as ASCII."""
    terms = [term.strip(b"\0 ").decode("ascii", "replace").upper() for term in charset.split(b"\\")]
    return tuple(_encoding(term) for term in terms)


@lru_cache(maxsize=256)
def is_known(term: bytes) -> bool:
    """Tell whether a value, without padding, names a character set (PS3.3 C.12.1.1.2); an empty one names the first."""
    return _spelt(term.decode("ascii", "replace").upper()) in _TERMS


def _encoding(term: str) -> str:
    """Return Python's name for one defined term, common misspellings included."""
    term = _spelt(term)
    if term in _DEFAULT:
        return "ascii"
    if term.endswith("IR 203"):
        return "iso8859_15"  # younger than pydicom's table
    name = python_encoding.get(term, "ascii")
    return "gb2312" if name == "iso_ir_58" else name


def _spelt(term: str) -> str:
    """Return a term in capitals as the standard spells it."""
    term = re.sub(r"^ISO[ _-]2022[ _-]", "ISO 2022 ", re.sub(r"^ISO[ _-]IR[ _-]", "ISO_IR ", term))
    return re.sub(r"IR[_-](?=\d)", "IR ", term)


def decode(value: bytes, vr: str, charset: bytes) -> str:
    """Return a value as characters, padding included; U+FFFD for what is not in the character set.

    `charset`: the value of (0008,0005). VRs that it does not govern are ASCII; those that hold no text give "".
    """
    if vr not in _TEXTUAL:
        return ""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    if vr not in _BY_CHARSET:
        return value.decode("ascii", "replace")
    first = _initial(charset)
    return value.decode(first, "replace") if b"\x1b" not in value else _escaped(value, first)


def encode(text: str) -> bytes:
    """Return characters as a value: ASCII, and nothing for what is not."""
    return text.encode("ascii", "ignore")


@lru_cache(maxsize=256)
def _initial(charset: bytes) -> str:
    """Return the encoding of what stands before any escape sequence.

    Where that is ASCII, bytes beyond it should not be there; many writers leave the escape sequence out and mean the
    one other character set that (0008,0005) names.
    """
    plain = [name for name in encodings(charset) if not name.startswith("iso2022")]
    return next((name for name in plain if name != "ascii"), "ascii") if encodings(charset)[0] in plain else "ascii"


def _escaped(value: bytes, first: str) -> str:
    """Decode a value with escape sequences (ISO/IEC 2022), which designate G0 or G1 for what follows."""
    out: list[str] = []
    high, low = first, b""  # the encoding that holds G1, and the escape that put two-byte characters into G0
    for fragment in _FRAGMENTS.findall(value):
        if fragment[:1] != b"\x1b":
            out.append((low + fragment).decode(_JAPANESE, "replace") if low else _high(fragment, high, first))
            if not low and _RESETS.search(fragment):
                high = first
        elif _TWO_BYTES_IN_G0.fullmatch(fragment):
            low = fragment
        elif fragment[1:2] in {b"(", b"$"} and fragment[1:3] != b"$)":
            low = b""
        else:
            high = _designated(fragment)
    return "".join(out)


def _high(fragment: bytes, high: str, first: str) -> str:
    """Decode bytes of one state; behind the first delimiter the first character set holds."""
    reset = _RESETS.search(fragment)
    if reset is None:
        return fragment.decode(high, "replace")
    at = reset.start()
    return fragment[:at].decode(high, "replace") + fragment[at:].decode(first, "replace")


@lru_cache(maxsize=64)
def _designated(escape: bytes) -> str:
    """Return the encoding that an escape sequence designates as G1."""
    if escape == b"\x1b-b":
        return "iso8859_15"  # ISO_IR 203, younger than pydicom's table
    name = CODES_TO_ENCODINGS.get(escape, "ascii")
    return "gb2312" if name == "iso_ir_58" else name
