"""The release gate, check by check and rule by rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import farmside
import gate_oracle
import oracle
import pytest
import trees
from gate_oracle import COMMENT, FUNCTIONAL, LUT, MODEL, READING, Case
from oracle import Element, Item
from trees import sequence, text

from farm.deid import gate
from farm.deid.gate import dates, needles, search
from farm.deid.gate.reading import Fate, Heap, Place
from farm.dicom import part10
from farm.dicom.elements import EXPLICIT

RELEASE, REVIEW, WITHHOLD = gate.Outcome.RELEASE, gate.Outcome.REVIEW, gate.Outcome.WITHHOLD
NAME, STUDY_DATE, ACCESSION, INSTITUTION, DESCRIPTION = 0x00100010, 0x00080020, 0x00080050, 0x00080080, 0x00081030
METHOD = 0x00120063
UNLISTED = {0x00080070, MODEL, COMMENT}  # text of `source` that an output of the Basic Profile still has
SECRETS = (
    text(NAME, b"Okafor^Adaobi "),
    text(STUDY_DATE, b"20190312"),
    text(0x00080030, b"083015.123456 "),
    text(ACCESSION, b"AC-555-123"),
    text(INSTITUTION, b"Lakeside Radiology"),
    text(DESCRIPTION, b"CHEST FOLLOWUP"),
    text(0x00081155, b"1.3.6.1.4.1.9999.123456\0"),
    text(0x00102160, b"Martian "),
    text(0x00290010, b"ACME DEVELOPER"),
    text(0x00291001, b"Wing B room 12", "LO"),
    text(0x00291002, bytes((7, 99, 3, 200, 45, 250, 13, 66, 91, 180, 22, 119, 64, 31, 205, 88)), "OB"),
)


def source(*more: Element) -> list[Element]:
    """Return a data set of secrets and a few kept elements; `more` come in place of their like."""
    tags = {element.tag for element in more}
    plain = [
        text(0x00080005, b"ISO_IR 100"),
        *SECRETS,
        text(0x00080070, b"Acme"),
        text(MODEL, b"Scanner 64"),
        text(COMMENT, b"SOFT TISSUE "),
        text(LUT, bytes((9, 1, 8, 2, 7, 3, 6, 4)), "OW"),
        *(element for element in trees.identity() if element.tag != NAME),
        *trees.pixels(oracle.EXPLICIT),
    ]
    return [*(element for element in plain if element.tag not in tags), *more]


def case(*more: Element, **fields: object) -> Case:
    """Return the case of such a source."""
    return Case.of(source(*more), **fields)


CASE = case()
PSEUDONYM = CASE.expected().pseudonym


def comment(value: bytes) -> Element:
    """Return kept text that holds a value."""
    return text(COMMENT, gate_oracle.padded(value, "LO"))


def kinds(verdict: gate.Verdict) -> set[str]:
    """Return the kinds of what was found."""
    return {finding.kind for finding in verdict.findings}


def without(elements: Iterable[Element], tag: int) -> list[Element]:
    """Return the elements but one."""
    return [element for element in elements if element.tag != tag]


def test_a_clean_output_is_released() -> None:
    """Lost otherwise: nothing would ever be released."""
    assert CASE.verdict() == gate.Verdict(RELEASE)


# Values that survived.


@pytest.mark.parametrize(
    ("value", "kind", "outcome"),
    [
        (b"OKAFOR ADAOBI", "name", WITHHOLD),
        (b"adaobi, okafor", "name", WITHHOLD),
        (b"AdaobiOkafor", "name", WITHHOLD),
        ("Okafor^Adaobi".encode("utf-16-le"), "name", WITHHOLD),
        (b"seen with Okafor", "name", REVIEW),
        (b"ac 555 123", "identifier", WITHHOLD),
        (b"LAKESIDE-RADIOLOGY", "identifier", WITHHOLD),
        (b"of wing b, room 12", "text", WITHHOLD),
        (b"Chest Followup", "text", WITHHOLD),
        (b"a martian", "text", REVIEW),
        (b"12.03.2019", "date", WITHHOLD),
        (b"03/12/2019", "date", WITHHOLD),
        (b"12032019", "date", REVIEW),
        (b"on 12 March 2019", "date", WITHHOLD),
        (b"March 12th, 2019", "date", WITHHOLD),
        (b"20190312", "date", WITHHOLD),
        (b"08:30:15", "time", REVIEW),
        (b"083015.123456", "time", WITHHOLD),
        (b"see 1.3.6.1.4.1.9999.123456", "uid", WITHHOLD),
    ],
)
def test_a_survivor_is_found_and_weighed(value: bytes, kind: str, outcome: gate.Outcome) -> None:
    """Lost otherwise: a person's data would be released, or a chance likeness withheld for good."""
    verdict = CASE.planted(comment(value))
    assert (verdict.outcome, kinds(verdict)) == (outcome, {kind})
    assert {(finding.tag, finding.path) for finding in verdict.findings} == {(COMMENT, ())}


