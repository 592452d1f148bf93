"""Text beyond ASCII: how the same text may be written elsewhere than in the source (PS3.5 6.1, PS3.3 C.12).

A value as it was read is encoded again in the cases, the two normal forms, the kana and the encodings in which an
output could hold it. Its plain form is one of them, for that is how an output's text is searched as well. ASCII needs
none of this: folding is enough.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from farm.deid.gate import charsets
from farm.deid.gate.charsets import Charsets, codecs, unescaped
from farm.deid.gate.haystack import folded, squeezed, tokens
from farm.deid.gate.plain import kana, plain, seen

_SHORT_WORD, _SHORT_IDEOGRAPHS, _SHORT_BYTES = 4, 2, 4
_IDEOGRAPHS = "\u2e80"
_ALWAYS = (
    "utf-8",
    "latin-1",
    "utf-16-le",
    "utf-16-be",
    "shift_jis",
    "euc_jp",
    "iso2022_jp",
    "euc_kr",
    "gb18030",
    "big5",
)
# Code pages of Windows and Unix, by the character from which on they have a script's letters.
_BY_SCRIPT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("\u0e00", ("cp874",)),
    ("\u0600", ("cp1256", "iso8859-6")),
    ("\u0590", ("cp1255", "iso8859-8")),
    ("\u0400", ("cp1251", "koi8-r", "iso8859-5")),
    ("\u0370", ("cp1253", "iso8859-7")),
    ("\u0100", ("cp1250", "cp1254", "cp1257", "iso8859-2", "iso8859-4")),
)
_PARTS = re.compile(rb"[\\=]")


class Spelt(NamedTuple):
    """A spelling as folded bytes: squeezed, and word by word."""

    gist: bytes
    words: tuple[bytes, ...]


def words(text: str) -> list[str]:
    """Return the runs of letters and digits of a text; marks belong to their letters."""
    text = seen(text)
    return "".join(letter if letter.isalnum() or unicodedata.combining(letter) else " " for letter in text).split()


def is_short(text: str) -> bool:
    """Tell whether a text is too short to be looked for: under four characters, two for ideographs."""
    return len(text) < (_SHORT_IDEOGRAPHS if max(text, default="") >= _IDEOGRAPHS else _SHORT_WORD)


@lru_cache(maxsize=4096)
def plain_ascii(value: bytes, known: Charsets, *, groups: bool = False) -> frozenset[bytes]:
    """Return what of a value is ASCII, or is in its plain form: it is searched for as any other text."""
    parts = {part for text in charsets.decoded(value, known) for part in parts_of(text, groups=groups)}
    return frozenset(form.encode() for part in parts for form in plain(part) if form.isascii())


def parts_of(text: str, *, groups: bool = False) -> list[str]:
    """Return the single values of a text, or of names the component groups."""
    return (text.replace("=", "\\") if groups else text).split("\\")


@lru_cache(maxsize=4096)
def raw(value: bytes) -> tuple[Spelt, ...]:
    """Return each part of a value as the bytes that it is, whatever its character set makes of them."""
    parts = [tuple(tokens(part)) for part in _PARTS.split(unescaped(value))]
    return tuple(Spelt(b"".join(part), part) for part in parts if _is_long(part))


def _is_long(words: tuple[bytes, ...]) -> bool:
    """Tell whether words have enough bytes beyond ASCII to be looked for as bytes: two ideographs' worth."""
    return sum(code >= 0x80 for word in words for code in word) >= _SHORT_BYTES


@lru_cache(maxsize=4096)
def spellings(parts: tuple[str, ...], known: Charsets) -> tuple[Spelt, ...]:
    """Return some words in every case, normal form and encoding."""
    found: dict[tuple[bytes, ...], None] = {}
    last = max(map(max, parts))
    by_script = next((names for first, names in _BY_SCRIPT if first <= last < _IDEOGRAPHS), ())
    encodings = dict.fromkeys((*_ALWAYS, *(name for charset in known for name in codecs(charset)), *by_script))
    for form in dict.fromkeys(_forms(parts)):
        for encoding in encodings:
            try:
                found[tuple(folded([part.encode(encoding)]) for part in form)] = None
            except UnicodeEncodeError:
                continue
    for form in zip(*(_pair(plain(part)) for part in parts), strict=True):
        if not all(part.isascii() for part in form):
            found[tuple(part.encode() for part in form)] = None
    if min(map(min, parts)) >= _IDEOGRAPHS:  # written apart, one by one
        found[tuple(one.encode() for part in parts for one in plain(part)[0])] = None
    return tuple(Spelt(squeezed(b"".join(words)), words) for words in found)


def _forms(parts: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield words in each case and normal form, and in each kana."""
    for normal in ("NFC", "NFD"):
        composed = [unicodedata.normalize(normal, part) for part in parts]
        for case in (str, str.lower, str.upper, str.title):
            yield tuple(map(case, composed))
    yield from zip(*(kana(part) or (part,) * 3 for part in parts), strict=True)


def _pair(forms: tuple[str, ...]) -> tuple[str, str]:
    return forms[0], forms[-1]
