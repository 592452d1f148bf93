"""Letters without what sets them apart: the form in which one name meets itself, whatever script's habits wrote it.

Cases, accents, the width of letters and the two kana are folded. What is left beyond ASCII is another script; only
Latin letters that are no accented ones are spelt by a table, and both ways where two are usual: Müller as Muller and
as Mueller, Øster as Oster and as Oester.
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
    | _KATAKANA
)
_TO_HIRAGANA = str.maketrans(_KATAKANA)
_TO_KATAKANA = str.maketrans({hiragana: katakana for katakana, hiragana in _KATAKANA.items()})
_WIDENED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_ACCENTS = dict.fromkeys(range(0x300, 0x370))
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\f\r\x1b"))
_LOOKED_AT = 256  # bytes of a value that tell whether it is text
_HALF_WIDTH = {unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFFA0)}
_HALF_WIDTH |= {"\u3099": "\uff9e", "\u309a": "\uff9f"}


def plain(text: str) -> tuple[str, ...]:
    """Return the plain forms of a text: one, or two where letters are spelt in two ways."""
    if text.isascii():
        return (text.lower(),)
    text = unicodedata.normalize("NFKC", text).casefold()
    return tuple(dict.fromkeys(_without_accents(form) for form in (text, text.translate(_WIDENED))))


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
    return len(start) != len(start.translate(None, _CONTROLS))
