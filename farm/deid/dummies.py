"""Dummy values (PS3.15 action D): not empty, valid for the VR and the VM, and the same for everybody.

Where PS3.3 enumerates an attribute's values, or a bare word would not be one of its kind, the attribute has a dummy of
its own. A sequence that must stay gets one item of dummies, built so that the item satisfies the macro or module it
stands in: a code, a reference, a verifying observer, a text node. Nothing of the original's items is kept.

A UID here names nothing. Two dummies are one UID, so a UID that must be unique is mapped (action U) instead.
"""

from __future__ import annotations

from collections.abc import Callable

from pydicom._dicom_dict import DicomDictionary

from farm.deid import documents, icc
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
_MULTIPLE_TEXT = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "PN", "SH", "TM", "UC", "UI"})
_MULTIPLE_BINARY = frozenset({"AT", "FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})
_BY_TAG: dict[int, bytes] = {
    0x00080201: b"+0000",  # Timezone Offset From UTC
    0x00100040: b"O",  # Patient's Sex
    0x001021A0: b"UNKNOWN",  # Smoking Status
    0x00281054: b"US",  # Rescale Type: unspecified
    0x00282000: icc.srgb(),  # ICC Profile
    0x00283004: b"US",  # Modality LUT Type: unspecified
    0x00420011: documents.replacement(b"application/pdf"),  # Encapsulated Document, where its MIME type is not known
    0x04000565: b"COERCE",  # Reason for the Attribute Modification
}


def element(tag: int, vr: str, dialect: Dialect) -> bytes:
    """Return an encoded element with a dummy value."""
    if vr == "SQ":
        return dialect.sequence(tag, _item(tag, dialect))
    return dialect.element(tag, vr, value(tag, vr))


def value(tag: int, vr: str) -> bytes:
    """Return the dummy value of an attribute that is no sequence."""
    return _BY_TAG.get(tag) or _value(vr, _least_vm(tag))


def _value(vr: str, multiplicity: int) -> bytes:
    """Return as many dummies as a value must have at least, where its VR can hold several."""
    one = _BY_VR.get(vr) or bytes(_WIDTH.get(vr, 2))
    if vr in _MULTIPLE_TEXT:
        return b"\\".join([one] * multiplicity)
    return one * multiplicity if vr in _MULTIPLE_BINARY else one


def _least_vm(tag: int) -> int:
    """Return the least number of values that the dictionary allows (PS3.6): 3 of `3`, 2 of `2-2n`, 1 of `1-n`."""
    entry = DicomDictionary.get(tag)
    return int(entry[1].split("-")[0]) if entry else 1


def code(dialect: Dialect, value: str, scheme: str, meaning: str) -> bytes:
    """Return the elements of a code item (PS3.3 table 8.8-1)."""
    return (
        dialect.element(0x00080100, "SH", value.encode())
        + dialect.element(0x00080102, "SH", scheme.encode())
        + dialect.element(0x00080104, "LO", meaning.encode())
    )


def _item(tag: int, dialect: Dialect) -> bytes:
    """Return the one item of a dummy sequence."""
    return _ITEMS.get(tag, _removed_code)(dialect)


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


def _measured(dialect: Dialect) -> bytes:
    """Return a measured value (PS3.3 table C.18.1-1)."""
    units = code(dialect, "1", "UCUM", "no units")
    return dialect.sequence(0x004008EA, units) + dialect.element(0x0040A30A, "DS", _BY_VR["DS"])


def _reference(dialect: Dialect) -> bytes:
    """Return a reference to an instance that does not exist (PS3.3 table 10-11)."""
    secondary_capture = b"1.2.840.10008.5.1.4.1.1.7"
    return dialect.element(0x00081150, "UI", secondary_capture) + dialect.element(0x00081155, "UI", _BY_VR["UI"])


def _observer(dialect: Dialect) -> bytes:
    """Return a verifying observer (PS3.3 table C.17-2)."""
    return (
        dialect.element(0x0040A027, "LO", TEXT)
        + dialect.element(0x0040A030, "DT", _BY_VR["DT"])
        + dialect.element(0x0040A075, "PN", TEXT)
        + dialect.sequence(0x0040A088)
    )


def _person(dialect: Dialect) -> bytes:
    """Return the identification of a person (PS3.3 table 10-1)."""
    return dialect.element(0x00080080, "LO", TEXT) + dialect.sequence(0x00401101, _removed_code(dialect))


def _author(dialect: Dialect) -> bytes:
    """Return an observer who is a person (PS3.3 table C.17-3b)."""
    return _institution(dialect) + _observing_person(dialect)


def _participant(dialect: Dialect) -> bytes:
    """Return a person who attested (PS3.3 table C.17-2)."""
    participation = dialect.element(0x0040A080, "CS", b"ATTEST") + dialect.element(0x0040A082, "DT", b"")
    return _institution(dialect) + participation + _observing_person(dialect)


def _institution(dialect: Dialect) -> bytes:
    """Return a custodial organization, which is how any institution is said (PS3.3 table C.17-2)."""
    return dialect.element(0x00080080, "LO", TEXT) + dialect.sequence(0x00080082)


def _observing_person(dialect: Dialect) -> bytes:
    person = dialect.element(0x0040A084, "CS", b"PSN") + dialect.element(0x0040A123, "PN", TEXT)
    return person + dialect.sequence(0x00401101)


def _device(dialect: Dialect) -> bytes:
    """Return a device's identifier (PS3.3 table 10.29-1)."""
    return dialect.element(0x00181009, "UT", TEXT)


def _issuer(dialect: Dialect) -> bytes:
    """Return an issuer known by a local name (PS3.3 table 10-17)."""
    return dialect.element(0x00400031, "UT", TEXT)


def _patient(dialect: Dialect) -> bytes:
    """Return a patient's identifier and its type (PS3.3 table C.7-1)."""
    return dialect.element(0x00100020, "LO", TEXT) + dialect.element(0x00100022, "CS", b"TEXT")


def _flow(dialect: Dialect) -> bytes:
    """Return a flow identifier (PS3.3 table C.34-1)."""
    return dialect.element(0x00340002, "OB", b"\0\0")


def _graphic(dialect: Dialect) -> bytes:
    """Return one point on a layer (PS3.3 table C.10-5)."""
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
    first_group, all_channels = (1).to_bytes(2, dialect.order), bytes(2)
    channels = dialect.element(0x0040A0B0, "US", first_group + all_channels)
    return channels + dialect.element(0x00700006, "ST", TEXT)


_PERSONS = (0x00080096, 0x0008009D, 0x00081049, 0x00081052, 0x00081062, 0x00081072, 0x0040000B, 0x00401011)
_REFERENCES = (0x00081110, 0x00081111, 0x00081120, 0x00081140, 0x00081199, 0x00082112, 0x00380004)
_ISSUERS = (0x00380014, 0x00380064, 0x00400513, 0x00400562)
_ITEMS: dict[int, Callable[[Dialect], bytes]] = {
    **dict.fromkeys(_PERSONS, _person),
    **dict.fromkeys(_REFERENCES, _reference),
    **dict.fromkeys(_ISSUERS, _issuer),
    0x00101002: _patient,
    0x0018100A: _device,
    0x00340001: _flow,
    0x0040A073: _observer,
    0x0040A078: _author,
    0x0040A07A: _participant,
    0x0040A07C: _institution,
    0x0040A300: _measured,
    0x0040A730: _content,
    0x0040B020: _waveform_note,
    0x00700001: _graphic,
    0x04000550: _patient,  # Modified Attributes Sequence: any attributes
}
