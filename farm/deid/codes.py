"""Coded entries (PS3.3 section 8): a code stays where it is one of a public vocabulary, whoever wrote it.

A coded entry is a value, its scheme and a meaning in words. Value and scheme are told apart from free text by looking
them up: the codes of DICOM, SNOMED CT (and its retired forms), UCUM and the other public schemes that PS3.16 uses. A
local code (`99...`) may be anything, a patient number or a name, so its value becomes a dummy. The meaning is text: it
stays where it is, to the letter, the meaning of one of those codes, and is cleaned as any text where it is not.

What is not known becomes a dummy and is not removed: the attributes of a coded entry require each other (PS3.3 table
8.8-1: one of three values, a version where the scheme alone does not do, a mapping resource for a context group).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydicom.sr._concepts_dict import concepts
from pydicom.sr._snomed_dict import mapping as snomed

SCHEMES = frozenset(
    b"DCM SCT SRT SNM3 99SDM UCUM LN FMA RADLEX RADELEMENT MA NCIt NICIP I9C I9 I10 I10P ICDO3 ATC BARI BI CD10 "
    b"CPT4 C4 C5 IBSI ITIS_TSN LOINC MDC MSH NEU NDC NPI NYUMCCG PUBCHEM_CID RFC3066 RFC5646 RO SCPECG UMLS UNS "
    b"ISO3166_1 ISO639_1 ISO639_2 ISO5218_1 IANA_RFC3066 HL7 HPC IEEE10101".split()
)
VALUE, SCHEME, VERSION, MEANING, LONG_VALUE, URN = (0x00080100 + n for n in (0, 2, 3, 4, 0x19, 0x20))
EXTENSION_FLAG = 0x0008010B
_LONGEST_MEANING = 64  # of LO
_VERSION = re.compile(rb"\d{1,2}(?:\.\d)?")
_SCP_ECG = re.compile(rb"5\.\d\.\d{1,2}-\d{1,2}(?:-\d{1,3}){1,2}")
_LOINC = re.compile(rb"\d{1,6}-\d")
_SNOMED_RT = re.compile(rb"[A-Z]\d?-[0-9A-F]{4,6}")
_STANDARD_URN = re.compile(rb"urn:(?:oid|lex|iso):[0-9A-Za-z.:;-]{1,64}")


def keeps(tag: int, value: bytes) -> bool:
    """Tell whether an attribute of a code, but its meaning, is of a public vocabulary."""
    if tag == SCHEME:
        return value in SCHEMES
    if tag == VERSION:
        return bool(_VERSION.fullmatch(value))
    if tag in {VALUE, LONG_VALUE}:
        return value in _values() or any(pattern.fullmatch(value) for pattern in (_LOINC, _SNOMED_RT, _SCP_ECG))
    return tag == URN and bool(_STANDARD_URN.fullmatch(value))


def is_meaning(value: bytes) -> bool:
    """Tell whether a Code Meaning is, in whole, that of a code of a public vocabulary."""
    return value in _meanings()


@cache
def _meanings() -> frozenset[bytes]:
    """Return every code meaning that pydicom's copy of the PS3.16 context groups knows."""
    schemes: Any = concepts
    codes = (code for scheme in schemes.values() for by_value in scheme.values() for code in by_value.values())
    return frozenset(meaning.encode()[:_LONGEST_MEANING].rstrip() for meaning, *_ in codes if meaning.isascii())


@cache
def _values() -> frozenset[bytes]:
    """Return every code value that pydicom's copy of the PS3.16 context groups and SNOMED mappings knows."""
    schemes: Any = concepts
    known = {value for scheme in schemes.values() for by_value in scheme.values() for value in by_value}
    known |= {code for one_way in snomed.values() for pair in one_way.items() for code in pair}
    return frozenset(value.encode() for value in known)
