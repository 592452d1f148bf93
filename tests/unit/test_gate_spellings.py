"""The release gate finds what had to go however it is written: apart, in other letters, in other dates' habits."""

from __future__ import annotations

import gate_oracle
import pytest
import trees
from gate_oracle import COMMENT, LUT, MODEL, READING, Case
from oracle import Element
from test_gate import ACCESSION, NAME, STUDY_DATE, case, comment, kinds, source, without
from trees import sequence, text

from farm.deid import gate
from farm.deid.gate import search
from farm.dicom.elements import EXPLICIT

RELEASE, REVIEW, WITHHOLD = gate.Outcome.RELEASE, gate.Outcome.REVIEW, gate.Outcome.WITHHOLD
PIXELS, SPECTROSCOPY, OTHER_ID = 0x7FE00010, 0x56000020, 0x00101000
SERIES_NUMBER, CHARSET, REFERRED = 0x00200011, 0x00080005, 0x00080096


def found(planted: bytes, *secrets: Element) -> gate.Outcome:
    """Tell what becomes of an output with a kept text, by what its source had."""
    clean = case(*secrets)
    assert clean.verdict().outcome is RELEASE
    return clean.planted(comment(planted)).outcome


# What is long and last.


@pytest.mark.parametrize("nested", [False, True])
def test_a_long_last_value_is_searched_to_its_end(nested: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a report behind which no pixels stand would be searched in its first 4 KiB."""
    harmless = b"lorem ipsum dolor " * 5_000
    kept = text(COMMENT, harmless, "UT")
    last = sequence(SPECTROSCOPY, [kept]) if nested else text(SPECTROSCOPY, harmless, "OF")
    spoken = text(COMMENT, harmless + b"seen by OKAFOR ADAOBI ", "UT")
    spoilt = sequence(SPECTROSCOPY, [spoken]) if nested else text(SPECTROSCOPY, harmless + b"Okafor^Adaobi ", "OF")
    long = Case.of(without(source(last), PIXELS))
    assert long.verdict().outcome is RELEASE
    body = trees.encode(trees.in_order([*without(long.elements, SPECTROSCOPY), spoilt]))
    verdict = gate.examine(
        long.expected(),
        gate.Source(data=long.source, start=long.source.index(b"\x08\0\x05\0"), dialect=EXPLICIT),
        gate.Output(segments=[long.head, memoryview(body)], start=len(long.head), dialect=EXPLICIT),
    )
    assert kinds(verdict) == {"name"}


# Identifiers.


@pytest.mark.parametrize(
    ("identifier", "written", "outcome"),
    [
        (b"MRN7741902", b"MRN-774-1902", WITHHOLD),
        (b"MRN7741902", b"mrn 7741902", WITHHOLD),
        (b"MRN7741902", b"MRN\\7741902", WITHHOLD),
        (b"MRN7741902", b"MRN774\\1902", WITHHOLD),
        (b"77419023", b"774-190-23", WITHHOLD),
        (b"77419023", b"7741 9023", WITHHOLD),
        (b"77419023", b"seen 774.190.23 again", WITHHOLD),
        (b"77419023", b"0077419023", WITHHOLD),
        (b"0077419023", b"77419023", WITHHOLD),
        (b"0077419023", b"077-419-023", WITHHOLD),
        (b"0054321", b"54321", REVIEW),
        (b"54321", b"0054321", REVIEW),
        (b"7741902", b"774-1902", REVIEW),
    ],
)
def test_an_identifier_is_found_as_people_write_it(identifier: bytes, written: bytes, outcome: gate.Outcome) -> None:
    """Lost otherwise: a number with hyphens would name the patient and pass."""
    assert found(written, text(OTHER_ID, identifier)) is outcome
    assert found(written, text(ACCESSION, identifier[::-1])) is RELEASE


@pytest.mark.parametrize(
    ("identifier", "written"),
    [
        (b"MRN7741902", b"7741902"),
        (b"MRN7741902", b"MRN77\x0141902"),
        (b"MRN7741902", b"MRN\x1d7741902"),
        (b"MRN7741902", b"MRN77\x1e41902"),
        (b"MRN7741902", b"MRN%377%34 1902"),
        (b"77419023", b"77419023.0"),
        (b"77419023", b"77419023.000000"),
        (b"77419023", "٧٧٤١٩٠٢٣".encode()),
        (b"77419023", "७७४१९०२३".encode()),
        (b"77419023", "7741\u200d9023".encode()),
        (b"7741000", b"7741000"),
        (b"3152026", b"3152026"),  # of the farm's own text, across two of its words
    ],
)
def test_an_identifier_is_found_as_programs_write_it(identifier: bytes, written: bytes) -> None:
    """Lost otherwise: a number would pass for a fraction of zeros, another script's digits or a scanner's controls."""
    assert found(written, UTF_8, text(OTHER_ID, identifier)) is not RELEASE
    assert found(written, UTF_8) is RELEASE


def test_a_product_has_no_identifier_of_many_digits_for_its_name() -> None:
    """Lost otherwise: a patient's number in the model's name would be taken for the model's everywhere."""
    named = (text(MODEL, b"Scanner MRN7741902"), text(ACCESSION, b"MRN7741902"))
    assert case(*named).verdict().outcome is WITHHOLD
    assert case(text(MODEL, b"Scanner LR64A "), text(ACCESSION, b"LR64A ")).verdict().outcome is RELEASE


@pytest.mark.parametrize(
    "written",
    [b"patient=ADAOBI%20OKAFOR", b"Okafor%5EAdaobi", b'{"n": "O\\u006bafor Adaobi"}', b"Oka&#102;or Adaobi"],
)
def test_escapes_hide_no_name(written: bytes) -> None:
    """Lost otherwise: a URL or a piece of JSON would carry a name that no letter of it spells."""
    assert found(written) is not RELEASE
    assert case(text(NAME, b"Nobody^Else ")).planted(comment(written)).outcome is RELEASE


@pytest.mark.parametrize(("written", "outcome"), [(b"aokafor", REVIEW), (b"okafora", REVIEW), (b"xokafor", RELEASE)])
def test_a_name_is_found_as_its_bearer_logs_in(written: bytes, outcome: gate.Outcome) -> None:
    """Lost otherwise: who sat at the console would be told by the name of an account."""
    assert found(b"by " + written) is outcome


# UIDs.

UID, UUID_UID = b"1.3.6.1.4.1.9999.123456", b"2.25.329800735698586629295641978511506172918"


@pytest.mark.parametrize("between", [b"_", b"-", b" ", b"/", b""])
def test_a_uid_is_found_as_names_of_files_write_it(between: bytes) -> None:
    """Lost otherwise: the name of the file that an instance came from would lead back to it."""
    assert found(b"IM_" + UID.replace(b".", between)) is WITHHOLD
    assert found(b"IM_" + b"1.3.6.1.4.1.9999.654321".replace(b".", between)) is RELEASE


def test_a_uid_is_found_as_the_uuid_that_it_is_made_of() -> None:
    """Lost otherwise: the same number in hexadecimal digits would link an output with its source."""
    assert found(b"f81d4fae-7dec-11d0-a765-00a0c91e6bf6", text(0x00081155, UUID_UID)) is WITHHOLD
    assert found(b"f81d4fae-7dec-11d0-a765-00a0c91e6bf7", text(0x00081155, UUID_UID)) is RELEASE


@pytest.mark.parametrize("kept", [b"OKAFOR ADAOBI ", b"1.2.3.77419023", b"1.2.3.20190312"])
def test_a_uid_that_is_kept_is_no_place_to_hide(kept: bytes) -> None:
    """Lost otherwise: under `basic` a name or a number could stand where the standard lists no UID."""
    secret = text(OTHER_ID, b"77419023")
    assert case(secret).planted(text(0x0008010C, kept)).outcome is not RELEASE
    assert case(secret).planted(text(0x0008010C, b"2.16.840.1.113883.6.96")).outcome is RELEASE


@pytest.mark.parametrize(
    "harmless",
    [b"177419023", b"7741.9023", b"7741\\9023", b"7741,9023", b"774-190-235", b"3.774-190-23", b"77-41 90.2"],
)
def test_digits_of_other_numbers_are_no_identifier(harmless: bytes) -> None:
    """Lost otherwise: instances full of numbers would be held back for a likeness."""
    assert found(harmless, text(OTHER_ID, b"77419023")) is RELEASE


@pytest.mark.parametrize("tag", [0x00100020, OTHER_ID, ACCESSION])
@pytest.mark.parametrize("number", [b"77419", b"774190", b"7741902", b"77419023"])
def test_an_identifier_is_found_where_the_source_keeps_it(tag: int, number: bytes) -> None:
    """Lost otherwise: the leak itself would be taken for proof that it is none."""
    leaking = case(text(tag, number), text(SERIES_NUMBER, number, "IS"))
    verdict = leaking.verdict()
    assert kinds(verdict) == {"identifier"}
    assert {finding.tag for finding in verdict.findings} == {SERIES_NUMBER}
    assert verdict.outcome is (WITHHOLD if len(number) == 8 else REVIEW)


@pytest.mark.parametrize("number", [b"12", b"7741"])
def test_an_identifier_of_four_digits_is_chance(number: bytes) -> None:
    """Lost otherwise: every instance of patient 12 would be withheld."""
    assert case(text(OTHER_ID, number), text(SERIES_NUMBER, number, "IS")).verdict().outcome is RELEASE


# Names.


@pytest.mark.parametrize(
    ("name", "written"),
    [
        (b"McDonald^Ian", b"Mc Donald"),
        (b"McDonald^Ian", b"Ian Mc-Donald"),
        (b"DeGroot^Jan", b"de groot"),
        (b"Adewale^Ola", b"A.D.E.W.A.L.E"),
    ],
)
def test_a_name_is_found_with_something_in_its_words(name: bytes, written: bytes) -> None:
    """Lost otherwise: half of the names that begin with a Mc or a De would pass."""
    assert found(written, text(NAME, name)) is not RELEASE


@pytest.mark.parametrize(("name", "kept"), [("Müller^Mary", "PRIMARY"), ("Østergaard^Gina", "ORIGINAL")])
def test_a_word_in_ascii_of_another_name_stands_alone(name: str, kept: str) -> None:
    """Lost otherwise: every instance of a Mary with an umlaut would be held back for PRIMARY in its Image Type."""
    spelt = (text(CHARSET, b"ISO_IR 192"), text(NAME, gate_oracle.padded(name.encode(), "PN")))
    assert found(kept.encode(), *spelt) is RELEASE
    assert found(f"by {name.partition('^')[2]}".encode(), *spelt) is REVIEW
    mixed = (spelt[0], text(NAME, gate_oracle.padded("Иванова^Mary".encode(), "PN")))
    assert (found(b"PRIMARY", *mixed), found(b"by Mary", *mixed)) == (RELEASE, REVIEW)


def test_words_of_the_vocabulary_are_no_name() -> None:
    """Lost otherwise: "in grid" would be taken for Ingrid's name, and every grid be held back."""
    reading = gate.Reading(own=READING.own, is_word={"grids", "in"}.__contains__)
    ingrid = case(text(NAME, b"Ingrids^Bo"), reading=reading)
    assert ingrid.planted(comment(b"in grids")).outcome is RELEASE
    assert ingrid.planted(comment(b"ingrids")).outcome is REVIEW


UTF_8, LATIN_1 = text(CHARSET, b"ISO_IR 192"), text(CHARSET, b"ISO_IR 100")


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Müller^Jürgen", "Mueller Juergen"),
        ("Müller^Jürgen", "Muller, Jurgen"),
        ("Mueller^Juergen", "Müller, Jürgen"),
        ("Østerby^Bjørn", "Osterby Bjorn"),
        ("Østerby^Bjørn", "Oesterby Bjoern"),
        ("Osterby^Bjorn", "Østerby"),
        ("Łukaszyk^Żółć", "Lukaszyk Zolc"),
        ("Strauß^Jörg", "STRAUSS JOERG"),
        ("Y\u0131lmazer^İbrahim", "Yilmazer Ibrahim"),
        ("Αθανασίου^Κώστας", "αθανασιου"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ヤマダ　タロウ"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ﾔﾏﾀﾞﾀﾛｳ"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ＹＡＭＡＤＡ　ＴＡＲＯＵ"),  # noqa: RUF001 -- full width
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "患者山田太郎さん"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山⽥太郎"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山 田\u3000太 郎"),
        ("Tsuji^Jirou=辻^二郎", "辻\U000e0100 二郎"),
        ("Cohen^Moshe=כהן^משה", "כֹּהֵן משֶׁה"),
        ("Ali^Muhammad=علي^محمد", "مُحَـــمَّد"),
        ("Ahmadi^Ali=احمدی^علی", "أحمدي"),
        ("Bellweather^Ivo", "Bell\u00adweather"),
        ("Bellweather^Ivo", "\u200fBell\u200bweather\u200e"),
    ],
)
def test_a_name_is_found_in_other_letters(name: str, written: str) -> None:
    """Lost otherwise: a name would pass for being typed where its letters are not on the keyboard."""
    assert found(written.encode(), UTF_8, text(NAME, gate_oracle.padded(name.encode(), "PN"))) is not RELEASE
    assert found(written.encode(), UTF_8) is RELEASE


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("cp1250", "Śliwińska^Żaneta"),
        ("cp1253", "Ρέππας^Κώστας"),
        ("cp1254", "Özdoğan^Ayşegül"),
        ("cp1255", "כהן^משה"),
        ("cp1256", "محمد^علي"),
        ("cp1257", "Šķēle^Ģirts"),
        ("cp874", "สมชาย^ใจดี"),
    ],
)
def test_a_name_is_found_in_the_code_page_of_its_script(codec: str, name: str) -> None:
    """Lost otherwise: text that a program on Windows put into an output in UTF-8 would be nobody's."""
    assert found(name.replace("^", " ").encode(codec), UTF_8, text(NAME, name.encode())) is WITHHOLD


