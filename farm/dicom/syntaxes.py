"""Transfer syntaxes: what each UID says about the encoding of a data set (PS3.5 section 10 and annex A).

Only how the data set is written matters here: which dialect its headers use, whether it is deflated, and whether Pixel
Data holds native samples or encapsulated fragments. Which codec can read the fragments is the codecs' business.
"""

from __future__ import annotations

from dataclasses import dataclass

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferSyntax:
    """One transfer syntax: its UID and how a data set in it is written."""

    uid: str
    implicit: bool = False
    big_endian: bool = False
    deflated: bool = False
    encapsulated: bool = False


_NATIVE = (
    TransferSyntax(uid=IMPLICIT_LITTLE, implicit=True),
    TransferSyntax(uid=EXPLICIT_LITTLE),
    TransferSyntax(uid=DEFLATED_LITTLE, deflated=True),
    TransferSyntax(uid=EXPLICIT_BIG, big_endian=True),
)
# Encapsulated syntaxes are all written in explicit VR little endian (PS3.5 A.4).
_ENCAPSULATED = (
    "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed
    "1.2.840.10008.1.2.5",  # RLE Lossless
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame
    *(f"1.2.840.10008.1.2.4.{n}" for n in (*range(50, 67), 70, 80, 81)),  # JPEG, JPEG-LS
    *(f"1.2.840.10008.1.2.4.{n}" for n in range(90, 96)),  # JPEG 2000, JPIP
    *(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109)),  # MPEG-2, H.264, HEVC
    *(f"1.2.840.10008.1.2.4.{n}.1" for n in range(100, 107)),  # their fragmentable variants
    *(f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112, 201, 202, 203, 204, 205)),  # JPEG XL, HTJ2K
)
_KNOWN = {syntax.uid: syntax for syntax in _NATIVE} | {
    uid: TransferSyntax(uid=uid, encapsulated=True) for uid in _ENCAPSULATED
}


def find(uid: str) -> TransferSyntax | None:
    """Return the transfer syntax of a UID, or None where the standard's list does not have it."""
    return _KNOWN.get(uid)
