"""The search: everything of the source that had to go, in everything of the output that is not a pixel.

Each kind of value has its own way of being found. All of them look into the memory's haystack first, which holds this
output and others before it: what is not there is not here. What is there is looked for exactly in this output alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from farm.deid.gate import charsets, dates, haystack, names, needles, spelling
from farm.deid.gate.charsets import ESCAPE, Charsets
from farm.deid.gate.haystack import LONG, Haystack
from farm.deid.gate.memory import Memory
from farm.deid.gate.needles import SHORTEST_TEXT, SHORTEST_UID, Kept, Needle
from farm.deid.gate.reading import Heap, Reading
from farm.deid.gate.spelling import Spelt

Heaps = list[list[bytes]]
# What is left out beside `needles.RULES`, by the kind of value.
STATED: tuple[tuple[str, str], ...] = (
    ("number", "values of DS and IS are numbers: only whole ones of six digits or more are looked for"),
    ("initial", "single letters of a name are not looked for"),
    ("minute", "times at a full minute, or without seconds, occur by chance"),
    ("year", "dates with a year of two digits are not looked for: every other number would be one"),
    (
        "day of the year",
        "dates are not looked for as days or weeks of a year, as counts, in other calendars or in other languages",
    ),
    ("dummy date", "19000101 is what the farm writes where a date has to be"),
    ("kept date", "a date that the recipe keeps in the source is not looked for elsewhere"),
    ("moved date", "a shifted date that falls on another original's day is right"),
    ("short uid", "UIDs under 12 characters look like version numbers: they are looked for in UI values alone"),
    ("well-known uid", "UIDs that begin with 1.2.840.10008. are the standard's"),
    ("ramp", "bytes that rise or fall evenly, or have fewer than 8 values, stand in tables"),
    ("short in bytes", "texts under 7 characters are not looked for in bytes and numbers"),
    ("grouped", "numbers under 7 digits, or over several values, or with one point inside, are not put together"),
    ("word apart", "punctuation inside a word is looked through for names and identifiers, not for descriptions"),
    ("zeros", "zeros in front of digits are looked through in whole numbers, not behind letters"),
    ("encoding", "code pages of DOS and Macintosh, quoted-printable, Base64, hexadecimal and UTF-8 twice are not read"),
    ("script", "a name is not looked for in another script, in other ideographs or in letters that only look alike"),
    ("binary number", "an identifier is not looked for as a binary number, or with an exponent"),
    ("plain in bytes", "text in bytes and numbers is looked for as it is encoded, not in its plain form"),
    ("pseudonym", "a value that is the pseudonym is what the recipe put there"),
)
_SHORTEST_NUMBER = 6
_NUMBERS = re.compile(rb"[0-9]{%d,}" % LONG)  # in an identifier
_BETWEEN = rb"[-_.:/, ]{0,2}"  # the components of a UID
_SURE_UID = 14  # digits of one that is looked for with other signs between them
_UUID_ROOT = b"2.25."
_PRINTED = bytes(range(0x20, 0x7F)) + b"\t\r\n\f\0"
_WINDOW, _DISTINCT = 48, 8  # bytes of a binary value that are looked for at once; how many of them differ at least
_LOOKED_AT = 256  # bytes of a value that tell whether it is text
_TIMES_STAY = frozenset({"shifted", "kept"})  # by rule: a time of day without its date is then no sign of anything
_MEMORIES: dict[tuple[Reading, Charsets, bytes], Memory] = {}
_MOST_MEMORIES = 64
_NOTHING_KEPT = Kept(values=())


class Hit(NamedTuple):
    """Something found: its kind, whether it is strong, and how to look for it in other values."""

    kind: str
    strong: bool
    look: Callable[[Haystack], bool]


class Search(NamedTuple):
    """What one instance's search goes by: the heaps of what is gone, their character sets, and what is kept.

    Instances of one SOP class share a memory: what is gone of a report would be looked for in every slice of a series.
    """

    gone: Heaps
    charsets: Charsets
    kept: Kept
    reading: Reading
    sop_class: bytes


def hits(search: Search, uids: AbstractSet[bytes], texts: AbstractSet[bytes], others: AbstractSet[bytes]) -> list[Hit]:
    """Return what is left in an output's values of what had to go, and of original UIDs."""
    # Taken out while in use: two threads never share one, and one that an error left half done is never used again.
    known_by = (search.reading, search.charsets, search.sop_class)
    memory = _MEMORIES.pop(known_by, None)
    memory = memory if memory and not memory.is_full else Memory(search.charsets)
    identifiers, descriptions = _sorted_texts(search.gone)
    beyond = {value for value in identifiers | descriptions if not value.isascii() or ESCAPE in value}
    for value in beyond:
        (identifiers if value in identifiers else descriptions).update(spelling.plain_ascii(value, search.charsets))
    memory.meet((identifiers | descriptions) - beyond, texts, others)
    hay = memory.hay
    found = [
        *_texts(search, memory, identifiers, describes=False),
        *_texts(search, memory, descriptions - identifiers, describes=True),
        *_spelled_texts(search, hay, beyond, identifiers),
        *_names(search, hay),
        *_numbers(search, hay),
        *_times(set() if search.reading.dates in _TIMES_STAY else set(search.gone[Heap.TIMES]), hay),
        *_dates(search.gone, hay),
        *_uids(uids, hay),
        *_bytes(search.gone[Heap.BYTES], hay, search.kept),
    ]
    if len(_MEMORIES) >= _MOST_MEMORIES:
        _MEMORIES.clear()
    _MEMORIES[known_by] = memory
    if not found:
        return []
    present = Haystack(texts, others, search.charsets)
    return [hit for hit in found if hit.look(present)]


