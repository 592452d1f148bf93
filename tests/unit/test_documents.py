"""What replaces an encapsulated document: readable by those who read its type, and without anything of it."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from farm.deid.documents import replacement

MIMES = [b"application/pdf", b"text/XML", b"model/stl", b"model/obj", b"model/mtl"]


def test_every_place_in_the_pdf_is_where_it_says() -> None:
    """Lost otherwise: viewers would have to repair the file, or refuse it."""
    pdf = replacement(b"application/pdf")
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF\n$", pdf)[1])  # type: ignore[index]
    places = re.findall(rb"(\d{10}) 00000 n \n", pdf[start:])
    assert pdf.startswith(b"%PDF-1.")
    assert pdf[start:].startswith(b"xref\n0 %d\n" % (len(places) + 1))
    assert b"/Size %d " % (len(places) + 1) in pdf
    for number, place in enumerate(places, 1):
        assert pdf[int(place) :].startswith(b"%d 0 obj\n" % number)
    length, stream = re.search(rb"/Length (\d+) >>\nstream\n(.*)\nendstream", pdf).groups()  # type: ignore[union-attr]
    assert int(length) == len(stream)
    assert b"(REMOVED) Tj" in stream


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="poppler's pdftotext is not installed")
def test_the_pdf_says_one_word(tmp_path: Path) -> None:
    """Lost otherwise: whoever opens the document would not see why it is empty."""
    (tmp_path / "removed.pdf").write_bytes(replacement(b"application/pdf"))
    read = subprocess.run(["pdftotext", tmp_path / "removed.pdf", "-"], capture_output=True, text=True, check=True)
    assert (read.stdout.split(), read.stderr) == (["REMOVED"], "")


def test_the_cda_has_what_its_header_requires() -> None:
    """Lost otherwise: an encapsulated CDA would hold XML that is no clinical document."""
    root = ET.fromstring(replacement(b"text/XML "))  # noqa: S314 - our own bytes
    assert root.tag == "{urn:hl7-org:v3}ClinicalDocument"
    names = [child.tag.split("}")[1] for child in root]
    required = ["typeId", "id", "code", "title", "effectiveTime", "confidentialityCode", "recordTarget", "author"]
    assert names == [*required, "custodian", "component"]


def test_the_mesh_has_as_many_triangles_as_it_says() -> None:
    """Lost otherwise: a reader of binary STL would run past the end."""
    mesh = replacement(b"model/stl")
    assert len(mesh) == 84 + 50 * struct.unpack_from("<I", mesh, 80)[0]
    assert not mesh.startswith(b"solid")  # that would be the text form


def test_obj_and_mtl_hold_statements_of_their_format() -> None:
    """Lost otherwise: a reader of a 3D model would fail on what should be an empty one."""
    assert {line.split()[0] for line in replacement(b"model/obj").splitlines()} == {b"#", b"v", b"f"}
    assert {line.split()[0] for line in replacement(b"model/mtl").splitlines()} == {b"#", b"newmtl", b"Kd"}


@pytest.mark.parametrize("mime", [*MIMES, b"", b"application/x-of-somebody"])
def test_every_type_has_a_document_that_is_the_same_for_everybody(mime: bytes) -> None:
    """Lost otherwise: a type that we do not know would keep its document, or leave none."""
    document = replacement(mime)
    assert b"removed" in document.lower()
    assert document == replacement(mime.upper() + b"\0")
