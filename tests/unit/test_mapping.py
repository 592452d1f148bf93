"""What replaces UIDs and subjects: keyed, stable, and nothing that can be guessed."""

from __future__ import annotations

import os
import pickle
import re
import uuid
from itertools import pairwise

import farmside
import pytest
import racers
import trees
from hypothesis import given
from hypothesis import strategies as st

from farm.deid import subjects
from farm.deid.dates import Strategy
from farm.deid.keys import ProjectKey
from farm.deid.mapping import KeyedMapping, MappedSubject, TableMapping
from farm.deid.scheme import Pseudonyms, Scheme, Uids
from farm.deid.uids import LONGEST_ROOT, number_of
from farm.errors import BadInput, BadRecipe, Reason
from farm.recipe.recipe import Recipe

OTHER = ProjectKey(b"another key of thirty-two bytes!")
ROOT = "1.2.826.0.1.3680043.10.999"
RACED_UIDS = int(os.environ.get("RACED_UIDS", "4800"))
ORIGINALS = st.from_regex(rb"[0-2]\.[1-9][0-9]{0,9}(\.[1-9][0-9]{0,9}){1,4}", fullmatch=True)


def subject_of(patient: bytes, issuer: bytes | None = None, domain: str = "") -> str:
    """Return the pseudonym that an instance comes out with."""
    found = trees.identity(patient)
    found += [trees.text(0x00100021, issuer)] if issuer is not None else []
    recipe = Recipe.from_dict({"subject": {"domain": domain}})
    return farmside.run(trees.file(found), recipe).report.subject


@given(original=ORIGINALS)
def test_a_uid_is_mapped_alike_by_every_worker(original: bytes) -> None:
    """Lost otherwise: a study would fall apart over workers and years."""
    new = KeyedMapping(farmside.KEY).uid(original)
    assert new == KeyedMapping(ProjectKey(farmside.KEY.secret)).uid(original)
    assert new != KeyedMapping(OTHER).uid(original)


@given(original=ORIGINALS)
def test_a_new_uid_is_a_valid_one(original: bytes) -> None:
    """Lost otherwise: archives would refuse what they are sent (PS3.5 9.1, B.2)."""
    new = KeyedMapping(farmside.KEY).uid(original).decode()
    assert re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", new)
    assert len(new) <= 64
    number = uuid.UUID(int=int(new.removeprefix("2.25.")))
    assert (number.version, number.variant) == (8, uuid.RFC_4122)


@given(originals=st.sets(ORIGINALS, max_size=20))
def test_different_uids_stay_different(originals: set[bytes]) -> None:
    """Lost otherwise: two instances would become one."""
    mapping = KeyedMapping(farmside.KEY)
    assert len({mapping.uid(original) for original in originals}) == len(originals)


def test_sixteen_processes_derive_alike() -> None:
    """Lost otherwise: a study would fall apart over workers, or two instances become one (RACED_UIDS: how many)."""
    share = RACED_UIDS // racers.PROCESSES
    # Each UID is derived by two processes: the one whose share it is, and the one before it.
    turns = [(farmside.KEY.secret, share * at, 2 * share) for at in range(racers.PROCESSES)]
    answers = racers.race(racers.keyed, turns)
    for before, after in pairwise(answers):
        assert before[share:] == after[:share]
    every = {new for answer in answers for new in answer}
    assert len(every) == share * (racers.PROCESSES + 1)


