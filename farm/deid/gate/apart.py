"""Identifiers and names that are written apart: MRN-774-1902, 774 190 23, Mc Donald, or with zeros in front.

What is found so is a text of its own, and may be one of the vocabulary ("in grid" is nobody's Ingrid): the caller
judges it by the same rules as any other. Numbers are held to more, for numbers are everywhere: they are put together of
digits that blanks, points, hyphens, slashes, colons and commas group, and not of several values, and what has one
point alone is a decimal number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from farm.deid.gate.haystack import LONG, WHOLE, Haystack

SHORTEST_DIGITS = 5  # of a number that is looked for
_LONGEST = 128  # characters: what is longer has words enough to be found by
_GROUPED = rb"[-_/.,: ]{0,2}"
_ANYTHING = rb"[^a-z0-9\x80-\xff\x1e]{0,3}"
_DECIMAL = re.compile(rb"[0-9]+[.,][0-9]+")
_INSIDE = rb"a-z0-9\x80-\xff"


def number(gist: bytes) -> bytes:
    """Return a squeezed text, a whole number without the zeros in front of it where enough is left."""
    if gist[:1] != b"0" or not gist.isdigit():
        return gist
    bare = gist.lstrip(b"0")
    return bare if len(bare) >= SHORTEST_DIGITS else gist


def spelt_apart(gist: bytes, hay: Haystack) -> Iterator[bytes]:
    """Yield how the texts spell a squeezed one with other characters in between, or with zeros in front."""
    if not gist.isascii() or len(gist) > _LONGEST:
        return
    for found in _pattern(gist).finditer(hay.text):
        if not _DECIMAL.fullmatch(found[0]):
            yield found[0]


@lru_cache(maxsize=1024)
def _pattern(gist: bytes) -> re.Pattern[bytes]:
    letters = [re.escape(gist[place : place + 1]) for place in range(len(gist))]
    if gist.isdigit():
        body = (_GROUPED if len(gist) >= LONG else b"").join(letters)
        return re.compile(rb"(?<![" + _INSIDE + rb"])(?<![0-9]\.)0*" + body + rb"(?![" + _INSIDE + rb"])" + WHOLE)
    if len(gist) < LONG:
        return re.compile(rb"(?!)")
    before, after = (b"(?<![" + _INSIDE + b"])", b"(?![" + _INSIDE + b"])")
    if not gist.isalpha():
        before, after = (rb"(?<![0-9])" if gist[:1].isdigit() else b""), (rb"(?![0-9])" if gist[-1:].isdigit() else b"")
    return re.compile(before + _ANYTHING.join(letters) + after)
