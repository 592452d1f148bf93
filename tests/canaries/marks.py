"""What a canary looks like: a text that occurs nowhere else, in a form that its VR and character set allow.

Every form belongs to a closed list of patterns, so an output is searched once for each pattern and not once for each of
tens of thousands of canaries. Dates lie 4001 days apart: no shift of up to ten years makes one canary of another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

_FIRST_DATE, _APART = date(1500, 1, 1), timedelta(days=4001)
_YOUNGEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Charset:
    """A Specific Character Set, and for each component group of a name the letters that a canary is spelt with.

    `letters`: eleven for each group, ten for the digits and one to stand around them.
    """

    terms: tuple[str, ...]
    codec: str
    letters: tuple[str, str, str]

    @property
    def name(self) -> str:
        """Return the defined term that tells the set."""
        return self.terms[-1]

    def spelt(self, number: int, group: int) -> str:
        """Return a number in the letters of a component group."""
        letters = self.letters[group]
        return letters[10] + "".join(letters[int(digit)] for digit in f"{number:06}") + letters[10]

    def written(self, text: str) -> bytes:
        """Return a text as it stands in a file, without escape sequences (PS3.5 6.1.2.5)."""
        return re.sub(rb"\x1b\$?\(?[BJ]", b"", text.encode(self.codec))


_PLAIN = "BCDFGHJKLMX"
CHARSETS = (
    Charset(terms=("ISO_IR 100",), codec="latin-1", letters=("ÄÖÜßÀÉÈÇÑØÆ",) * 3),
    Charset(terms=("ISO_IR 101",), codec="iso8859-2", letters=("ĄŁŚŹĆŃĘÓŻŠČ",) * 3),
    Charset(terms=("ISO_IR 144",), codec="iso8859-5", letters=("БГДЖЗИЛФЦШЯ",) * 3),
    Charset(terms=("ISO_IR 126",), codec="iso8859-7", letters=("ΓΔΘΛΞΠΣΦΨΩΪ",) * 3),
    Charset(terms=("ISO_IR 138",), codec="iso8859-8", letters=("אבגדהוזחטיש",) * 3),
    Charset(
        terms=("", "ISO 2022 IR 87"),
        codec="iso2022_jp",
        letters=(_PLAIN, "山田太郎木村花子東京本", "あかさたなはまやらわん"),
    ),
    Charset(terms=("GB18030",), codec="gb18030", letters=(_PLAIN, "王小东李明张伟刘洋陈赵", "丁万三上下不与专且世丘")),
    Charset(
        terms=("ISO_IR 192",),
        codec="utf-8",
        letters=("ẦẾỘỮĐŁØǾŢĢẞ", "김희중이박최정강조윤홍", "ぎぐげござじずぜぞだを"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """One text in one place; `needles`: how it may show, `path`: the sequences it is in, `group`: of a name."""

    number: int
    category: str
    tag: int
    path: tuple[int, ...]
    charset: Charset
    needles: tuple[str, ...]
    group: int = 0

    @property
    def unique(self) -> bool:
        """Tell whether no other file of a plan holds the same text; there are not enough dates and ages for that."""
        return not (len(self.needles[0]) <= 8 and self.needles[0].isascii() and self.needles[0][:1].isdigit())

    def forms(self) -> Iterator[bytes]:
        """Yield the bytes of the needles: as the file's character set writes them, and in UTF-8."""
        for needle in self.needles:
            yield needle.encode()
            if not needle.isascii():
                yield self.charset.written(needle)


