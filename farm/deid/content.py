"""Structured content (PS3.15 E.3.4): what happens to a content item, by its concept name and value type.

Under the Clean Structured Content option the items of a Content Sequence (0040,A730), an Acquisition Context Sequence
(0040,0555) or a Specimen Preparation Step Content Item Sequence (0040,0612) are decided one by one. Table E.3.4-1 says
how, by concept name and value type, with a column for each option; `unlisted` says it for the concepts that the table
does not name. The letters are those of `farm.deid.policy`, and mean for an item:

- K: it stays, and the policy goes on in what it encloses (UIDs are mapped there as anywhere);
- X: it goes as a whole, with all that it encloses;
- D: its value (`VALUES`) becomes a dummy that is valid for its value type;
- C: text in its value is cleaned, a date in it follows the recipe's dates;
- U: the UIDs that its value holds are mapped. The table's D on a reference reads so: a mapped UID is a dummy too, and
  the only one by which the reference still finds what it names.

Where the table leaves a choice (`X/D`) the item stays with a dummy, since its template may require it. A code of
SNOMED's old style, under any of its three designators, is the SNOMED CT concept that replaced it (E.3.4, note).

A concept may come with a value type under which the table does not list it (a name as TEXT, a serial number as NUM).
To keep it because of that would let an identity out by a mistake of its writer, so where the table removes or replaces
the listed form, that holds for the other form too, but for concepts that are merely descriptive and come as a code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from farm.deid.standard.concepts import RETIRED, ROWS
from farm.dicom.elements import IMPLICIT, ITEM, ITEM_END, UNDEFINED, Data, Dialect, Header
from farm.dicom.skip import Skipper
from farm.errors import BadInput, Reason

VALUES: dict[int, str] = {
    0x0040A120: "DATETIME",
    0x0040A121: "DATE",
    0x0040A122: "TIME",
    0x0040A123: "PNAME",
    0x0040A124: "UIDREF",
    0x0040A160: "TEXT",
    0x0040A168: "CODE",
    0x0040A300: "NUM",
    0x0040A30A: "NUM",
}
"""The attributes that hold a content item's value, and the value type each belongs to (PS3.3 tables 10-2, C.17-5)."""

_VALUE_TYPE, _CONCEPT_NAME = 0x0040A040, 0x0040A043
_SCHEME, _CODES = 0x00080102, (0x00080100, 0x00080119, 0x00080120)  # a code value, a long one, or a URN (PS3.3 8.1)
_MEASURED, _UNITS = 0x0040A300, 0x004008EA
_NUMBERS = frozenset({0x0040A30A, 0x0040A161, 0x0040A162, 0x0040A163})
_SNOMED_RT = frozenset({"srt", "snm3", "99sdm"})
_REFERENCES = frozenset({"COMPOSITE", "IMAGE", "UIDREF", "WAVEFORM"})
_PLAIN = frozenset({"CODE", "CONTAINER", "NUM", "SCOORD", "SCOORD3D", "TABLE", "TCOORD"})
_UNLISTED = dict.fromkeys(_PLAIN | _REFERENCES, "K") | {"PNAME": "D", "UIDREF": "U"}
_ALSO = {"NUMERIC": "NUM"}  # as it is called outside of structured reports (PS3.3 table 10-2)
_DESCRIPTIVE = "clean_descriptors"


class Concept(NamedTuple):
    """A content item's concept name, its scheme's designator first, and value type; empty where there is none."""

    scheme: str
    value: str
    value_type: str


class Measured(NamedTuple):
    """The number of a content item: its unit in UCUM, and by tag where each form of it begins and ends."""

    unit: str
    forms: dict[int, tuple[int, int]]


class _Row(NamedTuple):
    """What the table says of a concept with one value type: the Basic Profile's action, and the options'."""

    basic: str
    options: dict[str, str]


def _listed() -> dict[tuple[str, str], dict[str, _Row]]:
    """Return the table by scheme and code value, then by value type."""
    listed: dict[tuple[str, str], dict[str, _Row]] = {}
    for value, scheme, value_type, _, basic, options in ROWS:
        letters = dict(option.split("=") for option in options.split())
        listed.setdefault((scheme.casefold(), value), {})[value_type] = _Row(basic.split("/")[-1], letters)
    return listed


_LISTED = _listed()
_REPLACED = dict(RETIRED)


def action(scheme: str, value: str, value_type: str, options: frozenset[str]) -> str | None:
    """Return a content item's action under the recipe's options; None where the table does not list its concept.

    An option that names the concept wins over the Basic column, and cleaning wins over keeping.
    """
    scheme = scheme.casefold()
    if scheme in _SNOMED_RT:
        scheme, value = "sct", _REPLACED.get(value, value)
    rows = _LISTED.get((scheme, value))
    if rows is None:
        return None
    if value_type not in rows:
        return _misused(rows, value_type, options)
    letter = _letter(rows[value_type], options)
    return "U" if letter == "D" and value_type in _REFERENCES else letter


