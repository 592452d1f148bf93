"""Crosswalks as CSV: what people export from their spreadsheets is read, and a fault is told by its line alone."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.deid.mapping import MappedSubject
from farm.deid.subjects import canonical
from farm.errors import BadRecipe, Reason
from farm.registry.crosswalk import read

CANARY_ID = "MRN-CANARY"


def rows(text: str, domain: str = "") -> list[tuple[str, str, int]]:
    """Return what each line gives."""
    subjects = [line.subject for line in read(io.StringIO(text), domain=domain)]
    return [(one.original, one.pseudonym, one.date_shift_days) for one in subjects]


@pytest.mark.parametrize(
    "text",
    [
        "A1,S-1,-30\nB 2,S-2,+4\n",
        "id,pseudonym,offset_days\nA1,S-1,-30\nB 2,S-2,4",
        "ID;Pseudonym;Offset_Days\r\nA1;S-1;-30\r\n\r\nB 2;S-2;4\r\n",
        "offset_days\tpseudonym\tid\n-30\tS-1\t A1 \n4\tS-2\tB 2\n",
        'pseudonym,id,issuer,offset_days\nS-1,A1,,-30\nS-2,"B 2",,4\n',
    ],
)
def test_forms_that_are_read(text: str) -> None:
    """Lost otherwise: a table that a spreadsheet wrote would have to be written by hand."""
    assert rows(text) == [(canonical(b"", b"A1"), "S-1", -30), (canonical(b"", b"B 2"), "S-2", 4)]


def test_what_may_be_left_out() -> None:
    """Lost otherwise: a crosswalk without date offsets or issuers would be refused, or match nobody."""
    assert rows("A1,S-1\n", "X") == [(canonical(b"X", b"A1"), "S-1", 0)]
    assert rows("id,pseudonym\nA1,S-1\n") == [(canonical(b"", b"A1"), "S-1", 0)]
    text = "id,issuer,pseudonym,offset_days\nA1,Y,S-1\nA1,,S-2,\n"
    assert rows(text, "X") == [(canonical(b"Y", b"A1"), "S-1", 0), (canonical(b"X", b"A1"), "S-2", 0)]
    assert rows("") == rows("\n\n") == rows("id,pseudonym\n") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (CANARY_ID, "columns"),
        (f"{CANARY_ID},S-1,4,5", "columns"),
        (",S-1,4", "no id"),
        (f"{CANARY_ID},,4", "pseudonym"),
        (f"{CANARY_ID},../x,4", "pseudonym"),
        (f"{CANARY_ID},Doe^Jane,4", "pseudonym"),
        (f"{CANARY_ID},.x,4", "pseudonym"),
        (f"{CANARY_ID},{'S' * 65},4", "pseudonym"),
        (f"{CANARY_ID},{CANARY_ID},4", "its own"),
        (f"{CANARY_ID}\u00e9,S-1,4", "ASCII"),
        (f"{CANARY_ID},S-1,0", "offset"),
        (f"{CANARY_ID},S-1,1.5", "offset"),
        (f"{CANARY_ID},S-1,1999-01-01", "offset"),
        (f'{CANARY_ID},"S-1" x,4', "not CSV"),
        (f'"{CANARY_ID},S-1,4', "not CSV"),
    ],
)
def test_a_fault_is_told_by_its_line(line: str, told: str) -> None:
    """Lost otherwise: a table of thousands could not be mended, or the log would say who is in it."""
    for head, number in (("A1,S-9,1\n", 2), ("id,pseudonym,offset_days\n\nA1,S-9,1\n", 4)):
        with pytest.raises(BadRecipe) as raised:
            rows(head + line + "\n")
        assert raised.value.reason is Reason.BAD_OPTION
        assert str(raised.value).startswith(f"bad-option: line {number} of the crosswalk ")
        assert told in str(raised.value)
        assert "MRN" not in str(raised.value)
        assert raised.value.__cause__ is None


@pytest.mark.parametrize("head", ["id,name", "id,pseudonym,mrn", "id,pseudonym,id", "pseudonym,offset_days"])
def test_a_header_that_is_not_known(head: str) -> None:
    """Lost otherwise: a column would be taken for another."""
    with pytest.raises(BadRecipe) as raised:
        rows(f"{head}\nA1,S-1,4\n")
    assert "line 1 of the crosswalk names other columns" in str(raised.value)


def test_another_encoding_is_told() -> None:
    """Lost otherwise: a traceback with the bytes of the table."""
    text = io.TextIOWrapper(io.BytesIO(b"A1,S-1,1\n" + CANARY_ID.encode() + b"\xe9,S-2,1\n"), encoding="utf-8")
    with pytest.raises(BadRecipe) as raised:
        list(read(text))
    assert "not UTF-8" in str(raised.value)
    assert raised.value.__cause__ is None


@given(
    st.lists(
        st.tuples(
            st.text("0123456789AB -/_", min_size=1, max_size=64).map(str.strip).filter(bool),
            st.from_regex("[A-Z]-[0-9]{1,6}", fullmatch=True),
            st.integers(-99_999, 99_999),
        ),
        max_size=8,
    )
)
def test_what_is_written_is_read(table: list[tuple[str, str, int]]) -> None:
    """Lost otherwise: an export could not be imported again."""
    table = [row for row in table if row[0] != row[1]]
    text = "id,pseudonym,offset_days\n" + "".join(f'"{who}",{name},{days or ""}\n' for who, name, days in table)
    want = [MappedSubject(original=f"\x1f{who}", pseudonym=name, date_shift_days=days) for who, name, days in table]
    assert [line.subject for line in read(io.StringIO(text))] == want