def _sorted_texts(gone: Heaps) -> tuple[set[bytes], set[bytes]]:
    """Return the texts that identify, long numbers in them by themselves as well, and those that describe."""
    blobs = [value for value in set(gone[Heap.BYTES]) if value[SHORTEST_TEXT - 1 :] and _is_text(value)]
    identifiers = set(gone[Heap.IDENTIFIERS])
    identifiers.update(_NUMBERS.findall(b"\\".join(identifiers)))
    return identifiers, {
        *gone[Heap.DESCRIPTIONS],
        *gone[Heap.CLEANED],
        *gone[Heap.GONE_CHARSETS],
        *blobs,
    }


def _is_text(value: bytes) -> bool:
    return value[0] >= 0x20 and not value[:_LOOKED_AT].translate(None, _PRINTED)


def _texts(search: Search, memory: Memory, values: AbstractSet[bytes], *, describes: bool) -> Iterator[Hit]:
    """Find text in ASCII, in any case and punctuation."""
    for value in memory.suspects.keys() & values:
        for low in memory.suspects[value]:
            needle = _needle(low, describes=describes)
            if needles.counts(needle, search.reading, search.kept):
                yield Hit("text" if describes else "identifier", needle.strong, _finder(needle, search))


@lru_cache(maxsize=4096)
def _needle(low: bytes, *, describes: bool) -> Needle:
    return Needle.of(low, describes=describes)


def _finder(needle: Needle, search: Search) -> Callable[[Haystack], bool]:
    return lambda hay: needles.is_found(needle, hay, search.reading, search.kept)


def _spelled_texts(
    search: Search, hay: Haystack, values: AbstractSet[bytes], identifiers: AbstractSet[bytes]
) -> Iterator[Hit]:
    """Find other text in each of its spellings, and as the bytes that it is."""
    for value in values:
        kind, kept = ("identifier", _NOTHING_KEPT) if value in identifiers else ("text", search.kept)
        for text in charsets.decoded(value, search.charsets):
            for part in spelling.parts_of(text):
                if part.isascii():
                    continue  # it is searched for as any other text in ASCII
                words = spelling.words(part)
                yield from _spelled(words, hay, search, (kind, kind == "identifier" or len(words) > 1), kept)
        for raw in spelling.raw(value):
            yield from _standing(raw, hay, (kind, kind == "identifier" or len(raw.words) > 1), kept)


