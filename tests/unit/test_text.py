# ruff: noqa: RUF001 - names in other scripts look like Latin letters
"""Descriptor cleaning by example: what stays readable and what goes (PS3.15 E.3.5)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from farm.deid.standard.words import WORDS
from farm.deid.text import Cleaner, names
from farm.deid.uids import components
from farm.deid.vocabulary import is_term

UTF8 = b"ISO_IR 192"
NOBODY = Cleaner([], UTF8)
LISTS = Path(__file__).parents[2] / "scripts" / "vocabulary"


def cleaned(text: str, *identifying: str, vr: str = "LO") -> str:
    """Return a text cleaned."""
    return Cleaner(identifying, UTF8).text(vr, text.encode()).decode("ascii")


def known_terms(tag: int, value: bytes) -> bool:
    """Tell whether every value of a code string may stay."""
    return all(is_term(tag, part) for part in components(value))


@pytest.mark.parametrize(
    "text",
    [
        "CT ABDOMEN W CONTRAST 5.0mm",
        "CT HEAD/BRAIN WO CONTRAST",
        "t1_mprage_sag_p2_iso_0.9",
        "ep2d_diff_3scan_trace_p2_ADC",
        "Thorax  1.0  B31f",
        "*tfl3d1_16ns",
        "*fl3d1r_t70",
        "AX T2 FLAIR FS",
        "SAG T1 3D MPRAGE +C",
        "L-SPINE AP+LAT",
        "C5/C6 L4-5 T12",
        "CHEST PA & LAT",
        "MR Kopf nativ + KM",
        "IRM genou droit sans injection",
        "TAC torax con contraste",
        "Neck^1HEAD_NECK_PETCT",
        "b0 b500 b1000 DWI",
        "3 T brain TE 80 ms",
        "short axis cine 4 chamber",
        "ABD 2 VIEWS W PA CHEST",
        "Tc-99m MDP whole body bone scan",
        "GE MEDICAL SYSTEMS",
        "FC13",
        "HeadNeck_64",
    ],
)
def test_descriptions_of_every_day_stay(text: str) -> None:
    """Lost otherwise: research gets data sets that say nothing, and turns cleaning off."""
    assert cleaned(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("MRI Brain T1 post Gd for Dr. Smith 12/03/2019", "MRI Brain T1 post Gd for"),
        ("CT chest abdomen pelvis - 55F Dr. Smith", "CT chest abdomen pelvis"),
        ("Dr. Hand", ""),
        ("M. Genou", ""),
        ("Mr Head foot", "foot"),
        ("XR CHEST AP PORTABLE for Douglas Davidson", "XR CHEST AP PORTABLE for"),
        ("CT_SMITH_HEAD", "CT_HEAD"),
        ("CT (HEAD Smith) W/O", "CT HEAD W/O"),
        ("S M I T H Chest", "Chest"),
        ("Room 12 chest", "chest"),
        ("55 y/o chest", "chest"),
        ("chest F 55", "chest"),
        ("MRN 123 chest", "chest"),
        ("12th of October chest", "of chest"),
        ("12 of Oct chest", "of chest"),
        ("Parkinson brain, Baker cyst", "brain cyst"),
        ("Скелет Крупный LAT", "LAT"),
        ("***", ""),
        ("", ""),
    ],
)
def test_what_is_not_known_to_be_safe_goes(text: str, left: str) -> None:
    """Lost otherwise: names, ages, numbers and eponyms would stand in descriptions (E.3.5, notes 1 and 2)."""
    assert cleaned(text) == left


@pytest.mark.parametrize(
    "secret",
    [
        *["12/03/2019", "2019-03-12", "20190312", "12.03.2019", "12 Mar 2019", "March 12, 2019", "12MAR19", "3/12/19"],
        *["12-03", "03/2019", "12.03.", "Oct 12", "10:30:05", "14:05"],
        *["555-123-4567", "(030) 123 456", "+49 30 1234567", "5551234", "555 12 34", "00 49 30 12 34"],
        *[
            "john.head@brain.org",
            "http://pacs.example/head",
            "www.brain.org/hand",
            "head.com",
            r"C:\head\neck",
            r"\\ct\head",
        ],
        *["MRN0012345", "A12B34", "P-4711", "2.16.840.1.113883", "1234567", "ZQ0015QZ", "9f86d081"],
        *["4711", "1955", "*1955", "SSN 078-05-1120"],
    ],
)
def test_dates_numbers_and_addresses_go_without_a_trace(secret: str) -> None:
    """Lost otherwise: what links an instance to a person would stay beside the words, or its length would."""
    assert cleaned(f"CT {secret} knee", vr="UT") == "CT knee"
    assert cleaned(secret, vr="UT") == ""


@pytest.mark.parametrize("subject", ["HEAD^MAY", "Head^Anna", "head", "Hëad", "ＨＥＡＤ"])
def test_the_instances_own_values_go_though_they_are_plain_words(subject: str) -> None:
    """Lost otherwise: a patient called Head would be named in every description of a head (E.3.5, note 2)."""
    assert cleaned("CT Head neck", *names(subject)) == "CT neck"
    assert cleaned("CT_HEAD", *names(subject)) == "CT"
    assert cleaned("HeadNeck 1HEAD", *names(subject)) == ""


@pytest.mark.parametrize("text", ["Knochen Kopf", "KNOCHEN", "CT Knochen", "Knöchen"])
def test_a_name_with_an_umlaut_is_found_in_its_other_spellings(text: str) -> None:
    """Lost otherwise: a name typed without its accents would not be the name."""
    assert "nochen" not in cleaned(text, "Knöchen").lower()


def test_a_value_of_short_words_is_found_across_them() -> None:
    """Lost otherwise: `Li^An`, or an id such as T1L2, would pass in pieces of two characters."""
    assert cleaned("CT T1-L2 knee", "T1L2") == "CT knee"
    assert cleaned("CT chest head", "ChestHead") == "CT"


def test_names_gives_components_groups_and_both_orders() -> None:
    """Lost otherwise: only the whole PN value, carets and all, would count as the name."""
    assert names("Yamada^Tarou=山田^太郎") == [
        "Yamada",
        "Tarou",
        "Yamada Tarou",
        "Tarou Yamada",
        "山田",
        "太郎",
        "山田 太郎",
        "太郎 山田",
    ]
    assert names("") == names("^^=") == []


@pytest.mark.parametrize(
    ("charset", "value", "left"),
    [
        (b"ISO_IR 100", "Schädel Müller".encode("latin-1"), b"Schadel"),
        (b"ISO_IR 192", "Tête, cou".encode(), b"Tete, cou"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B CT", b"CT"),
        (b"\\ISO 2022 IR 149", b"CT \x1b$)C\xc8\xab", b"CT"),
        (b"GB18030", "王\u9055 CT".encode("gb18030"), b"CT"),
        (b"ISO_IR 144", "Череп CT".encode("iso8859_5"), b"CT"),
        (b"ISO_IR 126", "λεκάνη CT".encode("iso8859_7", "ignore"), b"CT"),
        (b"", b"Sch\xe4del CT", b"CT"),
    ],
)
def test_text_in_any_character_set_comes_out_in_ascii(charset: bytes, value: bytes, left: bytes) -> None:
    """Lost otherwise: names in another script would pass as separators, or the output would need their encoding."""
    assert Cleaner([], charset).text("LO", value) == left


def test_components_are_cleaned_one_by_one() -> None:
    """Lost otherwise: a backslash would join two values, or an emptied one would tell that there was one."""
    assert NOBODY.text("LO", rb"CHEST\Smith\HEAD ") == rb"CHEST\HEAD"
    assert NOBODY.text("LO", "CHEST＼HEAD".encode()) == b"CHEST HEAD"
    assert NOBODY.text("LT", rb"CHEST\HEAD") == rb"CHEST\HEAD"


def test_line_breaks_stay_in_text_and_not_in_strings() -> None:
    """Lost otherwise: a report's lines would run together, or an LO value would hold a control character."""
    assert NOBODY.text("LT", b"CHEST\r\nSmith\r\nHEAD") == b"CHEST\r\nHEAD"
    assert NOBODY.text("LO", b"CHEST\r\nHEAD\0") == b"CHEST HEAD"


