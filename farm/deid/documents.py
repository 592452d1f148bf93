"""What takes the place of an Encapsulated Document (0042,0011), which the Basic Profile replaces (action D).

A document is replaced as a whole: nothing in a PDF, an XML or a mesh can be cleaned by looking at its attributes. The
new one is of the same MIME type (0042,0012), so that the instance remains one of its SOP class (PS3.3 C.24.2); it says
that something was removed, and is the same for everybody. A mesh has one triangle without an area.
"""

from __future__ import annotations

import struct

_TEXT = b"REMOVED"


def replacement(mime: bytes) -> bytes:
    """Return a minimal valid document of a MIME type, without padding; plain text for a type that is not known."""
    return _DOCUMENTS.get(mime.strip(b"\0 ").lower(), _TEXT)


def _pdf() -> bytes:
    """Return a page with one word on it (ISO 32000)."""
    drawn = b"BT /F1 24 Tf 72 720 Td (%s) Tj ET" % _TEXT
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    )
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(b"%010d 00000 n \n" % len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, b"".join(places))
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(body))
    return body + table + trailer


def _cda() -> bytes:
    """Return a document with all that CDA Release 2 requires of a header, and one sentence."""
    unknown = b'<id nullFlavor="MSK"/>'
    return (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<ClinicalDocument xmlns="urn:hl7-org:v3">'
        b'<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
        b'<id root="2.25.0"/>'
        b'<code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/>'
        b"<title>%s</title>"
        b'<effectiveTime value="19000101"/>'
        b'<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/>'
        b"<recordTarget><patientRole>%s</patientRole></recordTarget>"
        b'<author><time value="19000101"/><assignedAuthor>%s</assignedAuthor></author>'
        b"<custodian><assignedCustodian><representedCustodianOrganization>%s"
        b"</representedCustodianOrganization></assignedCustodian></custodian>"
        b"<component><nonXMLBody><text>%s</text></nonXMLBody></component>"
        b"</ClinicalDocument>\n"
    ) % (_TEXT, unknown, unknown, unknown, _TEXT)


def _stl() -> bytes:
    """Return a binary mesh: a header of 80 bytes, the count, one triangle of a normal and three vertices."""
    return _TEXT.ljust(80, b"\0") + struct.pack("<I12fH", 1, *(0.0, 0.0, 1.0), *(0.0,) * 9, 0)


_XML = _cda()
_DOCUMENTS: dict[bytes, bytes] = {
    b"application/pdf": _pdf(),
    b"text/xml": _XML,
    b"application/xml": _XML,
    b"model/stl": _stl(),
    b"model/obj": b"# %s\nv 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n" % _TEXT,
    b"model/mtl": b"# %s\nnewmtl removed\nKd 1 1 1\n" % _TEXT,
}
