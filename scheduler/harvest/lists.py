"""The list of a harvest: a CSV file whose rows say which studies are wanted.

Columns go by their names, whatever their case and with or without hyphens, underscores and spaces, so by the keywords
of DICOM too: `study_instance_uid` (or `StudyInstanceUID`), `accession_number`, `patient_id` with `from` and `to` (days;
an empty one is open), and `row_id`. What a row gives of these must all hold. Every cell is carried through to the
result as it was, these and any other.

A row that cannot be used is yielded with what is wrong, told by its column: what stands in a cell says who someone is.
A file is read a row at a time, so its length does not matter.
"""

from __future__ import annotations

import csv
import json
import re
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from blake3 import blake3

from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

KEYS: Final = ("study_instance_uid", "accession_number", "patient_id")
DATES: Final = ("from", "to")
COLUMNS: Final = (*KEYS, *DATES, "row_id")
_SEPARATORS: Final = re.compile(r"[-_ ]+")
_KNOWN: Final = {_SEPARATORS.sub("", name): name for name in COLUMNS}
_BLOCK: Final = 1 << 20
_DELIMITERS: Final = ",;\t"
_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)+")
_UID_LENGTH: Final = 64  # PS3.5 section 9.1
_DAY: Final = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")
_WILD: Final = frozenset("*?\\")  # PS3.4 section C.2.2.2.4, and the backslash that makes a list of a value


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one row asks for; `row` is the line where it begins. Identifying."""

    row: int
    row_id: str = field(repr=False)
    study: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    first: date | None = field(default=None, repr=False)
    last: date | None = field(default=None, repr=False)
    carried: tuple[str, ...] = field(default=(), repr=False)
    """Every cell of the row, as it was."""
    wrong: str = ""
    """Why the row cannot be used; empty: it can."""

    @property
    def means_many(self) -> bool:
        """Tell whether several studies are an answer, and no ambiguity: the row names a patient, and no study."""
        return not self.study and not self.accession

    def packed(self) -> bytes:
        """Return the row as bytes, to be sealed."""
        return json.dumps(asdict(self), default=date.isoformat, separators=(",", ":")).encode()

    @classmethod
    def unpacked(cls, data: bytes) -> Wanted:
        """Return the row that was packed."""
        facts = json.loads(data)
        days = {name: date.fromisoformat(facts[name]) if facts[name] else None for name in ("first", "last")}
        return cls(**facts | days | {"carried": tuple(facts["carried"])})


class _Unusable(Exception):
    """A row cannot be used; says why, by the column."""


@contextmanager
def opened(path: Path) -> Iterator[tuple[tuple[str, ...], Iterator[Wanted]]]:
    """Open a list; give its header and its rows. Raise `BadRecipe(BAD_OPTION)` where it cannot be read."""
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except (OSError, ValueError):
        raise _unreadable() from None
    with file:
        yield read(file)


def digest_of(path: Path) -> bytes:
    """Return the BLAKE3 digest of a list's content, to be keyed: the same list is the same harvest."""
    try:
        with path.open("rb") as file:
            digest = blake3()
            while some := file.read(_BLOCK):
                digest.update(some)
    except (OSError, ValueError):
        raise _unreadable() from None
    return digest.digest()


def _unreadable() -> BadRecipe:
    return BadRecipe(Reason.BAD_OPTION, "the list cannot be read")


def read(text: Iterable[str]) -> tuple[tuple[str, ...], Iterator[Wanted]]:
    """Return the header of a list as it is written, and an iterator over its rows.

    Raise `BadRecipe(BAD_OPTION)` for a list without a usable column, at once or where it stops being CSV.
    """
    rows = _rows(text)
    _, header = next(rows, (1, []))
    names = [_name(cell) for cell in header]
    if not set(KEYS) & set(names):
        raise BadRecipe(Reason.BAD_OPTION, f"the list has none of the columns {', '.join(KEYS)}")
    for name in COLUMNS:
        if names.count(name) > 1:
            raise BadRecipe(Reason.BAD_OPTION, f"the list has the column {name} twice")
    places: dict[str, int] = {name: names.index(name) for name in COLUMNS if name in names}
    return tuple(header), (_wanted(row, line, places, len(header)) for line, row in rows)


def _name(cell: str) -> str:
    """Return the name of a column that is known, or what is left of another without separators."""
    bare = _SEPARATORS.sub("", cell.strip().lower())
    return _KNOWN.get(bare, bare)


def _rows(text: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that has anything in it with the number of its first line; the first one is the header."""
    lines, line = iter(text), 0
    try:
        first = next(lines, "")
        while first and not first.strip():
            line, first = line + 1, next(lines, "")
        reader = csv.reader(chain([first], lines), delimiter=_delimiter(first), strict=True)
        skipped = line
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line + 1, row
            line = skipped + reader.line_num
    except csv.Error:
        raise BadRecipe(Reason.BAD_OPTION, "the list is not CSV", line=line + 1) from None
    except (UnicodeError, OSError):
        # A block is decoded at once, so the line itself is not known.
        raise BadRecipe(Reason.BAD_OPTION, "the list cannot be read as UTF-8 from a line on", line=line + 1) from None


def _delimiter(header: str) -> str:
    """Return the delimiter by which the header has the most columns that are known."""
    return max(
        _DELIMITERS, key=lambda one: len({_name(cell.strip('" \r\n')) for cell in header.split(one)} & {*COLUMNS})
    )


def _wanted(row: list[str], line: int, places: dict[str, int], width: int) -> Wanted:
    cells = {name: row[place].strip() if place < len(row) else "" for name, place in places.items()}
    row_id = cells.get("row_id") or str(line)
    wrong = "the row has more cells than the header" if len(row) > width else ""
    facts: dict[str, Any] = {}
    try:
        facts = _keys(cells) | _dates(cells)
    except _Unusable as unusable:
        wrong = wrong or str(unusable)
    return Wanted(row=line, row_id=row_id, carried=tuple(row), wrong=wrong, **facts)


def _keys(cells: dict[str, str]) -> dict[str, Any]:
    """Return the keys that a row gives, by the names of `Wanted`."""
    given = {name: cells[name] for name in KEYS if cells.get(name)}
    if not given:
        raise _Unusable("the row has no key")
    for name, value in given.items():
        for is_wrong, told in _FAULTS:
            if is_wrong(value):
                raise _Unusable(f"{name} {told}")
    study = given.get("study_instance_uid", "")
    if study and (len(study) > _UID_LENGTH or not _UID.fullmatch(study)):
        raise _Unusable("study_instance_uid is not a UID")
    return {name.split("_")[0]: value for name, value in given.items()}


def _dates(cells: dict[str, str]) -> dict[str, Any]:
    """Return the range of days that a row gives, by the names of `Wanted`."""
    first, last = (_day(cells, name) for name in DATES)
    if first and last and first > last:
        raise _Unusable("from is after to")
    return {"first": first, "last": last}


_FAULTS: Final[tuple[tuple[Callable[[str], bool], str], ...]] = (
    (lambda value: bool(_WILD & set(value)), "holds a wildcard or a backslash"),
    (lambda value: not value.isprintable(), "holds a control character"),
)


def _day(cells: dict[str, str], name: str) -> date | None:
    text = cells.get(name, "")
    if not text:
        return None
    match = _DAY.fullmatch(text)
    try:
        if match and text.count("-") in {0, 2}:
            return date(*(int(part) for part in match.groups()))
    except ValueError:
        pass
    raise _Unusable(f"{name} is not a day, as YYYYMMDD or YYYY-MM-DD")