@pytest.mark.parametrize(("vr", "longest"), [("SH", 16), ("LO", 64), ("ST", 1024)])
def test_a_value_too_long_for_its_vr_is_cut_between_words(vr: str, longest: int) -> None:
    """Lost otherwise: folding (one character to two) or a bad source would give an invalid value."""
    out = NOBODY.text(vr, b"abdomen " * 200)
    assert len(out) <= longest
    assert set(out.split()) == {b"abdomen"}


@pytest.mark.parametrize("vr", ["PN", "UR", "UN", "OB", "SQ", "DA", "UI", "DS"])
def test_what_is_no_free_text_gives_nothing(vr: str) -> None:
    """Lost otherwise: an action C on a VR that nobody thought of would keep its value."""
    assert NOBODY.text(vr, b"CHEST") == b""


@pytest.mark.parametrize(
    "value",
    [
        rb"ORIGINAL\PRIMARY\AXIAL",
        rb"DERIVED\SECONDARY\MPR ",
        b"CHEST",
        b"FOR PRESENTATION",
        rb"ISO 2022 IR 6\ISO 2022 IR 87",
        b"YBR_FULL_422",
        b"STEP AND SHOOT",
        b"ORGAN_AT_RISK",
        rb"\ISO 2022 IR 149",
        b"HFS",
        b"",
        b"FAT_SATURATION",
    ],
)
def test_code_strings_of_the_standard_are_known(value: bytes) -> None:
    """Lost otherwise: image types and body parts would go, and the IOD would be broken."""
    assert known_terms(0x00080008, value)
    assert NOBODY.code_string(value) == value.strip()


