"""Instances for the gate's tests: made by hand, de-identified by the farm, and spoilt on purpose.

A `Case` is a source and its output. `planted` puts something into the output as a mistake of the farm would leave it:
in text that is kept, in an item, in a private element, in bytes, in File Meta Information.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import farmside
import oracle
import trees
from oracle import Element, Item, Syntax
from trees import sequence, text

from farm.deid import gate
from farm.deid.gate.reading import is_identifier
from farm.deid.standard.e1_1 import ROWS
from farm.dicom import part10
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, Dialect
from farm.pipeline import Product

READING = gate.Reading(own=(farmside.METHOD,))
DIALECTS: dict[Syntax, Dialect] = {oracle.EXPLICIT: EXPLICIT, oracle.IMPLICIT: IMPLICIT, oracle.BIG: BIG}
COMMENT = 0x00281055  # Window Center & Width Explanation: text without a row in table E.1-1
MODEL, KERNEL, FUNCTIONAL, LUT = 0x00081090, 0x00181210, 0x52009230, 0x00283006
LATER = 0x00281056  # VOI LUT Function, behind the comment


@dataclass(frozen=True)
class Case:
    """A source, what the farm made of it, and what is expected of that."""

    source: bytes
    product: Product
    syntax: Syntax = oracle.EXPLICIT
    reading: gate.Reading = READING
    days: int = 0

    @classmethod
    def of(cls, elements: Sequence[Element], name: str = "explicit", **more: object) -> Case:
        """De-identify a data set by the Basic Profile."""
        return cls.of_file(trees.file(elements, name), trees.SYNTAXES[name], **more)

    @classmethod
    def of_file(cls, source: bytes, syntax: Syntax = oracle.EXPLICIT, **more: object) -> Case:
        """De-identify a file by the Basic Profile."""
        return replace(cls(source, farmside.unseen(source), syntax), **more)  # type: ignore[arg-type]

    @cached_property
    def output(self) -> bytes:
        """Return the output's bytes."""
        return farmside.joined(self.product)

    @property
    def head(self) -> bytes:
        """Return the preamble and File Meta Information."""
        return self.output[: 144 + int.from_bytes(self.output[140:144], "little")]

    @property
    def elements(self) -> list[Element]:
        """Return the output's elements, read anew each time."""
        return oracle.read(self.output[len(self.head) :], self.syntax)[0]

    def expected(self) -> gate.Expected:
        """Return what the gate is told."""
        mapped = self.product.report.mapped
        return gate.Expected(
            reading=self.reading,
            pseudonym=self.product.report.subject.encode(),
            new_uids={new.encode() for _, new in mapped.uids},
            original_uids={old.encode("latin-1") for old, _ in mapped.uids},
            days=self.days,
        )

    def verdict(
        self, elements: Sequence[Element] | None = None, *, head: bytes | None = None, body: bytes | None = None
    ) -> gate.Verdict:
        """Examine the output, with other elements, another beginning or another data set where given."""
        if elements is not None:
            body = trees.encode(elements, self.syntax)
        segments = self.product.segments
        if head is not None or body is not None:
            body = self.output[len(self.head) :] if body is None else body
            segments = [(self.head if head is None else head) + body]
        read = part10.parse(self.source, part10.Limits())
        return gate.examine(
            self.expected(),
            gate.Source(data=read.data, start=read.start, dialect=read.dialect),
            gate.Output(
                segments=segments, start=len(self.head if head is None else head), dialect=DIALECTS[self.syntax]
            ),
        )

    def planted(self, *more: Element) -> gate.Verdict:
        """Examine the output with elements more, each in place of its like."""
        tags = {element.tag for element in more}
        kept = [element for element in self.elements if element.tag not in tags]
        return self.verdict(trees.in_order([*kept, *more]))


# Sources at random: every attribute that table E.1-1 lists can hold something that is found nowhere else.

