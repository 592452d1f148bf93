"""The data dictionary: a tag's VR, from pydicom's tables plus what they lack (PS3.6).

pydicom's dictionary is an edition behind PS3.15: 26 attributes of table E.1-1 are missing from it. In Implicit VR a
missing entry reads as UN, and a sequence among them would hide its items from the profile, so they are overlaid here.
"""

from __future__ import annotations

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary

_OVERLAY: dict[int, str] = {
    0x00081301: "SQ",
    0x00081302: "SQ",
    0x00081303: "SQ",
    0x00081304: "SQ",
    0x00100011: "SQ",
    0x00100012: "LT",
    0x00100013: "UT",
    0x00100014: "SQ",
    0x00100015: "SQ",
    0x00100016: "UT",
    0x00100041: "SQ",
    0x00100042: "UT",
    0x00100043: "SQ",
    0x00100044: "SQ",
    0x00100045: "UT",
    0x00100046: "SQ",
    0x00100047: "UR",
    0x00102162: "UC",
    0x3004007F: "LO",
    0x0040A034: "DT",
    0x0040A035: "DT",
    0x0040B034: "DT",
    0x0040B036: "DT",
    0x0040B03B: "LO",
    0x0040B03F: "LO",
    0x0040E012: "UR",
}
_VRS: dict[int, str] = {tag: entry[0] for tag, entry in DicomDictionary.items()} | _OVERLAY
# Repeating groups (curves, overlays, ...): `60xx3000` is a mask and a value to compare with.
_REPEATERS: list[tuple[int, int, str]] = [
    (
        int("".join("0" if digit == "x" else "F" for digit in pattern), 16),
        int(pattern.replace("x", "0"), 16),
        entry[0],
    )
    for pattern, entry in RepeatersDictionary.items()
]


def vr_of(tag: int) -> str:
    """Return the dictionary's VR of a tag, such as `LO` or `US or SS`; `UN` where it has none.

    A private creator is LO (PS3.5 7.8.1) and a group length UL (7.2); other private elements are UN.
    """
    vr = _VRS.get(tag)
    if vr is not None:
        return vr
    if not tag & 0xFFFF:
        return "UL"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    for mask, value, vr in _REPEATERS:
        if tag & mask == value:
            return vr
    return "UN"
