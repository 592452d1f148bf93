"""Dates: each form that the standard allows, what is refused, and how a shift is found."""

from __future__ import annotations

import pytest

from farm.deid.ages import age
from farm.deid.dates import TIMEZONE, Dates, Strategy, anchor_shift, pick_shift, subject_shift
from farm.deid.keys import ProjectKey
from farm.errors import BadRecipe

STUDY_DATE, STUDY_TIME, ACQUISITION, CALIBRATED = 0x00080020, 0x00080030, 0x0008002A, 0x00181200
KEY = ProjectKey(b"a key of thirty-two bytes, really")
SHIFTING = [strategy for strategy in Strategy if strategy not in {Strategy.MONTH, Strategy.YEAR, Strategy.REMOVE}]
TAGS = {"DA": STUDY_DATE, "TM": STUDY_TIME, "DT": ACQUISITION}
MONTH, YEAR, REMOVE = (Dates(strategy=strategy) for strategy in (Strategy.MONTH, Strategy.YEAR, Strategy.REMOVE))


def by(days: int) -> Dates:
    """Return a shift by days."""
    return Dates(strategy=Strategy.FIXED, days=days)


def moved(vr: str, value: bytes, days: int) -> bytes | None:
    """Return a value of one VR, shifted."""
    return by(days).value(TAGS[vr], vr, value)


@pytest.mark.parametrize(
    ("value", "days", "new"),
    [
        (b"20000301", -1, b"20000229"),
        (b"19000301", -1, b"19000228"),
        (b"20010101", -366, b"20000101"),
        (b"20000229", -365, b"19990301"),
        (b"20000229", 366, b"20010301"),
        (b"19991231", 1, b"20000101"),
        (b"1999.12.31", 1, b"20000101"),
        (b"19991231 ", 1, b"20000101"),
        (b" 19991231\0", 1, b"20000101"),
        (b"00010102", -1, b"00010101"),
        (b"99991230", 1, b"99991231"),
        (b"19991231\\20000101", -1, b"19991230\\19991231"),
        (b"19991231\\\\20000101 ", -1, b"19991230\\\\19991231"),
        (b"19991231\\DOE^JANE", -1, b"19991230\\"),
        (b"", -1, b""),
        (b"  \0", -1, b""),
        (b"\\", -1, b"\\"),
    ],
)
def test_a_date_is_shifted_by_days(value: bytes, days: int, new: bytes) -> None:
    """Lost otherwise: a leap day, an old form or one of several values would come out wrong, or not at all."""
    assert moved("DA", value, days) == new


@pytest.mark.parametrize(
    ("value", "new"),
    [
        (b"235959.999999", b"235959.999999"),
        (b"235960", b"235960"),
        (b"000000", b"000000"),
        (b"101112.5 ", b"101112.5"),
        (b"101112.120", b"101112.120"),
        (b"1011", b"1011"),
        (b"10", b"10"),
        (b"10:11:12", b"101112"),
        (b"10:11:12.345", b"101112.345"),
        (b"10:11", b"1011"),
        (b"1011\\1012\0", b"1011\\1012"),
        (b"", b""),
    ],
)
def test_a_time_keeps_every_digit(value: bytes, new: bytes) -> None:
    """Lost otherwise: a dynamic series would lose its fractions of a second."""
    assert moved("TM", value, -100) == new


@pytest.mark.parametrize(
    ("value", "days", "new"),
    [
        (b"20000101001500.123456-0530", -1, b"19991231001500.123456-0530"),
        (b"20000101001500.10+1400", -1, b"19991231001500.10+1400"),
        (b"20000101001500", -1, b"19991231001500"),
        (b"200001010015", -1, b"199912310015"),
        (b"2000010100", -1, b"1999123100"),
        (b"20000101", -1, b"19991231"),
        (b"20000101-0500", -1, b"19991231-0500"),
        (b"200003", -1, b"200002"),
        (b"200003", 1, b"200004"),
        (b"200003", -32, b"200001"),
        (b"200002", 29, b"200003"),
        (b"2000", -1, b"1999"),
        (b"2000", 1, b"2001"),
        (b"2000", -3650, b"1990"),
        (b"2000+0100", -1, b"1999"),
        (b"1999-0105", 1, b"2000"),
        (b"20000101235960.5\\200001 ", 1, b"20000102235960.5\\200002"),
        (b"0001", -1, None),
        (b"9999", 1, None),
        (b"00010101000000", -1, None),
    ],
)
def test_a_date_time_is_shifted_as_far_as_it_is_precise(value: bytes, days: int, new: bytes | None) -> None:
    """Lost otherwise: DT would not move with DA and TM, or a month and a year would be passed on as they are."""
    assert moved("DT", value, days) == new


