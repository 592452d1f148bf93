"""The result of a harvest as CSV: the rows and columns of the list, and what came of each.

It is as identifying as the list was. A cell that a spreadsheet would take for a formula gets an apostrophe in front.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

COLUMNS: Final = ("verdict", "expected", "arrived", "missing", "missing_uids", "reason")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one row. Identifying."""

    carried: Sequence[str] = field(repr=False)
    verdict: str
    expected: int | None = None
    """How many instances the row's studies have; None: not known."""
    missing: Sequence[str] = field(default=(), repr=False)
    """SOP Instance UIDs that are known to be missing."""
    reason: str = ""


def write(out: TextIO, header: Sequence[str], results: Iterable[Result]) -> int:
    """Write the result of a list with this header; return how many rows."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_plain, (*header, *_names(header))))
    count = 0
    for count, result in enumerate(results, 1):  # noqa: B007 - the last number is the count
        carried = [*result.carried, *[""] * (len(header) - len(result.carried))][: len(header)]
        writer.writerow([_plain(cell) for cell in (*carried, *_cells(result))])
    return count


def _names(header: Sequence[str]) -> list[str]:
    """Return the names of the columns of the result; one that the list has already gets a number."""
    taken = {name.strip().lower() for name in header}
    names = []
    for name in COLUMNS:
        number, chosen = 1, name
        while chosen in taken:
            number, chosen = number + 1, f"{name}_{number + 1}"
        names.append(chosen)
    return names


def _cells(result: Result) -> tuple[str, ...]:
    missing = len(result.missing)
    known = ("", "") if result.expected is None else (str(result.expected), str(result.expected - missing))
    return (result.verdict, *known, str(missing), ";".join(result.missing), result.reason)


def _plain(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
