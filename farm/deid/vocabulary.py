"""What may stay in cleaned text: the words, measures and code string terms that cannot identify (PS3.15 E.3.5).

The standard's own advice is to keep what is known to be useful and safe and to drop the rest, so nothing is recognised
as a name here; what is not recognised as safe is not kept. Safe is a word of the vocabulary: the words of DICOM's
concept and attribute names and of daily protocols, without those that are names of people or places as well, without
eponyms, and without what states age, sex, family or belief. Safe is a measure (`5mm`, `1.5T`), a vertebra (`L4`), a
b-value, a kernel, an acceleration factor. No safe token has more than four digits.

A bare number or ordinal, a single letter or a Roman numeral says nothing alone and much beside a word that was dropped
("Room 12", "12 Mar", "J Smith", "12-III-2019"), so it is of a kind of its own: farm.deid.line decides by its
neighbours.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from functools import lru_cache

from farm.deid.standard.terms import TERMS
from farm.deid.standard.words import WORDS


class Kind(Enum):
    """How a token is treated."""

    DROPPED = auto()
    KEPT = auto()
    LETTER = auto()
    NUMBER = auto()
    FUNCTION = auto()
    """Kept, and looked through when a number's neighbours are judged."""


LONGEST = 40
"""No token of the vocabulary is longer."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


FUNCTION_WORDS = _set("of the in on at for by to from and or with as is de del des der die das von vom et und")
UNITS = _set(
    "mm cm um ms msec sec min kv kvp kev mev mv ma mas mgy cgy hz khz mhz ghz mt ml cc mg ug mci mbq bit deg ch chan "
    "phase phases dir dirs view views scan scans slice slices ns sl tp vol vols bpm fps w hu pct"
)
PHRASES = frozenset(
    tuple(phrase.split("-"))
    for phrase in _set(
        "long-axis short-axis black-blood dark-blood bright-blood white-matter gray-matter grey-matter cross-section "
        "cross-sectional small-bowel large-bowel power-doppler key-image key-images key-object x-ray x-rays field-map "
        "field-maps short-tau steady-state last-image single-shot cone-beam w-o r-o x-y y-z"
    )
)
"""Words that are names by themselves and plain beside each other."""

TITLES = _set(
    "dr dra doc prof professor mrs miss mme mlle herr frau sra sig dott mister pastor rev capt sgt st ste saint "
    "name named"
)
SPELLED_TITLES = frozenset({"Mr", "Ms"})
"""Titles only in this spelling: MR is a modality and ms a unit."""
DOTTED_TITLES = frozenset({"mr", "ms", "m", "sr", "fr", "hr", "pt"})
"""Titles only with a full stop behind them."""

_LETTERS = frozenset("aceiklprstvwxz")
_NUMBER = re.compile(r"0|[1-9]\d{0,2}|0[1-9]|(?:0|[1-9]\d{0,2})[.,]\d{1,3}")
_DAY_AND_MONTH = re.compile(r"(?:[1-9]|[12]\d|3[01])[.,](?:0[1-9]|1[0-2])")
_MEASURE = re.compile(
    r"(?:\d{1,4}|\d{1,3}[.,]\d{1,3})(?P<unit>t|s|[a-z]{2,6})|[1-9]\d?x"
    r"|\d{1,3}(?:[.,]\d)?(?:x\d{1,3}(?:[.,]\d)?){1,2}(?:mm|cm)?"
)
_DECADE = re.compile(r"(?:19|20)\d\d[st]")
_ORDINAL = re.compile(r"(?:[1-9]|[12]\d|3[01])(?:st|nd|rd|th)")
_LOOSE_DAY_AND_MONTH = re.compile(r"(?:[1-9]|[12]\d|3[01])[.,](?:[1-9]|1[0-2])")
_ROMAN = _set("i ii iii iv v vi vii viii ix x xi xii")
_KNOWN = re.compile(
    r"""c[1-8] | th?(?:[1-9]|1[0-3]) | d(?:[1-9]|1[0-2]) | l[1-6] | s[1-5]  # vertebrae
      | t[12](?:w|c|ce|gd|fs|fl)? | t[12](?P<weighted>[a-z]{2,})            # weighting
      | r[12] | [px][1-9] | v[1-6] | [1-3]r                                 # acceleration, leads
      | b(?:0|50|[1-9]\d?(?:0|5)0)                                          # b-values, s/mm2
      | [bhuidtj][1-9]\d[fshmn]?                                            # kernels
      | (?:br|hr|qr|ur|bl|bv|bf|hv|hc|hf|fc|fl|ub)[1-9]\d[a-z]?
      | (?P<left>[a-z]{2,})?[234]d(?:(?P<right>[a-z]{2,})|\d{1,2}[a-z]?)?   # ep2d, t2space3d, tfl3d1
      | [1-9](?P<after>[a-z]{2,}) | (?P<counted>[a-z]{2,})\d{1,2}           # 1HEAD, dir6
      | (?P<timed>te|tr|ti|fa|fov|dir|kv|ma|td)\d{1,3}
    """,
    re.VERBOSE,
)
_CAMEL = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}(?![a-z])")
_PARTS = re.compile(r"[a-z]{3,}|\d{3,}")
_CODE_PARTS = re.compile(r"[ _]")


@lru_cache(maxsize=16384)
def kind(token: str) -> Kind:
    """Return what a token is, by itself.

    A token is a run of letters and digits in any case, with full stops or commas between digits.
    """
    if not token.isascii():
        return Kind.DROPPED
    word = token.lower()
    if word.isalpha():
        return _of_letters(token, word)
    if sum(map(str.isdigit, word)) > 4:
        return Kind.DROPPED
    if _NUMBER.fullmatch(word) or _ORDINAL.fullmatch(word):
        return Kind.DROPPED if _DAY_AND_MONTH.fullmatch(word) else Kind.NUMBER
    return Kind.KEPT if word in WORDS or _is_measure(word) or _is_known(word) else Kind.DROPPED


def _of_letters(token: str, word: str) -> Kind:
    """Return what a token of letters is; a compound (`HeadNeck`) is safe where each of its words is."""
    if len(word) == 1:
        return Kind.LETTER if word in _LETTERS else Kind.DROPPED
    if word in _ROMAN:
        return Kind.LETTER
    if word in FUNCTION_WORDS:
        return Kind.FUNCTION
    if word in WORDS:
        return Kind.KEPT
    words = _CAMEL.findall(token)
    compound = len(words) > 1 and "".join(words) == token
    return Kind.KEPT if compound and all(len(part) > 2 and part.lower() in WORDS for part in words) else Kind.DROPPED


def is_month(token: str) -> bool:
    """Tell whether a token is a month in Roman numerals."""
    return token.lower() in _ROMAN


def may_be_day(token: str) -> bool:
    """Tell whether a number may be a day and a month as well."""
    return _LOOSE_DAY_AND_MONTH.fullmatch(token) is not None


def _is_measure(word: str) -> bool:
    """Tell a number with its unit, a factor or a matrix; a patient's weight, height and age have no unit here."""
    match = _MEASURE.fullmatch(word)
    if match is None or _DECADE.fullmatch(word):
        return False
    unit = match["unit"]
    return unit is None or unit in {"t", "s"} or unit in UNITS