def test_bytes_that_survived_are_found() -> None:
    """Lost otherwise: a private element renamed to a public one would carry everything on."""
    value = SECRETS[-1].value
    assert isinstance(value, bytes)
    verdict = CASE.planted(text(LUT, b"\x01\x02" + value, "OW"))
    assert (verdict.outcome, kinds(verdict)) == (WITHHOLD, {"bytes"})


def test_a_finding_says_where_and_never_what() -> None:
    """Lost otherwise: the quarantine's log would hold what the quarantine keeps safe."""
    verdict = CASE.planted(sequence(FUNCTIONAL, [comment(b"Okafor^Adaobi")]))
    assert {(finding.tag, finding.path) for finding in verdict.findings} == {(COMMENT, (FUNCTIONAL,))}
    assert "kafor" not in repr(verdict)


@pytest.mark.parametrize(
    ("gone", "left", "place"),
    [
        (text(NAME, b"Dicom^Farm"), comment(b"FARM, DICOM"), COMMENT),
        (text(NAME, b"Dicom^Farm"), text(METHOD, b"by Farm, Dicom\\" + farmside.METHOD), METHOD),
        (text(ACCESSION, PSEUDONYM[:8]), comment(b"see " + PSEUDONYM[:8]), COMMENT),
    ],
)
def test_no_finding_stands_in_what_the_farm_says_of_itself(gone: Element, left: Element, place: int) -> None:
    """Lost otherwise: a person would be sent to the farm's own text, and have to tell it from what was found."""
    reading = gate.Reading(own=(farmside.METHOD, part10.IMPLEMENTATION_VERSION))
    verdict = case(gone, reading=reading).planted(left)
    assert {finding.tag for finding in verdict.findings} == {place}


def test_what_an_emptied_sequence_held_is_looked_for() -> None:
    """Lost otherwise: text of a report could survive where the report itself was emptied."""
    report = sequence(0x0040A730, [text(0x0040A160, b"cannot walk since the accident")])
    verdict = case(report).planted(comment(b"CANNOT WALK SINCE THE ACCIDENT"))
    assert (verdict.outcome, kinds(verdict)) == (WITHHOLD, {"text"})


def test_a_value_in_a_sequence_written_as_unknown_is_looked_for() -> None:
    """Lost otherwise: archives that write what they do not know as UN would hide values from the gate."""
    item = trees.encode([text(0x00100020, b"PRIVATE-ID-77 ")], oracle.IMPLICIT)
    hidden = oracle.nested(0x00291003, "UN", [(item, False)], oracle.EXPLICIT, undefined=False)[12:]
    verdict = case(text(0x00291003, hidden, "UN")).planted(comment(b"private-id-77"))
    assert (verdict.outcome, kinds(verdict)) == (WITHHOLD, {"identifier"})


def test_what_stands_behind_the_data_set_is_looked_for() -> None:
    """Lost otherwise: bytes behind the pixels would be searched for by nobody."""
    data = trees.file(source(), behind=b"\0\0\0\0behind the pixels of Mrs Okafor")
    verdict = Case.of_file(data).planted(text(LUT, b"behind the pixels of Mrs Okafor ", "OW"))
    assert verdict.outcome is WITHHOLD


def test_a_later_element_is_looked_for_and_searched() -> None:
    """Lost otherwise: what stands behind Pixel Data would be neither needle nor haystack."""
    padding = text(0xFFFCFFFC, b"padding of Mrs Whoever", "OB")
    later = text(0x7FE10010, b"x" * 8, "LO")
    spoilt = case(padding)
    assert spoilt.planted(text(LUT, b"padding of Mrs Whoever", "OW")).outcome is WITHHOLD
    assert kinds(spoilt.planted(later)) == {"private"}


def test_an_options_values_are_not_looked_for() -> None:
    """Lost otherwise: an option that keeps an attribute could never be used."""
    options = frozenset({"retain_institution_identity"})
    kept = replace(CASE, reading=gate.Reading(options=options, own=READING.own))
    assert kept.planted(comment(b"Lakeside Radiology")).outcome is RELEASE


