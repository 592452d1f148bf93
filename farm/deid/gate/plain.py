"""Letters without what sets them apart: the form in which one name meets itself, whatever script's habits wrote it.

Cases, accents, the points of Hebrew and Arabic, the width of letters, digits and the two kana are folded, and what
nobody sees is left out: joiners, marks of direction, soft hyphens, selectors of variants. What is left beyond ASCII is
another script; only Latin letters that are no accented ones are spelt by a table, and both ways where two are usual:
Müller as Muller and as Mueller, Øster as Oster and as Oester.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from farm.deid.gate import charsets
from farm.deid.gate.charsets import ESCAPE, Charsets

_KATAKANA = {chr(code): chr(code - 0x60) for code in range(0x30A1, 0x30F7)}  # and the hiragana for each
_LETTERS = str.maketrans(
    {
        "ø": "o",
        "æ": "ae",
        "œ": "oe",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "ħ": "h",
        "ŧ": "t",
        "ŋ": "n",
        "\u0131": "i",  # without a dot
    }
    | {"\u0649": "\u064a", "\u06cc": "\u064a", "\u06a9": "\u0643", "\u0629": "\u0647"}  # Arabic as Persian writes it
    | _KATAKANA
)
_TO_HIRAGANA = str.maketrans(_KATAKANA)
_TO_KATAKANA = str.maketrans({hiragana: katakana for katakana, hiragana in _KATAKANA.items()})
_WIDENED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_POINTS = (*range(0x591, 0x5BE), 0x5BF, 0x5C1, 0x5C2, 0x5C4, 0x5C5, 0x5C7)  # of Hebrew
_HARAKAT = (*range(0x610, 0x61B), 0x640, *range(0x64B, 0x660), 0x670, *range(0x6D6, 0x6DD))  # and the Arabic tatweel
_ACCENTS = dict.fromkeys((*range(0x300, 0x370), *_POINTS, *_HARAKAT))
_UNSEEN = dict.fromkeys(
    (
        *(*range(9), *range(0x0E, 0x1B), *range(0x7F, 0xA0), 0xAD, 0x61C, 0x180E),  # controls, the soft hyphen
        *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF),  # joiners, directions
        *(*range(0xFE00, 0xFE10), *range(0xE0001, 0xE0080), *range(0xE0100, 0xE01F0)),  # variants of a character
    )
)
_ZEROS = (0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xE50, 0xED0, 0xF20)
_DIGITS = {zero + digit: str(digit) for zero in (*_ZEROS, 0x1040, 0x17E0, 0x1810) for digit in range(10)}
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\f\r\x1b"))
_LOOKED_AT, _FEW = 256, 4  # bytes of a value that tell whether it is text, and how many may be control characters
_HALF_WIDTH = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFFA0)}
_HALF_WIDTH |= {"\u3099": "\uff9e", "\u309a": "\uff9f"}


def plain(text: str) -> tuple[str, ...]:
    """Return the plain forms of a text: one, or two where letters are spelt in two ways."""
    if text.isascii():
        return (text.lower(),)
    text = unicodedata.normalize("NFKC", seen(text)).casefold()
    return tuple(dict.fromkeys(_without_accents(form) for form in (text, text.translate(_WIDENED))))


def seen(text: str) -> str:
    """Return a text without characters that nobody sees, and with the digits of all scripts in ASCII."""
    return text.translate(_UNSEEN | _DIGITS)


def _without_accents(text: str) -> str:
    bare = unicodedata.normalize("NFD", text).translate(_ACCENTS)
    return unicodedata.normalize("NFC", bare).translate(_LETTERS)


def kana(text: str) -> tuple[str, ...]:
    """Return a text in hiragana, in katakana and in its half width, where any of it is kana."""
    text = unicodedata.normalize("NFKC", text)
    hiragana = text.translate(_TO_HIRAGANA)
    katakana = text.translate(_TO_KATAKANA)
    if hiragana == katakana:
        return ()
    half = "".join(_HALF_WIDTH.get(one, one) for one in unicodedata.normalize("NFD", katakana))
    return hiragana, katakana, half


@lru_cache(maxsize=1024)
def views(value: bytes, known: Charsets) -> tuple[bytes, ...]:
    """Return what else a text beyond ASCII is searched as: without escape sequences, and plain."""
    if _is_binary(value):
        return ()
    texts = {form for text in charsets.decoded(value, known) for form in plain(text)}
    found = [text.encode("utf-8", "ignore") for text in sorted(texts)]
    return (charsets.unescaped(value), *found) if ESCAPE in value else tuple(found)


def _is_binary(value: bytes) -> bool:
    """Tell whether a value is no text, by control characters in its beginning; text in UTF-16 has NULs."""
    start = value[:_LOOKED_AT].replace(b"\0", b"")
    return len(start) - len(start.translate(None, _CONTROLS)) > _FEW
