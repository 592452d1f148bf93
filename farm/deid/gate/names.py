"""Person names in the output (PS3.5 6.2.1): whole, in any order of their parts, or a part of one.

A name is found with blanks and punctuation inside its words too. Two words of a name in one value are the name. A
single word of four letters or more, by itself or with the initial of another (aokafor), is a weak find: it is what a
description could have by chance, unless it is of the vocabulary, where it is nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple

from farm.deid.gate import haystack
from farm.deid.gate.haystack import LONG, Haystack
from farm.deid.gate.needles import SHORTEST_TEXT, Kept, Needle, counts, is_apart, says_nothing
from farm.deid.gate.reading import Reading

Words = tuple[bytes, ...]
_SURE_LETTERS = 6  # of two words together
_FIRST_WORDS = 3  # whose orders are looked for anywhere


class Found(NamedTuple):
    """What is found of a name: whether it is strong, and how to look for it in other values."""

    strong: bool
    look: Callable[[Haystack], bool]


class Names(NamedTuple):
    """Names taken apart: the words of each, all words, and the orders of words to look for anywhere, also squeezed."""

    each: tuple[frozenset[bytes], ...]
    words: frozenset[bytes]
    orders: tuple[Words, ...]
    gists: Words


@lru_cache(maxsize=1024)
def taken_apart(every: bytes) -> Names:
    """Take ASCII names apart, given with backslashes or equals signs between; initials are not words."""
    names = [haystack.tokens(name) for name in re.split(rb"[\\=]", every)]
    each = [tuple(dict.fromkeys(word for word in name if len(word) > 1)) for name in names]
    orders = {order for words in each for order in _orders_of(words)} | {tuple(name) for name in names}
    long = tuple(order for order in orders if sum(map(len, order)) >= LONG)
    words = frozenset(word for name in each for word in name).union(*map(_accounts, names))
    return Names(tuple({frozenset(name) for name in each if name}), words, long, tuple(map(b"".join, long)))


def _accounts(name: list[bytes]) -> Iterator[bytes]:
    """Yield how a person logs in: one part of a name with the initial of the other, before or behind it."""
    first, second = (*name[:2], b"", b"")[:2]
    for part, initial in ((first, second[:1]), (second, first[:1])):
        if len(part) >= SHORTEST_TEXT and initial:
            yield from (initial + part, part + initial)


def _orders_of(words: Words) -> Iterator[Words]:
    """Yield the words of a name in the orders in which they may be, and each by itself."""
    first = words[:_FIRST_WORDS]
    for size in range(1, len(first) + 1):
        yield from permutations(first, size)


def found(every: bytes, hay: Haystack, reading: Reading, kept: Kept) -> Iterator[Found]:
    """Yield what is found of ASCII names, given with backslashes or equals signs between."""
    known = taken_apart(every)
    for place in hay.places_of(known.gists):
        order = known.orders[place]
        if len(order) > 1 or not _is_left_out(order[0], reading, kept):
            yield Found(len(order) > 1, _anywhere(order, reading, kept))
    met = known.words & hay.tokens
    if not met:
        return
    for words in known.each:
        together = words & met
        letters = sum(map(len, together))
        if len(together) > 1 and letters >= SHORTEST_TEXT and not all(says_nothing(word, reading) for word in together):
            yield from _pairs(together, reading)
    for word in met:
        if not _is_left_out(word, reading, kept):
            yield Found(False, _holder((word,), alone=len(word) < LONG))  # noqa: FBT003 -- a field, by its place


def _pairs(words: AbstractSet[bytes], reading: Reading) -> Iterator[Found]:
    """Yield each two words of a name: where one value has both, it has the name."""
    ordered = sorted(words)
    for place, one in enumerate(ordered):
        for other in ordered[:place]:
            letters = len(one) + len(other)
            if letters >= SHORTEST_TEXT and not (says_nothing(one, reading) and says_nothing(other, reading)):
                yield Found(letters >= _SURE_LETTERS, _together(one, other))


def _together(one: bytes, other: bytes) -> Callable[[Haystack], bool]:
    return lambda hay: any(
        {one, other}.issubset(haystack.tokens(value)) for value in hay.text.split(haystack.SEPARATOR)
    )


def _anywhere(words: Words, reading: Reading, kept: Kept) -> Callable[[Haystack], bool]:
    gist = b"".join(words)
    return lambda hay: hay.holds(words, alone=False) or is_apart(gist, hay, reading, kept)


def _holder(words: Words, *, alone: bool) -> Callable[[Haystack], bool]:
    return lambda hay: hay.holds(words, alone=alone)


def _is_left_out(word: bytes, reading: Reading, kept: Kept) -> bool:
    return not counts(Needle.of(word, describes=False), reading, kept)
