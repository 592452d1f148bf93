"""Dummy values (PS3.15 action D): not empty, valid for the VR, and the same for everybody.

A sequence that must stay gets one item of dummies, built so that the item satisfies the module it stands in: a code, a
verifying observer, a text node. Nothing of the original's items is kept.
"""

from __future__ import annotations

from farm.dicom.elements import Dialect

TEXT = b"REMOVED"
_BY_VR: dict[str, bytes] = {
    "AE": TEXT,
    "AS": b"000Y",
    "CS": TEXT,
    "DA": b"19000101",
    "DS": b"0",
    "DT": b"19000101000000",
    "IS": b"0",
    "LO": TEXT,
    "LT": TEXT,
    "PN": TEXT,
    "SH": TEXT,
    "ST": TEXT,
    "TM": b"000000",
    "UC": TEXT,
    "UI": b"2.25.0",
    "UR": b"urn:removed",
    "UT": TEXT,
}
_WIDTH: dict[str, int] = dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8)
_WIDTH |= dict.fromkeys(("AT", "FL", "OF", "OL", "SL", "UL"), 4)


def element(tag: int, vr: str, dialect: Dialect) -> bytes:
    """Return an encoded element with a dummy value."""
    if vr == "SQ":
        return dialect.sequence(tag, _item(tag, dialect))
    value = _BY_VR.get(vr) or bytes(_WIDTH.get(vr, 2))
    return dialect.element(tag, vr, value)


def code(dialect: Dialect, value: str, scheme: str, meaning: str) -> bytes:
    """Return the elements of a code item (PS3.3 table 8.8-1)."""
    return (
        dialect.element(0x00080100, "SH", value.encode())
        + dialect.element(0x00080102, "SH", scheme.encode())
        + dialect.element(0x00080104, "LO", meaning.encode())
    )


def _item(tag: int, dialect: Dialect) -> bytes:
    """Return the one item of a dummy sequence."""
    make = _ITEMS.get(tag)
    return make(dialect) if make else _removed_code(dialect)


def _removed_code(dialect: Dialect) -> bytes:
    return code(dialect, "REMOVED", "99FARM", "Removed")


def _content(dialect: Dialect) -> bytes:
    """One text node (PS3.3 C.17.3): the document stays a document, and nothing of its content is left."""
    name = code(dialect, "121106", "DCM", "Comment")
    return (
        dialect.element(0x0040A010, "CS", b"CONTAINS")
        + dialect.element(0x0040A040, "CS", b"TEXT")
        + dialect.sequence(0x0040A043, name)
        + dialect.element(0x0040A160, "UT", TEXT)
    )


def _observer(dialect: Dialect) -> bytes:
    """Return a verifying observer (PS3.3 table C.17-2)."""
    return (
        dialect.element(0x0040A027, "LO", TEXT)
        + dialect.element(0x0040A030, "DT", _BY_VR["DT"])
        + dialect.element(0x0040A075, "PN", TEXT)
        + dialect.sequence(0x0040A088)
    )


def _operator(dialect: Dialect) -> bytes:
    """Return an operator identification (PS3.3 table 10-1)."""
    return dialect.element(0x00080080, "LO", TEXT) + dialect.sequence(0x00401101, _removed_code(dialect))


def _flow(dialect: Dialect) -> bytes:
    """Return a flow identifier (PS3.3 table C.34-1)."""
    return dialect.element(0x00340002, "OB", b"\0\0")


def _graphic(dialect: Dialect) -> bytes:
    """One point on a layer (PS3.3 table C.10-5)."""
    point = (
        dialect.element(0x00700005, "CS", b"PIXEL")
        + dialect.element(0x00700020, "US", (2).to_bytes(2, dialect.order))
        + dialect.element(0x00700021, "US", (1).to_bytes(2, dialect.order))
        + dialect.element(0x00700022, "FL", bytes(8))
        + dialect.element(0x00700023, "CS", b"POINT")
    )
    return dialect.element(0x00700002, "CS", TEXT) + dialect.sequence(0x00700009, point)


def _waveform_note(dialect: Dialect) -> bytes:
    """Return a waveform annotation (PS3.3 table C.10-10)."""
    return dialect.element(0x0040A0B0, "US", bytes(4)) + dialect.element(0x00700006, "ST", TEXT)


_ITEMS = {
    0x00081072: _operator,
    0x00340001: _flow,
    0x0040A073: _observer,
    0x0040A730: _content,
    0x0040B020: _waveform_note,
    0x00700001: _graphic,
}