@dataclass(slots=True)
class Mint:
    """Makes the canaries of one file, with values that carry them."""

    charset: Charset
    number: int
    canaries: list[Canary] = field(default_factory=list)
    _dates: int = 0
    _ages: int = _YOUNGEST

    def text(self, category: str, tag: int = 0, path: tuple[int, ...] = ()) -> str:
        """Return a canary in capitals and digits, valid as CS, AE and all text."""
        self.number += 1
        return self._remembered(f"ZQ{self.number:06}QZ", category, tag, path)

    def value(self, vr: str, category: str, tag: int, path: tuple[int, ...] = ()) -> object:
        """Return a value of the VR with a canary in it; None where no value of the VR can carry one."""
        if vr == "PN":
            return self._name(category, tag, path)
        if vr in _TEXT:
            text = self.text(category, tag, path)
            return f"{text} {self._also(2)}" if vr in _LONG_TEXT else _TEXT[vr] + text
        if vr in _BULK:
            return self.text(category, tag, path).encode().ljust(_BULK[vr], b"\0")
        needle = self._number_of(vr)
        return needle and self._remembered(needle, category, tag, path)

    def _number_of(self, vr: str) -> str:
        """Return the canary of a VR that is made of digits; empty where it cannot carry one."""
        self.number += 1
        if vr == "DA":
            self._dates += 1
            return (_FIRST_DATE + self._dates * _APART).strftime("%Y%m%d")
        if vr == "AS":
            self._ages += 1
            return f"{self._ages}M"
        pattern = {"TM": "101112.{}", "DT": "18010203101113.{}", "UI": "1.2.777.1{}.9", "DS": "9{}88", "IS": "9{}88"}
        return pattern.get(vr, "").format(f"{self.number:06}")

    def _name(self, category: str, tag: int, path: tuple[int, ...]) -> str:
        """Return a name whose three component groups are a canary each."""
        groups = []
        for group in range(3):
            self.number += 1
            spelt = self.charset.spelt(self.number, group)
            groups.append(self._remembered(spelt, category, tag, path, group))
        return "=".join(f"{spelt}^X" for spelt in groups)

    def _also(self, group: int) -> str:
        """Let the newest canary show in the letters of the character set too."""
        last = self.canaries[-1]
        spelt = self.charset.spelt(last.number, group)
        self.canaries[-1] = Canary(
            number=last.number,
            category=last.category,
            tag=last.tag,
            path=last.path,
            charset=last.charset,
            needles=(*last.needles, spelt),
        )
        return spelt

    def _remembered(self, needle: str, category: str, tag: int, path: tuple[int, ...], group: int = 0) -> str:
        self.canaries.append(
            Canary(
                number=self.number,
                category=category,
                tag=tag,
                path=path,
                charset=self.charset,
                needles=(needle,),
                group=group,
            )
        )
        return needle


_TEXT = dict.fromkeys(("AE", "CS", "SH", "LO", "LT", "ST", "UC", "UT"), "") | {"UR": "http://example.org/"}
_LONG_TEXT = frozenset({"LO", "LT", "ST", "UC", "UT"})
_BULK = {"OB": 10, "OW": 10, "UN": 10, "OF": 12, "OL": 12, "OD": 16, "OV": 16}
KINDS = (
    {"PN": "name", "UI": "uid", "DA": "date", "TM": "time", "DT": "datetime", "AS": "age", "DS": "number"}
    | {"IS": "number", "SQ": "sequence", "CS": "code"}
    | dict.fromkeys(_BULK, "words")
    | dict.fromkeys(("OB", "UN"), "bytes")
    | dict.fromkeys(("AE", "SH", "UR", *_LONG_TEXT), "text")
)
"""What kind of canary a VR carries; numbers of fixed size carry none."""


def _spellings() -> Iterator[bytes]:
    """Yield a pattern for each alphabet in each encoding that it may stand in."""
    for charset in CHARSETS:
        for letters in dict.fromkeys(charset.letters):
            for codec in {charset.codec, "utf-8"}:
                one = [Charset(terms=("",), codec=codec, letters=charset.letters).written(letter) for letter in letters]
                around = re.escape(one[10])
                yield around + b"(?:" + b"|".join(map(re.escape, one[:10])) + b"){6}" + around


PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rb"ZQ\d{6}QZ",
        rb"101112\.\d{6}",
        rb"\d{8}101113\.\d{6}",
        rb"1\.2\.777\.1\d{6}\.9",
        rb"(?<!\d)9\d{6}88(?!\d)",
        rb"(?<!\d)[1-9]\d{3}[01]\d[0-3]\d(?!\d)",
        rb"(?<![\dA-Z])[1-9]\d\dM(?![A-Z])",
        *dict.fromkeys(_spellings()),
    )
)
