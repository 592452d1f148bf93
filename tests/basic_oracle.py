"""What the Basic Profile makes of a file, the plain way: the second half of the oracle.

Built on `oracle`'s trees; the standard's table, the mapping and the dummies are handed in as data and functions.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import oracle
from oracle import Element, Syntax
from pydicom._uid_dict import UID_dictionary

SYNTAXES = {
    b"1.2.840.10008.1.2": oracle.IMPLICIT,
    b"1.2.840.10008.1.2.1": oracle.EXPLICIT,
    b"1.2.840.10008.1.2.2": oracle.BIG,
}
SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
DOCUMENT, DOCUMENT_TYPE, DOCUMENT_LENGTH = 0x00420011, 0x00420012, 0x00420015
NAME, PATIENT, ISSUER = 0x00100010, 0x00100020, 0x00100021
MARKERS = {0x00120062, 0x00120063, 0x00120064, 0x00280303}
NOTED = MARKERS | {SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, NAME, PATIENT, ISSUER}
WELL_KNOWN = {uid.encode() for uid in UID_dictionary}
CID_7050 = {
    b"113100": b"Basic Application Confidentiality Profile",
    b"113101": b"Clean Pixel Data Option",
    b"113102": b"Clean Recognizable Visual Features Option",
    b"113103": b"Clean Graphics Option",
    b"113104": b"Clean Structured Content Option",
    b"113105": b"Clean Descriptors Option",
    b"113106": b"Retain Longitudinal Temporal Information Full Dates Option",
    b"113107": b"Retain Longitudinal Temporal Information Modified Dates Option",
    b"113108": b"Retain Patient Characteristics Option",
    b"113109": b"Retain Device Identity Option",
    b"113110": b"Retain UIDs Option",
    b"113111": b"Retain Safe Private Option",
    b"113112": b"Retain Institution Identity Option",
}


def actions(rows: Iterable[tuple[str, str, str]]) -> dict[int, str]:
    """Return one action for each tag that the table lists alone, valid whatever the attribute's Type."""
    chosen = {}
    for pattern, code, _ in rows:
        if pattern == "odd" or "x" in pattern:
            continue
        tag = int(pattern, 16)
        if "U*" in code:
            chosen[tag] = "K"
        elif oracle.vr_of(tag) == "SQ" and "Z" in code.split("/"):
            chosen[tag] = "Z"
        else:
            chosen[tag] = code.split("/")[-1]
    return chosen


@dataclass
class Source:
    """A file as the oracle reads it."""

    elements: list[Element]
    syntax: Syntax
    uid: bytes
    deflated: bool


def read_file(data: bytes) -> Source:
    """Read a file with or without preamble and File Meta Information."""
    at = 132 if data[128:132] == b"DICM" else 0
    uid = b""
    while data[at : at + 2] == b"\x02\x00":
        element, at = oracle.read_element(data, at, oracle.EXPLICIT)
        if element.tag == 0x00020010 and isinstance(element.value, bytes):
            uid = element.value.strip(b"\0 ")
    deflated = uid == b"1.2.840.10008.1.2.1.99"
    body = zlib.decompressobj(-15).decompress(data[at:]) if deflated else data[at:]
    syntax = oracle.EXPLICIT
    if not body[4:6].isalpha() or not body[4:6].isupper():
        syntax = oracle.IMPLICIT
    elif body[0] == 0:
        syntax = oracle.BIG
    uid = uid if syntax is SYNTAXES.get(uid, oracle.EXPLICIT) else b""
    uid = uid or next(known for known, how in SYNTAXES.items() if how is syntax)
    return Source(oracle.read(body, syntax)[0], syntax, uid, deflated)