_TEXT = ("LO", "SH", "LT", "ST", "UT", "UC", "UR", "AE")
LISTED: dict[str, list[int]] = {}
for _pattern, _code, _ in ROWS:
    if "x" not in _pattern and _pattern != "odd" and _pattern[:4] not in {"0000", "0002", "0004"}:
        LISTED.setdefault(oracle.vr_of(int(_pattern, 16)), []).append(int(_pattern, 16))
_IDENTITY = {element.tag for element in trees.identity()}
_LENGTHS = {"SH": 14, "AE": 14, "LO": 30}
# A character set, how text is written in it, and letters for names.
CHARSETS: tuple[tuple[bytes, str, str], ...] = (
    (b"", "ascii", "abdefghiklmnoprstuvwz"),
    (b"ISO_IR 100", "latin-1", "abdefgéöüñçåklmnoprst"),
    (b"ISO_IR 192", "utf-8", "abdefgéöžšлмнопрстαβγ"),  # noqa: RUF001 -- letters of several scripts
    (b"ISO_IR 144", "iso8859-5", "абвгдежзиклмнопрстуфх"),
    (b"ISO_IR 126", "iso8859-7", "αβγδεζηθικλμνξοπρστυφ"),
    (b"\\ISO 2022 IR 87", "iso2022_jp", "山田太郎鈴木佐藤高橋渡辺伊藤中村小林加藤"),
    (b"\\ISO 2022 IR 149", "euc_kr", "김희중홍길동박서준이민호최지우정수빈강하늘"),
    (b"GB18030", "gb18030", "王小东李明张伟刘洋陈静杨帆赵磊黄涛周敏吴"),
)
Spell = Callable[[random.Random, str], str]


@dataclass
class Secret:
    """A value of the source: its attribute, its VR, its text."""

    tag: int
    vr: str
    text: str


@dataclass
class Person:
    """A source at random: its secrets, and how its text is written."""

    rng: random.Random
    secrets: list[Secret] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Draw the character set and the secrets."""
        self.charset, self.codec, self._letters = self.rng.choice(CHARSETS if self.rng.random() < 0.6 else CHARSETS[:1])
        for vr, count in (("PN", 3), ("LO", 3), ("SH", 2), ("DA", 2), ("DT", 1), ("TM", 2), ("UI", 2)):
            self._draw(vr, count)
        for vr in ("LT", "ST", "UT", "UC", "UR", "AE"):
            self._draw(vr, 1)

    def _draw(self, vr: str, count: int) -> None:
        taken = {secret.tag for secret in self.secrets} | _IDENTITY
        tags = [tag for tag in LISTED[vr] if tag not in taken]
        for tag in self.rng.sample(tags, min(count, len(tags))):
            self.secrets.append(Secret(tag, vr, self._value(vr)))

    def word(self, letters: str = "abdefghiklmnoprstuvwz", low: int = 5, high: int = 9) -> str:
        """Return a word that is in no vocabulary."""
        return "".join(self.rng.choices(letters, k=self.rng.randint(low, high)))

    def _value(self, vr: str) -> str:
        rng = self.rng
        if vr == "PN":
            ideographs = self._letters[0] >= "\u2e80"
            words = [self.word(self._letters, *((2, 3) if ideographs else (4, 9))).title() for _ in range(2)]
            return "^".join(words)
        if vr == "DA":
            return f"{rng.randrange(1930, 2024)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
        if vr == "DT":
            return self._value("DA") + self._value("TM")
        if vr == "TM":
            clock = f"{rng.randrange(24):02}{rng.randrange(60):02}{rng.randrange(1, 60):02}"
            return clock + rng.choice(("", f".{rng.randrange(10**5, 10**6) // 10 * 10 + 1}"))
        if vr == "UI":
            return f"1.3.6.1.4.1.{rng.randrange(10**4, 10**5)}.{rng.randrange(10**12, 10**15)}"
        kind = rng.randrange(3)
        if kind == 0:
            value = f"{self.word(high=6).upper()}{rng.randrange(10**5, 10**6) // 10 * 10 + 7}"
        elif kind == 1:
            value = f"{self.word().title()} {self.word()}"
        else:
            value = str(rng.randrange(10**8, 10**9) // 10 * 10 + 3)
        return value[: _LENGTHS.get(vr, 64)].strip()

    def written(self, value: str) -> bytes:
        """Return a value in the person's character set."""
        if self.codec != "euc_kr" or value.isascii():
            return value.encode(self.codec)
        return b"^".join(b"\x1b$)C" + part.encode("euc_kr") for part in value.split("^"))

    def case(self, name: str = "explicit") -> Case:
        """Return the source, half of its secrets in items, and its output."""
        found = [text(secret.tag, padded(self.written(secret.text), secret.vr)) for secret in self.secrets]
        cut = len(found) // 2
        items = [Item(trees.in_order(found[cut:]))]
        top = [
            *found[:cut],
            text(0x00080005, padded(self.charset, "CS")),
            text(MODEL, b"Acme 64 "),
            text(KERNEL, b"B30f"),
            text(COMMENT, b"SOFT TISSUE "),
            text(LUT, bytes(range(0, 240, 3)), "OW"),
            Element(FUNCTIONAL, "SQ", [Item([text(COMMENT, b"FRAME TEXT")]), *items]),
            *trees.identity(),
            *trees.pixels(trees.SYNTAXES[name]),
        ]
        return Case.of(top, name)