@pytest.mark.parametrize("codec", ["cp1251", "koi8-r", "iso8859-5", "utf-8", "utf-16-le"])
def test_a_name_in_cyrillic_is_found_in_its_usual_encodings(codec: str) -> None:
    """Lost otherwise: text that a Windows or Unix program put in would be read by everyone but the gate."""
    name = text(NAME, "Иванов^Пётр ".encode("iso8859-5"))
    assert found("Пётр Иванов ".encode(codec), text(CHARSET, b"ISO_IR 144"), name) is WITHHOLD


def test_letters_that_utf_16_writes_with_control_characters_are_found() -> None:
    """Lost otherwise: Cyrillic O is 1E 04 there, and a name in capitals would fall apart at each."""
    name = text(NAME, "ОРЛОВ^ОЛЕГ".encode("iso8859-5"))
    assert found("ОЛЕГ ОРЛОВ".encode("utf-16-le"), text(CHARSET, b"ISO_IR 144"), name) is WITHHOLD


JAPANESE, KOREAN, CHINESE = b"\\ISO 2022 IR 87", b"\\ISO 2022 IR 149", b"\\ISO 2022 IR 58"
_YAMADA = b"Yamada^Tarou=" + "山田".encode("iso2022_jp") + b"^" + "太郎".encode("iso2022_jp")
_ZHANG, _XIAODONG = "张".encode("gb2312"), "小东".encode("gb2312")