@dataclass
class Basic:
    """The Basic Profile over the oracle's trees."""

    table: dict[int, str]
    uid: Callable[[bytes], bytes]
    pseudonym: bytes
    swap: Callable[[int, str, Syntax], bytes]
    method: bytes
    document: Callable[[bytes], bytes]
    explicit: bool = False

    def output(self, source: Source) -> tuple[bytes, bytes]:
        """Return the data set and its transfer syntax; the data set of a deflated file is not deflated."""
        target = oracle.EXPLICIT if self.explicit else source.syntax
        facts: dict[int, Element] = {}
        for element in source.elements:
            facts.setdefault(element.tag, element)
        waiting = [(0x00120065, self._markers(facts, target)), (0x00280304, b"")]
        waiting[1] = (0x00280304, oracle.simple(0x00280303, "CS", b"REMOVED", target))
        body = b""
        for element in source.elements:
            while waiting and element.tag >= waiting[0][0]:
                body += waiting.pop(0)[1]
            body += self._top(element, facts, target)
        body += b"".join(marker for _, marker in waiting)
        return body, source.uid if target == source.syntax else b"1.2.840.10008.1.2.1"

    def _top(self, element: Element, facts: dict[int, Element], target: Syntax) -> bytes:
        """Return what becomes of one element at top level."""
        tag, value = element.tag, element.value
        if tag in MARKERS or tag == ISSUER:
            return b""
        if tag == PATIENT or (tag == NAME and value):
            return oracle.simple(tag, self._settled(facts)(tag, element.vr), self.pseudonym, target)
        if tag in {SOP_INSTANCE, STUDY, SERIES}:
            return oracle.simple(tag, "UI", self._mapped(value), target)
        if tag in {DOCUMENT, DOCUMENT_LENGTH} and DOCUMENT in facts and facts[DOCUMENT].value:
            mime = facts[DOCUMENT_TYPE].value if DOCUMENT_TYPE in facts else b""
            assert isinstance(mime, bytes)
            new = self.document(mime.strip(b"\0 ") or b"application/pdf")
            length = len(new).to_bytes(4, target.order)
            return oracle.simple(tag, *(("OB", new) if tag == DOCUMENT else ("UL", length)), target)
        if tag == oracle.PIXELS and not element.undefined and value:
            element = self._trimmed(element, facts)

        def edit(one: Element, depth: int) -> bytes | None:
            return self._edited(one, depth, target)

        return oracle.rewrite([element], edit, target, self._settled(facts))

    def _edited(self, element: Element, depth: int, target: Syntax) -> bytes | None:
        """Return what is written instead of an element, or None to keep it."""
        tag, group = element.tag, element.tag >> 16
        if not depth and tag in NOTED:
            return None
        if group % 2 or not tag & 0xFFFF or group in {0, 2, 4} or group & 0xFF00 == 0x5000 or group & 0xFF00 == 0x6000:
            return b""
        action = self.table.get(tag, "K")
        meant = oracle.vr_of(tag) if element.vr == "UN" else element.vr
        written = target if target.explicit and not element.syntax.explicit else element.syntax
        action = "U" if action == "D" and meant == "UI" else action
        if action == "X" or (action == "U" and meant not in {"UI", "UN"}):
            return b""
        if action == "U":
            new = self._mapped(element.value)
            settled = oracle.vr_of(tag) if element.vr == "UN" else element.vr
            same = new == element.value and written == element.syntax
            return element.raw if same else oracle.simple(tag, settled, new, written)
        if action in {"Z", "D"} and (element.value or element.undefined):
            return self.swap(tag, meant, written) if action == "D" else oracle.header(tag, meant, 0, written)
        return None

    def _mapped(self, value: object) -> bytes:
        """Return a UI value with each of its UIDs mapped."""
        assert isinstance(value, bytes)
        parts = [part.strip(b"\0 ") for part in value.split(b"\\")]
        return b"\\".join(part if not part or part in WELL_KNOWN else self.uid(part) for part in parts)

    def _markers(self, facts: dict[int, Element], target: Syntax) -> bytes:
        """Return (0012,0062) to (0012,0064)."""
        before = facts[0x00120063].value if 0x00120063 in facts else b""
        assert isinstance(before, bytes)
        texts = [text for text in before.strip(b"\0 ").split(b"\\") if text.strip()]
        texts += [] if self.method in texts else [self.method]
        codes = [*_codes(facts.get(0x00120064)), b"113100"]
        items = [
            oracle.simple(0x00080100, "SH", code, target)
            + oracle.simple(0x00080102, "SH", b"DCM", target)
            + oracle.simple(0x00080104, "LO", CID_7050[code], target)
            for code in dict.fromkeys(codes)
        ]
        return (
            oracle.simple(0x00120062, "CS", b"YES", target)
            + oracle.simple(0x00120063, "LO", b"\\".join(texts), target)
            + oracle.nested(0x00120064, "SQ", [(item, False) for item in items], target, undefined=False)
        )

    def _trimmed(self, element: Element, facts: dict[int, Element]) -> Element:
        """Return native Pixel Data with nothing behind its frames."""

        def number(tag: int) -> int:
            fact = facts.get(tag)
            return int.from_bytes(fact.value[:2], element.syntax.order) if fact else 0  # type: ignore[arg-type]

        frames = facts.get(0x00280008)
        try:
            count = int(frames.value) if frames and frames.value else 1  # type: ignore[arg-type]
        except ValueError:  # then they are whole frames, or refused
            return element
        photometric = facts.get(0x00280004)
        subsampled = photometric is not None and bytes(photometric.value).strip() == b"YBR_FULL_422"  # type: ignore[arg-type]
        samples = 2 if subsampled else number(0x00280002) or 1
        size = (number(0x00280010) * number(0x00280011) * samples * number(0x00280100) * count + 7) // 8
        value = bytes(element.value[:size]) + b"\0" * (size % 2)  # type: ignore[arg-type]
        raw = oracle.header(element.tag, element.vr, len(value), element.syntax) + value
        return Element(element.tag, element.vr, value, False, raw, element.syntax)  # noqa: FBT003

    def _settled(self, facts: dict[int, Element]) -> Callable[[int, str], str]:
        """Return how an ambiguous VR of the dictionary is settled (PS3.5 annex A)."""
        sign = facts.get(0x00280103)
        bits = facts.get(0x00280100)

        def settle(tag: int, vr: str) -> str:
            vr = oracle.vr_of(tag) if vr == "UN" else vr
            if vr.startswith("US or SS"):
                return "SS" if sign and bytes(sign.value)[:1] == b"\1" else "US"  # type: ignore[arg-type]
            if tag == oracle.PIXELS and bits and bytes(bits.value)[0] <= 8:  # type: ignore[arg-type]
                return "OB"
            return vr if len(vr) == 2 else "OW"

        return settle


def _codes(sequence: Element | None) -> list[bytes]:
    """Return the code values of an earlier De-identification Method Code Sequence that CID 7050 has."""
    items = sequence.items if sequence else []
    values = [one.value for item in items for one in item.elements if one.tag == 0x00080100]
    return [code for value in values if isinstance(value, bytes) and (code := value.strip(b"\0 ")) in CID_7050]
