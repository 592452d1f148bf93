"""Ages: kept up to 89 years, and one category above (as the HIPAA Safe Harbor method asks).

An age of 90 years or more is so rare that it can point to a person; together they become 090Y. Only years can tell so
old an age: three digits of months end at 83 years (PS3.5 6.2, AS).

A content item may tell an age as a number with a unit (PS3.16 CID 7456). It becomes 90 years in that unit. What is
measured in years and is more than that is an age, whatever it is called.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Literal

from farm.deid.uids import components

CONCEPTS = frozenset(
    {
        ("dcm", "121033"),  # Subject Age
        ("sct", "397669002"),  # Age
        ("sct", "424144002"),  # Current chronological age
        ("sct", "445518008"),  # Age at onset
        ("ln", "30525-0"),  # Age
        ("ln", "21612-7"),  # Age reported
        ("ln", "29553-5"),  # Age calculated
    }
)
"""Concepts of which a number is an age, by scheme (in lower case) and code value."""
_YEARS = "a"
_LONGEST = {"a": 90, "mo": 1080, "wk": 4680, "d": 32_850, "h": 788_400, "min": 47_304_000, "s": 2_838_240_000}
"""90 years in the units of UCUM."""
_NUMERIC, _FLOATING, _FRACTION = 0x0040A30A, 0x0040A161, (0x0040A162, 0x0040A163)
_LONG = 0x7FFFFFFF
_AS = re.compile(rb"\d{3}[DWMY]")
_OLDEST = b"090Y"


def age(value: bytes) -> bytes:
    """Return the new value of an AS without padding; a component that is no age becomes empty."""
    return b"\\".join([_capped(part) for part in components(value)])


def _capped(text: bytes) -> bytes:
    if not _AS.fullmatch(text):
        return b""
    return _OLDEST if text.endswith(b"Y") and text > _OLDEST else text


def longest(scheme: str, value: str, unit: str) -> int | None:
    """Return the highest number that may stay in an item of a concept, in its unit; None where it is no age."""
    if unit == _YEARS or (scheme.casefold(), value) in CONCEPTS:
        return _LONGEST.get(unit)
    return None


def capped(forms: Mapping[int, bytes], most: int, order: Literal["little", "big"]) -> dict[int, bytes]:
    """Return the forms of a number, by tag, as they are or with none above a limit; their lengths stay.

    They are text, a double and a fraction (PS3.3 table C.18.1-1), and one of them decides for all.
    """
    mark = "<" if order == "little" else ">"
    texts = forms.get(_NUMERIC, b"").split(b"\\")
    doubles = _unpacked(mark + "d", forms.get(_FLOATING, b""))
    parts = zip(*(_unpacked(mark + "l", forms.get(tag, b"")) for tag in _FRACTION), strict=False)
    numbers = [*map(_told, texts), *doubles, *(number / (of or 1) for number, of in parts)]
    if not any(number > most for number in numbers):
        return dict(forms)
    new = dict(forms)
    if _NUMERIC in new:
        new[_NUMERIC] = b"\\".join([_number(part, most) for part in texts])
    if _FLOATING in new:
        new[_FLOATING] = b"".join(struct.pack(mark + "d", min(number, most)) for number in doubles)
    for tag, whole in zip(_FRACTION, (min(most, _LONG), 1), strict=True):
        if tag in new:
            new[tag] = whole.to_bytes(4, order) * (len(new[tag]) // 4)
    return {tag: value.ljust(len(forms[tag]), b"\0") for tag, value in new.items()}


def _unpacked(form: str, value: bytes) -> list[float]:
    size = struct.calcsize(form)
    return [number for (number,) in struct.iter_unpack(form, value[: len(value) // size * size])]


def _told(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _number(text: bytes, most: int) -> bytes:
    """Return a number, or the limit where it is above that, in as many bytes."""
    if _told(text) <= most:
        return text
    plain = b"%d" % most
    if len(plain) > len(text):  # written with an exponent
        plain = b"%dE%d" % (most // 10 ** (len(plain) - 1), len(plain) - 1)
    return plain[: len(text)].ljust(len(text))
