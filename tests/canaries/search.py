"""Search outputs for canaries: the bytes, the data set inflated, words swapped, and all text as a reader decodes it."""

from __future__ import annotations

import io
import warnings
import zlib
from array import array
from collections.abc import Iterator

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.canaries.marks import PATTERNS

_DEFLATED = DeflatedExplicitVRLittleEndian.encode() + b"\0\0"


def tokens(data: bytes) -> set[bytes]:
    """Return everything in the data, seen in every way, that has the form of a canary."""
    return {found for view in views(data) for pattern in PATTERNS for found in pattern.findall(view)}


def views(data: bytes) -> Iterator[bytes]:
    """Yield the data as they are, inflated, with the bytes of each word swapped, and decoded to UTF-8."""
    yield data
    inflated = _inflated(data)
    if inflated:
        yield inflated
    words = array("H", (inflated or data) + b"\0" * (len(inflated or data) % 2))
    words.byteswap()
    yield words.tobytes()
    yield _decoded(data).encode("utf-8", "replace")


def _inflated(data: bytes) -> bytes:
    """Return what a deflated data set holds, and what stands behind it; nothing where it is none."""
    length = int.from_bytes(data[140:144], "little")
    if data[128:132] != b"DICM" or _DEFLATED[:-2] not in data[: 144 + length]:
        return b""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return stream.decompress(data[144 + length :]) + stream.unused_data
    except zlib.error:
        return b""


def _decoded(data: bytes) -> str:
    """Return all values of an instance as pydicom understands them; what it cannot read has been searched as bytes."""
    if data[128:132] != b"DICM":
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "\n".join(_texts(pydicom.dcmread(io.BytesIO(data))))
        except Exception:  # noqa: BLE001 - a tool's broken output is still searched as bytes
            return ""


def _texts(dataset: Dataset) -> Iterator[str]:
    """Yield every value as text, nested ones too, but those that cannot be converted."""
    for tag in dataset.keys():  # noqa: SIM118 - a data set iterates over its elements, and converts them all
        try:
            element = dataset[tag]
            if element.VR != "SQ":
                yield str(element.value)
                continue
            for item in element.value:
                yield from _texts(item)
        except (ValueError, TypeError, OverflowError, NotImplementedError):
            continue
