"""What a callback answers: nothing but an action or bytes, and bytes that are a value of the element's VR.

A value that is no value of its VR makes an instance that other programs refuse or misread, so it is refused here,
where the program that gave it still runs. The rules are those of PS3.5 table 6.2-1: the characters that a VR allows,
its form, its length in characters for each value, and whole numbers of what is binary.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farm.deid.policy import Action
from farm.dicom.charsets import decode
from farm.dicom.elements import SHORT_VRS
from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 0xFFFE  # bytes of a value whose length is written in 16 bits, padded to an even number
_DATE = r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?"
_PLAIN = r"[ -\[\]-~]*"  # ASCII's graphic characters, without the backslash
_FORMS = {
    "AE": re.compile(_PLAIN),
    "AS": re.compile(r"\d{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]*"),
    "DA": re.compile(_DATE),
    "DS": re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"),
    "DT": re.compile(rf"(?:\d{{4}}(?:0[1-9]|1[0-2])?|{_DATE}(?:{_TIME})?)(?:[+-]\d{{4}})?"),
    "IS": re.compile(r"[+-]?\d+"),
    "TM": re.compile(_TIME),
    "UI": re.compile(r"(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))*"),
    "UR": re.compile(_PLAIN),
}
_CHARACTERS = {"AE": 16, "CS": 16, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "LT": 10240, "PN": 64, "SH": 16, "ST": 1024}
_CHARACTERS |= {"TM": 14, "UI": 64, "UC": _LONGEST << 16, "UT": _LONGEST << 16}
_ONE_VALUE = frozenset({"LT", "ST", "UT", "UR"})
_LINES = frozenset({"LT", "ST", "UT"})
_WIDTH = dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8) | dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), 4)
_WIDTH |= {"OB": 1, "UN": 1}
_IS_DECODED = frozenset(_FORMS | _CHARACTERS)


def where(tag: int) -> str:
    """Return a tag as it stands in an error."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def of_kind(answer: object, tag: int) -> Action | bytes | None:
    """Return an answer that is one; raise `BadRecipe` where it is of another type."""
    if answer is None or isinstance(answer, Action | bytes):
        return answer
    raise BadRecipe(Reason.BAD_RECIPE, f"a callback answers None, an Action or bytes, not what it did for {where(tag)}")


def check(answer: bytes, tag: int, vr: str, charset: bytes | None) -> None:
    """Raise `BadRecipe` where bytes are no value of a VR; `charset` None: by which it is read is not known."""
    is_short = vr not in SHORT_VRS or len(answer) <= _LONGEST
    is_value = _is_text(answer, vr, charset) if vr in _IS_DECODED else len(answer) % _WIDTH.get(vr, 2) == 0
    if not (is_short and is_value):
        raise BadRecipe(Reason.BAD_RECIPE, f"the bytes of a callback are no value of {where(tag)}, whose VR is {vr}")


def _is_text(answer: bytes, vr: str, charset: bytes | None) -> bool:
    """Tell whether bytes are text of a VR; of text that cannot be read here, the control characters are judged."""
    if charset is None and vr not in _FORMS and not answer.isascii():
        return not any(byte < 0x20 and byte not in b"\t\n\f\r\x1b" for byte in answer)
    text = decode(answer, vr, charset or b"")
    return "\ufffd" not in text and all(_is_one(part, vr) for part in _parts(text, vr))


def _parts(text: str, vr: str) -> Iterator[str]:
    """Yield what is bounded: each value, of a name each of its groups; without padding."""
    for value in [text] if vr in _ONE_VALUE else text.split("\\"):
        padding = "\0" if vr == "UI" else " "
        for part in value.split("=") if vr == "PN" else [value]:
            yield part.rstrip(padding) if vr in _LINES else part.strip(padding)


def _is_one(text: str, vr: str) -> bool:
    if len(text) > _CHARACTERS.get(vr, _LONGEST << 16):
        return False
    form = _FORMS.get(vr)
    if form is not None:
        return not text or form.fullmatch(text) is not None
    allowed = "\t\n\f\r\x1b" if vr in _LINES else "\x1b"
    return not any((char < " " and char not in allowed) or "\x7f" <= char < "\xa0" for char in text)