@given(original=ORIGINALS, length=st.integers(3, LONGEST_ROOT))
def test_a_new_uid_stands_under_its_root(original: bytes, length: int) -> None:
    """Lost otherwise: an organisation could not use its own root, or archives would refuse what they are sent."""
    root = (ROOT + ".1234567")[:length].rstrip(".")
    new = KeyedMapping(farmside.KEY, Scheme(root=root)).uid(original).decode()
    assert re.fullmatch(re.escape(root) + r"\.(0|[1-9][0-9]*)", new)
    assert len(new) <= 64
    number = number_of(root, new)
    assert number is not None
    assert f"{root}.{number}" == new
    assert number_of(root + ".1", new) is number_of("1.2.3", new) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"root": "1.2.3." + "4" * 30}, "uids.root"),
        ({"root": "1.02"}, "uids.root"),
        ({"root": "7.2"}, "uids.root"),
        ({"root": "DOE"}, "uids.root"),
        ({"root": ""}, "uids.root"),
        ({"root": "1.2.840.10008"}, "DICOM's own"),
        ({"root": "1.2.840.10008.5"}, "DICOM's own"),
        ({"root": "2.25.1"}, "below 2.25"),
        ({"pseudonyms": Pseudonyms.NUMBER, "prefix": "../"}, "subject.prefix"),
        ({"pseudonyms": Pseudonyms.NUMBER, "prefix": ""}, "subject.prefix"),
        ({"lowest": 0, "highest": 0}, "dates.range"),
        ({"dates": Strategy.WEEKS, "lowest": 1, "highest": 6}, "dates.range"),
        ({"dates": Strategy.ANCHOR, "anchor": "2000-01-01"}, "dates.anchor"),
        ({"dates": Strategy.CROSSWALK}, "dates.strategy"),
    ],
)
def test_a_scheme_that_cannot_be(changes: dict[str, object], told: str) -> None:
    """Lost otherwise: the run would stop in the middle, or release UIDs and names that nothing takes."""
    with pytest.raises(BadRecipe) as raised:
        Scheme(**changes)  # type: ignore[arg-type]
    assert raised.value.reason is Reason.BAD_RECIPE
    assert told in str(raised.value)


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(uids=Uids.RECORDED),
        Scheme(pseudonyms=Pseudonyms.NUMBER),
        Scheme(pseudonyms=Pseudonyms.CROSSWALK),
        Scheme(dates=Strategy.RANDOM),
        Scheme(dates=Strategy.ANCHOR, anchor="20000101"),
    ],
)
def test_what_is_not_derived_is_not_made_up(scheme: Scheme) -> None:
    """Lost otherwise: `farm deid`, which has no registry, would give other names than `farm run`."""
    with pytest.raises(BadRecipe):
        KeyedMapping(farmside.KEY, scheme)


@given(patient=st.binary(min_size=1, max_size=8))
def test_the_key_gives_the_shift_that_the_recipe_asks_for(patient: bytes) -> None:
    """Lost otherwise: a recipe in whole weeks would move the days of the week, or one without shifts record one."""
    subject = subjects.canonical(b"", patient)
    weeks = Scheme(dates=Strategy.WEEKS, lowest=-30, highest=30)
    assert KeyedMapping(farmside.KEY, weeks).subject(subject).date_shift_days in {-28, -21, -14, -7, 7, 14, 21, 28}
    for dates in (Strategy.FIXED, Strategy.MONTH, Strategy.YEAR, Strategy.REMOVE):
        assert KeyedMapping(farmside.KEY, Scheme(dates=dates)).subject(subject).date_shift_days == 0


def test_a_table_gives_what_it_holds_and_nothing_else() -> None:
    """Lost otherwise: a patient whom the crosswalk lacks would be released, or true dates, or an original UID."""
    known = MappedSubject(original="\x1fP1", pseudonym="S-1", date_shift_days=-3)
    still = MappedSubject(original="\x1fP2", pseudonym="S-2", date_shift_days=0)
    table = {known.original: known, still.original: still, "\x1fP3": None}
    moving = TableMapping({b"1.2.3": b"2.25.1"}, table, shifts=True)
    resting = TableMapping({}, table, shifts=False)
    assert moving.uid(b"1.2.3") == b"2.25.1"
    assert moving.subject(known.original) is known
    assert resting.subject(still.original) is still
    for ask in (
        lambda: moving.uid(b"1.2.4"),
        lambda: moving.subject("\x1fP9"),
        lambda: moving.subject(still.original),
        lambda: resting.subject("\x1fP3"),
    ):
        with pytest.raises(BadInput) as raised:
            ask()
        assert "P" not in str(raised.value).removeprefix("not-in-crosswalk: ").removeprefix("no-date-shift: ")


def test_references_still_resolve_and_well_known_uids_stay() -> None:
    """Lost otherwise: references would point nowhere, or classes and syntaxes would lose their meaning."""
    reference = trees.sequence(
        0x00081140, [trees.text(0x00081150, trees.SOP_CLASS + b"\0"), trees.text(0x00081155, b"1.2.3.4 ")]
    )
    frame = trees.text(0x00200052, b"1.2.840.10008.1.4.1.1\0")
    product = farmside.run(trees.file([*trees.identity(), reference, frame]))
    output = farmside.joined(product)
    assert output.count(product.report.instance.encode()) == 3
    assert trees.SOP_CLASS in output
    assert b"1.2.840.10008.1.4.1.1\0" in output
    assert ("1.2.3.4", product.report.instance) in product.report.mapped.uids