@pytest.mark.parametrize(
    "value", [b"ZQ0015QZ", b"SMITH", b"HEAD_SMITH", b"19550302", b"chest?", "CH\u00c4ST".encode(), b"42"]
)
def test_code_strings_that_are_none_are_not_known(value: bytes) -> None:
    """Lost otherwise: a misused code string is the one place where nobody looks (E.3.5, note 3)."""
    assert not known_terms(0x00180015, value)
    assert NOBODY.code_string(b"ORIGINAL\\" + value + b"\\AXIAL") == rb"ORIGINAL\\AXIAL"


def test_code_strings_that_are_names_by_nature_are_never_known() -> None:
    """Lost otherwise: a File-set ID made of plain words would be kept as if the standard had defined it."""
    assert not known_terms(0x00041500, rb"CHEST\HEAD")
    assert known_terms(0x0008010F, b"4020")


def test_a_code_string_made_of_the_subjects_name_goes() -> None:
    """Lost otherwise: FAT_SATURATION is safe for all but for one called so; a defined term says nothing of anyone."""
    cleaner = Cleaner(["Saturation^Head"], b"")
    assert cleaner.code_string(rb"HEAD\FAT_SATURATION", 0x00080008) == b"HEAD\\"


def test_nothing_is_told_of_whom_a_cleaner_knows() -> None:
    """Lost otherwise: a traceback with locals would print the names."""
    assert repr(Cleaner(["Smith^Anna"], b"")) == "Cleaner()"


