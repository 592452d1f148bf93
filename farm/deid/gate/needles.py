"""What is searched for: which of the source's values count, by stated rules, and how strong it is to find one.

A value that had to go is searched for as the text that it is: each part between backslashes, in any case and with any
punctuation between its words; an identifier also with punctuation inside its words (`apart`). A text of `LONG`
characters or more is found anywhere, a shorter one as a token alone, and digits as a whole number alone, whatever zeros
are in front. `RULES` lists what is left out and why; each is a rule about the value, the source or the recipe, so that
it can be stated beforehand and tested.

To find a long text is strong. To find a short one, or one word of a description, is weak: it may be chance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

from farm.deid.gate import apart, haystack
from farm.deid.gate.apart import SHORTEST_DIGITS
from farm.deid.gate.charsets import Charsets
from farm.deid.gate.haystack import LONG, Haystack
from farm.deid.gate.reading import Reading

SHORTEST_TEXT, SHORTEST_UID = 4, 12
SURE = 8  # characters from which a text found is no chance
_SIGNIFICANT = 3  # digits of a round number before its zeros
_NUMBERED = re.compile(rb"[0-9]{%d}" % SHORTEST_DIGITS)
_DECIMAL = re.compile(rb"[+-]?[0-9]*\.[0-9]*(e[+-]?[0-9]+)?")
_NOTHING = frozenset(
    b"none unknown unspecified undefined anonymous anonymized anonymised deidentified withheld default other"
    b" null void test".split()
)
# What the farm writes where something has to be: dummies, the one text node of an emptied report, CID 7050.
_DUMMIES = frozenset(
    b"removed 000y 19000101 19000101000000 000000 urnremoved 2250 99farm contains text comment 121106 point pixel"
    b" coerce applicationpdf 113100 113101 113102 113103 113104 113105 113106 113107 113108 113109 113110 113111 113112"
    b" basicapplicationconfidentialityprofile cleanpixeldataoption cleanrecognizablevisualfeaturesoption"
    b" cleangraphicsoption cleanstructuredcontentoption cleandescriptorsoption"
    b" retainlongitudinaltemporalinformationfulldatesoption retainlongitudinaltemporalinformationmodifieddatesoption"
    b" retainpatientcharacteristicsoption retaindeviceidentityoption retainuidsoption retainsafeprivateoption"
    b" retaininstitutionidentityoption".split()
)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the recipe keeps in the source, to compare with what it removes: values, and those that name products."""

    values: tuple[bytes, ...]
    products: tuple[bytes, ...] = ()
    charsets: Charsets = ()

    @cached_property
    def squeezed(self) -> bytes:
        """Return the kept values without spaces and punctuation, a separator around each part."""
        mark = haystack.SEPARATOR
        return mark + haystack.squeezed(self._folded.replace(b"\\", mark)) + mark

    @property
    def _folded(self) -> bytes:
        return haystack.folded_text(self.values + self.products, self.charsets)

    @cached_property
    def product_words(self) -> frozenset[bytes]:
        """Return the words that name products."""
        return frozenset(haystack.tokens(haystack.folded(self.products)))


_NOTHING_KEPT = Kept(values=())


class Needle(NamedTuple):
    """A folded text to look for: its words, the same without what is between them, and what is known of its source.

    `describes`: it stood in an attribute that describes the study, the device or nothing listed, not a person.
    """

    text: bytes
    words: tuple[bytes, ...]
    gist: bytes
    describes: bool

    @classmethod
    def of(cls, text: bytes, *, describes: bool) -> Needle:
        """Make one of a folded text."""
        words = tuple(haystack.tokens(text))
        return cls(text=text.strip(), words=words, gist=b"".join(words), describes=describes)

    @property
    def strong(self) -> bool:
        """Tell whether finding it is no chance: it is long, and not one word or number of a description."""
        return len(self.gist) >= SURE and not (self.describes and len(self.words) == 1 and self.gist.isalpha())


Rule = Callable[[Needle, Reading, Kept], bool]


def _is_short(needle: Needle, _reading: Reading, _kept: Kept) -> bool:
    least = SHORTEST_DIGITS if needle.gist.isdigit() else SHORTEST_TEXT
    return len(needle.gist) < least


def _is_decimal(needle: Needle, _reading: Reading, _kept: Kept) -> bool:
    return _DECIMAL.fullmatch(needle.text) is not None


def _is_round(needle: Needle, _reading: Reading, _kept: Kept) -> bool:
    return needle.gist.isdigit() and needle.gist.endswith(b"000") and len(needle.gist.strip(b"0")) <= _SIGNIFICANT


def _is_dummy(needle: Needle, _reading: Reading, _kept: Kept) -> bool:
    return needle.gist in _DUMMIES


