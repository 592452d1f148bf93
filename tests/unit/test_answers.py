"""What a callback's bytes have to be: values of the element's VR (PS3.5 table 6.2-1)."""

from __future__ import annotations

import pytest

from farm.deid import answers
from farm.errors import BadRecipe

TAG = 0x00091001
GOOD: list[tuple[str, bytes, bytes | None]] = [
    ("CS", b"AXIAL\\PRIMARY 2_", b""),
    ("CS", b"", b""),
    ("DS", b" -1.5e3\\.5\\\\7. ", b""),
    ("IS", b"+12", b""),
    ("DA", b"20200229", b""),
    ("TM", b"235960.123456", b""),
    ("TM", b"09", b""),
    ("DT", b"2020", b""),
    ("DT", b"20200102030405.5+0100", b""),
    ("AS", b"012M", b""),
    ("UI", b"1.2.3\\1.0.4\0", b""),
    ("UR", b"urn:a?b=c", b""),
    ("AE", b"STATION 1", b""),
    ("LO", b"a" * 64 + b"\\" + b"b" * 64, b""),
    ("LO", "\u00fc".encode() * 64, b"ISO_IR 192"),
    ("LO", b"M\xfcller", b"ISO_IR 100"),
    ("LO", b"\xff\xfe", None),
    ("PN", b"=".join([b"a" * 64] * 3), b""),
    ("ST", b"two\r\nlines\\one value", b""),
    ("UT", b"a" * 70_000, b""),
    ("US", b"\1\2\3\4", b""),
    ("FD", bytes(16), b""),
    ("OB", b"abc", b""),
    ("UN", b"a" * 70_001, b""),
    ("OW", bytes(70_000), b""),
]
BAD: list[tuple[str, bytes, bytes | None]] = [
    ("CS", b"axial", b""),
    ("CS", b"not \xff", b""),
    ("CS", b"A" * 17, b""),
    ("DS", b"abc", b""),
    ("DS", b"1" * 17, b""),
    ("IS", b"1.5", b""),
    ("IS", b"1" * 13, b""),
    ("DA", b"2020-01-02", b""),
    ("DA", b"20201301", b""),
    ("TM", b"2460", b""),
    ("DT", b"20200102030405+1", b""),
    ("AS", b"95", b""),
    ("UI", b"1.02.3", b""),
    ("UI", b"1." + b"2" * 63, b""),
    ("UR", b"a\\b", b""),
    ("AE", b"a\nb", b""),
    ("LO", b"a" * 65, b""),
    ("LO", b"a\nb", b""),
    ("LO", b"a\0b", b""),
    ("LO", b"a\0\xff", None),
    ("LO", b"M\xfcller", b""),
    ("LO", b"M\xfcller", b"ISO_IR 192"),
    ("SH", b"a" * 17, b""),
    ("PN", b"a" * 65, b""),
    ("ST", b"a" * 1025, b""),
    ("US", b"\1", b""),
    ("FD", bytes(12), b""),
    ("US", bytes(70_000), b""),
    ("LO", b"\\".join([b"a" * 60] * 1200), b""),
]


@pytest.mark.parametrize(("vr", "value", "charset"), GOOD)
def test_a_value_of_the_vr_passes(vr: str, value: bytes, charset: bytes | None) -> None:
    """Lost otherwise: a program could not write what the standard allows."""
    answers.check(value, TAG, vr, charset)


@pytest.mark.parametrize(("vr", "value", "charset"), BAD)
def test_what_is_none_is_refused_without_being_told(vr: str, value: bytes, charset: bytes | None) -> None:
    """Lost otherwise: instances would be released that others cannot read, or the error would tell the value."""
    with pytest.raises(BadRecipe, match=rf"\(0009,1001\), whose VR is {vr}") as caught:
        answers.check(value, TAG, vr, charset)
    assert value[:40].decode("latin-1") not in str(caught.value) or len(value) < 3
