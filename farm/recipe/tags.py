"""How recipes write tags: "(gggg,eeee)", "ggggeeee" or the keyword of PS3.6; settled recipes use the first alone.

A keyword depends on the dictionary at hand, so it would be a poor thing to keep in a run for years.
"""

from __future__ import annotations

import re
from functools import cache

from pydicom._dicom_dict import DicomDictionary

from farm.deid.standard.e1_1 import ROWS
from farm.recipe.refusals import nearest, refusal

_NUMBER = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)|([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})")
_REPEATING = re.compile(r"\(?([56]0)[xX]{2},?([0-9A-Fa-f]{4})\)?")  # curves and overlays (PS3.5 7.6)
# Keywords of the attributes of table E.1-1 that pydicom's dictionary lacks.
_OVERLAY: dict[int, str] = {
    0x00081301: "PrincipalDiagnosisCodeSequence",
    0x00081302: "PrimaryDiagnosisCodeSequence",
    0x00081303: "SecondaryDiagnosesCodeSequence",
    0x00081304: "HistologicalDiagnosesCodeSequence",
    0x00100011: "PersonNamesToUseSequence",
    0x00100012: "NameToUse",
    0x00100013: "NameToUseComment",
    0x00100014: "ThirdPersonPronounsSequence",
    0x00100015: "PronounCodeSequence",
    0x00100016: "PronounComment",
    0x00100041: "GenderIdentitySequence",
    0x00100042: "SexParametersForClinicalUseCategoryComment",
    0x00100043: "SexParametersForClinicalUseCategorySequence",
    0x00100044: "GenderIdentityCodeSequence",
    0x00100045: "GenderIdentityComment",
    0x00100046: "SexParametersForClinicalUseCategoryCodeSequence",
    0x00100047: "SexParametersForClinicalUseCategoryReference",
    0x00102162: "EthnicGroups",
    0x3004007F: "DoseCalculationModelName",
    0x0040A034: "EffectiveStartDateTime",
    0x0040A035: "EffectiveStopDateTime",
    0x0040B034: "AnnotationDateTime",
    0x0040B036: "SegmentDefinitionDateTime",
    0x0040B03B: "MontageName",
    0x0040B03F: "MontageChannelLabel",
    0x0040E012: "DisplayURI",
}
_KEYWORDS: dict[int, str] = {tag: entry[4] for tag, entry in DicomDictionary.items() if entry[4]} | _OVERLAY
_BY_KEYWORD = {keyword: tag for tag, keyword in _KEYWORDS.items()}


def read(text: str, place: str) -> int:
    """Return the tag that a recipe writes; raise `BadRecipe` for the dotted path where there is none such."""
    number = _NUMBER.fullmatch(text)
    if number:
        return int("".join(part for part in number.groups() if part), 16)
    tag = _BY_KEYWORD.get(text)
    if tag is None:
        raise refusal(place, f"{text} is no attribute; {nearest(text, _BY_KEYWORD, 'write it as (gggg,eeee)')}")
    return tag


def asked(text: str, place: str) -> int:
    """Return the tag that a person means: as `read` does, or of a repeating group its first ((60xx,3000): 6000)."""
    repeats = _REPEATING.fullmatch(text)
    return read(f"{repeats[1]}00{repeats[2]}" if repeats else text, place)


def written(tag: int) -> str:
    """Return a tag as settled recipes write it."""
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def keyword(tag: int) -> str:
    """Return the keyword of a tag; empty where the dictionary has none."""
    return _KEYWORDS.get(tag, "")


def named(tag: int) -> str:
    """Return a tag for people: its keyword where it has one."""
    return keyword(tag) or written(tag)


@cache
def known() -> tuple[int, ...]:
    """Return the attributes of the dictionary and of table E.1-1, but for those of repeating and odd groups."""
    listed = {int(pattern, 16) for pattern, _, _ in ROWS if len(pattern) == 8 and "x" not in pattern}
    return tuple(sorted(listed | _KEYWORDS.keys()))
