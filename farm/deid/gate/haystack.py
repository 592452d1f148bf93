"""What is searched in: the output's values outside its pixels, brought to a form in which spellings meet.

All values are lower-cased and stripped of NULs, which makes one of a text in ASCII, Latin-1, UTF-8 and UTF-16. Text
beyond ASCII is searched in its plain form as well (`plain`), and text with escapes (`escapes`) or control characters
without these, too. Of that there are two views. *Squeezed* has no spaces and no punctuation left, so `OKAFOR^ADA`,
`okafor, ada` and `Okafor Ada` meet; what is not in it is not in the output, and that is quick to tell: a text of seven
characters or more contains one of the words of four that the squeezed bytes divide into, wherever it stands. *Tokens*
are the runs of letters and digits, for what is too short to be looked for inside others. What the quick look lets
through is looked up exactly.

Equal values are searched once: element-heavy instances repeat most of theirs.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

from farm.deid.gate import escapes
from farm.deid.gate.charsets import ESCAPE, Charsets, unescaped
from farm.deid.gate.dates import years_in
from farm.deid.gate.plain import views

SEPARATOR = b"\x1e"  # between values; it belongs to no text
LONG = 7  # characters from which a text is looked for anywhere, not as a token alone
LOWER = bytes(range(256)).lower()
_ALNUM = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789") | frozenset(range(0x80, 0x100))
_PUNCTUATION = bytes(code for code in (*b"\t\n\v\f\r\x1c\x1d\x1f", *range(0x20, 0x7F)) if LOWER[code] not in _ALNUM)
_SILENT = bytes((*range(1, 9), *range(0x0E, 0x1B), 0x7F))  # control characters that stand for no space and no escape
_SPACED = bytes(code if code in _ALNUM else 0x20 for code in LOWER)
_DOUBLE_BYTES = ESCAPE + b"$"  # what escape sequences of two bytes a character begin with
_WORDS = re.compile(rb"(?s).{4}")
_BETWEEN = rb"[^a-z0-9\x80-\xff\x1e]{0,3}"
_NOT_INSIDE = (rb"(?<![a-z0-9\x80-\xff])", rb"(?![a-z0-9\x80-\xff])")
WHOLE = rb"(?!\.(?:0*[1-9]|0+\.[0-9]))"  # behind a whole number, which may be written with a fraction of zeros
_NOT_IN_A_NUMBER = (rb"(?<![0-9])(?<![0-9]\.)", rb"(?![0-9])" + WHOLE)


def folded(values: Iterable[bytes]) -> bytes:
    """Return the values in lower case, without NULs, a separator between them."""
    return SEPARATOR.join(values).translate(LOWER, b"\0")


def folded_text(values: Collection[bytes], charsets: Charsets) -> bytes:
    """Return texts folded, with the plain forms of those beyond ASCII, with escapes or with control characters."""
    text = SEPARATOR.join(values)
    more = escapes.without(text, values)
    # UTF-16 is full of control characters, among them the separator: what holds any is searched as it is, too.
    if text.count(SEPARATOR) >= max(len(values), 1) or len(text.translate(None, _SILENT)) < len(text):
        more += [bare for value in values if len(bare := value.translate(None, _SILENT + SEPARATOR)) < len(value)]
    if more:
        values = [*values, *more]
        text = SEPARATOR.join(values)
    if not text.isascii() or ESCAPE in text:
        beyond = (value for value in values if not value.isascii() or ESCAPE in value)
        text = SEPARATOR.join([text, *(view for value in beyond for view in views(value, charsets))])
    return text.translate(LOWER, b"\0")


def squeezed(text: bytes) -> bytes:
    """Return a folded text without spaces and punctuation."""
    return text.translate(None, _PUNCTUATION)


def tokens(text: bytes) -> list[bytes]:
    """Return the runs of letters, digits and bytes beyond ASCII, in lower case."""
    return text.translate(_SPACED, b"\0").split()


class Haystack:
    """Values to search in: `texts`, which are of these character sets, and `others` that are bytes or numbers."""

    __slots__ = ("others", "rest", "squeezed", "text", "texts", "tokens", "words", "years")

    def __init__(self, texts: AbstractSet[bytes], others: AbstractSet[bytes], charsets: Charsets = ()) -> None:
        self.texts, self.others = set(texts), set(others)
        self.text, self.rest = folded_text(texts, charsets), folded(others)
        if _DOUBLE_BYTES in self.rest:
            self.rest += SEPARATOR + folded(map(unescaped, others))
        self.tokens = set(tokens(self.text))
        self.squeezed = squeezed(self.text) + SEPARATOR * LONG + squeezed(self.rest) + SEPARATOR * LONG
        self.words = set(_WORDS.findall(self.squeezed))
        self.years = years_in(self.text) | years_in(self.rest)

    def add(self, more: Haystack) -> None:
        """Add the values of another haystack."""
        self.texts |= more.texts
        self.others |= more.others
        self.text += SEPARATOR + more.text
        self.rest += SEPARATOR + more.rest
        self.tokens |= more.tokens
        self.squeezed += more.squeezed
        self.words |= more.words
        self.years |= more.years

    def places_of(self, gists: Sequence[bytes]) -> list[int]:
        """Return which of these squeezed texts are here; those under `LONG` bytes are not looked for."""
        apart = self.words.isdisjoint
        return [
            place
            for place, gist in enumerate(gists)
            if gist[6:] and not apart((gist[-4:], gist[-5:-1], gist[-6:-2], gist[-7:-3])) and gist in self.squeezed
        ]

    def holds(self, words: tuple[bytes, ...], *, alone: bool, everywhere: bool = True) -> bool:
        """Look exactly: for folded words in this order, whatever punctuation is between them.

        `alone`: not inside a longer run of letters and digits. `everywhere`: in bytes and numbers too.
        """
        pattern = _pattern(words, alone=alone)
        return bool(pattern.search(self.text) or (everywhere and pattern.search(self.rest)))


@lru_cache(maxsize=4096)
def _pattern(words: tuple[bytes, ...], *, alone: bool) -> re.Pattern[bytes]:
    body = _BETWEEN.join(map(re.escape, words))
    before, after = _NOT_INSIDE if alone else (b"", b"")
    if words[0][:1].isdigit():
        before += _NOT_IN_A_NUMBER[0]
    if words[-1][-1:].isdigit():
        after += _NOT_IN_A_NUMBER[1]
    return re.compile(before + body + after)