def _spelled(
    words: Sequence[str], hay: Haystack, search: Search, what: tuple[str, bool], kept: Kept = _NOTHING_KEPT
) -> Iterator[Hit]:
    """Find words that follow each other, in any spelling but those in which they are kept."""
    if not spelling.is_short("".join(words)):
        for spelt in spelling.spellings(tuple(words), search.charsets):
            yield from _standing(spelt, hay, what, kept)


def _standing(spelt: Spelt, hay: Haystack, what: tuple[str, bool], kept: Kept = _NOTHING_KEPT) -> Iterator[Hit]:
    if spelt.gist in hay.squeezed and spelt.gist not in kept.squeezed:
        yield _words(what[0], spelt.words, strong=what[1])


def _words(kind: str, words: tuple[bytes, ...], *, strong: bool, alone: bool = False) -> Hit:
    return Hit(kind, strong, lambda hay: hay.holds(words, alone=alone))


def _names(search: Search, hay: Haystack) -> Iterator[Hit]:
    """Find names, each component group and each of several by itself."""
    values = dict.fromkeys(search.gone[Heap.NAMES])
    known = b"\\".join(values)
    if not known.isascii() or ESCAPE in known:
        beyond = {value for value in values if not value.isascii() or ESCAPE in value}
        plain = {form for value in beyond for form in spelling.plain_ascii(value, search.charsets, groups=True)}
        known = b"\\".join([*(value for value in values if value not in beyond), *sorted(plain)])
        for value in beyond:
            yield from _spelled_name(search, hay, value)
    for found in names.found(known, hay, search.reading, search.kept):
        yield Hit("name", found.strong, found.look)


def _spelled_name(search: Search, hay: Haystack, value: bytes) -> Iterator[Hit]:
    """Find a name beyond ASCII: whole, in both orders, or a part of one."""
    for text in charsets.decoded(value, search.charsets):
        for name in spelling.parts_of(text, groups=True):
            words = [] if name.isascii() else spelling.words(name)
            for order in (words, words[::-1]):
                yield from _spelled(order, hay, search, ("name", True))
            for word in words:  # one in ASCII stands in others: Mary in PRIMARY
                if not word.isascii():
                    yield from _spelled([word], hay, search, ("name", False))
                elif len(word) >= SHORTEST_TEXT and word.lower().encode() in hay.tokens:
                    yield from _single(word.lower().encode(), search)
    for raw in spelling.raw(value):
        yield from _standing(raw, hay, ("name", len(raw.words) > 1))


def _single(word: bytes, search: Search) -> Iterator[Hit]:
    """Find one word of a name that stands alone."""
    if needles.counts(_needle(word, describes=False), search.reading, search.kept):
        yield _words("name", (word,), strong=False, alone=True)


def _numbers(search: Search, hay: Haystack) -> Iterator[Hit]:
    """Find numbers of DS and IS: only whole ones of six digits or more are no chance, and weak."""
    values = {value for value in search.gone[Heap.NUMBERS] if len(value) >= _SHORTEST_NUMBER}
    for part in hay.tokens.intersection(haystack.tokens(b" ".join(values))) if values else ():
        if len(part) >= _SHORTEST_NUMBER and part.isdigit():
            needle = _needle(part, describes=True)
            if needles.counts(needle, search.reading, search.kept):
                yield _words("number", (part,), strong=False, alone=True)


def _times(values: AbstractSet[bytes], hay: Haystack) -> Iterator[Hit]:
    """Find times of day to the second, colons or points between or not; a full minute is round, and no sign."""
    for value in values:
        for digits in _digits(value):
            if digits in hay.squeezed:
                yield _clock(digits)


@lru_cache(maxsize=4096)
def _digits(value: bytes) -> tuple[bytes, ...]:
    """Return HHMMSS and HHMMSSFFFFFF of each TM value, without what stands between."""
    every = [haystack.squeezed(haystack.folded([part])) for part in value.split(b"\\")]
    forms = {form for digits in every if len(digits) >= 6 and digits.isdigit() for form in (digits[:6], digits)}
    return tuple(sorted(form for form in forms if not form.endswith(b"00")))