def _is_known(word: str) -> bool:
    """Tell a vertebra, weighting, kernel, b-value or a sequence's name with its dimensions or number."""
    match = _KNOWN.fullmatch(word)
    return match is not None and all(part is None or part.isdigit() or part in WORDS for part in match.group(*_WORDY))


_WORDY = ("left", "right", "weighted", "after", "counted")


@lru_cache(maxsize=16384)
def parts(token: str) -> frozenset[str]:
    """Return the words and numbers, of three characters or more, by which a token could be what identifies."""
    word = token.lower()
    found = {word, *_PARTS.findall(word), *(part.lower() for part in _CAMEL.findall(token))}
    found |= {part.lstrip("0") for part in found if part.isdigit()}
    return frozenset(part for part in found if len(part) > 2)


# Code strings whose values are names by nature, whatever words they are made of: File-set ID, Referenced File ID.
_NAMES = frozenset({0x00041130, 0x00041500, 0x00041501})
# Those whose values are numbers in a registry of the standard: Context, Template and Mapping identifiers.
_REGISTERED = frozenset({0x0008010F, 0x0040DB00, 0x00080105, 0x00080118})


def is_defined(value: bytes) -> bool:
    """Tell whether one value of a code string, without padding, is a term of the standard's own; an empty one is."""
    return not value or value.decode("ascii", "replace") in TERMS


@lru_cache(maxsize=8192)
def is_term(tag: int, value: bytes) -> bool:
    """Tell whether one value, without padding, is a defined term, a registered number or made of safe words."""
    if tag in _NAMES:
        return not value
    if is_defined(value):
        return True
    text = value.decode("ascii", "replace")
    if len(text) > 16 or not text.isascii():
        return False
    if tag in _REGISTERED:
        return text.isdigit() and len(text) <= 5
    kinds = [kind(part) if part else Kind.FUNCTION for part in _CODE_PARTS.split(text)]
    return Kind.KEPT in kinds and Kind.DROPPED not in kinds