GARBAGE = {
    "DA": [
        b"00000000",
        b"20010229",
        b"20001301",
        b"20000100",
        b"199912",
        b"1999",
        b"991231",
        b"1999.1231",
        b"1999-12-31",
        b"19991231-20000102",
        b"-19991231",
        b"19991231101112",
        b"1999 1231",
        b"1999123\xb2",
        b"31.12.1999",
        b"DOE^JANE",
        b"19991231\n",
        b"00010101",
        b"DOE\\JANE",
    ],
    "TM": [
        b"240000",
        b"106000",
        b"101061",
        b"1",
        b"101",
        b"10111",
        b"1011.5",
        b"101112.",
        b"101112.1234567",
        b"10:1112",
        b"1011:12",
        b"101112-101314",
        b"19991231",
        b"101112\n",
        b"10-11",
        b"DOE",
    ],
    "DT": [
        b"1999123145",
        b"19991301",
        b"19990229101112",
        b"199913",
        b"0000",
        b"19991231101112.",
        b"199912311011.5",
        b"19991231101112+1401",
        b"19991231101112-1201",
        b"19991231101112+01:00",
        b"19991231101112Z",
        b"1999-12-31T10:11:12",
        b"199912310",
        b"1999123",
        b"20000101-20000102",
        b"SMITH\\JANE",
        b"1999\n",
    ],
}


@pytest.mark.parametrize(("vr", "value"), [(vr, value) for vr, values in GARBAGE.items() for value in values])
def test_what_is_no_date_goes(vr: str, value: bytes) -> None:
    """Lost otherwise: a name, or a date in a spelling that was not understood, would be passed on as it is."""
    assert moved(vr, value, -1) is None
    if value != b"00010101":  # nothing is before it, but it is a date
        assert MONTH.value(TAGS[vr], vr, value) is None


@pytest.mark.parametrize(
    ("vr", "value", "month", "year"),
    [
        ("DA", b"20000229", b"20000201", b"20000101"),
        ("DA", b"1999.12.31", b"19991201", b"19990101"),
        ("TM", b"101112.123456", b"000000", b"000000"),
        ("TM", b"10", b"000000", b"000000"),
        ("DT", b"20000229101112.123456-0530", b"20000201000000-0530", b"20000101000000-0530"),
        ("DT", b"2000022910", b"2000020100", b"2000010100"),
        ("DT", b"20000229+0100", b"20000201+0100", b"20000101+0100"),
        ("DT", b"200002", b"200002", b"200001"),
        ("DT", b"2000", b"2000", b"2000"),
        ("DT", b"20000229\\junk", b"20000201\\", b"20000101\\"),
    ],
)
def test_truncation_puts_a_moment_at_the_start_of_its_month_or_year(
    vr: str, value: bytes, month: bytes, year: bytes
) -> None:
    """Lost otherwise: DA and TM would contradict DT, or a time of day would point to a study."""
    assert (MONTH.value(TAGS[vr], vr, value), YEAR.value(TAGS[vr], vr, value)) == (month, year)


@pytest.mark.parametrize("value", [b"+0100", b"-0530", b"+1400 ", b"-1200", b"+0545\0"])
def test_the_timezone_stays_beside_its_times(value: bytes) -> None:
    """Lost otherwise: times without an offset of their own would tell other moments than those with one."""
    assert by(-1).value(TIMEZONE, "SH", value) == MONTH.value(TIMEZONE, "SH", value) == value.strip(b"\0 ")


@pytest.mark.parametrize("value", [b"DOE", b"+1401", b"0100", b"+01:00", b"-0099", b"GMT", b"19991231"])
def test_a_timezone_that_is_none_goes(value: bytes) -> None:
    """Lost otherwise: any text could pass in the timezone's place."""
    assert by(-1).value(TIMEZONE, "SH", value) is None


@pytest.mark.parametrize("vr", ["LO", "UN", "OB"])
def test_a_date_under_another_vr_is_read_as_the_dictionary_says(vr: str) -> None:
    """Lost otherwise: a wrong or unknown VR would let a date pass, or cost one that can be kept."""
    assert by(-1).value(STUDY_DATE, vr, b"20000101") == b"19991231"
    assert by(-1).value(STUDY_DATE, vr, b"DOE^JANE") is None


@pytest.mark.parametrize("tag", [0x04000310, 0x00340007, 0x00100010])
def test_a_value_that_is_no_da_tm_or_dt_goes(tag: int) -> None:
    """Lost otherwise: a signed or counted time stamp would tell the original moment."""
    assert by(-1).value(tag, "OB", b"20000101") is None


@pytest.mark.parametrize("value", [b"20000101", b"", b"junk"])
def test_remove_leaves_nothing(value: bytes) -> None:
    """Lost otherwise: a recipe that wants no dates would get some."""
    assert REMOVE.value(STUDY_DATE, "DA", value) is None
    assert REMOVE.value(TIMEZONE, "SH", b"+0100") is None