def test_a_recipes_own_rules_are_read() -> None:
    """Lost otherwise: a recipe that removes more than the profile would be checked for the profile only."""
    value = comment(b"SOFT TISSUE ")
    reading = gate.Reading(own=READING.own, attributes={COMMENT: "X", INSTITUTION: "K"})
    spoilt = replace(CASE, reading=reading).planted(text(0x00281056, b"soft tissue "), value)
    assert kinds(spoilt) == {"text"}
    assert (
        replace(CASE, reading=reading).planted(text(INSTITUTION, b"Lakeside Radiology"), value).outcome is not RELEASE
    )


def test_unlisted_text_is_looked_for_where_it_goes() -> None:
    """Lost otherwise: strict recipes would be checked as if they were basic."""
    strict = replace(CASE, reading=gate.Reading(own=READING.own, unlisted_removed=True, keep=frozenset({0x00181160})))
    assert {(finding.kind, finding.tag) for finding in strict.verdict().findings} == {("text", tag) for tag in UNLISTED}
    assert strict.verdict([one for one in CASE.elements if one.tag not in UNLISTED]).outcome is RELEASE


def test_a_cleaned_value_may_stay_where_it_is() -> None:
    """Lost otherwise: cleaning would have to change every description to pass the gate."""
    cleaned = replace(CASE, reading=gate.Reading(own=READING.own, options=frozenset({"clean_descriptors"})))
    here = text(DESCRIPTION, b"CHEST FOLLOWUP")
    assert cleaned.planted(here).outcome is RELEASE
    assert kinds(cleaned.planted(comment(b"CHEST FOLLOWUP"))) == {"text"}
    assert kinds(cleaned.planted(text(DESCRIPTION, b"CHEST Okafor"))) == {"name"}
    accents = replace(case(text(DESCRIPTION, b"T\xcaTE FACE ")), reading=cleaned.reading)
    assert accents.planted(text(DESCRIPTION, b"TETE FACE ")).outcome is RELEASE
    assert kinds(accents.planted(comment(b"TETE FACE "))) == {"text"}


# The rules by which a value is left out.

LEFT_OUT: dict[str, tuple[Element, bytes, dict[str, object]]] = {
    "short": (text(ACCESSION, b"A12 "), b"A12", {}),
    "decimal": (text(0x00181000, b"31.4159 "), b"31.4159", {}),
    "round": (text(ACCESSION, b"120000"), b"120000", {}),
    "dummy": (text(INSTITUTION, b"REMOVED "), b"REMOVED", {}),
    "nothing": (text(ACCESSION, b"UNKNOWN "), b"unknown", {}),
    "own": (text(INSTITUTION, b"the farm's text "), b"the farm's text", {"own": (b"by the farm's text",)}),
    "vocabulary": (
        text(INSTITUTION, b"thorax series "),
        b"THORAX SERIES",
        {"is_word": {"thorax", "series"}.__contains__},
    ),
}
KEPT: dict[str, tuple[list[Element], bytes]] = {
    "product": ([text(INSTITUTION, b"Acme")], b"acme"),
    "kept": ([text(DESCRIPTION, b"SOFT TISSUE ")], b"soft tissue"),
    "count": ([text(ACCESSION, b"123456"), text(0x00200011, b"123456", "IS")], b"123456"),
}


def spoilt_by(*elements: Element, value: bytes, reading: gate.Reading = READING) -> gate.Verdict:
    """Examine an output that holds a value which an element of the source had."""
    return replace(case(*elements), reading=reading).planted(text(0x00281056, gate_oracle.padded(value, "LO"), "LO"))


