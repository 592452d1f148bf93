# ruff: noqa: RUF001 - names in other scripts look like Latin letters
"""Descriptor cleaning by law: whatever the text, what comes out is safe, valid and stays as it is."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.deid.standard.words import WORDS
from farm.deid.text import Cleaner, names
from farm.deid.vocabulary import FUNCTION_WORDS, PHRASES

UTF8 = b"ISO_IR 192"
LIMITS = {"AE": 16, "LO": 64, "LT": 10240, "SH": 16, "ST": 1024, "UC": 10**9, "UT": 10**9}
COMPOUND = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}(?![a-z])")
TOKEN = re.compile(r"(?:[A-Za-z0-9]|(?<=[0-9])[.,](?=[0-9]))+")
IN_PHRASES = {word for phrase in PHRASES for word in phrase}

plain = st.sampled_from(sorted(WORDS)[::37]) | st.sampled_from(
    ["CT", "T1", "5mm", "3", "W", "x2", "L4", "for", "MR", "mm"]
)
names_of_people = st.sampled_from(
    [
        "Smith",
        "Hand",
        "Head",
        "May",
        "Müller",
        "山田",
        "Люкceмбypг",
        "O'Brien",
        "van der Berg",
        "Ng",
        "Åse",
        "Dr.",
        "Mr",
        "M.",
    ]
)
numbers = st.sampled_from(
    ["12/03/2019", "2019", "12", "03", "555-1234", "0.5", "12.03.", "1,5", "00", "7", "19550302", "10:30"]
)
signs = st.sampled_from(
    [" ", "_", "-", "/", ".", ", ", " (", ") ", "^", "=", "+", "  ", "\r\n", "", "\u00a0", "\u2013", ":"]
)
texts = st.lists(st.tuples(plain | names_of_people | numbers | st.text(max_size=6), signs), max_size=12).map(
    lambda pairs: "".join(word + sign for word, sign in pairs)
) | st.text(max_size=60)
vrs = st.sampled_from(sorted(LIMITS))
people = st.lists(names_of_people | plain | numbers | st.text(max_size=12), max_size=4)


def cleaned(text: str, vr: str, identifying: list[str]) -> str:
    """Return a text cleaned."""
    return Cleaner(identifying, UTF8).text(vr, text.encode("utf-8", "replace")).decode("ascii")


@given(texts, vrs, people)
def test_no_token_is_outside_the_vocabulary_and_the_number_rule(text: str, vr: str, identifying: list[str]) -> None:
    """Lost otherwise: some combination of rules could let a word through that nobody has called safe."""
    for token in TOKEN.findall(cleaned(text, vr, identifying)):
        assert sum(map(str.isdigit, token)) <= 4, token
        words = re.findall("[a-z]+", token.lower()) if any(map(str.isdigit, token)) else [token.lower()]
        parts = [part.lower() for part in COMPOUND.findall(token)]
        for word in words:
            known = word in WORDS | FUNCTION_WORDS | IN_PHRASES or len(word) < 4
            assert known or all(part in WORDS for part in parts), token


@given(texts, vrs, people)
def test_cleaning_is_idempotent(text: str, vr: str, identifying: list[str]) -> None:
    """Lost otherwise: a second pass, here or at the recipient's, would find something that the first had left."""
    once = cleaned(text, vr, identifying)
    assert cleaned(once, vr, identifying) == once


@given(texts, vrs, people)
def test_what_comes_out_is_valid_for_its_vr(text: str, vr: str, identifying: list[str]) -> None:
    """Lost otherwise: cleaning would break an instance that was valid (PS3.5 table 6.2-1)."""
    out = cleaned(text, vr, identifying)
    parts = [out] if vr in {"LT", "ST", "UT"} else out.split("\\")
    assert all(len(part) <= LIMITS[vr] for part in parts)
    allowed = "\t\n\f\r" if vr in {"LT", "ST", "UT"} else ""
    assert all(" " <= sign <= "~" or sign in allowed for sign in out)
    assert out == out.strip()


long_words = st.sampled_from(sorted(word for word in WORDS if len(word) > 2))


@given(long_words | st.from_regex(r"[A-Za-z]{3,10}|[0-9]{3,8}", fullmatch=True), texts, vrs)
def test_no_identifying_value_survives_in_any_case(value: str, text: str, vr: str) -> None:
    """Lost otherwise: the subject would be named in a description by a word that is safe for everyone else."""
    for spelling in (value, value.upper(), value.title()):
        out = cleaned(f"CT {spelling} {text}", vr, [value])
        assert value.lower() not in {token.lower() for token in TOKEN.findall(out)}


@given(st.lists(st.sampled_from(sorted(WORDS)), min_size=1, max_size=3))
def test_no_component_of_a_name_survives(components: list[str]) -> None:
    """Lost otherwise: a name in another order, or one component of it, would stay."""
    components = [component for component in components if len(component) > 2]
    out = cleaned(" ".join(["MR", *reversed(components), "PA"]), "UT", names("^".join(components)))
    assert not set(components) & {token.lower() for token in TOKEN.findall(out)}


CHARSETS = {
    "ISO_IR 100": ("latin-1", "Müller"),
    "ISO_IR 101": ("iso8859_2", "Wałęsa"),
    "ISO_IR 144": ("iso8859_5", "Иванов"),
    "ISO_IR 126": ("iso8859_7", "Παπαδοπουλος"),
    "ISO_IR 127": ("iso8859_6", "قباني"),
    "ISO_IR 138": ("iso8859_8", "שרון"),
    "ISO_IR 192": ("utf-8", "山田"),
    "GB18030": ("gb18030", "王小东"),
    "ISO_IR 13": ("shift_jis", "ﾔﾏﾀﾞ"),
}


@pytest.mark.parametrize("charset", sorted(CHARSETS))
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("knows", [True, False])
def test_names_in_eight_character_sets_go(charset: str, form: str, *, knows: bool) -> None:
    """Lost otherwise: a name would pass in the form or the encoding that nobody thought of, known to us or not."""
    encoding, name = CHARSETS[charset]
    spelled = unicodedata.normalize(form, name) if encoding in {"utf-8", "gb18030"} else name
    for spelling in (spelled, spelled.upper(), f"{spelled}^{spelled}"):
        value = f"CT {spelling} HEAD".encode(encoding, "ignore")
        assert Cleaner(names(name) if knows else [], charset.encode()).text("LO", value) == b"CT HEAD"


def test_what_is_remembered_does_not_depend_on_whom_it_was_cleaned_for() -> None:
    """Lost otherwise: one patient's name would be dropped from, or kept in, the next one's descriptions."""
    head, nobody = Cleaner(["Head"], b""), Cleaner([], b"")
    for _ in range(2):
        assert nobody.text("LO", b"CT Head") == b"CT Head"
        assert head.text("LO", b"CT Head") == b"CT"
        assert Cleaner(["Neck"], b"").text("LO", b"CT Head") == b"CT Head"
