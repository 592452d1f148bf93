"""The rules by which a line of text loses what could identify (PS3.15 E.3.5): tokens, their kinds, their neighbours.

A line is folded to ASCII (accents go, full-width letters become plain ones; a word in another script has no ASCII
spelling and is dropped whole) and cut into tokens. A token stays if the vocabulary knows it, if no identifying value of
the instance is in it, and if its neighbours do not make it one:

- numbers in a row, or joined by a sign, are a date, a time or a telephone number: all go; so do a day joined to a month
  in Roman numerals, and a day with its month ("5.3") beside no word;
- a lone number or letter beside a dropped token goes with it ("Room 12", "12 Mar", "J Smith"), unless it has a unit;
- the word behind a title goes though it is a plain word ("Dr. Hand", "M. Genou": E.3.5's own examples);
- a chunk with the signs of an e-mail address, a URL or a path goes whole.

What is dropped leaves no trace: what stood around it closes to one space, underscore or line break. Where nothing is
dropped the text stays as it was. The rules are repeated until they change nothing, so clean text is clean for ever.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby, pairwise

from farm.deid.vocabulary import (
    DOTTED_TITLES,
    LONGEST,
    PHRASES,
    SPELLED_TITLES,
    TITLES,
    UNITS,
    Kind,
    is_month,
    kind,
    may_be_day,
    parts,
)

TOKEN = re.compile(r"(?:[^\x00-/:-@\[-`{-\x7f]|(?<=[0-9])[.,](?=[0-9]))+")
_CHUNK = re.compile(r"\S+")
_UNSAFE = re.compile(r"@|://|\\\\|\bwww\.|\b[a-z]:\\|\.(?:com|org|net|edu|gov|info)\b|\.[a-z]{2}/", re.IGNORECASE)
_DROPPED = "\ufffd"
"""Stands for a chunk that goes whole: a token that no vocabulary knows."""
_BRACKETS = re.compile(r"[\"'()*<>\[\]^{}|~`]+")
_SPACES = re.compile(r"[ \t]{2,}")
_SPELLINGS = str.maketrans(
    dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-")
    | dict.fromkeys("\u2018\u2019\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"')
    | dict.fromkeys("\u2022\u00b7\u00ae\u00a9\u2122\u00b0", " ")
    | {"\u00d7": "x", "\u00b5": "u", "\u03bc": "u", "\u00df": "ss", "\u00e6": "ae", "\u00c6": "AE", "\u0153": "oe"}
    | {"\u00f8": "o", "\u00d8": "O", "\u0142": "l", "\u0141": "L", "\u0131": "i", "\u0111": "d"}
)
_WEAK = frozenset({Kind.LETTER, Kind.NUMBER})


def fold(text: str) -> str:
    """Return text in ASCII as far as it has an ASCII spelling: accents dropped, signs in their plain form."""
    if text.isascii():
        return text
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", text).translate(_SPELLINGS))
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def run_together(text: str) -> str:
    """Return a text's letters and digits run together."""
    return "".join(filter(str.isalnum, text.lower()))


def settled(text: str, words: frozenset[str], runs: frozenset[str]) -> str:
    """Clean until nothing changes: what was apart may be neighbours once something between them is gone."""
    while True:
        cleaned = _pass(text, words, runs)
        if cleaned == text:
            return text
        text = cleaned


def _pass(text: str, words: frozenset[str], runs: frozenset[str]) -> str:
    """Drop what is not safe in a text as it stands."""
    if _UNSAFE.search(text):
        text = _CHUNK.sub(lambda chunk: _DROPPED if _UNSAFE.search(chunk[0]) else chunk[0], text)
    line = _Line(text)
    line.keep_phrases()
    line.drop_words(words)
    line.drop_behind_titles()
    line.keep_measures()
    line.drop_number_rows()
    line.drop_roman_dates()
    line.drop_runs(runs)
    line.drop_tainted()
    line.drop_days()
    return line.joined()