@pytest.mark.parametrize("rule", [name for name, _, _ in needles.RULES])
def test_a_rule_leaves_out_what_it_says(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """Lost otherwise: what the gate leaves out would be luck, and not a rule that can be stated."""
    element, value, fields = LEFT_OUT[rule]
    reading = gate.Reading(**{"own": READING.own, **fields})  # type: ignore[arg-type]
    assert spoilt_by(element, value=value, reading=reading).outcome is RELEASE
    monkeypatch.setattr(needles, "RULES", tuple(one for one in needles.RULES if one[0] != rule))
    needles.unlike_others.cache_clear()
    if rule == "short":  # nothing looks for three characters to begin with; four would be found
        monkeypatch.setattr(needles, "RULES", needles.RULES)
        assert spoilt_by(text(ACCESSION, b"A127"), value=b"A127").outcome is REVIEW
    else:
        assert spoilt_by(element, value=value, reading=reading).outcome is not RELEASE
    needles.unlike_others.cache_clear()


@pytest.mark.parametrize("rule", [name for name, _, _ in needles.INSTANCE_RULES])
def test_a_rule_about_what_is_kept_leaves_out_what_it_says(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """Lost otherwise: an instance would be withheld for a value that its recipe keeps."""
    elements, value = KEPT[rule]
    assert spoilt_by(*elements, value=value).outcome is RELEASE
    monkeypatch.setattr(needles, "INSTANCE_RULES", tuple(one for one in needles.INSTANCE_RULES if one[0] != rule))
    assert spoilt_by(*elements, value=value).outcome is not RELEASE


STATED: dict[str, tuple[Sequence[Element], Element, Element]] = {
    # The source's element, what is left out of the output, and what nearly like it is found.
    "number": ([text(0x00101030, b"74512 ")], comment(b"74512"), comment(b"")),
    "initial": ([text(NAME, b"Okafor^A")], comment(b"A"), comment(b"A OKAFOR")),
    "minute": ([text(0x00080030, b"083000")], comment(b"083000"), comment(b"")),
    "year": ([], comment(b"12.03.19"), comment(b"12.03.2019")),
    "dummy date": ([text(STUDY_DATE, b"19000101")], comment(b"19000101"), comment(b"")),
    "short uid": ([text(0x00081155, b"1.2.3.4.55")], comment(b"1.2.3.4.55"), comment(b"1.3.6.1.4.1.9999")),
    "well-known uid": ([text(0x00081155, b"1.2.840.10008.1.2.1\0")], comment(b"1.2.840.10008.1.2.1"), comment(b"")),
    "ramp": (
        [text(0x00291002, bytes(range(64, 128)), "OB")],
        text(LUT, bytes(range(32, 160)), "OW"),
        text(LUT, bytes(range(64, 128))[::-1], "OW"),
    ),
    "short in bytes": (
        [text(ACCESSION, b"ZQ81X ")],
        text(LUT, b"\x01\x02ZQ81X\x03", "OW"),
        comment(b"zq81x"),
    ),
}


@pytest.mark.parametrize("rule", STATED)
def test_a_stated_rule_leaves_out_what_it_says(rule: str) -> None:
    """Lost otherwise: the list of what is left out would not be the list of what is left out."""
    assert rule in dict(search.STATED)
    elements, left_out, found = STATED[rule]
    spoilt = case(*elements)
    assert spoilt.planted(left_out).outcome is RELEASE
    if rule in {"initial", "year", "short in bytes"}:
        assert spoilt.planted(found).outcome is not RELEASE


def test_whole_numbers_of_six_digits_are_found() -> None:
    """Lost otherwise: an identifier in a number's clothes would pass."""
    verdict = case(text(0x00200013, b"7451239 ", "IS"), text(0x00291004, b"7451238 ", "IS")).planted(
        comment(b"7451238")
    )
    assert (verdict.outcome, kinds(verdict)) == (REVIEW, {"number"})


def test_times_to_the_second_are_found() -> None:
    """Lost otherwise: the rule about full minutes would leave out all times."""
    assert kinds(CASE.planted(comment(b"08:30:15"))) == {"time"}


def test_the_pseudonym_is_what_the_recipe_put_there() -> None:
    """Lost otherwise: a crosswalk that maps one's number to another's would withhold all of them."""
    pseudonym = CASE.product.report.subject.encode()
    spoilt = case(text(INSTITUTION, pseudonym))
    spoilt = replace(spoilt, product=replace(spoilt.product, report=replace(CASE.product.report)))
    assert spoilt.verdict().outcome is RELEASE


# Dates that move.

MOVED = gate.Reading(own=READING.own, options=frozenset({"retain_longitudinal_modified_dates"}), dates="shifted")


def moved(*planted: Element, days: int = -10, how: str = "shifted") -> gate.Verdict:
    """Examine an output whose study date and acquisition date are these, as a shift's."""
    reading = gate.Reading(own=READING.own, options=MOVED.options, dates=how)  # type: ignore[arg-type]
    spoilt = replace(case(text(0x00080022, b"20190322")), reading=reading, days=days)
    marked = text(0x00280303, b"MODIFIED")
    return spoilt.planted(marked, *planted)


def test_a_shifted_date_may_fall_on_another_originals() -> None:
    """Lost otherwise: every longitudinal study would be withheld sooner or later."""
    assert moved(text(STUDY_DATE, b"20190302"), text(0x00080022, b"20190312")).outcome is RELEASE


def test_a_date_that_did_not_move_is_found() -> None:
    """Lost otherwise: one attribute that the shift forgets would undo it for all."""
    verdict = moved(text(STUDY_DATE, b"20190302"), text(0x00080022, b"20190322"))
    assert (verdict.outcome, {(one.kind, one.tag) for one in verdict.findings}) == (WITHHOLD, {("date", 0x00080022)})
    assert moved(text(STUDY_DATE, b"20190312"), text(0x00080022, b"20190322"), days=0).outcome is WITHHOLD


def test_an_original_date_in_text_is_found_though_dates_move() -> None:
    """Lost otherwise: the description would tell the day that the attribute hides."""
    verdict = moved(text(STUDY_DATE, b"20190302"), text(0x00080022, b"20190312"), comment(b"22.03.2019"))
    assert kinds(verdict) == {"date"}


@pytest.mark.parametrize(
    ("how", "day", "right"), [("month", b"20190301", True), ("year", b"20190101", True), ("month", b"20190312", False)]
)
def test_a_truncated_date_is_the_first_of_its_month_or_year(how: str, day: bytes, right: bool) -> None:  # noqa: FBT001
    """Lost otherwise: recipes that truncate dates could not pass, or could leave them whole."""
    assert (moved(text(STUDY_DATE, day), days=0, how=how).outcome is RELEASE) is right


def test_a_kept_date_is_kept_elsewhere_too() -> None:
    """Lost otherwise: a private copy of a date that an option keeps would withhold the instance."""
    options = frozenset({"retain_longitudinal_full_dates"})
    reading = gate.Reading(own=READING.own, options=options, dates="kept")
    spoilt = replace(case(text(0x00291005, b"20190312", "DA"), text(0x00100030, b"19650704")), reading=reading)
    planted = [text(0x00280303, b"UNMODIFIED"), text(STUDY_DATE, b"20190312")]
    assert spoilt.planted(*planted, comment(b"20190312")).outcome is RELEASE
    assert kinds(spoilt.planted(*planted, comment(b"born 4 Jul 1965"))) == {"date"}


# A day and a time that went, in attributes without a row in table E.1-1.
REPEATED = (
    text(0x00143076, b"20190312", "DA"),
    text(0x00080416, b"20190312083015.123456 ", "DT"),
    text(0x00143077, b"083015", "TM"),
)


@pytest.mark.parametrize("repeated", REPEATED, ids=lambda element: element.vr)
@pytest.mark.parametrize("nested", [False, True])
def test_an_unlisted_date_may_repeat_one_that_went(repeated: Element, nested: bool) -> None:  # noqa: FBT001
    """Lost otherwise: under `basic` the gate would hold back what the profile itself says to keep."""
    there = sequence(FUNCTIONAL, [repeated]) if nested else repeated
    made = case(there)
    assert bytes(repeated.value) in made.output  # type: ignore[arg-type]
    assert made.verdict().outcome is RELEASE


def test_an_unlisted_time_that_is_kept_is_still_found_in_text() -> None:
    """Lost otherwise: one unlisted time would let the same time pass in every description."""
    assert kinds(case(REPEATED[2]).planted(comment(b"at 08:30:15"))) == {"time"}


@pytest.mark.parametrize("repeated", REPEATED, ids=lambda element: element.vr)
def test_a_date_of_the_keep_list_may_not_repeat_one_that_went(repeated: Element) -> None:
    """Lost otherwise: a recipe that removes what is not listed could let a day through that it meant to remove."""
    reading = gate.Reading(own=READING.own, unlisted_removed=True, keep=frozenset({repeated.tag}))
    made = replace(case(repeated), reading=reading)
    elements = [one for one in made.elements if one.tag not in UNLISTED]
    assert made.verdict(without(elements, repeated.tag)).outcome is RELEASE
    found = made.verdict(elements)
    assert found.outcome is not RELEASE
    assert {finding.tag for finding in found.findings} == {repeated.tag}


@pytest.mark.parametrize(
    "listed",
    [
        text(0x00080022, b"20190312"),
        text(0x0008002A, b"20190312083015"),
        text(0x00080032, b"083015"),
        text(0x00102160, b"20190312", "DA"),  # Ethnic Group, which an option keeps, with a VR that it does not have
    ],
    ids=["DA", "DT", "TM", "as DA"],
)
def test_a_listed_attribute_may_not_repeat_a_date_that_went(listed: Element) -> None:
    """Lost otherwise: the rule for what has no row would let through an edit that was left out."""
    reading = gate.Reading(own=READING.own, options=frozenset({"retain_patient_characteristics"}))
    found = replace(CASE, reading=reading).planted(listed)
    assert found.outcome is not RELEASE
    assert {finding.tag for finding in found.findings} == {listed.tag}


@pytest.mark.parametrize(
    ("spelling", "day"),
    [
        (b"20190312", b"20190312"),
        (b"2019-03-12", b"20190312"),
        (b"2019 mar 12", b"20190312"),
        (b"12mar2019", b"20190312"),
        (b"1.2.2019", b"20190201"),
        (b"xx20190312083015.5", b"20190312"),
    ],
)
def test_a_spelling_is_read_as_its_date(spelling: bytes, day: bytes) -> None:
    """Lost otherwise: a date would be missed for the way it is written."""
    assert day in {found for found, _ in dates.spelled(spelling, [day])}
    assert not list(dates.spelled(spelling, [b"20170707"]))


# UIDs.


def test_a_uid_that_is_neither_new_nor_known_is_found() -> None:
    """Lost otherwise: a UID that nobody mapped could name the instance in any archive."""
    verdict = CASE.planted(text(0x00081155, b"1.2.826.0.1.3680043.77\0"))
    assert (verdict.outcome, kinds(verdict)) == (WITHHOLD, {"uid"})
    assert CASE.planted(text(0x00081155, b"1.2.840.10008.5.1.4.1.1.2\0")).outcome is RELEASE


def test_a_class_uid_of_a_vendor_is_kept_by_rule() -> None:
    """Lost otherwise: instances that refer to private classes would all be withheld."""
    assert CASE.planted(text(0x00081150, b"1.3.12.2.1107.5.9.1\0")).outcome is RELEASE


def test_each_of_several_uids_is_looked_at() -> None:
    """Lost otherwise: the second UID of an attribute would pass unread."""
    new = next(iter(CASE.expected().new_uids))
    value = gate_oracle.padded(new + b"\\1.3.6.1.4.1.9999.123456", "UI")
    assert kinds(CASE.planted(text(0x00081155, value))) == {"uid"}


# What an output says of itself.


@pytest.mark.parametrize("tag", [0x00120062, 0x00120063, 0x00120064, 0x00280303])
def test_a_missing_marker_withholds(tag: int) -> None:
    """Lost otherwise: an output would not say that it was de-identified, or how (PS3.15 E.1.1)."""
    verdict = CASE.verdict(without(CASE.elements, tag))
    assert (verdict.outcome, [(one.kind, one.tag) for one in verdict.findings]) == (WITHHOLD, [("marker", tag)])


@pytest.mark.parametrize(
    "wrong",
    [text(0x00120062, b"NO"), text(0x00280303, b"MODIFIED"), sequence(0x00120064, [text(0x00080100, b"113107")])],
    ids=["removed", "temporal", "codes"],
)
def test_a_wrong_marker_withholds(wrong: Element) -> None:
    """Lost otherwise: an output could claim what was not done."""
    assert kinds(CASE.planted(wrong)) == {"marker"}


def test_another_patient_id_than_the_pseudonym_withholds() -> None:
    """Lost otherwise: an instance could be filed with somebody else's."""
    assert kinds(CASE.planted(text(0x00100020, b"SOMEBODY"))) == {"subject"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda head: head.replace(b"2.25.", b"2.26.", 1),
        lambda head: head[:140] + (5).to_bytes(4, "little") + head[144:],
        lambda head: head[:128] + b"DOCM" + head[132:],
        lambda head: gate_oracle.with_title(head, b"SCANNER_01"),
    ],
    ids=["other instance", "wrong length", "no mark", "application title"],
)
def test_wrong_file_meta_information_withholds(spoil: object) -> None:
    """Lost otherwise: a file could name another instance than it holds, or the system that it came from."""
    assert callable(spoil)
    verdict = CASE.verdict(head=spoil(CASE.head))
    assert verdict.outcome is WITHHOLD
    assert "meta" in kinds(verdict)


# Structure.


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (text(0x00280000, bytes(4), "UL"), "structure"),
        (text(0x00041500, b"FILE"), "structure"),
        (text(0x00290010, b"ACME"), "private"),
        (sequence(FUNCTIONAL, [text(0x00290010, b"ACME")]), "private"),
    ],
    ids=["group length", "group 0004", "private", "private in an item"],
)
def test_what_may_not_be_there_withholds(planted: Element, kind: str) -> None:
    """Lost otherwise: an output could hold what the profile removes as a whole."""
    verdict = CASE.planted(planted)
    assert (verdict.outcome, kinds(verdict)) == (WITHHOLD, {kind})