def padded(value: bytes, vr: str) -> bytes:
    """Return a value at even length."""
    return value + (b"\0" if vr in {"UI", "OB", "UN"} else b" ") * (len(value) % 2)


# Survivors: how a secret may be spelt, and where it may stand.

MONTHS = ("January", "February", "March", "April", "May", "June", "July")
MONTHS += ("August", "September", "October", "November", "December")
NUMERALS = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
GERMAN = ("Januar", "Februar", "Maerz", "April", "Mai", "Juni", "Juli")
GERMAN += ("August", "September", "Oktober", "November", "Dezember")
FRENCH = ("janvier", "fevrier", "mars", "avril", "mai", "juin", "juillet", "aout")
FRENCH += ("septembre", "octobre", "novembre", "decembre")
SPANISH = ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto")
SPANISH += ("septiembre", "octubre", "noviembre", "diciembre")
DATES: tuple[Callable[[str, str, str], str], ...] = (
    lambda year, month, day: year + month + day,
    lambda year, month, day: f"{year}-{month}-{day}",
    lambda year, month, day: f"{year}/{month}/{day}",
    lambda year, month, day: f"{day}.{month}.{year}",
    lambda year, month, day: f"{day}/{month}/{year}",
    lambda year, month, day: f"{month}/{day}/{year}",
    lambda year, month, day: f"{int(month)}/{int(day)}/{year}",
    lambda year, month, day: f"{int(day)}.{int(month)}.{year}",
    lambda year, month, day: f"{int(day)} {MONTHS[int(month) - 1][:3]} {year}",
    lambda year, month, day: f"{day}-{MONTHS[int(month) - 1][:3].upper()}-{year}",
    lambda year, month, day: f"{MONTHS[int(month) - 1]} {int(day)}, {year}",
    lambda year, month, day: f"{year}-{MONTHS[int(month) - 1][:3]}-{day}",
    lambda year, month, day: f"{year}-{int(month)}-{int(day)}",
    lambda year, month, day: f"{year}:{month}:{day}",
    lambda year, month, day: f"{year}_{month}_{day}",
    lambda year, month, day: f"{int(day)}. {int(month)}. {year}",
    lambda year, month, day: f"{day}|{month}|{year}",
    lambda year, month, day: f"{int(day)}-{NUMERALS[int(month) - 1]}-{year}",
    lambda year, month, day: f"the {int(day)}th of {MONTHS[int(month) - 1]} {year}",
    lambda year, month, day: f"{year}, {MONTHS[int(month) - 1]} {int(day)}",
    lambda year, month, day: f"{int(day)}. {GERMAN[int(month) - 1]} {year}",
    lambda year, month, day: f"{int(day)} {FRENCH[int(month) - 1]} {year}",
    lambda year, month, day: f"{int(day)} de {SPANISH[int(month) - 1]} de {year}",
)