COMMON = """
adam ahmed ali alice amber ana andrea angel anna antonio april arthur baker barbara bauer beck becker bell ben
bishop black blanc bond braun brown bruno bush carl carlo carol carter cash chan chase chen christian clark
claude conti cook cooper costa cox crystal daisy dale dan david dawn day dean diana don drake duke earl ed
emma endo engel eva eve fay felix ferrari field fischer fisher flora ford foster fox frank franz frost garcia
gene george german gloria gonzalez gordon grace grant gray green greco gupta hahn hall han hart hassan henry
hill hoffmann holly hope horn hunt hunter ida ina iris ivy jack jade james jan jean john jones joy juan jung
kaiser karen keller kelly kim king klein knight koch koenig kumar lamb lane lang lange laura le lea lee leon
lewis li lily lima lin linda ling long lopez lord louis love lucas ludwig mai maria marie mark martin mason
max may mayer mia michael miller min ming moore morgan mueller muller murray nelson ng nguyen noah noel noor
nova nunn otto park parker patel pauli penny perez peter petit pilar pohl pope prince price ralph ray reed
rene rice rich richard robin rosa rose ross roy ruby russo sala sanchez sandy sara sato sauer savage schmidt
schneider schwarz scott serra sharp short silva simon singh small smith snow sommer sophia stark stein stella
stone suzuki swift tan tanaka taylor thomas turner ueda ute vogel wagner walker wang ward weber weiss west
white will williams wilson winkler wise wolf wong wood wright wu young zhang january february march june july
august september october november december jan feb mar apr jun jul aug sep sept oct nov dec januar maerz juni
juli oktober dezember janvier mars avril juin aout enero marzo abril mayo junio agosto gennaio maggio monday
tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sun christian jewish muslim african
asian caucasian hispanic male female mother father son daughter pregnant hospital university doctor nurse
student soldier aged years months old parkinson alzheimer baker hodgkin marfan crohn
"""
PLAIN = {"min", "ute"}
"""A unit and a sequence (ultra-short echo time); both are rare as names."""


def test_common_names_dates_eponyms_and_personal_words_are_no_vocabulary() -> None:
    """Lost otherwise: the vocabulary would grow by a name with the next edition of the concept lists."""
    assert set(COMMON.split()) & WORDS == PLAIN


def test_the_lists_that_make_the_vocabulary_do_not_contradict_each_other() -> None:
    """Lost otherwise: a word could be added for its use and excluded as a name, and no one would see which holds."""
    added, excluded = (
        {word for line in (LISTS / name).read_text().splitlines() if not line.startswith("#") for word in line.split()}
        for name in ("added.txt", "excluded.txt")
    )
    assert not added & excluded
    assert added <= WORDS
    assert not excluded & WORDS


def test_the_committed_words_are_what_the_script_makes() -> None:
    """Lost otherwise: a word could be added by hand to a file that the next run of the script overwrites."""
    code = "import json, runpy, sys; print(json.dumps(sorted(runpy.run_path(sys.argv[1])['vocabulary']())))"
    script = LISTS.parent / "generate_vocabulary.py"
    # In a process of its own: pynetdicom, which other tests import, adds to pydicom's names.
    made = subprocess.run([sys.executable, "-c", code, script], check=True, capture_output=True)
    assert set(json.loads(made.stdout)) == WORDS


def test_no_canary_is_known() -> None:
    """Lost otherwise: what the acceptance test plants would pass by its form."""
    for number in range(1, 3000, 7):
        canary = f"ZQ{number:04}QZ"
        assert cleaned(f"CT {canary} head") == "CT head"
        assert not known_terms(0x00180015, canary.encode())
        assert cleaned(json.dumps({"x": canary}), vr="UT") == ""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("12-III-2019", ""),
        ("head 12-III-19", "head"),
        ("head 5.III", "head"),
        ("5th of March 1957", ""),
        ("head on the 21st of June", "head on the of"),
        ("5.3", ""),
        ("on 5.3.", ""),
        ("1950s", ""),
        ("1957T head", "head"),
    ],
)
def test_no_part_of_a_date_stays(text: str, left: str) -> None:
    """Lost otherwise: a day and a month would stay where only the year was seen to be one."""
    assert cleaned(text) == left


@pytest.mark.parametrize(
    "text", ["nerve VII", "echo 2nd pass", "thorax 1.5 B31f", "2.5 mm", "TR 2000ms", "1.5T", "30s", "1st pass head"]
)
def test_what_only_resembles_a_date_stays(text: str) -> None:
    """Lost otherwise: slice thickness, nerves and echoes would go with the dates that they look like."""
    assert cleaned(text) == text