def _says_nothing(needle: Needle, _reading: Reading, _kept: Kept) -> bool:
    return _NOTHING.issuperset(needle.words)


def _is_own(needle: Needle, reading: Reading, _kept: Kept) -> bool:
    return _own_words(reading.own).issuperset(needle.words)


@lru_cache(maxsize=64)
def _own_words(texts: tuple[bytes, ...]) -> frozenset[bytes]:
    return frozenset(haystack.tokens(haystack.folded(texts)))


def _is_vocabulary(needle: Needle, reading: Reading, _kept: Kept) -> bool:
    known = [word for word in needle.words if _is_word(word, reading)]
    short = SHORTEST_TEXT - 1
    rest = (word for word in needle.words if word not in known)
    return bool(known) and all(len(word) <= (short if word.isalpha() else short - 1) for word in rest)


def _is_product(needle: Needle, _reading: Reading, kept: Kept) -> bool:
    may_name = bool(kept.products) and kept.product_words.issuperset(needle.words)
    return may_name and (needle.describes or not _NUMBERED.search(needle.gist))


def _is_kept(needle: Needle, _reading: Reading, kept: Kept) -> bool:
    return needle.describes and needle.gist in kept.squeezed


def _counts_up(needle: Needle, _reading: Reading, kept: Kept) -> bool:
    mark = haystack.SEPARATOR
    placeholder = needle.gist.isdigit() and len(needle.gist) < SURE and is_run(needle.gist)
    return placeholder and mark + needle.gist + mark in kept.squeezed


def _is_word(word: bytes, reading: Reading) -> bool:
    return word.isascii() and word.isalpha() and reading.is_word(word.decode())


RULES: tuple[tuple[str, str, Rule], ...] = (
    ("short", "texts under 4 characters and numbers under 5 digits occur by chance", _is_short),
    ("decimal", "plain decimal numbers, such as 0.000000, are on every instance", _is_decimal),
    ("round", "up to three digits and three zeros or more are a setting more often than an identifier", _is_round),
    ("dummy", "what the farm writes as a dummy is in every output", _is_dummy),
    ("nothing", "words such as NONE and UNKNOWN say nothing of anybody", _says_nothing),
    ("own", "the farm's own texts (method, codes) are in every output", _is_own),
    ("vocabulary", "a text of vocabulary words alone, or a public code, says nothing of anybody", _is_vocabulary),
)
INSTANCE_RULES: tuple[tuple[str, str, Rule], ...] = (
    (
        "product",
        "a word of a kept manufacturer's or model's name is a product's, not an identifier with five digits in a row",
        _is_product,
    ),
    (
        "kept",
        "a description that stands in a kept value stays; an identifier there is what the search is for",
        _is_kept,
    ),
    ("count", "up to 7 digits that count or repeat (123456) name nobody where they are a kept value too", _counts_up),
)


def counts(needle: Needle, reading: Reading, kept: Kept) -> bool:
    """Tell whether a value is searched for: no rule leaves it out."""
    return unlike_others(needle, reading) and not any(
        leaves_out(needle, reading, kept) for _, _, leaves_out in INSTANCE_RULES
    )


@lru_cache(maxsize=8192)
def unlike_others(needle: Needle, reading: Reading) -> bool:
    """Tell whether a value is searched for whatever else an instance holds."""
    return not any(leaves_out(needle, reading, _NOTHING_KEPT) for _, _, leaves_out in RULES)


def says_nothing(word: bytes, reading: Reading) -> bool:
    """Tell whether a word is of the vocabulary or says that there is nothing."""
    return word in _NOTHING or (word.isascii() and not word.isdigit() and reading.is_word(word.decode()))


def is_found(needle: Needle, hay: Haystack, reading: Reading, kept: Kept) -> bool:
    """Tell whether the haystack holds a needle."""
    if not needle.words or apart.number(needle.gist) not in hay.squeezed:
        return False
    long = len(needle.gist) >= LONG
    alone = not long or (needle.describes and len(needle.words) == 1)
    if hay.holds(needle.words, alone=alone, everywhere=long):
        return True
    return not needle.describes and is_apart(needle.gist, hay, reading, kept)


def is_apart(gist: bytes, hay: Haystack, reading: Reading, kept: Kept) -> bool:
    """Tell whether the haystack holds a squeezed text with other characters in between, and it is no other text."""
    return any(
        counts(Needle.of(found, describes=False), reading, kept) for found in apart.spelt_apart(apart.number(gist), hay)
    )


def is_run(data: bytes) -> bool:
    """Tell whether each byte follows the one before, or is the same: a ramp or a constant, which tables hold."""
    steps = {after - before for before, after in pairwise(data)}
    return len(steps) <= 1