class _Line:
    """A text's tokens and what each is; the rules change kinds, in the order in which `_pass` calls them."""

    __slots__ = ("kinds", "spans", "text", "tokens")

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans = [match.span() for match in TOKEN.finditer(text)]
        self.tokens = [text[start:end] for start, end in self.spans]
        self.kinds = [kind(token) if len(token) <= LONGEST else Kind.DROPPED for token in self.tokens]

    def gap(self, index: int) -> str:
        """Return what stands between a token and the next one."""
        return self.text[self.spans[index][1] : self.spans[index + 1][0]]

    def keep_phrases(self) -> None:
        """Keep words that are names by themselves and plain beside each other."""
        if Kind.DROPPED not in self.kinds:
            return
        for index, pair in enumerate(pairwise([token.lower() for token in self.tokens])):
            if pair in PHRASES:
                self.kinds[index : index + 2] = Kind.KEPT, Kind.KEPT

    def drop_words(self, words: frozenset[str]) -> None:
        """Drop tokens that hold a word or number of an identifying value."""
        if words:
            for index, token in enumerate(self.tokens):
                if not words.isdisjoint(parts(token)):
                    self.kinds[index] = Kind.DROPPED

    def drop_behind_titles(self) -> None:
        """Drop titles, initials behind them, and the one word that follows, plain as it may be."""
        for index, token in enumerate(self.tokens):
            if not self._is_title(index, token):
                continue
            self.kinds[index] = Kind.DROPPED
            for behind in range(index + 1, len(self.tokens)):
                is_initial = self.kinds[behind] is Kind.LETTER
                if self.tokens[behind].isalpha():
                    self.kinds[behind] = Kind.DROPPED
                if not is_initial:
                    break

    def _is_title(self, index: int, token: str) -> bool:
        word = token.lower()
        if word in DOTTED_TITLES and self.text.startswith(".", self.spans[index][1]):
            return True
        return word in TITLES or token in SPELLED_TITLES

    def keep_measures(self) -> None:
        """Keep a number with the unit that follows it."""
        for index in range(len(self.tokens) - 1):
            if self.kinds[index] is Kind.NUMBER and self.gap(index) == " " and self._is_unit(index + 1):
                self.kinds[index : index + 2] = Kind.KEPT, Kind.KEPT

    def _is_unit(self, index: int) -> bool:
        return self.kinds[index] is not Kind.DROPPED and (
            self.tokens[index] in {"T", "s"} or self.tokens[index].lower() in UNITS
        )

    def drop_number_rows(self) -> None:
        """Drop numbers in a row that could be a date, a time or a telephone number.

        Three or more could, two with more than three digits, and two that a sign joins.
        """
        if Kind.NUMBER not in self.kinds:
            return
        for row in self._rows():
            digits = sum(sum(map(str.isdigit, self.tokens[index])) for index in row)
            joined = any(self.gap(index).strip() for index in row[:-1])
            if len(row) > 2 or (len(row) == 2 and (digits > 3 or joined)):
                for index in row:
                    self.kinds[index] = Kind.DROPPED

    def _rows(self) -> Iterator[list[int]]:
        """Yield the indices of numbers that follow each other."""
        for is_number, row in groupby(range(len(self.kinds)), lambda index: self.kinds[index] is Kind.NUMBER):
            if is_number:
                yield list(row)

    def drop_roman_dates(self) -> None:
        """Drop numbers that a month in Roman numerals joins by signs ("12-III-19", "12.III")."""
        for index in range(len(self.kinds) - 1):
            joined = self.gap(index).strip()
            if self.kinds[index] is not Kind.NUMBER or not joined or not is_month(self.tokens[index + 1]):
                continue
            self.kinds[index : index + 2] = Kind.DROPPED, Kind.DROPPED

    def drop_runs(self, runs: frozenset[str]) -> None:
        """Drop tokens that, run together, are an identifying value ("Li An", "T1-L2")."""
        if not runs:
            return
        kept = [index for index, found in enumerate(self.kinds) if found is not Kind.DROPPED]
        plain = [run_together(self.tokens[index]) for index in kept]
        whole = "".join(plain)
        sought = {run for run in runs if run in whole}
        longest = max(map(len, sought), default=0)
        for first in range(len(plain) if sought else 0):
            run = ""
            for last in range(first, len(plain)):
                run += plain[last]
                if len(run) > longest:
                    break
                if run in sought:
                    for index in kept[first : last + 1]:
                        self.kinds[index] = Kind.DROPPED

    def drop_tainted(self) -> None:
        """Drop lone numbers and letters beside what was dropped, function words not counted."""
        if Kind.DROPPED not in self.kinds:
            return
        for order in (range(len(self.kinds)), range(len(self.kinds) - 1, -1, -1)):
            tainted = False
            for index in order:
                found = self.kinds[index]
                if found is Kind.DROPPED:
                    tainted = True
                elif tainted and found in _WEAK:
                    self.kinds[index] = Kind.DROPPED
                elif found is not Kind.FUNCTION:
                    tainted = False

    def drop_days(self) -> None:
        """Drop numbers that may be a day and a month ("5.3") where no word beside them says what they measure."""
        for index, found in enumerate(self.kinds):
            if found is Kind.NUMBER and may_be_day(self.tokens[index]):
                beside = {*self.kinds[max(0, index - 1) : index], *self.kinds[index + 1 : index + 2]}
                if Kind.KEPT not in beside:
                    self.kinds[index] = Kind.DROPPED

    def joined(self) -> str:
        """Return what is kept; where nothing was dropped, the text as it stands."""
        if Kind.DROPPED not in self.kinds:
            return self.text if self.tokens else ""
        if {*self.kinds} <= {Kind.DROPPED, Kind.FUNCTION}:
            return ""
        out: list[str] = []
        end = -1
        for index, (start, stop) in enumerate(self.spans):
            if self.kinds[index] is Kind.DROPPED:
                continue
            if out:
                out.append(_closed(self.text[end:start], is_whole=self.kinds[index - 1] is not Kind.DROPPED))
            out.append(self.tokens[index])
            end = stop
        return "".join(out)


def _closed(gap: str, *, is_whole: bool) -> str:
    """Return what joins two kept tokens: as it was where nothing between them was dropped, but for brackets."""
    if is_whole:
        return _SPACES.sub(" ", _BRACKETS.sub(" ", gap))
    if "\n" in gap:
        return "\r\n"
    return "_" if gap[0] == gap[-1] == "_" and not any(map(str.isspace, gap)) else " "
