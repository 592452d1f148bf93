from __future__ import annotations

import io
import tracemalloc
from collections import deque
from datetime import date
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadRecipe, Reason
from scheduler.harvest.lists import Wanted, digest_of, opened, read

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "CANARY"


def rows(text: str) -> list[Wanted]:
    """Return every row of a list."""
    return list(read(io.StringIO(text, newline=""))[1])


@pytest.mark.parametrize(
    "text",
    [
        "patient_id,from,to,ward\nA 1,20200101,2020-01-31,north\n",
        'Patient-ID;FROM;To;Ward\r\n"A 1";2020-01-01;20200131;north\r\n',
        "ward\tto\tfrom\tPatient ID\nnorth\t20200131\t20200101\t A 1 \n",
        "PatientID,From,To,Ward\nA 1,2020-01-01,2020-01-31,north\n",
        "\n \npatient_id,from,to,ward\n\nA 1,20200101,20200131,north",
    ],
)
def test_forms_that_are_read(text: str) -> None:
    """Lost otherwise: a table that a spreadsheet wrote would have to be written by hand."""
    [row] = rows(text)
    assert (row.patient, row.first, row.last) == ("A 1", date(2020, 1, 1), date(2020, 1, 31))
    assert "north" in row.carried
    assert (row.wrong, row.means_many) == ("", True)


def test_each_key_and_its_row_id() -> None:
    """Lost otherwise: a row would ask for another study than it names, or lose its name on the way."""
    text = "row_id,study_instance_uid,accession_number\na,1.2.3,\n,,ACC\nc,1.2.3,ACC\n"
    uid, accession, both = rows(text)
    assert (uid.row_id, uid.study, uid.accession) == ("a", "1.2.3", "")
    assert (accession.row_id, accession.row, accession.accession) == ("3", 3, "ACC")
    assert (both.study, both.accession, both.means_many) == ("1.2.3", "ACC", False)


def test_the_keywords_of_dicom() -> None:
    """Lost otherwise: a list that `farm find --csv` or another tool of DICOM wrote would have to be written again."""
    header, found = read(["StudyInstanceUID,AccessionNumber,Row ID\n", "1.2.3,ACC,a\n"])
    [row] = found
    assert header == ("StudyInstanceUID", "AccessionNumber", "Row ID")
    assert (row.study, row.accession, row.row_id) == ("1.2.3", "ACC", "a")
    with pytest.raises(BadRecipe, match="the column patient_id twice"):
        read(["PatientID,patient_id\n"])


def test_a_row_is_told_by_the_line_where_it_begins() -> None:
    """Lost otherwise: people would look for a fault in the wrong line, once a cell holds a line break."""
    text = 'accession_number,note\n"A1","two\nlines"\n\nA2,x\nA?,x\n'
    assert [(row.row, bool(row.wrong)) for row in rows(text)] == [(2, False), (5, False), (6, True)]


def test_open_ranges() -> None:
    """Lost otherwise: a range without an end would be refused, or be closed."""
    text = "patient_id,from,to\nA,20200101,\nA,,20200101\nA,,\n"
    day = date(2020, 1, 1)
    assert [(row.first, row.last) for row in rows(text)] == [(day, None), (None, day), (None, None)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (",,,20200101,x", "no key"),
        (f",,{CANARY}*,,x", "patient_id holds a wildcard"),
        (f",{CANARY}\\A,,,x", "accession_number holds a wildcard"),
        (f",{CANARY}?,,,x", "accession_number holds a wildcard"),
        (f",{CANARY}\x07,,,x", "accession_number holds a control"),
        (f"{CANARY},,,,x", "study_instance_uid is not a UID"),
        (f"1.{'2' * 64},,,,x", "study_instance_uid is not a UID"),
        ("1..2,,,,x", "study_instance_uid is not a UID"),
        (f",,A,{CANARY},x", "from is not a day"),
        (",,A,20200230,x", "from is not a day"),
        (",,A,2020-0130,x", "from is not a day"),
        (",,A,20200130,20200129", "from is after to"),
        (",A,,,,,,", "more cells"),
    ],
)
def test_a_row_that_cannot_be_used_says_why_and_no_value(line: str, told: str) -> None:
    """Lost otherwise: a wildcard would fetch a whole archive, and a log would say who was wanted."""
    text = f"study_instance_uid,accession_number,patient_id,from,to\n{line.removesuffix('x')}\n,A2,,,\n"
    bad, good = rows(text)
    assert told in bad.wrong
    assert CANARY not in bad.wrong
    assert CANARY not in repr(bad)
    assert (good.wrong, good.accession) == ("", "A2")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        f"{CANARY},note\n1,2\n",
        "accession_number,Accession Number\n1,2\n",
        f'accession_number\n"{CANARY}\n',
        f'accession_number\n"{CANARY}"x\n',
        f"accession_number\n{CANARY * 30_000}\n",
    ],
)
def test_a_file_that_is_no_list_is_one_line(text: str) -> None:
    """Lost otherwise: a traceback with cells of the list in it, or a harvest of nothing that ends as complete."""
    with pytest.raises(BadRecipe) as caught:
        rows(text)
    assert caught.value.reason is Reason.BAD_OPTION
    assert CANARY not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Lost otherwise: a traceback with the path, or half a list taken for the whole."""
    latin = tmp_path / "latin.csv"
    latin.write_bytes(b"accession_number\nA\n\xe4\n")
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(BadRecipe, match="cannot be read"):
            digest_of(path)
    for path in (tmp_path / "absent.csv", tmp_path, latin):
        with pytest.raises(BadRecipe) as caught, opened(path) as (_, listed):
            deque(listed, maxlen=0)
        assert caught.value.reason is Reason.BAD_OPTION


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    """Lost otherwise: the first column of what Excel saves would not be known."""
    path = tmp_path / "list.csv"
    path.write_bytes("\ufeffaccession_number\nA\n".encode())
    with opened(path) as (header, listed):
        assert header == ("accession_number",)
        assert [row.accession for row in listed] == ["A"]


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    """Lost otherwise: a list that was renamed would be fetched again, or an edited one be taken for the old."""
    first, copy, other = (tmp_path / name for name in ("1.csv", "2.csv", "3.csv"))
    first.write_text("accession_number\nA\n")
    copy.write_text("accession_number\nA\n")
    other.write_text("accession_number\nB\n")
    assert digest_of(first) == digest_of(copy) != digest_of(other)
    assert len(digest_of(first)) == 32


def test_a_long_list_takes_no_more_memory() -> None:
    """Lost otherwise: a list of a million rows would be held whole."""
    lines = chain(["accession_number,note\n"], repeat("A1,some words\n", 20_000))
    tracemalloc.start()
    try:
        deque(read(lines)[1], maxlen=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 18


@given(
    st.builds(
        Wanted,
        row=st.integers(0),
        row_id=st.text(),
        study=st.text(),
        accession=st.text(),
        patient=st.text(),
        first=st.none() | st.dates(),
        last=st.none() | st.dates(),
        carried=st.lists(st.text()).map(tuple),
        wrong=st.text(),
    )
)
def test_a_row_comes_back_from_its_seal(row: Wanted) -> None:
    """Lost otherwise: after a restart another study would be asked for than the list says."""
    assert Wanted.unpacked(row.packed()) == row
