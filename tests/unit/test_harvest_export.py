from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from scheduler.harvest.export import Result, write
from scheduler.harvest.lists import read

HEADER = ("Accession Number", "ward")
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)


def exported(header: tuple[str, ...], *results: Result) -> list[list[str]]:
    """Return the rows of the CSV, read by another's eyes."""
    out = io.StringIO()
    assert write(out, header, results) == len(results)
    return list(csv.reader(io.StringIO(out.getvalue(), newline=""), strict=True))


def test_a_row_and_what_came_of_it() -> None:
    """Lost otherwise: people could not tell which images they lack, or of which row."""
    short = Result(carried=("A1", "north"), verdict="short", expected=3, missing=("1.2", "1.3"), reason="half")
    unknown = Result(carried=("A2",), verdict="not-found")
    assert exported(HEADER, short, unknown) == [
        ["Accession Number", "ward", "verdict", "expected", "arrived", "missing", "missing_uids", "reason"],
        ["A1", "north", "short", "3", "1", "2", "1.2;1.3", "half"],
        ["A2", "", "not-found", "", "", "0", "", ""],
    ]


def test_a_result_can_be_the_next_list() -> None:
    """Lost otherwise: two columns would have one name, and the older verdict be taken for the newer."""
    result = Result(carried=("A1", "short", "x"), verdict="complete", expected=1)
    out = io.StringIO()
    write(out, ("accession_number", "verdict", "Verdict_2"), [result])
    header, listed = read(io.StringIO(out.getvalue(), newline=""))
    assert header[:4] == ("accession_number", "verdict", "Verdict_2", "verdict_3")
    assert [row.accession for row in listed] == ["A1"]


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=5))
def test_no_cell_is_a_formula_and_no_other_is_changed(rows: list[list[str]]) -> None:
    """Lost otherwise: a cell of a list could run on the desk of whoever opens the result."""
    [_, *written] = exported(HEADER, *(Result(carried=row, verdict="complete") for row in rows))
    for row, out in zip(rows, written, strict=True):
        for cell, told in zip(row, out, strict=False):
            assert not told.startswith(("=", "+", "-", "@", "\t", "\r"))
            assert told == (f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell)


def test_a_result_shows_nothing_by_chance() -> None:
    """Lost otherwise: a log line with a result in it would say who was wanted."""
    shown = repr(Result(carried=("CANARY",), verdict="short", missing=("1.2.CANARY",)))
    assert "CANARY" not in shown