@pytest.mark.parametrize(
    ("charset", "name", "written"),
    [
        (JAPANESE, _YAMADA, "山田太郎".encode("iso2022_jp")),
        (JAPANESE, _YAMADA, "患者山田太郎です".encode("iso2022_jp")),
        (JAPANESE, _YAMADA, "山田　太郎".encode("iso2022_jp")),
        (JAPANESE, _YAMADA, "太郎 山田".encode("iso2022_jp")),
        (CHINESE, b"Zhang=\x1b$)A" + _ZHANG + b"^\x1b$)A" + _XIAODONG, b"\x1b$)A" + _ZHANG + _XIAODONG),
        (CHINESE, b"Zhang=" + _ZHANG + b"^" + _XIAODONG, b"\x1b$)A" + _ZHANG + _XIAODONG),
        (CHINESE, b"Zhang=" + _ZHANG + b"^" + _XIAODONG, _ZHANG + _XIAODONG),
        (CHINESE, b"Zhang=" + _ZHANG + b"^" + _XIAODONG, "患者张小东".encode()),
        (b"ISO_IR 100", b"Zhang=" + _ZHANG + b"^" + _XIAODONG, _ZHANG + _XIAODONG),
        (KOREAN, b"Hong=\x1b$)C" + "홍^길동".encode("euc_kr"), b"\x1b$)C" + "홍길동".encode("euc_kr")),
    ],
)
def test_escape_sequences_hide_nothing(charset: bytes, name: bytes, written: bytes) -> None:
    """Lost otherwise: a name would pass for where a writer put, or forgot, the switch between character sets."""
    spelt = (text(CHARSET, gate_oracle.padded(charset, "CS")), text(NAME, gate_oracle.padded(name, "PN")))
    assert found(written, *spelt) is WITHHOLD
    assert found(written, spelt[0]) is RELEASE