def unlisted(value_type: str) -> str:
    """Return the action of an item whose concept the table does not list: what can say anything is cleaned."""
    return _UNLISTED.get(value_type, "C")


def concept(data: Data, start: int, end: int, dialect: Dialect) -> Concept:
    """Read the concept name and the value type of the content item whose elements stand between two offsets.

    An item of undefined length may be given any end behind its delimiter. Where an item says no value type, as those
    of an Acquisition Context Sequence once did not have to, it is that of the value it holds. Raises `BadInput`.
    """
    scheme = value = value_type = implied = ""
    named = False
    for header, at, stop in _elements(data, start, end, dialect):
        if header.tag == _VALUE_TYPE:
            value_type = value_type or _text(data, at, stop)
        elif header.tag == _CONCEPT_NAME and not named:
            named = True
            scheme, value = _code(data, at, stop, IMPLICIT if header.vr == "UN" else dialect)
        if named and value_type:
            break
        implied = implied or VALUES.get(header.tag, "")
    return Concept(scheme, value, _ALSO.get(value_type, value_type) or implied)


def measured(data: Data, start: int, end: int, dialect: Dialect, *, inside: bool = False) -> Iterator[Measured]:
    """Yield the numbers of the content item whose elements stand between two offsets.

    They stand in a Measured Value Sequence, or outside of reports in the item itself (PS3.3 table 10-2). `inside`: the
    item is one of that sequence.
    """
    unit = ""
    forms: dict[int, tuple[int, int]] = {}
    for header, at, stop in _elements(data, start, end, dialect):
        inner = IMPLICIT if header.vr == "UN" else dialect
        if header.tag == _MEASURED and not inside:
            for first, last in _items(data, at, stop, inner):
                yield from measured(data, first, last, inner, inside=True)
        elif header.tag == _UNITS:
            unit = _code(data, at, stop, inner)[1]
        elif header.tag in _NUMBERS:
            forms[header.tag] = at, stop
    if forms:
        yield Measured(unit, forms)


def _items(data: Data, at: int, end: int, dialect: Dialect) -> Iterator[tuple[int, int]]:
    """Yield where the elements of each item of a sequence begin, and an end behind them."""
    while at + 8 <= end:
        item = dialect.header(data, at, end)
        if item.tag != ITEM:
            return
        inner = at + item.size
        at = Skipper(dialect).end(data, inner, end) if item.length == UNDEFINED else inner + item.length
        if at > end:
            raise BadInput(Reason.TRUNCATED)
        yield inner, at


def _letter(row: _Row, options: frozenset[str]) -> str:
    """Return a row's action under the options."""
    letters = {letter for option, letter in row.options.items() if option in options}
    return "C" if "C" in letters else "K" if "K" in letters else row.basic


def _misused(rows: dict[str, _Row], value_type: str, options: frozenset[str]) -> str | None:
    """Return the action of a listed concept under a value type that is not listed with it; None to let it be."""
    if value_type in _REFERENCES:
        return None
    for listed, row in rows.items():
        if listed in _REFERENCES or (value_type in _PLAIN and _DESCRIPTIVE in row.options):
            continue
        letter = _letter(row, options)
        if letter in "XD":
            return letter
    return None


def _elements(data: Data, at: int, end: int, dialect: Dialect) -> Iterator[tuple[Header, int, int]]:
    """Step over the elements of one item: header, where its value begins and where the element ends."""
    while at < end:
        header = dialect.header(data, at, end)
        if header.tag == ITEM_END:
            return
        value = at + header.size
        if header.length == UNDEFINED:  # UN: its items are implicit (PS3.5 6.2.2 note 2)
            at = Skipper(IMPLICIT if header.vr == "UN" else dialect).end(data, value, end)
        else:
            at = value + header.length
        if at > end:
            raise BadInput(Reason.TRUNCATED)
        yield header, value, at


def _code(data: Data, at: int, end: int, dialect: Dialect) -> tuple[str, str]:
    """Read scheme and value of the first code of a sequence whose items begin at an offset."""
    if at == end:
        return "", ""
    item = dialect.header(data, at, end)
    if item.tag != ITEM:
        return "", ""
    inner = at + item.size
    stop = end if item.length == UNDEFINED else inner + item.length
    if stop > end:
        raise BadInput(Reason.TRUNCATED)
    found: dict[int, str] = {}
    for header, value, behind in _elements(data, inner, stop, dialect):
        if header.tag in _CODES or header.tag == _SCHEME:
            found.setdefault(header.tag, _text(data, value, behind))
    return found.get(_SCHEME, ""), next((found[tag] for tag in _CODES if found.get(tag)), "")


def _text(data: Data, at: int, end: int) -> str:
    """Return a value without its padding."""
    return data[at:end].strip(b"\0 ").decode("latin-1")