def test_every_replaced_uid_is_handed_on_for_the_registry() -> None:
    """Lost otherwise: there would be no way back from a new UID."""
    several = trees.text(0x00081155, b"1.2.77\\1.2.78\\1.2.840.10008.1.2")
    product = farmside.run(trees.file([*trees.identity(), trees.sequence(0x00081140, [several])]))
    mapped = dict(product.report.mapped.uids)
    assert set(mapped) == {"1.2.3", "1.2.3.4", "1.2.3.5", "1.2.77", "1.2.78"}
    assert all(new.encode() in farmside.joined(product) for new in mapped.values())


@pytest.mark.parametrize(
    "instance", [b"1.2.3\\1.2.4", b"../../etc/passwd ", b"1.2.840.10008.Doe^Jane", b"1.2.840.10008./../x "]
)
def test_a_path_is_made_of_new_uids_alone(instance: bytes) -> None:
    """Lost otherwise: a UID of the source that is none could name a file, or lead out of the destination."""
    try:
        report = farmside.run(trees.file(trees.identity(instance=instance))).report
    except BadInput:
        return
    assert re.fullmatch(r"[A-Z2-7]+(/2\.25\.[0-9]+){3}\.dcm", report.path)
    assert re.fullmatch(r"2\.25\.[0-9]+", report.instance)


@pytest.mark.parametrize("value", [b"SECRET HOSPITAL", b"1.2.840.10008.5.1.4.1.1.2\\SECRET"])
def test_a_sop_class_that_is_no_uid_is_refused(value: bytes) -> None:
    """Lost otherwise: any text in SOP Class UID would reach the manifest and File Meta Information."""
    found = [element for element in trees.identity() if element.tag != 0x00080016]
    with pytest.raises(BadInput):
        farmside.run(trees.file([*found, trees.text(0x00080016, value + b"\0" * (len(value) % 2))]))


def test_subjects_are_told_apart_by_issuer() -> None:
    """Lost otherwise: patients of two hospitals with the same number would become one person."""
    plain, one, two = subject_of(b"4711"), subject_of(b"4711", b"CLINIC A"), subject_of(b"4711", b"CLINIC B")
    assert len({plain, one, two, subject_of(b"4712", b"CLINIC A")}) == 4
    assert one == subject_of(b"4711  ", b"CLINIC A  ")
    assert one == subject_of(b"4711", domain="CLINIC A")


def test_a_blank_issuer_is_no_issuer() -> None:
    """Lost otherwise: a padded empty issuer would split one patient in two."""
    assert subject_of(b"4711", b"  ", "CLINIC A") == subject_of(b"4711", None, "CLINIC A")


def test_an_instance_without_patient_id_goes_by_its_study_or_not_at_all() -> None:
    """Lost otherwise: all nameless instances would be one patient, or a strict recipe would let them pass."""
    first = farmside.run(trees.file(trees.identity(patient=b"  "))).report.subject
    other = [element for element in trees.identity(patient=b"") if element.tag != 0x0020000D]
    second = farmside.run(trees.file([*other, trees.text(0x0020000D, b"1.2.9\0")])).report.subject
    assert first != second
    with pytest.raises(BadInput) as raised:
        farmside.run(
            trees.file(trees.identity(patient=b"")), Recipe.from_dict({"subject": {"when_missing": "quarantine"}})
        )
    assert raised.value.reason is Reason.NO_SUBJECT


@given(patient=st.binary(min_size=1, max_size=64))
def test_a_date_shift_is_never_nothing(patient: bytes) -> None:
    """Lost otherwise: one subject in a few thousand would keep its true dates."""
    subject = KeyedMapping(farmside.KEY).subject(subjects.canonical(b"", patient))
    assert -3650 <= subject.date_shift_days <= -1
    assert re.fullmatch("[A-Z2-7]{20}", subject.pseudonym)


def test_secrets_do_not_show_when_printed() -> None:
    """Lost otherwise: one log line would give the key or an original away."""
    product = farmside.run(trees.file(trees.identity()))
    shown = repr(product) + repr(farmside.KEY) + repr(product.report.mapped) + repr(product.report.mapped.subject)
    for secret in ("PID 0815", "1.2.3.4", repr(farmside.KEY.secret)):
        assert secret not in shown
    assert "mapped" not in product.report.to_dict()


def test_a_report_survives_the_way_between_processes() -> None:
    """Lost otherwise: the process pool of `farm deid` could not answer."""
    report = farmside.run(trees.file(trees.identity())).report
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301 -- our own bytes