def test_seven_bits_of_an_ideograph_are_no_latin_letters() -> None:
    """Lost otherwise: names of two ideographs, four letters without their escape, would be found in any text."""
    letters = "山田".encode("iso2022_jp")[3:-3]
    name = text(NAME, gate_oracle.padded(_YAMADA, "PN"))
    assert found(b"x" + letters + b"y", text(CHARSET, JAPANESE + b" "), name) is RELEASE


@pytest.mark.parametrize("codec", ["utf-8", "iso8859-5"])
def test_a_name_is_read_by_the_character_set_of_its_item(codec: str) -> None:
    """Lost otherwise: a name in an item that has its own character set would be looked for as nonsense."""
    item = [text(CHARSET, b"ISO_IR 144"), text(0x00401102, "Иванов Пётр ".encode("iso8859-5"), "LO")]
    name = sequence(REFERRED, item)
    assert found("Иванов Пётр ".encode(codec), name) is WITHHOLD


def test_a_character_set_that_is_none_is_looked_for() -> None:
    """Lost otherwise: a name written where a character set belongs would be no needle."""
    hidden = sequence(REFERRED, [text(CHARSET, b"Chukwuemeka ")])
    assert found(b"seen by Chukwuemeka", hidden) is not RELEASE


# Dates.


@pytest.mark.parametrize(
    "written",
    [
        *("2019/3/12", "2019-3-12", "2019.3.12", "2019_03_12", "2019:03:12 10:15:30", "2019 - 03 - 12"),
        *("12-III-2019", "12. III. 2019", "12.Maerz 2019", "12. März 2019", "12. 3. 2019", "03|12|2019"),
        *("12th of March 2019", "the 12th day of March, 2019", "12 de marzo de 2019", "12 mars 2019", "12 marzo 2019"),
        *("12 maart 2019", "2019, March 12", "2019 12 March", "Mar122019", "2019年3月12日", "2019년 3월 12일"),
    ],
)
def test_a_date_is_found_in_any_usual_spelling(written: str) -> None:
    """Lost otherwise: a study's day would pass for the language it is written in."""
    day = text(STUDY_DATE, b"20190312")
    for charset, codec in ((UTF_8, "utf-8"), (LATIN_1, "latin-1")):
        if codec == "utf-8" or max(written) < "\u0100":
            assert found(written.encode(codec), charset, day) is WITHHOLD
    assert found(written.encode(), UTF_8, text(STUDY_DATE, b"20190317")) is RELEASE