def spelt(rng: random.Random, secret: Secret, where: str) -> str:
    """Return one of the spellings in which a secret has to be found in a place."""
    value = secret.text
    if secret.vr in {"DA", "DT"}:
        return rng.choice(DATES)(value[:4], value[4:6], value[6:8])
    if secret.vr == "TM":
        return rng.choice((value, f"{value[:2]}:{value[2:4]}:{value[4:]}"))
    if secret.vr == "UI":
        return value
    if secret.vr == "PN":
        parts = value.split("^")
        rng.shuffle(parts)
        value = ascii_of(rng, rng.choice(("^", " ", ", ", "_")).join(parts))
    if where != "bytes" and value.isascii() and (secret.vr == "PN" or is_identifier(secret.tag)):
        value = rng.choice((value, apart(rng, value)))
    return rng.choice((str, str.lower, str.upper, str.title))(value)


def ascii_of(rng: random.Random, value: str) -> str:
    """Return a name as people write it who lack its letters, or as it is."""
    wide = value.translate(str.maketrans({"ö": "oe", "ü": "ue", "å": "aa", "Ö": "Oe", "Ü": "Ue", "Å": "Aa"}))
    bare = unicodedata.normalize("NFD", rng.choice((value, wide)))
    bare = "".join(letter for letter in bare if not unicodedata.combining(letter))
    return rng.choice((value, bare)) if bare.isascii() else value


def apart(rng: random.Random, value: str) -> str:
    """Return a text with something in between: in a number what groups digits, zeros in front of it."""
    at = rng.randrange(1, len(value))
    if value.isdigit():
        return rng.choice(("", "0", "000")) + value[:at] + rng.choice(("-", " ", "/", " - "[:2])) + value[at:]
    return value[:at] + rng.choice(("-", " ", ".", "\\", "_")) + value[at:]


def encoded(rng: random.Random, person: Person, value: str) -> bytes:
    """Return a text in one of the encodings in which it has to be found."""
    codec = rng.choice(("source", "utf-8", "latin-1", "utf-16-le", "utf-16-be"))
    try:
        return person.written(value) if codec == "source" else value.encode(codec)
    except UnicodeEncodeError:
        return value.encode("utf-8")


PLACES: tuple[str, ...] = ("text", "sentence", "item", "deep", "code", "private", "bytes", "preamble", "meta")


def plant(case: Case, where: str, value: bytes) -> gate.Verdict:  # noqa: PLR0911 - one line for each place  # noqa: PLR0911 -- one return for each place
    """Examine an output into which a value was put."""
    if where == "text":
        return case.planted(text(COMMENT, padded(value, "LO")))
    if where == "sentence":
        return case.planted(text(COMMENT, padded(b"seen (" + value + b") again", "LO")))
    if where == "item":
        return case.planted(sequence(FUNCTIONAL, [text(COMMENT, padded(value, "LO"))]))
    if where == "deep":
        inner = sequence(0x00209113, [text(COMMENT, padded(value, "LO"))], undefined=True)
        return case.planted(sequence(FUNCTIONAL, [sequence(0x00209116, [inner])], undefined=True))
    if where == "code":
        return case.planted(sequence(0x00082218, [text(0x00080104, padded(value, "LO"))]))
    if where == "private":
        return case.planted(text(0x00290010, b"ACME"), text(0x00291001, padded(value, "UN"), "UN"))
    if where == "bytes":
        return case.planted(text(LUT, padded(b"\x01\x02" + value + b"\x03\x04", "OW"), "OW"))
    if where == "preamble":
        return case.verdict(head=value[:128].ljust(128, b"\0") + case.head[128:])
    return case.verdict(head=with_title(case.head, value))


def with_title(head: bytes, title: bytes) -> bytes:
    """Return File Meta Information with a Source Application Entity Title."""
    body = head[144:] + oracle.simple(0x00020016, "AE", title[:64], oracle.EXPLICIT)
    return head[:140] + len(body).to_bytes(4, "little") + body
