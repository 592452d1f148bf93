"""Encapsulated Pixel Data: its frames without what is not picture in their bitstreams (PS3.5 A.4).

A compressed frame can carry text beside its samples: EXIF and comments of JPEG, JUMBF, the XML boxes of JPEG 2000. It
goes, and every coded byte stays, so the samples do (`farm.pixels.markers`). An offset table that does not say where
the frames are could say anything: it goes as well. Where nothing has to change, not a byte does.

Fragments are joined to frames by their number, by the Basic Offset Table, or by the mark that opens a bitstream.
"""

from __future__ import annotations

from itertools import accumulate

from farm.dicom.elements import EXPLICIT, ITEM, SEQUENCE_END, Data
from farm.dicom.grammar import Edit, Span
from farm.pixels import markers
from farm.pixels.markers import Family

OFFSETS, LENGTHS = 0x7FE00001, 0x7FE00002  # Extended Offset Table, and its Lengths (PS3.3 C.7.6.3.1.8)
_OPENS = {"jpeg": b"\xff\xd8", "jpeg-ls": b"\xff\xd8", "j2k": b"\xff\x4f\xff\x51"}
_JP2 = b"\0\0\0\x0cjP"


def edits(data: Data, pixels: Span, tables: list[Span], family: Family | None, frames: int) -> list[Edit]:
    """Return the edits that leave nothing but picture in the frames; none where that is all there is.

    `tables` are the spans of the Extended Offset Table and its Lengths. Raise `BadInput` where a frame is not the
    bitstream that its transfer syntax says.
    """
    table, parts = _fragments(data, pixels)
    if family is None or not parts:
        return []
    groups = _grouped(table, parts, family, frames)
    changed = table not in {b"", _offsets(groups)}
    new: list[list[bytes]] = []
    for group in groups:
        frame = group[0] if len(group) == 1 else b"".join(group)
        stripped = markers.stripped(frame, family)
        changed = changed or stripped is not frame
        new.append([stripped + b"\0" * (len(stripped) % 2)])
    found: list[Edit] = []
    if changed:
        groups = new
        body = b"".join(EXPLICIT.pack_header(ITEM, "", len(frame)) + frame for (frame,) in new)
        whole = EXPLICIT.pack_header(ITEM, "", 0) + body + EXPLICIT.pack_header(SEQUENCE_END, "", 0)
        found.append((pixels.value, pixels.end, whole))
    return found + _extended(data, tables, groups)


def _extended(data: Data, tables: list[Span], groups: list[list[bytes]]) -> list[Edit]:
    """Return the edits of an Extended Offset Table and its Lengths that say something else than where frames are."""
    edits: list[Edit] = []
    for span in tables:
        numbers = [sum(map(len, group)) for group in groups] if span.tag == LENGTHS else _starts(groups)
        said = [int.from_bytes(data[at : at + 8], "little") for at in range(span.value, span.end, 8)]
        spare = int(span.tag == LENGTHS)  # a length may leave the padding out
        if len(said) != len(numbers) or any(not 0 <= n - one <= spare for n, one in zip(numbers, said, strict=True)):
            value = b"".join(number.to_bytes(8, "little") for number in numbers)
            edits.append((span.start, span.end, EXPLICIT.element(span.tag, "OV", value)))
    return edits


def _fragments(data: Data, pixels: Span) -> tuple[bytes, list[bytes]]:
    """Return the Basic Offset Table and the fragments; the walk has seen that they are whole."""
    at, items = pixels.value, []
    while at < pixels.end - 8:
        length = EXPLICIT.long(data, at + 4)
        items.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    return (items[0], items[1:]) if items else (b"", [])


def _grouped(table: bytes, parts: list[bytes], family: Family, frames: int) -> list[list[bytes]]:
    """Return the fragments of each frame, as far as it can be told: what is no whole frame is refused later."""
    if len(parts) == frames:
        return [[part] for part in parts]
    places = _starts([[part] for part in parts])
    starts = {int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), 4)}
    if len(starts) != frames or not starts.issubset(places):
        opens = _OPENS.get(family)
        starts = {at for at, part in zip(places, parts, strict=True) if opens is None or part.startswith((opens, _JP2))}
        if opens is None and frames == 1:
            starts = {0}
    groups: list[list[bytes]] = []
    for at, part in zip(places, parts, strict=True):
        if at in starts or not groups:
            groups.append([])
        groups[-1].append(part)
    return groups


def _starts(groups: list[list[bytes]]) -> list[int]:
    """Return where each frame's first item stands behind the Basic Offset Table."""
    sizes = [sum(8 + len(part) for part in group) for group in groups]
    return [0, *accumulate(sizes)][: len(groups)]


def _offsets(groups: list[list[bytes]]) -> bytes:
    """Return the Basic Offset Table that tells where the frames are."""
    return b"".join((start & 0xFFFFFFFF).to_bytes(4, "little") for start in _starts(groups))