@pytest.mark.parametrize("month", range(1, 13))
@pytest.mark.parametrize("names", [gate_oracle.MONTHS, gate_oracle.GERMAN, gate_oracle.FRENCH, gate_oracle.SPANISH])
def test_every_month_is_known(names: tuple[str, ...], month: int) -> None:
    """Lost otherwise: the dates of one month would pass in one language."""
    day = text(STUDY_DATE, b"2019%02d21" % month)
    assert found(f"21 {names[month - 1][:4]} 2019".encode(), day) is WITHHOLD
    assert found(f"21-{gate_oracle.NUMERALS[month - 1]}-2019".encode(), day) is WITHHOLD


def test_a_date_over_several_values_is_found_and_lists_of_numbers_are_none() -> None:
    """Lost otherwise: a date cut in three would pass, or every list of numbers be a date."""
    day = text(STUDY_DATE, b"20190312")
    assert found(b"12\\03\\2019", day) is REVIEW
    for harmless in (b"12\\3\\20190", b"7.12\\3\\2019", b"2019\\3\\12.5", b"12\\3\\2019.5", b"112\\3\\2019"):
        assert found(harmless, day) is RELEASE


# What is left out, as stated.

STATED: dict[str, tuple[Element, Element]] = {
    "day of the year": (text(STUDY_DATE, b"20190312"), comment(b"2019-071")),
    "grouped": (text(ACCESSION, b"774190"), comment(b"774-190")),
    "word apart": (text(0x00081030, b"FOLLOWUP"), comment(b"FOLLOW UP")),
    "zeros": (text(ACCESSION, b"MRN00774190 "), comment(b"MRN774190")),
    "encoding": (text(NAME, "Müller^Zoë".encode("latin-1")), comment("Müller".encode("cp437"))),
    "script": (text(NAME, b"Ivanov^Petr "), comment("Иванов".encode())),
    "binary number": (text(ACCESSION, b"77419023"), comment(b"7.7419023E7")),
    "plain in bytes": (text(NAME, "Osterby^Ase ".encode("latin-1")), text(LUT, "\x01Østerby".encode(), "OW")),
}


@pytest.mark.parametrize("rule", STATED)
def test_a_stated_rule_leaves_out_what_it_says(rule: str) -> None:
    """Lost otherwise: the list of what is left out would not be the list of what is left out."""
    assert rule in dict(search.STATED)
    secret, left_out = STATED[rule]
    assert case(LATIN_1, secret).planted(left_out).outcome is RELEASE
