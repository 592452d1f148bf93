"""The transfer syntaxes that codecs speak of, by name (PS3.6 table A-1)."""

from __future__ import annotations

from farm.dicom.syntaxes import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

_UID = "1.2.840.10008.1.2."
ENCAPSULATED_UNCOMPRESSED, RLE, DEFLATED_FRAME = _UID + "1.98", _UID + "5", _UID + "8.1"
JPEG_BASELINE, JPEG_EXTENDED, JPEG_SPECTRAL, JPEG_PROGRESSIVE = (f"{_UID}4.{n}" for n in (50, 51, 53, 55))
JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = (f"{_UID}4.{n}" for n in (57, 70))
JPEG_LS, JPEG_LS_NEAR = (f"{_UID}4.{n}" for n in (80, 81))
J2K_LOSSLESS, J2K, J2K_PART2_LOSSLESS, J2K_PART2 = (f"{_UID}4.{n}" for n in (90, 91, 92, 93))
HTJ2K_LOSSLESS, HTJ2K_RPCL, HTJ2K = (f"{_UID}4.{n}" for n in (201, 202, 203))
JPEG_XL_LOSSLESS, JPEG_XL_JPEG, JPEG_XL = (f"{_UID}4.{n}" for n in (110, 111, 112))

NAMES = {
    IMPLICIT_LITTLE: "Implicit VR Little Endian",
    EXPLICIT_LITTLE: "Explicit VR Little Endian",
    DEFLATED_LITTLE: "Deflated Explicit VR Little Endian",
    EXPLICIT_BIG: "Explicit VR Big Endian",
    ENCAPSULATED_UNCOMPRESSED: "Encapsulated Uncompressed",
    DEFLATED_FRAME: "Deflated Image Frame",
    RLE: "RLE Lossless",
    JPEG_BASELINE: "JPEG Baseline",
    JPEG_EXTENDED: "JPEG Extended",
    JPEG_SPECTRAL: "JPEG Spectral Selection",
    JPEG_PROGRESSIVE: "JPEG Full Progression",
    JPEG_LOSSLESS: "JPEG Lossless",
    JPEG_LOSSLESS_SV1: "JPEG Lossless SV1",
    JPEG_LS: "JPEG-LS Lossless",
    JPEG_LS_NEAR: "JPEG-LS Near-lossless",
    J2K_LOSSLESS: "JPEG 2000 Lossless",
    J2K: "JPEG 2000",
    J2K_PART2_LOSSLESS: "JPEG 2000 Part 2 Lossless",
    J2K_PART2: "JPEG 2000 Part 2",
    HTJ2K_LOSSLESS: "HTJ2K Lossless",
    HTJ2K_RPCL: "HTJ2K Lossless RPCL",
    HTJ2K: "HTJ2K",
    JPEG_XL_LOSSLESS: "JPEG XL Lossless",
    JPEG_XL_JPEG: "JPEG XL JPEG Recompression",
    JPEG_XL: "JPEG XL",
}
