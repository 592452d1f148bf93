"""Encapsulated Pixel Data: items of fragments, and which of them make a frame (PS3.5 A.4).

The first item is the Basic Offset Table, which may be empty and need not be true. Fragments are joined to frames by
their number, by a table whose every entry is the place of a fragment, by the mark that opens a bitstream, and at last
by the mark that ends one. Offsets count from the first fragment's item on. The Basic Offset Table reaches to 4 GiB;
what lies further needs the Extended Offset Table and its Lengths, beside an empty basic one (PS3.3 C.7.6.3.1.8).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TypeAlias, TypeVar

from farm.dicom.elements import EXPLICIT, ITEM, SEQUENCE_END
from farm.errors import BadInput, Reason

Buffer: TypeAlias = bytes | bytearray | memoryview | mmap.mmap
Part = TypeVar("Part", bytes, memoryview)
Frame: TypeAlias = bytes | memoryview
JPEG_OPENS, J2K_OPENS, JP2_OPENS = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP"
_JPEG_ENDS = b"\xff\xd9"
_REACH = 1 << 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Encapsulated:
    """What stands for frames: the value of Pixel Data in pieces, and of the extended tables where they are needed."""

    pieces: list[Frame]
    extended: tuple[bytes, bytes] | None = None


def items(data: Buffer, start: int, end: int) -> list[tuple[int, int]]:
    """Return where the value of each item starts and ends, the Basic Offset Table's first.

    `data` from `start` to `end` is the value of Pixel Data with its delimiter. Raises `BadInput` where it is no items.
    """
    at, found = start, []
    while at < end - 8:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] != EXPLICIT.item_mark or at + 8 + length > end:
            raise BadInput(Reason.BAD_STRUCTURE, "encapsulated Pixel Data is no sequence of items")
        found.append((at + 8, at + 8 + length))
        at += 8 + length
    return found


def frames(
    data: Buffer, span: tuple[int, int], count: int, *, opens: Sequence[bytes] = (), extended: bytes = b""
) -> Iterator[Frame]:
    """Yield the bitstream of each frame: a view where it is one fragment, else its fragments joined.

    `span` is where the value of Pixel Data starts and ends, its delimiter included; `opens` are the marks that a
    bitstream may begin with; `extended` is the value of the Extended Offset Table. Raises `BadInput` at once where the
    fragments do not make as many frames.
    """
    view = memoryview(data)
    parts = [view[first:last] for first, last in items(data, *span)]
    table = bytes(parts[0]) if parts else b""
    groups = _told(table, extended, parts[1:], count, opens)
    if len(groups) != count or not parts[1:] or count < 1:
        raise BadInput(Reason.PIXEL_LENGTH, "fragments do not make as many frames", expected=count, found=len(groups))
    return (group[0] if len(group) == 1 else b"".join(group) for group in groups)


def _told(
    table: bytes, extended: bytes, parts: list[memoryview], count: int, opens: Sequence[bytes]
) -> list[list[memoryview]]:
    if count == 1:
        return [parts]
    groups = grouped(table, parts, count, opens, extended)
    if len(groups) != count and JPEG_OPENS in opens:
        ends = [bytes(part[-4:]).rstrip(b"\0").endswith(_JPEG_ENDS) for part in parts]
        cuts = [0, *(at + 1 for at, ended in enumerate(ends) if ended)]
        groups = [parts[first:last] for first, last in pairwise(cuts)]
    return groups


def grouped(
    table: bytes, parts: list[Part], count: int, opens: Sequence[bytes], extended: bytes = b""
) -> list[list[Part]]:
    """Return the fragments of each frame, as far as it can be told."""
    if len(parts) == count:
        return [[part] for part in parts]
    places = starts([[part] for part in parts])
    begin = _entries(extended, 8) if extended else set()
    if not _true(begin, places, count):
        begin = _entries(table, 4)
    if not _true(begin, places, count):
        begin = {at for at, part in zip(places, parts, strict=True) if not opens or _opened(part, opens)}
        if not opens and count == 1:
            begin = {0}
    groups: list[list[Part]] = []
    for at, part in zip(places, parts, strict=True):
        if at in begin or not groups:
            groups.append([])
        groups[-1].append(part)
    return groups


def starts(groups: Sequence[Sequence[Frame]]) -> list[int]:
    """Return where each frame's first item stands behind the Basic Offset Table."""
    sizes = [sum(8 + len(part) for part in group) for group in groups]
    return [0, *accumulate(sizes)][: len(groups)]


def pixel_data(bitstreams: Sequence[Frame], *, table: bool = True) -> Encapsulated:
    """Return the value of Pixel Data for the bitstreams of frames, a fragment for each, and the table that it needs.

    Without `table` the Basic Offset Table is empty, as that of a video has to be.
    """
    basic, extended = tables([len(stream) for stream in bitstreams])
    basic = basic if table else b""
    pieces: list[Frame] = [EXPLICIT.pack_header(ITEM, "", len(basic)) + basic]
    for stream in bitstreams:
        odd = len(stream) % 2
        pieces += (EXPLICIT.pack_header(ITEM, "", len(stream) + odd), stream)
        if odd:
            pieces.append(b"\0")
    pieces.append(EXPLICIT.pack_header(SEQUENCE_END, "", 0))
    return Encapsulated(pieces=pieces, extended=extended)


def tables(lengths: Sequence[int]) -> tuple[bytes, tuple[bytes, bytes] | None]:
    """Return the Basic Offset Table for bitstreams of these lengths; beyond its reach an empty one and the extended.

    Raises `BadInput` for a bitstream that no fragment can hold.
    """
    if max(lengths, default=0) > _REACH - 2:
        raise BadInput(Reason.PIXELS_TOO_LARGE, "a frame is longer than a fragment can be")
    places = [0, *accumulate(8 + length + length % 2 for length in lengths)][: len(lengths)]
    if not places or places[-1] < _REACH:
        return b"".join(place.to_bytes(4, "little") for place in places), None
    offsets, sizes = (b"".join(n.to_bytes(8, "little") for n in numbers) for numbers in (places, lengths))
    return b"", (offsets, sizes)


def _entries(table: bytes, size: int) -> set[int]:
    return {int.from_bytes(table[at : at + size], "little") for at in range(0, len(table), size)}


def _true(begin: set[int], places: list[int], count: int) -> bool:
    return len(begin) == count and begin.issubset(places)


def _opened(part: Frame, opens: Sequence[bytes]) -> bool:
    return any(part[: len(mark)] == mark for mark in opens)