def test_private_elements_may_be_there_where_the_recipe_keeps_them() -> None:
    """Lost otherwise: Retain Safe Private could not be used."""
    kept = replace(CASE, reading=gate.Reading(own=READING.own, options=frozenset({"retain_safe_private"})))
    block = [text(0x00290010, b"ACME DEVELOPER"), text(0x00291001, b"Wing B room 12", "LO")]
    assert kept.planted(*block).outcome is RELEASE
    assert kinds(kept.planted(comment(b"Wing B room 12"))) == {"text"}


def test_attributes_out_of_order_withhold() -> None:
    """Lost otherwise: an output could have an attribute twice, one of them unseen by its readers."""
    swapped = CASE.elements
    swapped[3], swapped[4] = swapped[4], swapped[3]
    assert kinds(CASE.verdict(swapped)) == {"order"}
    twice = [*CASE.elements[:3], CASE.elements[2], *CASE.elements[3:]]
    assert kinds(CASE.verdict(twice)) == {"order"}
    item = [comment(b"B"), text(MODEL, b"A ")]
    assert kinds(CASE.planted(sequence(FUNCTIONAL, item))) == {"order"}


def test_an_output_that_cannot_be_read_to_its_end_withholds() -> None:
    """Lost otherwise: a length that is not true could hide the rest of an output from the search."""
    body = CASE.output[len(CASE.head) :]
    for cut in (1, 9, len(body) // 2, len(body) - 1):
        assert CASE.verdict(body=body[:cut]).outcome is WITHHOLD
    assert CASE.verdict(body=body + b"\x01\x02\x03").outcome is WITHHOLD


def test_nesting_has_a_limit() -> None:
    """Lost otherwise: a hostile output could end the worker instead of itself."""
    nested = comment(b"deep")
    for _ in range(70):
        nested = sequence(FUNCTIONAL, [nested])
    assert kinds(CASE.planted(nested)) == {"structure"}


# Pixels.


def test_changed_pixels_withhold() -> None:
    """Lost otherwise: pictures could be damaged on the way and nobody would see."""
    pixels = bytearray(bytes(range(1, 17)))
    pixels[7] ^= 1
    assert kinds(CASE.planted(text(oracle.PIXELS, bytes(pixels), "OW"))) == {"pixels"}
    assert kinds(CASE.verdict(without(CASE.elements, oracle.PIXELS))) == {"pixels"}
    longer = text(oracle.PIXELS, bytes(range(1, 17)) + b"more", "OW")
    assert kinds(CASE.planted(longer)) == {"pixels"}


def changed_pixels(value: bytes) -> gate.Verdict:
    """Return the verdict on an output whose pixels a recipe changed."""
    pixels = text(oracle.PIXELS, value, "OW")
    body = trees.encode(trees.in_order([*without(CASE.elements, oracle.PIXELS), pixels]))
    output = gate.Output(segments=[CASE.head + body], start=len(CASE.head), dialect=EXPLICIT)
    start = CASE.source.index(b"\x08\0\x05\0")
    before = gate.Source(data=CASE.source, start=start, dialect=EXPLICIT)
    return gate.examine(replace(CASE.expected(), pixels_changed=True), before, output)


def test_pixels_that_the_recipe_changes_are_not_compared() -> None:
    """Lost otherwise: redaction and transcoding could not be used."""
    assert changed_pixels(bytes(16)).outcome is RELEASE


@pytest.mark.parametrize("value", [bytes(16) + b"Doe Jane", bytes(14), b"other"])
def test_pixels_are_as_long_as_their_frames(value: bytes) -> None:
    """Lost otherwise: words behind the last frame would leave with pixels that a recipe changes."""
    assert kinds(changed_pixels(value)) == {"pixels"}


def test_large_pixels_are_views_and_compared_by_samples() -> None:
    """Lost otherwise: the gate would copy every picture, or not look at it at all."""
    pixels = bytes(number * 7 % 251 for number in range(300 * 640))
    described = [text(0x00280010, b"\x2c\x01", "US"), text(0x00280011, b"\x80\x02", "US")]
    large = case(*described, text(oracle.PIXELS, pixels, "OW"))
    assert any(isinstance(segment, memoryview) for segment in large.product.segments)
    assert large.verdict().outcome is RELEASE
    spoilt = bytearray(pixels)
    spoilt[100_000] ^= 1
    assert kinds(large.planted(text(oracle.PIXELS, bytes(spoilt), "OW"))) == {"pixels"}
    other_view = memoryview(large.source)[-len(pixels) - 64 : -64]
    segments = [large.output[: -len(pixels)], other_view]
    before = gate.Source(data=large.source, start=large.source.index(b"\x08\0\x05\0"), dialect=EXPLICIT)
    output = gate.Output(segments=segments, start=len(large.head), dialect=EXPLICIT)
    assert kinds(gate.examine(large.expected(), before, output)) == {"pixels"}


def test_a_large_value_that_is_kept_is_searched() -> None:
    """Lost otherwise: whatever is longer than a segment would be searched by nobody."""
    waveform = bytes(number * 7 % 251 for number in range(200_000))
    large = case(text(0x54001010, waveform, "OW"))
    spoilt = text(0x54001010, waveform[:150_000] + b"Okafor^Adaobi " + waveform[150_014:], "OW")
    assert large.verdict().outcome is RELEASE
    assert kinds(large.planted(spoilt)) == {"name"}


def test_encapsulated_pixels_are_read_fragment_by_fragment() -> None:
    """Lost otherwise: what stands behind compressed pixels would be searched by nobody."""
    frames = oracle.nested(
        oracle.PIXELS, "OB", [(b"", False), (b"\xff\xd8" * 40_000, False)], oracle.EXPLICIT, undefined=True
    )
    pixels = Element(oracle.PIXELS, "OB", frames[12:], undefined=True)
    elements = trees.in_order([*without(source(), oracle.PIXELS), pixels])
    data = trees.meta(syntax=trees.UIDS["jpeg"]) + trees.encode(elements)
    compressed = Case.of_file(data)
    assert compressed.verdict().outcome is RELEASE
    assert kinds(compressed.planted(text(0xFFFCFFFC, b"Okafor^Adaobi ", "OB"))) == {"name"}
    broken = frames[12:-8] + b"\x01" * 8
    assert compressed.planted(Element(oracle.PIXELS, "OB", broken, undefined=True)).outcome is WITHHOLD


# How a recipe is read.


@pytest.mark.parametrize(
    ("fields", "tag", "vr", "fate"),
    [
        ({}, 0x00100010, "PN", Fate.GONE),
        ({}, 0x00080018, "UI", Fate.MAPPED),
        ({"options": frozenset({"retain_uids"})}, 0x00080018, "UI", Fate.KEPT),
        ({}, 0x00081140, "SQ", Fate.KEPT),
        ({}, COMMENT, "LO", Fate.KEPT),
        ({"unlisted_removed": True}, COMMENT, "LO", Fate.GONE),
        ({"unlisted_removed": True}, 0x00080008, "CS", Fate.CLEANED),
        ({"unlisted_removed": True}, 0x00080104, "LO", Fate.CLEANED),
        ({"unlisted_removed": True, "keep": frozenset({COMMENT})}, COMMENT, "LO", Fate.KEPT),
        ({"options": frozenset({"retain_device_identity"})}, 0x00080055, "AE", Fate.CLEANED),
        ({"options": frozenset({"clean_descriptors", "retain_device_identity"})}, 0x00181030, "LO", Fate.CLEANED),
        ({}, 0x60003000, "OW", Fate.GONE),
        ({}, 0x60000022, "LO", Fate.GONE),
        ({}, 0x50000022, "LO", Fate.GONE),
        ({}, 0x00291001, "LO", Fate.GONE),
        ({}, 0x00080000, "UL", Fate.GONE),
    ],
)
def test_a_recipe_is_read_as_the_standard_says(fields: dict[str, object], tag: int, vr: str, fate: Fate) -> None:
    """Lost otherwise: the gate would look for what may stay, or not for what has to go."""
    assert gate.Reading(**fields).fate(tag, vr) is fate  # type: ignore[arg-type]


def test_what_concepts_decide_may_stay_in_place() -> None:
    """Lost otherwise: reports cleaned by Clean Structured Content would all be withheld."""
    reading = gate.Reading(options=frozenset({"clean_structured_content"}))
    assert reading.inside(0x0040A730, Place.PLAIN) is Place.CONCEPTS
    assert reading.of_source(0x0040A160, "UT", Place.CONCEPTS) is Heap.CLEANED
    assert gate.Reading().inside(0x0040A730, Place.PLAIN) is Place.GONE
    assert gate.Reading().of_source(0x0040A160, "UT", Place.GONE) is Heap.DESCRIPTIONS


def test_rewritten_headers_change_nothing_for_the_gate() -> None:
    """Lost otherwise: an implicit source written explicit could not be compared with its output."""
    implicit = Case.of(source(), "implicit")
    rewritten = [replace(one, vr="OW") if " or " in one.vr else one for one in implicit.elements]
    explicit = trees.encode(rewritten, oracle.EXPLICIT)
    output = gate.Output(segments=[implicit.head + explicit], start=len(implicit.head), dialect=EXPLICIT)
    before = gate.Source(
        data=implicit.source,
        start=implicit.source.index(b"\x08\0\x05\0"),
        dialect=gate_oracle.DIALECTS[oracle.IMPLICIT],
    )
    assert gate.examine(implicit.expected(), before, output).outcome is RELEASE


def test_every_item_of_a_sequence_is_read() -> None:
    """Lost otherwise: the second item, or the second of two equal sequences, would hide what is in it."""
    items = [Item([comment(b"first ")]), Item([comment(b"Okafor^Adaobi")], undefined=True)]
    assert kinds(CASE.planted(Element(FUNCTIONAL, "SQ", items, undefined=True))) == {"name"}
