"""How a value may be read: by each character set that its data set names, escape sequences included (PS3.3 C.12.1.1.2).

An item may have a Specific Character Set of its own, and writers leave out escape sequences, or write text in another
character set than they say. So a value is read in every way that its data set gives reason for; one too many does no
harm.
"""

from __future__ import annotations

import re
from functools import lru_cache

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
ESCAPE = b"\x1b"
_SEQUENCE = re.compile(rb"\x1b(\$?[()\-]?[A-Z]|%[@-G])")
_SEVEN_BITS = re.compile(rb"\x1b\$(B|\(D)((?:[\x21-\x7e]{2})*)")  # of JIS X 0208 and 0212
_PAIR = re.compile(rb"(?s)..")
_EIGHTH_BIT = bytes(code | 0x80 for code in range(256))
_SPACE = b"\xa1\xa1"  # the ideographic one
Charsets = tuple[bytes, ...]  # values of Specific Character Set, the data set's own first


@lru_cache(maxsize=64)
def codecs(charset: bytes) -> tuple[str, ...]:
    """Return the codecs of a Specific Character Set value, the one without escapes first."""
    terms = [term.strip(b"\0 ") for term in charset.split(b"\\")]
    names = [_CODECS.get(term.removeprefix(b"ISO_IR ").removeprefix(b"ISO 2022 IR "), "") for term in terms]
    return tuple(dict.fromkeys(name for name in names if name)) or ("latin-1",)


def decoded(value: bytes, charsets: Charsets) -> tuple[str, ...]:
    """Return a value as text in each way that it may be read; what a character set lacks is left out."""
    readings = [_by_escapes(value, charset) for charset in charsets or (b"",)]
    if ESCAPE not in value:
        others = dict.fromkeys(name for charset in charsets for name in codecs(charset)[1:])
        readings += [text for name in ("utf-8", *others) if (text := _strictly(value, name)) is not None]
    return tuple(dict.fromkeys(readings))


def _by_escapes(value: bytes, charset: bytes) -> str:
    parts = _SEQUENCE.split(value)
    text = parts[0].decode(codecs(charset)[0], "ignore")
    for escape, part in zip(parts[1::2], parts[2::2], strict=True):
        codec, lead = _ESCAPES.get(escape, (codecs(charset)[0], b""))
        text += (lead + part).decode(codec, "ignore")
    return text


def _strictly(value: bytes, codec: str) -> str | None:
    """Return a value as text, or None where the codec cannot have written it."""
    try:
        return value.decode(codec)
    except UnicodeDecodeError:
        return None


def unescaped(value: bytes) -> bytes:
    """Return a value without escape sequences; what they put into seven bits is as EUC writes it, in eight.

    Seven bits would read as ASCII, and a name of two ideographs as four letters of any word.
    """
    return _SEQUENCE.sub(b"", _SEVEN_BITS.sub(_in_eight_bits, value)).replace(ESCAPE, b"")


def _in_eight_bits(found: re.Match[bytes]) -> bytes:
    run: bytes = found[2].translate(_EIGHTH_BIT)
    if found[1] == b"B":
        return b"".join(b" " if pair == _SPACE else pair for pair in _PAIR.findall(run))
    return b"".join(b"\x8f" + pair for pair in _PAIR.findall(run))