def test_a_long_value_is_moved_like_a_short_one() -> None:
    """Lost otherwise: a long list of dates, or a long text in a date's place, would be lost or passed on."""
    assert moved("DA", b"\\".join([b"20000301"] * 500), -1) == b"\\".join([b"20000229"] * 500)
    assert moved("DA", b"DOE^JANE" * 100_000, -1) is None


@pytest.mark.parametrize("strategy", SHIFTING)
def test_a_shift_of_nothing_is_refused(strategy: Strategy) -> None:
    """Lost otherwise: a mistaken table or recipe would pass every date on as it is."""
    with pytest.raises(BadRecipe):
        Dates(strategy=strategy)
    assert Dates(strategy=strategy, days=-1).value(STUDY_DATE, "DA", b"20000101") == b"19991231"


def test_a_shift_does_not_show() -> None:
    """Lost otherwise: a log line with these values in it would undo the shift."""
    assert "4711" not in repr(Dates(strategy=Strategy.FIXED, days=-4711))


@pytest.mark.parametrize(
    ("subject", "days"), [("\x1f4711", -2527), ("CLINIC A\x1f4711", -570), ("study\x1f1.2.3", -3258)]
)
def test_a_subject_keeps_the_shift_that_it_always_had(subject: str, days: int) -> None:
    """Lost otherwise: new instances of a subject would not fit those that were released before."""
    assert subject_shift(KEY.derive, subject) == days


@pytest.mark.parametrize(
    ("lowest", "highest", "weeks", "choices"),
    [
        (-3, -1, False, {-3, -2, -1}),
        (-1, 1, False, {-1, 1}),
        (0, 2, False, {1, 2}),
        (-2, 0, False, {-2, -1}),
        (5, 5, False, {5}),
        (-20, -1, True, {-14, -7}),
        (-7, 13, True, {-7, 7}),
        (8, 21, True, {14, 21}),
    ],
)
def test_a_range_gives_each_of_its_shifts_alike(*, lowest: int, highest: int, weeks: bool, choices: set[int]) -> None:
    """Lost otherwise: shifts would be guessable, outside of the recipe's range, or 0."""
    picked = [pick_shift(number, lowest, highest, weeks=weeks) for number in range(2 * len(choices))]
    assert set(picked) == choices
    assert all(picked.count(choice) == 2 for choice in choices)


@pytest.mark.parametrize(("lowest", "highest", "weeks"), [(0, 0, False), (1, -1, False), (-6, 6, True), (1, 6, True)])
def test_a_range_without_a_shift_is_refused(*, lowest: int, highest: int, weeks: bool) -> None:
    """Lost otherwise: a recipe that cannot be carried out would be taken for a shift of nothing."""
    with pytest.raises(BadRecipe):
        pick_shift(0, lowest, highest, weeks=weeks)


def test_the_first_study_falls_on_the_anchor() -> None:
    """Lost otherwise: subjects would not share a time line that begins at the anchor."""
    days = anchor_shift(b"2004.02.29 ", b"20000101")
    assert days is not None
    assert moved("DA", b"20040229", days) == b"20000101"
    assert anchor_shift(b"20000101", b"20000101") == 1
    assert anchor_shift(b"", b"20000101") is anchor_shift(b"20000101", b"soon") is None


def test_the_decay_time_of_pet_is_exact() -> None:
    """Lost otherwise: standardised uptake values would be wrong for every study that spans midnight."""
    dates = by(-1234)
    found = {
        (0x00181078, "DT"): b"20240229235012.250000",
        (0x00181072, "TM"): b"235012.250000 ",
        (0x00080021, "DA"): b"20240301",
        (0x00080031, "TM"): b"005512.00",
    }
    new = {tag: dates.value(tag, vr, value) for (tag, vr), value in found.items()}
    assert new[0x00181078] == b"20201013235012.250000"
    assert new[0x00181072] == new[0x00181078][8:]
    assert (new[0x00080021], new[0x00080031]) == (b"20201014", b"005512.00")


@pytest.mark.parametrize(
    ("value", "new"),
    [
        (b"089Y", b"089Y"),
        (b"090Y", b"090Y"),
        (b"091Y", b"090Y"),
        (b"104Y ", b"090Y"),
        (b"999Y", b"090Y"),
        (b"000Y", b"000Y"),
        (b"999M", b"999M"),
        (b"999W", b"999W"),
        (b"003D\0", b"003D"),
        (b"", b""),
        (b"65Y", b""),
        (b"0104Y", b""),
        (b"104y", b""),
        (b"104", b""),
        (b"DOE", b""),
        (b"104Y\\010Y\\Jane", b"090Y\\010Y\\"),
    ],
)
def test_an_age_over_89_years_becomes_one_category(value: bytes, new: bytes) -> None:
    """Lost otherwise: the few who are that old could be told by their age."""
    assert age(value) == new
