"""Intervals: modified dates tell how long, to the last digit, and no longer when (PS3.15 E.3.6)."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from itertools import pairwise

import basic_oracle
import farmside
import oracle
import pytest
import trees
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import Element
from trees import sequence, text

from farm.deid.mapping import KeyedMapping
from farm.pipeline import process
from farm.recipe.recipe import Recipe, preset

PET = b"1.2.840.10008.5.1.4.1.1.128"
PRESETS = ("research", "pet-suv")
INJECTED_SEQUENCE = 0x00540016
# Dates with a time of their own, on three levels; a DT stands alone.
PAIRS = ((0x00080020, 0x00080030), (0x00080021, 0x00080031), (0x00080022, 0x00080032), (0x00080023, 0x00080033))
ALONE = 0x0008002A
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(2030, 1, 1)).map(lambda moment: moment.replace(microsecond=0))  # noqa: DTZ001
WAYS = (
    {"strategy": "subject"},
    {"strategy": "weeks"},
    {"strategy": "fixed", "days": -77},
    {"strategy": "fixed", "days": 4000},
)


def recipe(name: str, **dates: object) -> Recipe:
    """Return a preset whose dates move in some way."""
    return Recipe.from_dict({"$extends": name, "dates": dates})


def output(elements: list[Element], how: Recipe, name: str = "explicit") -> list[Element]:
    """Return what becomes of an instance."""
    product = process(trees.file(elements, name), how, KeyedMapping(farmside.KEY, how.scheme))
    return basic_oracle.read_file(farmside.joined(product)).elements


def values(elements: list[Element]) -> dict[int, bytes]:
    """Return the values of all levels by tag, without padding; the first one counts."""
    found: dict[int, bytes] = {}
    for path, leaf in oracle.leaves(elements):
        if isinstance(leaf.value, bytes):
            found.setdefault(path[-1], leaf.value.strip(b"\0 "))
    return found


def padded(value: str) -> bytes:
    """Return a value of even length."""
    return value.encode() + b" " * (len(value) % 2)


def told(moment: datetime) -> tuple[bytes, bytes]:
    """Return a moment as DA and TM."""
    return moment.strftime("%Y%m%d").encode(), moment.strftime("%H%M%S").encode()


def moment_of(day: bytes, clock: bytes) -> datetime:
    """Read DA and TM, or the two halves of a DT."""
    return datetime.strptime((day + clock[:6]).decode(), "%Y%m%d%H%M%S")  # noqa: DTZ007


def pet(injected: datetime, scanned: datetime, *, whole: bool, corrected: bytes = b"START") -> list[Element]:
    """Return a PET image; `whole`: the injection is told with its date, and not by its time alone."""
    day, clock = told(scanned)
    dose = [
        text(0x00181072, told(injected)[1], "TM"),
        text(0x00181074, b"370000000 ", "DS"),
        text(0x00181075, b"6586.2", "DS"),
        text(0x00181076, b"0.97", "DS"),
    ]
    dose += [text(0x00181078, b"".join(told(injected)), "DT")] if whole else []
    return [
        *[element for element in trees.identity() if element.tag != 0x00080016],
        text(0x00080016, PET + b"\0" * (len(PET) % 2)),
        text(0x00080021, day),
        text(0x00080022, day),
        text(0x00080031, clock),
        text(0x00080032, clock),
        text(0x00101020, b"1.8 "),
        text(0x00101030, b"74.5"),
        text(0x00100040, b"F "),
        text(0x00281052, b"0 "),
        text(0x00281053, b"0.73"),
        text(0x00541001, b"BQML"),
        text(0x00541102, corrected + b" " * (len(corrected) % 2)),
        sequence(INJECTED_SEQUENCE, dose),
    ]


def uptake(elements: list[Element]) -> tuple[float, ...]:
    """Return what turns a stored value into a standard uptake value: slope, intercept and factor, by body weight.

    The injection is on the day of the scan, or the day before it, where only its time is told.
    """
    said = values(elements)
    scanned = moment_of(said[0x00080021], said[0x00080031])
    whole = said.get(0x00181078)
    injected = moment_of(whole[:8], whole[8:]) if whole else moment_of(said[0x00080021], said[0x00181072])
    if injected > scanned:
        injected -= timedelta(1)
    decayed = float(said[0x00181074]) * 2 ** (-(scanned - injected).total_seconds() / float(said[0x00181075]))
    units, corrected = said[0x00541001], said[0x00541102]
    assert (units, corrected) == (b"BQML", b"START")
    weight = float(said[0x00101030]) * 1000
    return float(said[0x00281053]), float(said[0x00281052]), weight / decayed, float(said[0x00101020])


@pytest.mark.parametrize("name", PRESETS)
@given(
    injected=MOMENTS,
    after=st.integers(60, 86_399),
    whole=st.booleans(),
    way=st.sampled_from(WAYS),
    syntax=st.sampled_from(["explicit", "implicit", "big"]),
)
def test_the_uptake_values_of_pet_stay(  # noqa: PLR0913, PLR0917 - each is a dimension of the law
    name: str,
    injected: datetime,
    after: int,
    whole: bool,  # noqa: FBT001
    way: dict[str, object],
    syntax: str,
) -> None:
    """Lost otherwise: the measure that PET studies are made for would be wrong, and look right (E.3.6, note)."""
    elements = pet(injected, injected + timedelta(seconds=after), whole=whole)
    left = output(elements, recipe(name, **way), syntax)
    assert uptake(left) == uptake(elements)
    assert all(map(math.isfinite, uptake(left)))
    assert values(left)[0x00080021] != values(elements)[0x00080021]


def test_the_vendors_own_factor_stays_where_it_is_asked_for() -> None:
    """Lost otherwise: images in counts could not be turned into uptake values at all (E.3.10)."""
    moment = datetime(2019, 12, 31, 23, 30)  # noqa: DTZ001
    private = [
        text(0x70530010, b"Philips PET Private Group ", "LO"),
        text(0x70531000, b"0.000587", "DS"),
        text(0x70531009, b"1.53", "DS"),
    ]
    elements = [*pet(moment, moment + timedelta(hours=1), whole=True), *private]
    assert values(output(elements, preset("pet-suv")))[0x70531000] == b"0.000587"
    assert values(output(elements, preset("pet-suv")))[0x70531009] == b"1.53"
    assert 0x70531000 not in values(output(elements, preset("research")))


def dated(moments: list[datetime], number: int) -> list[Element]:
    """Return an instance with a moment for each pair, one as DT, and one more level of the same."""
    *paired, alone = moments
    elements = [*trees.identity(instance=b"1.2.3.4.%d" % number), text(ALONE, b"".join(told(alone)))]
    nested = [text(ALONE, b"".join(told(alone)))]
    for (day, clock), moment in zip(PAIRS, paired, strict=True):
        for place in (elements, nested):
            place += [text(day, told(moment)[0]), text(clock, told(moment)[1])]
    return [*elements, sequence(0x00081115, trees.in_order(nested))]


def timeline(elements: list[Element]) -> list[datetime]:
    """Return every moment that an instance tells, in a fixed order."""
    nested = next(element for element in elements if element.tag == 0x00081115).items[0].elements
    moments = []
    for level in (elements, nested):
        said = {one.tag: one.value for one in level if isinstance(one.value, bytes)}
        moments += [moment_of(said[day].strip(), said[clock].strip()) for day, clock in PAIRS]
        moments.append(moment_of(said[ALONE][:8], said[ALONE][8:]))
    return moments


@given(
    study=st.lists(st.lists(MOMENTS, min_size=5, max_size=5), min_size=2, max_size=4),
    way=st.sampled_from(WAYS),
    name=st.sampled_from(["explicit", "implicit", "big"]),
)
def test_every_interval_of_a_subject_stays(study: list[list[datetime]], way: dict[str, object], name: str) -> None:
    """Lost otherwise: growth, response and decay would be measured against moved milestones."""
    how = recipe("research", **way)
    given_files = [dated(moments, number) for number, moments in enumerate(study)]
    before = [moment for elements in given_files for moment in timeline(elements)]
    after = [moment for elements in given_files for moment in timeline(output(elements, how, name))]
    assert [b - a for a, b in pairwise(before)] == [b - a for a, b in pairwise(after)]
    shift = after[0] - before[0]
    assert shift.seconds == 0
    assert shift.days
    assert shift.days % 7 == 0 or way["strategy"] != "weeks"


@given(moments=st.lists(MOMENTS, min_size=5, max_size=5), way=st.sampled_from(WAYS))
def test_no_date_is_left_as_it_was(moments: list[datetime], way: dict[str, object]) -> None:
    """Lost otherwise: one true date would tell the shift of all the others."""
    before = dated(moments, 1)
    originals = {told(moment)[0] for moment in moments}
    after = output(before, recipe("research", **way))
    days = [leaf.value for _, leaf in oracle.leaves(after) if leaf.vr in {"DA", "DT"}]
    assert len(days) == 2 * (len(PAIRS) + 1)
    shift = timeline(after)[0] - timeline(before)[0]
    for day in days:
        # A moved date may be another moment's original; never its own.
        assert isinstance(day, bytes)
        assert (date.fromisoformat(day[:8].decode()) - shift).strftime("%Y%m%d").encode() in originals


@given(
    value=st.binary(max_size=16).filter(lambda value: b"\\" not in value and value.strip(b"\0 "))
    | st.sampled_from([b"2019-02-30", b"20190230", b"19991301", b"DOE 1999", b"today ", b"20190101-20190102", b"0"]),
    tag=st.sampled_from([0x00080020, 0x00080030, ALONE, 0x00100030, 0x00080201]),
)
@example(value=b"COM FARM", tag=0x00080201)  # as in the farm's own text
def test_what_is_no_date_is_removed(value: bytes, tag: int) -> None:
    """Lost otherwise: whatever stands where a date belongs, a name even, would come along."""
    left = values(output([*trees.identity(), text(tag, value)], preset("research"))).get(tag, b"")
    kept = left.replace(b".", b"").replace(b"+", b"").replace(b"-", b"")
    assert kept == b"" or kept.isdigit()
    assert left != value.strip(b"\0 ") or oracle.vr_of(tag) in {"TM", "SH"}


@pytest.mark.parametrize(
    ("age", "left"),
    [
        (b"089Y", b"089Y"),
        (b"090Y", b"090Y"),
        (b"091Y", b"090Y"),
        (b"104Y", b"090Y"),
        (b"999Y", b"090Y"),
        (b"011M", b"011M"),
        (b"old!", b""),
        (b"1Y", b""),
        (b"", b""),
    ],
)
@pytest.mark.parametrize("name", ["research", "retain-dates", "ct-dose", "pet-suv"])
@pytest.mark.parametrize("nested", [False, True])
def test_ages_over_89_years_are_one_category(name: str, age: bytes, left: bytes, *, nested: bool) -> None:
    """Lost otherwise: a subject of 104 years would be the only one (HIPAA Safe Harbor)."""
    element = text(0x00101010, age)
    elements = [*trees.identity(), sequence(0x00081115, [element]) if nested else element]
    assert values(output(elements, preset(name))).get(0x00101010, b"") == left


@pytest.mark.parametrize("name", ["basic", "strict"])
def test_without_the_option_no_date_and_no_age_stays(name: str) -> None:
    """Lost otherwise: a recipe that promises no dates would leave some."""
    moment = datetime(1999, 12, 31, 23, 59, 58)  # noqa: DTZ001
    after = values(output([*dated([moment] * 5, 1), text(0x00101010, b"033Y")], preset(name)))
    assert not [value for value in after.values() if value.startswith((b"1999", b"235958", b"033Y"))]
