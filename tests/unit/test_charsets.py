# ruff: noqa: RUF001 - names in other scripts look like Latin letters
"""Character sets: what a reader could see in a value is what cleaning and the gate look at."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.charset import encode_string, python_encoding

from farm.dicom.charsets import decode, encode

CHARSETS = [term.encode() for term in python_encoding if term]
VRS = ["AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR", "UT", "OB", "US", "SQ"]


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        (b"", "HEAD"),
        (b"ISO_IR 6", "HEAD"),
        (b"ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        (b"ISO_IR 100", "Müller^Jürgen"),
        (b"ISO_IR 101", "Wałęsa^Łukasz"),
        (b"ISO_IR 109", "Ġorġ"),
        (b"ISO_IR 110", "Bērziņš"),
        (b"ISO_IR 126", "Διονυσιος"),
        (b"ISO_IR 127", "قباني^لنزار"),
        (b"ISO_IR 138", "שרון^דבורה"),
        (b"ISO_IR 144", "Люкceмбypг"),
        (b"ISO_IR 148", "Çavuşoğlu"),
        (b"ISO_IR 166", "สมชาย"),
        (b"ISO_IR 192", "王^小東=Ελλη"),
        (b"ISO_IR 203", "Œuvre €"),
        (b"GB18030", "王^小东"),
        (b"GBK", "王^小东"),
        (b"iso-ir 100 ", "Müller"),
        (b"ISO 2022 IR 100", "Müller"),
    ],
)
def test_each_character_set_decodes_its_own_script(charset: bytes, text: str) -> None:
    """Lost otherwise: names in that script would never match what stands in a description."""
    term = charset.decode().strip().upper().replace("-", "_", 1).replace("-", " ")
    encoding = {"": "ascii", "ISO_IR 203": "iso8859_15"}.get(term) or python_encoding[
        term.replace("ISO_IR_", "ISO_IR ")
    ]
    assert decode(text.encode(encoding), "PN", charset) == text


@pytest.mark.parametrize(
    ("charset", "value", "text"),
    [
        (
            b"\\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            b"ISO 2022 IR 13\\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        (
            b"\\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (b"\\ISO 2022 IR 58", b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab", "Wang^XiaoDong=王^小东"),
        (b"\\ISO 2022 IR 159", b"\x1b$(D\x30\x21\x1b(B end", "丂 end"),
        (b"ISO 2022 IR 6\\ISO 2022 IR 100", b"Buc^J\x1b-A\xe9r\xf4me", "Buc^Jérôme"),
        (b"", b"\x1b$B;3ED\x1b(B", "山田"),
    ],
)
def test_escape_sequences_are_followed(charset: bytes, value: bytes, text: str) -> None:
    """Lost otherwise: the ideographic and phonetic groups of East Asian names (PS3.5 annexes H to K) would be noise."""
    assert decode(value, "PN", charset) == text


def test_a_delimiter_brings_the_first_character_set_back() -> None:
    """Lost otherwise: bytes behind a caret would be read in a character set that no longer holds (PS3.5 6.1.2.5.3)."""
    assert decode(b"\x1b-F\xc1\xe2^\xc1\xe2", "PN", b"ISO 2022 IR 100\\ISO 2022 IR 126") == "Αβ^Áâ"


@pytest.mark.parametrize("term", ["ISO 2022 IR 87", "ISO 2022 IR 149", "ISO 2022 IR 58", "ISO 2022 IR 126"])
def test_what_pydicom_writes_is_read(term: str) -> None:
    """Lost otherwise: only our own idea of ISO 2022 would be tested."""
    text = {
        "ISO 2022 IR 87": "山田",
        "ISO 2022 IR 149": "홍길동",
        "ISO 2022 IR 58": "王小东",
        "ISO 2022 IR 126": "Ελλη",
    }[term]
    encodings = ["iso8859", python_encoding[term]]
    assert decode(encode_string(text, encodings), "LO", b"\\" + term.encode()) == text


def test_a_missing_escape_sequence_is_supplied() -> None:
    """Lost otherwise: names from the many writers that announce a character set and then just use it would be noise."""
    assert decode("Müller".encode("latin-1"), "PN", rb"\ISO 2022 IR 100") == "Müller"
    assert decode("홍길동".encode("euc_kr"), "PN", rb"ISO 2022 IR 6\ISO 2022 IR 149") == "홍길동"


def test_a_backslash_within_two_bytes_is_no_backslash() -> None:
    """Lost otherwise: a Chinese name would be cut at the second byte of one of its characters."""
    assert b"\\" in "誠".encode("gbk") or b"\\" in "俓".encode("gbk")
    for sign in "誠俓":
        assert decode(sign.encode("gbk"), "LO", b"GBK") == sign


@given(st.binary(max_size=80), st.sampled_from(CHARSETS) | st.binary(max_size=30), st.sampled_from(VRS))
def test_decoding_never_fails(value: bytes, charset: bytes, vr: str) -> None:
    """Lost otherwise: a malformed value or an invented character set would stop an instance that others can read."""
    assert isinstance(decode(value, vr, charset), str)


def test_what_cannot_be_decoded_is_marked() -> None:
    """Lost otherwise: half of a name could look like a word of the vocabulary."""
    assert decode(b"Sch\xe4del", "LO", b"") == "Sch�del"
    assert decode(b"Sch\xe4del", "LO", b"ISO_IR 192") == "Sch�del"
    assert decode(b"Sch\xe4del", "CS", b"ISO_IR 100") == "Sch�del"
    assert decode(b"\x00\x01", "US", b"ISO_IR 100") == ""


def test_what_is_written_is_ascii() -> None:
    """Lost otherwise: cleaned text would need the character set of the source to be read."""
    assert encode("Kopf " + unicodedata.normalize("NFD", "é") + " 王") == b"Kopf e "
