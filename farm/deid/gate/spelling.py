"""Text beyond ASCII: how a value was written, and how the same text may be written elsewhere (PS3.5 6.1, PS3.3 C.12).

A value is decoded by the character sets of its data set, escape sequences included, and encoded again in the cases,
the two normal forms and the encodings in which an output could hold it. ASCII needs none of this: folding is enough.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from farm.deid.gate.haystack import folded, squeezed

_CODECS = {
    b"": "latin-1",
    b"100": "latin-1",
    b"101": "iso8859-2",
    b"109": "iso8859-3",
    b"110": "iso8859-4",
    b"144": "iso8859-5",
    b"127": "iso8859-6",
    b"126": "iso8859-7",
    b"138": "iso8859-8",
    b"148": "iso8859-9",
    b"203": "iso8859-15",
    b"166": "iso8859-11",
    b"13": "shift_jis",
    b"192": "utf-8",
    b"GB18030": "gb18030",
    b"GBK": "gbk",
    b"58": "gb2312",
    b"149": "euc_kr",
}
# What stands behind an escape sequence: its codec, and what the codec itself wants in front (PS3.3 tables C.12-3, 4).
_ESCAPES = {
    b"(B": ("ascii", b""),
    b"-A": ("latin-1", b""),
    b"-B": ("iso8859-2", b""),
    b"-C": ("iso8859-3", b""),
    b"-D": ("iso8859-4", b""),
    b"-L": ("iso8859-5", b""),
    b"-G": ("iso8859-6", b""),
    b"-F": ("iso8859-7", b""),
    b"-H": ("iso8859-8", b""),
    b"-M": ("iso8859-9", b""),
    b"-T": ("iso8859-11", b""),
    b")I": ("shift_jis", b""),
    b"(J": ("shift_jis", b""),
    b"$B": ("iso2022_jp", b"\x1b$B"),
    b"$(D": ("iso2022_jp_1", b"\x1b$(D"),
    b"$)C": ("euc_kr", b""),
    b"$)A": ("gb2312", b""),
}
_ESCAPE = re.compile(rb"\x1b(\$?[()\-]?[A-Z])")
_SHORT_WORD, _SHORT_IDEOGRAPHS = 4, 2
_IDEOGRAPHS = "\u2e80"


@lru_cache(maxsize=64)
def codecs(charset: bytes) -> tuple[str, ...]:
    """Return the codecs of a Specific Character Set value, the one without escapes first."""
    terms = [term.strip(b"\0 ") for term in charset.split(b"\\")]
    names = [_CODECS.get(term.removeprefix(b"ISO_IR ").removeprefix(b"ISO 2022 IR "), "") for term in terms]
    return tuple(dict.fromkeys(name for name in names if name)) or ("latin-1",)


def decoded(value: bytes, charset: bytes) -> str:
    """Return a value as text; bytes that its character set lacks are left out."""
    parts = _ESCAPE.split(value)
    text = parts[0].decode(codecs(charset)[0], "ignore")
    for escape, part in zip(parts[1::2], parts[2::2], strict=True):
        codec, lead = _ESCAPES.get(escape, (codecs(charset)[0], b""))
        text += (lead + part).decode(codec, "ignore")
    return text


def words(text: str) -> list[str]:
    """Return the runs of letters and digits of a text; marks belong to their letters."""
    return "".join(letter if letter.isalnum() or unicodedata.combining(letter) else " " for letter in text).split()


def is_short(text: str) -> bool:
    """Tell whether a text is too short to be looked for: under four characters, two for ideographs."""
    return len(text) < (_SHORT_IDEOGRAPHS if max(text, default="") >= _IDEOGRAPHS else _SHORT_WORD)


def without_accents(text: str) -> str:
    """Return a text without its combining marks: Müller as Muller."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


@lru_cache(maxsize=4096)
def spellings(parts: tuple[str, ...], charset: bytes) -> tuple[tuple[bytes, tuple[bytes, ...]], ...]:
    """Return some words as folded bytes, squeezed and one by one, in every case, normal form and encoding."""
    found: dict[tuple[bytes, ...], None] = {}
    encodings = dict.fromkeys(("utf-8", "latin-1", "utf-16-le", "utf-16-be", *codecs(charset), *_DOUBLE_BYTE))
    for form in ("NFC", "NFD"):
        normal = [unicodedata.normalize(form, part) for part in parts]
        for case in (str, str.lower, str.upper, str.title):
            for encoding in encodings:
                try:
                    found[tuple(folded([case(part).encode(encoding)]) for part in normal)] = None
                except UnicodeEncodeError:
                    continue
    plain = tuple(without_accents(part) for part in parts)
    if all(part.isascii() for part in plain):
        found[tuple(folded([part.encode()]) for part in plain)] = None
    return tuple((squeezed(b"".join(spelt)), spelt) for spelt in found)


_DOUBLE_BYTE = ("shift_jis", "euc_jp", "iso2022_jp", "euc_kr", "gb18030")
