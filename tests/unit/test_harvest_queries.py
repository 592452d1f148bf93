from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from scheduler.harvest import queries
from scheduler.harvest.lists import Wanted
from scheduler.harvest.ranges import DateRange


def wanted(**facts: object) -> Wanted:
    """Return a row."""
    return Wanted(row=2, row_id="2", **facts)  # type: ignore[arg-type]


def test_what_a_row_gives_is_asked_for_and_what_is_needed_comes_back() -> None:
    """Lost otherwise: other studies than the list's would be fetched, or their UIDs not be known."""
    asked = queries.study_query(wanted(patient="A 1", first=date(2020, 1, 1)))
    assert asked == {
        0x00080020: "20200101-",
        0x00080030: "",
        0x00080050: "",
        0x00080052: "STUDY",
        0x00080056: "",
        0x00080061: "",
        0x00100020: "A 1",
        0x0020000D: "",
        0x00201208: "",
    }
    assert list(asked) == sorted(asked)


def test_a_part_of_the_range_takes_its_place() -> None:
    """Lost otherwise: a split query would ask for the whole again and again."""
    day = date(2020, 1, 2)
    part = DateRange(first=day, last=day, start=60, end=119)
    asked = queries.study_query(wanted(patient="A", first=date(2020, 1, 1)), part)
    assert (asked[queries.STUDY_DATE], asked[queries.STUDY_TIME]) == ("20200102", "01-015959.999999")


def test_text_beyond_ascii_says_its_character_set() -> None:
    """Lost otherwise: the PACS would match other characters than the list holds (PS3.4 section C.2.2.2)."""
    assert queries.study_query(wanted(accession="Ä1"))[queries.CHARACTER_SET] == "ISO_IR 192"
    assert queries.CHARACTER_SET not in queries.study_query(wanted(accession="A1"))


def test_levels_give_the_keys_above_them() -> None:
    """Lost otherwise: a PACS that holds to the hierarchy would refuse the query (PS3.4 section C.4.1.2.1)."""
    assert queries.series_query("1.2")[queries.STUDY] == "1.2"
    asked = queries.image_query("1.2", "1.2.3")
    assert (asked[queries.LEVEL], asked[queries.STUDY], asked[queries.SERIES]) == ("IMAGE", "1.2", "1.2.3")
    assert asked[queries.SOP_INSTANCE] == asked[queries.SOP_CLASS] == ""
    assert queries.retrieve_study("1.2") == {queries.LEVEL: "STUDY", queries.STUDY: "1.2"}


def test_a_relational_answer_is_believed_only_when_it_is_whole() -> None:
    """Lost otherwise: a PACS that answers for the first series alone would set what is expected of the study."""
    assert not queries.insists_on_series(0, 10, 10)
    assert not queries.insists_on_series(0, 10, None)
    assert queries.insists_on_series(0, 9, 10)
    assert queries.insists_on_series(0, 0, None)
    assert queries.insists_on_series(0xA900, 10, 10)


@given(st.lists(st.tuples(st.sampled_from(["1.1", "1.2"]), st.integers(0, 5000).map("1.3.{}".format)), max_size=1500))
def test_what_is_missing_is_asked_for_once_and_fits_a_value(missing: list[tuple[str, str]]) -> None:
    """Lost otherwise: a resume would fetch what is there already, or its list not fit an element (PS3.5 7.1.2)."""
    asked = list(queries.retrieve_instances("1", missing))
    pairs = [(one[queries.SERIES], uid) for one in asked for uid in one[queries.SOP_INSTANCE].split("\\")]
    assert sorted(pairs) == sorted(set(missing))
    assert all(len(one[queries.SOP_INSTANCE].split("\\")) * 65 < 1 << 16 for one in asked)
    assert {(one[queries.LEVEL], one[queries.STUDY]) for one in asked} <= {("IMAGE", "1")}
