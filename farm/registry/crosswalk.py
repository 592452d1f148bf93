"""A crosswalk: the table by which people gave pseudonyms, and perhaps date shifts, to subjects.

As CSV it has the columns id, pseudonym and, if wanted, offset_days; or these names in a first line, in any order, and
issuer among them. Whoever is not in it has no pseudonym. A line that cannot be used is told by its number: what stands
in it says who someone is.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from farm.deid.mapping import MappedSubject
from farm.deid.subjects import canonical, is_pseudonym
from farm.errors import BadRecipe, Reason
from farm.registry.resolver import standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.database import Database
    from farm.registry.seals import Seals

COLUMNS: Final = ("id", "issuer", "pseudonym", "offset_days")
_PLAIN: Final = ("id", "pseudonym", "offset_days")
_NEEDED: Final = {"id", "pseudonym"}
_DELIMITERS: Final = ",;\t"
_DAYS: Final = re.compile(r"[+-]?[0-9]{1,5}")
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one line gives, and its number in the file. Identifying."""

    number: int
    subject: MappedSubject = field(repr=False)


def read(text: Iterable[str], *, domain: str = "") -> Iterator[Line]:
    """Yield what each line of a CSV file gives; `domain` stands for an absent issuer, as in the recipe.

    Raise `BadRecipe(BAD_OPTION)` naming the first line that cannot be used.
    """
    columns: tuple[str, ...] = ()
    for number, row in _rows(text):
        if not any(cell.strip() for cell in row):
            continue
        if not columns:
            columns, is_header = _columns(row, number)
            if is_header:
                continue
        yield _line(row, columns, number, domain)


def _rows(text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the number of its last line."""
    lines, at = iter(text), 0
    try:
        first = next(lines, "")
        delimiter = max(_DELIMITERS, key=first.count)
        rows = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        for row in rows:
            at = rows.line_num
            yield at, row
    except csv.Error:
        raise _bad(at + 1, "is not CSV") from None
    except UnicodeError:
        # A block is decoded at once, so the line itself is not known.
        raise _bad(at + 1, "or one after it is not UTF-8") from None


def _columns(row: list[str], number: int) -> tuple[tuple[str, ...], bool]:
    """Return the columns of the file by its first row, and whether that row only names them."""
    names = tuple(cell.strip().lower() for cell in row)
    if not _NEEDED & set(names):
        return _PLAIN, False
    if not _NEEDED <= set(names) <= set(COLUMNS) or len(set(names)) < len(names):
        raise _bad(number, f"names other columns than {', '.join(COLUMNS)}")
    return names, True


def _line(row: list[str], columns: tuple[str, ...], number: int, domain: str) -> Line:
    if not len(columns) - ("offset_days" in columns[-1:]) <= len(row) <= len(columns):
        raise _bad(number, "has too many or too few columns")
    cells = dict.fromkeys(COLUMNS, "") | {name: cell.strip(" \0") for name, cell in zip(columns, row, strict=False)}
    issuer = cells["issuer"] or domain
    if not cells["id"]:
        raise _bad(number, "has no id")
    if not (cells["id"] + issuer).isascii():
        # An instance's bytes outside ASCII mean this or that by its character set: no text is sure to match them.
        raise _bad(number, "has an id or issuer outside ASCII, which cannot be matched")
    if not is_pseudonym(cells["pseudonym"]):
        raise _bad(number, "has a pseudonym that is not 1 to 64 letters, digits, '.', '_' and '-'")
    if cells["id"] == cells["pseudonym"]:
        raise _bad(number, "has an id for its own pseudonym")
    return Line(
        number=number,
        subject=MappedSubject(
            original=canonical(issuer.encode(), cells["id"].encode()),
            pseudonym=cells["pseudonym"],
            date_shift_days=_days(cells["offset_days"], number),
        ),
    )


def _days(text: str, number: int) -> int:
    """Return a date shift; 0: the line gives none."""
    if not text:
        return 0
    if not _DAYS.fullmatch(text) or not int(text):
        raise _bad(number, "has an offset that is not a whole number of days, or is 0")
    return int(text)


def _bad(number: int, what: str) -> BadRecipe:
    return BadRecipe(Reason.BAD_OPTION, f"line {number} of the crosswalk {what}")


def _contradiction(line: Line) -> BadRecipe:
    hint = f"line {line.number} of the crosswalk contradicts what was imported before it"
    return BadRecipe(Reason.MAPPING_MISMATCH, hint)


class Crosswalk:
    """The subjects of a project as such a table; the caller holds the transaction."""

    def __init__(self, database: Database, seals: Seals, project_id: int) -> None:
        self._db = database
        self._seals = seals
        self._project_id = project_id
        self.shifts = False
        """Whether a line that was added gave a shift."""

    def add(self, lines: Iterable[Line]) -> tuple[int, int]:
        """Add what the lines give; return how many there were, and how many subjects are new."""
        rest, count, new = iter(lines), 0, 0
        while page := list(islice(rest, _PAGE)):
            count += len(page)
            new += self._add_page(page)
        return count, new

    def _add_page(self, page: list[Line]) -> int:
        """Add some lines, and compare each with what stands then: its own, or what was there before."""
        self.shifts = self.shifts or any(line.subject.date_shift_days for line in page)
        first: dict[str, MappedSubject] = {}
        owners: dict[str, str] = {}
        for line in page:
            subject = line.subject
            owner = owners.setdefault(subject.pseudonym, subject.original)
            said = first.setdefault(subject.original, subject)
            shifts = {said.date_shift_days, subject.date_shift_days} - {0}
            if said.pseudonym != subject.pseudonym or len(shifts) > 1 or owner != subject.original:
                raise _contradiction(line)
            if not said.date_shift_days:
                first[subject.original] = subject
        values: dict[str, Any] = {"project_id": self._project_id, **self._seals.subject_rows(first.values())}
        values |= {"uid_keys": [], "news": [], "uid_seals": []}
        new = int(self._db.value("record", values))
        rows = standing(self._db, values)
        for line in page:
            subject = line.subject
            pseudonym, sealed = rows.get(key := self._seals.key(subject.original), ("", b""))
            shift = subject.date_shift_days
            if pseudonym != subject.pseudonym or (shift and shift != self._seals.shift(key, sealed)):
                raise _contradiction(line)
        return new

    def rows(self) -> Iterator[tuple[str, bytes, bytes, bytes]]:
        """Yield pseudonym, key, sealed original and sealed shift of each subject, in the order of pseudonyms."""
        after = ""
        while rows := self._db.rows("subjects_after", {"project_id": self._project_id, "after": after, "most": _PAGE}):
            yield from ((pseudonym, key, sealed, shift) for pseudonym, key, sealed, shift in rows)
            after = rows[-1][0]

    def opened(self) -> Iterator[MappedSubject]:
        """Yield each subject with what identifies it."""
        for pseudonym, key, sealed, shift in self.rows():
            original = self._seals.original("subjects", key, sealed)
            yield MappedSubject(original=original, pseudonym=pseudonym, date_shift_days=self._seals.shift(key, shift))
