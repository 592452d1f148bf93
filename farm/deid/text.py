"""Clean Descriptors: free text keeps what is known to be safe and drops the rest (PS3.15 E.3.5).

A value is decoded by its VR and character set, cleaned component by component (farm.deid.line has the rules,
farm.deid.vocabulary what is safe) and written in ASCII, valid for its VR.

Results are remembered twice: for the values that identify an instance, which the next slice of a series shares, and
for all, whoever it is; then it is only asked whether one of the identifying values is among the words of the result.
That is why cleaning costs a microsecond on the next slice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from farm.deid.line import TOKEN, fold, run_together, settled
from farm.deid.uids import components
from farm.deid.vocabulary import is_defined, is_term, parts
from farm.dicom.charsets import decode, encode

_LIMITS = {"AE": 16, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "UC": 1 << 32, "UT": 1 << 32}
"""The VRs that are cleaned, and their longest value (PS3.5 table 6.2-1)."""
_SINGLE = frozenset({"LT", "ST", "UT"})
"""Those in which line breaks and backslashes are text."""
_REMEMBERED = 256
"""Longer values are cleaned anew each time: they seldom come again, and would fill the memory."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_CONTROLS_OF_TEXT = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]+")
_PADDING = " \0\t\r\n\f"
_GERMAN = str.maketrans({"\u00e4": "ae", "\u00f6": "oe", "\u00fc": "ue", "\u00e5": "aa", "\u00f8": "oe"})


def names(value: str) -> list[str]:
    """Return the spellings of a person name that identify: components, and groups in either order (PS3.5 6.2)."""
    found: list[str] = []
    for person in value.split("\\"):
        for group in person.split("="):
            components = [part for component in group.split("^") if (part := component.strip(_PADDING))]
            found += [*components, " ".join(components), " ".join([*components[1:2], *components[:1]])]
    return [spelling for spelling in dict.fromkeys(found) if spelling]


class _Identity:
    """What identifies one instance: words, and whole values run together. Equal only to itself: it is a cache's key."""

    __slots__ = ("runs", "words")

    def __init__(self, spellings: Sequence[tuple[frozenset[str], frozenset[str]]]) -> None:
        self.words: frozenset[str] = frozenset().union(*[words for words, _ in spellings])
        self.runs: frozenset[str] = frozenset().union(*[runs for _, runs in spellings])


class _Cleaned(NamedTuple):
    """A value cleaned without regard to an instance, and by what an instance could object to it."""

    value: bytes
    words: frozenset[str]
    run: str


class Cleaner:
    """Cleans the descriptors of one instance.

    `identifying`: the instance's own identifying values, decoded: names, ids, accession number, institution, dates.
    `charset`: the value of (0008,0005).
    """

    __slots__ = ("_charset", "_identity")

    def __init__(self, identifying: Sequence[str], charset: bytes) -> None:
        self._charset = charset
        self._identity = _identity(tuple(identifying))

    def __repr__(self) -> str:
        return "Cleaner()"

    def text(self, vr: str, value: bytes) -> bytes:
        """Return a value cleaned: without padding, valid for its VR, empty where nothing is left.

        The components of a multi-valued attribute are cleaned one by one; those of which nothing is left go. VRs that
        hold no free text (PN, UR, UN, numbers) have nothing that could be known to be safe: they give an empty value.
        """
        if vr == "CS":
            return self.code_string(value)
        if len(value) > _REMEMBERED:
            return _value(vr, value, self._charset, self._identity)
        return _for_identity(vr, value, self._charset, self._identity)

    def mentions(self, text: str) -> bool:
        """Tell whether one of the instance's own identifying values is among the words of a text."""
        run = run_together(fold(text))
        return not self._identity.words.isdisjoint(_words(fold(text))) or any(own in run for own in self._identity.runs)

    def code_string(self, value: bytes, tag: int = 0) -> bytes:
        """Return a code string with its unknown values emptied.

        They are emptied in place and not removed: the values of a code string have their meaning by position (Image
        Type, PS3.3 C.7.6.1.1.2). A defined term stays even where the subject is called so: it says nothing of anyone.
        """
        return b"\\".join([part if self._is_safe(tag, part) else b"" for part in components(value)])

    def _is_safe(self, tag: int, part: bytes) -> bool:
        """Tell whether one value of a code string may stay."""
        if is_defined(part):
            return True
        return is_term(tag, part) and self._identity.words.isdisjoint(_words(part.decode("ascii").replace("_", " ")))


@lru_cache(maxsize=4096)
def _identifying(value: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words of an identifying value, and the value run together, in its ASCII spellings."""
    spellings = {fold(value), fold(unicodedata.normalize("NFC", value).lower().translate(_GERMAN))}
    runs = {run_together(spelling) for spelling in spellings}
    return frozenset().union(*map(_words, spellings)), frozenset(run for run in runs if len(run) > 2)


@lru_cache(maxsize=1024)
def _identity(values: tuple[str, ...]) -> _Identity:
    """Return the identity of an instance; the instances of a series mostly share one."""
    return _Identity([_identifying(value) for value in values])


_NOBODY = _identity(())


@lru_cache(maxsize=8192)
def _for_identity(vr: str, value: bytes, charset: bytes, identity: _Identity) -> bytes:
    """Return a value cleaned for an instance: as for anyone where nothing in it is the instance's own."""
    cleaned = _for_anyone(vr, value, charset)
    if identity.words.isdisjoint(cleaned.words) and not any(run in cleaned.run for run in identity.runs):
        return cleaned.value
    return _value(vr, value, charset, identity)


@lru_cache(maxsize=8192)
def _for_anyone(vr: str, value: bytes, charset: bytes) -> _Cleaned:
    """Return a value cleaned without regard to an instance."""
    cleaned = _value(vr, value, charset, _NOBODY)
    text = cleaned.decode("ascii")
    return _Cleaned(cleaned, _words(text), run_together(text))


def _words(text: str) -> frozenset[str]:
    """Return all words and numbers of three characters or more in a text."""
    return frozenset().union(*[parts(token) for token in TOKEN.findall(text)])


def _value(vr: str, value: bytes, charset: bytes, identity: _Identity) -> bytes:
    """Return a value cleaned for an instance."""
    limit = _LIMITS.get(vr)
    if limit is None:
        return b""
    text = decode(value, vr, charset)
    if vr in _SINGLE:
        return encode(_component(_CONTROLS_OF_TEXT.sub(" ", fold(text)), limit, identity))
    cleaned = [
        _component(_CONTROLS.sub(" ", fold(component)).replace("\\", " "), limit, identity)
        for component in text.split("\\")
    ]
    return encode("\\".join(filter(None, cleaned)))


def _component(text: str, limit: int, identity: _Identity) -> str:
    """Return one component cleaned, and cut between two tokens where it is too long for its VR."""
    text = settled(text.strip(_PADDING), identity.words, identity.runs)
    if len(text) <= limit:
        return text
    ends = [match.end() for match in TOKEN.finditer(text) if match.end() <= limit]
    return settled(text[: ends[-1]] if ends else "", identity.words, identity.runs)