@lru_cache(maxsize=4096)
def _clock(digits: bytes) -> Hit:
    clock = b"[:.]?".join((digits[:2], digits[2:4], digits[4:6])) + (rb"\.?" if digits[6:] else b"") + digits[6:]
    pattern = re.compile(rb"(?<![a-z0-9.])" + clock + rb"(?![a-z0-9])")
    return Hit("time", len(digits) > LONG, lambda hay: pattern.search(hay.text) is not None)


def _dates(gone: Heaps, hay: Haystack) -> Iterator[Hit]:
    """Find dates that had to go or to move, but for those that the recipe keeps in the source as well."""
    days = dates.dates_in(gone[Heap.DATES]) | dates.dates_in(gone[Heap.MOVED])
    days -= dates.dates_in(gone[Heap.KEPT_DATES])
    days = frozenset(day for day in days if day[:4] in hay.years)
    for day, sure in {*dates.spelled(hay.text, days), *dates.spelled(hay.rest, days)} if days else ():
        yield _day(day, sure=sure)


def _day(day: bytes, *, sure: bool) -> Hit:
    def look(hay: Haystack) -> bool:
        return (day, sure) in {*dates.spelled(hay.text, [day]), *dates.spelled(hay.rest, [day])}

    return Hit("date", sure, look)


def _uids(originals: AbstractSet[bytes], hay: Haystack) -> Iterator[Hit]:
    """Find original UIDs written in text; the shortest look like version numbers and are left out."""
    uids = [uid for uid in originals if len(uid) >= SHORTEST_UID]
    uids += [_uuid(uid) for uid in uids if uid.startswith(_UUID_ROOT)]
    gists = haystack.squeezed(haystack.SEPARATOR.join(uids)).split(haystack.SEPARATOR)
    for place in hay.places_of(gists):
        yield _inside("uid", uids[place]) if len(gists[place]) < _SURE_UID else _spaced_uid(uids[place])


@lru_cache(maxsize=4096)
def _uuid(uid: bytes) -> bytes:
    """Return a UID made of a UUID (PS3.5 B.2) as the UUID is written; as it is where it is made of none."""
    number = uid.removeprefix(_UUID_ROOT)
    value = int(number) if number.isdigit() and len(number) < 40 else 1 << 128
    return str(UUID(int=value)).encode() if value < 1 << 128 else uid


def _spaced_uid(uid: bytes) -> Hit:
    """Find a UID whatever stands between its components, as in the name of a file."""
    pattern = re.compile(_BETWEEN.join(map(re.escape, re.split(rb"[.-]", uid.translate(haystack.LOWER)))))
    return Hit("uid", True, lambda hay: bool(pattern.search(hay.text) or pattern.search(hay.rest)))  # noqa: FBT003 -- a field, by its place


def _inside(kind: str, low: bytes) -> Hit:
    return Hit(kind, True, lambda hay: low in hay.text or low in hay.rest)  # noqa: FBT003 -- a field, by its place


def _bytes(values: Iterable[bytes], hay: Haystack, kept: Kept) -> Iterator[Hit]:
    """Find bytes by their beginning, middle and end, but for what is text that the recipe keeps elsewhere."""
    long = {value for value in values if value[LONG:]}
    windows = [window for value in long for window in _windows(value)]
    for place in hay.places_of([gist for gist, _ in windows]) if windows else ():
        gist, low = windows[place]
        if gist not in kept.squeezed:
            yield _inside("bytes", low)


@lru_cache(maxsize=512)
def _windows(value: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return what is looked for of a value, squeezed and folded; ramps and constants are no sign of anything."""
    middle = len(value) // 2
    windows = {value[:_WINDOW], value[middle : middle + _WINDOW], value[-_WINDOW:]} if value[_WINDOW:] else {value}
    signs = [window for window in windows if len(set(window)) >= _DISTINCT and not needles.is_run(window)]
    return tuple((haystack.squeezed(low), low) for low in (haystack.folded([window]) for window in signs))
