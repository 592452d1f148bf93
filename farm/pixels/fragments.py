"""Encapsulated Pixel Data: its frames without what is not picture in their bitstreams (PS3.5 A.4).

A compressed frame can carry text beside its samples: EXIF and comments of JPEG, JUMBF, the XML boxes of JPEG 2000. It
goes, and every coded byte stays, so the samples do (`farm.pixels.markers`). An offset table that does not say where
the frames are could say anything: it goes as well. Where nothing has to change, not a byte does.

Which fragments make a frame is told by `farm.frames.encapsulated`.
"""

from __future__ import annotations

from typing import NamedTuple

from farm.dicom.elements import EXPLICIT, ITEM, SEQUENCE_END, Data
from farm.dicom.grammar import Edit, Span
from farm.frames import encapsulated
from farm.frames.encapsulated import J2K_OPENS, JP2_OPENS, JPEG_OPENS, starts
from farm.pixels import markers, video_streams

OFFSETS, LENGTHS = 0x7FE00001, 0x7FE00002  # Extended Offset Table, and its Lengths (PS3.3 C.7.6.3.1.8)
_OPENS = {"jpeg": (JPEG_OPENS,), "jpeg-ls": (JPEG_OPENS,), "j2k": (J2K_OPENS, JP2_OPENS)}


class Stripped(NamedTuple):
    """The edits that leave nothing but picture in the frames; whether all of the frames could be looked into."""

    edits: list[Edit]
    is_whole: bool = True


def stripped(  # noqa: PLR0913, PLR0917 - what tells the frames apart
    data: Data, pixels: Span, tables: list[Span], syntax: str, frames: int, size: int
) -> Stripped:
    """Return the edits that leave nothing but picture in the frames; none where that is all there is.

    `tables` are the spans of the Extended Offset Table and its Lengths; `size` is that of `markers.stripped`. Raise
    `BadInput` where a frame is not the bitstream that its transfer syntax says.
    """
    table, parts = _fragments(data, pixels)
    family, coding = markers.family_of(syntax), video_streams.coding_of(syntax)
    if not parts or (family is None and coding is None):
        return Stripped([])
    groups = [parts] if family is None else encapsulated.grouped(table, parts, frames, _OPENS.get(family, ()))
    changed, is_whole = table not in {b"", _offsets(groups)}, True
    new: list[list[bytes]] = []
    for group in groups:
        frame = group[0] if len(group) == 1 else b"".join(group)
        if family is not None:
            bare = markers.stripped(frame, family, size)
        elif coding is not None:
            bare, is_whole = video_streams.stripped(frame, coding)
        changed = changed or bare is not frame
        new.append([bare + b"\0" * (len(bare) % 2)])
    found: list[Edit] = []
    if changed:
        groups = new
        body = b"".join(EXPLICIT.pack_header(ITEM, "", len(frame)) + frame for (frame,) in new)
        whole = EXPLICIT.pack_header(ITEM, "", 0) + body + EXPLICIT.pack_header(SEQUENCE_END, "", 0)
        found.append((pixels.value, pixels.end, whole))
    return Stripped(found + _extended(data, tables, groups), is_whole)


def _extended(data: Data, tables: list[Span], groups: list[list[bytes]]) -> list[Edit]:
    """Return the edits of an Extended Offset Table and its Lengths that say something else than where frames are."""
    edits: list[Edit] = []
    for span in tables:
        numbers = [sum(map(len, group)) for group in groups] if span.tag == LENGTHS else starts(groups)
        said = [int.from_bytes(data[at : at + 8], "little") for at in range(span.value, span.end, 8)]
        spare = int(span.tag == LENGTHS)  # a length may leave the padding out
        if len(said) != len(numbers) or any(not 0 <= n - one <= spare for n, one in zip(numbers, said, strict=True)):
            value = b"".join(number.to_bytes(8, "little") for number in numbers)
            edits.append((span.start, span.end, EXPLICIT.element(span.tag, "OV", value)))
    return edits


def _fragments(data: Data, pixels: Span) -> tuple[bytes, list[bytes]]:
    """Return the Basic Offset Table and the fragments; the walk has seen that they are whole."""
    items = [data[start:end] for start, end in encapsulated.items(data, pixels.value, pixels.end)]
    return (items[0], items[1:]) if items else (b"", [])


def _offsets(groups: list[list[bytes]]) -> bytes:
    """Return the Basic Offset Table that tells where the frames are."""
    return b"".join((start & 0xFFFFFFFF).to_bytes(4, "little") for start in starts(groups))
