"""JPEG and JPEG-LS without what is not needed to decode them (ITU-T T.81 B.1 and B.2, T.87 C.1 and C.2).

Segments stand between SOI and EOI, between scans too. Kept are those that define the coding, each as long as what it
defines; and of tables those that a scan goes by: one that is defined anew before a scan, or that none names, is read by
nobody. Of the application data three tell how to read colours and are written anew: JFIF (APP0), Adobe (APP14) and the
colour transform of JPEG-LS (APP8 `mrfx`). What stands behind EOI goes. Entropy-coded data stay byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from farm.pixels.segments import bad, behind, joined, written

# T.81 table B.1 and T.87 C.1.1.
_DHT, _DAC, _EOI, _SOS, _DQT, _DNL, _DRI, _DHP, _EXP, _SOF_LS, _LSE = (
    *(0xC4, 0xCC, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF),
    *(0xF7, 0xF8),
)
_FRAMES = frozenset({*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), _SOF_LS})
_DIFFERENTIAL = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
_HIERARCHY = frozenset({_DHP, _EXP})
_TABLES = frozenset({_DHT, _DAC, _DQT, _DRI, _LSE})
# Within a scan FF is followed by a stuffed bit or byte (< 80) or a restart (D0 to D7): anything else ends it.
_SCAN_END = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
_JFIF = b"\xff\xe0\0\x10JFIF\0\1\2\0\0\1\0\1\0\0"
_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"  # and the transform, one byte
_MRFX = b"\xff\xe8\0\7mrfx"  # likewise
_PARAMETERS, _MAPPING, _MAPPING_ON, _LARGE = 1, 2, 3, 4  # kinds of LSE (T.87 C.2.4.1)

Slot: TypeAlias = tuple[int, ...]
"""Where a table is put: the marker that defines it, and its numbers."""


class _Segment(NamedTuple):
    """A marker segment: its marker's second byte, where it starts, where it ends, and where its scan's data do."""

    marker: int
    start: int
    end: int
    stop: int


class _Table(NamedTuple):
    """What a segment defines: where it is put, and its bytes."""

    slot: Slot
    body: bytes


def stripped(frame: bytes) -> bytes:
    """Copy the runs of a stream that are kept; a stream of nothing else is handed back."""
    if frame[:2] != b"\xff\xd8":
        raise bad()
    segments = list(_segments(frame))
    tables = [_tables(segment.marker, frame[segment.start + 4 : segment.end]) for segment in segments]
    used = _used(frame, segments, tables)
    is_hierarchical = not _DIFFERENTIAL.isdisjoint(segment.marker for segment in segments)
    parts: list[bytes] = []
    run, end, was_told = 0, len(frame), False
    for number, (marker, start, behind_it, stop) in enumerate(segments):
        if marker == _EOI:
            end = stop
            break
        if marker in _TABLES:
            kept = b"".join(table.body for place, table in enumerate(tables[number]) if (number, place) in used)
            new = written(marker, kept) if kept else b""
        elif (marker in _HIERARCHY and not is_hierarchical) or (marker == _DNL and was_told):
            new = b""
        else:
            new = _plain(marker, frame[start + 4 : behind_it])
        was_told = was_told or marker == _DNL
        if new != frame[start:behind_it]:
            parts += (frame[run:start], new)
            run = behind_it
    return joined(frame, parts, run, end)


def _segments(frame: bytes) -> Iterator[_Segment]:
    """Yield the segments behind SOI, a scan's data with its SOS; EOI is the last one, and may be missing."""
    at = 2
    while at < len(frame):
        start = at
        if frame[at] != 0xFF or at + 1 >= len(frame):
            raise bad()
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte (T.81 B.1.1.2)
            at += 1
            continue
        if marker == _EOI:
            yield _Segment(marker, start, at + 2, at + 2)
            return
        end = at = behind(frame, at)
        if marker == _SOS:
            found = _SCAN_END.search(frame, at)
            at = found.start() if found else len(frame)
        yield _Segment(marker, start, end, at)


def _plain(marker: int, body: bytes) -> bytes:
    """Return what stands in place of a segment that is no table: as long as it has to be, or nothing."""
    if marker in _FRAMES or marker == _DHP:
        length = 6 + 3 * int.from_bytes(body[5:6], "big")
    elif marker == _SOS:
        length = 4 + 2 * int.from_bytes(body[:1], "big")
    elif marker in {_DNL, _EXP}:
        length = 2 if marker == _DNL else 1
    else:
        return _colours(marker, body)
    if length > len(body):
        raise bad()
    return written(marker, body[:length])


def _colours(marker: int, body: bytes) -> bytes:
    """Return what stands in place of application data: what they tell of colours, else nothing."""
    if marker == 0xE0 and body[:5] == b"JFIF\0":
        return _JFIF
    if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
        return _ADOBE + body[11:12]
    if marker == 0xE8 and body[:4] == b"mrfx" and len(body) == 5:
        return _MRFX + body[4:]
    return b""


def _tables(marker: int, body: bytes) -> list[_Table]:
    """Return what a segment defines; what is left behind that defines nothing."""
    if marker == _LSE:
        return list(_extended(body))
    found: list[_Table] = []
    at = 0
    slot: Slot
    while at < len(body) and marker in _TABLES:
        if marker == _DRI:
            slot, length = (_DRI,), len(body) if len(body) <= 4 else 2  # T.87 C.2.5 allows four bytes
        elif marker == _DAC:
            slot, length = (_DAC, body[at]), 2
        elif marker == _DQT:
            slot, length = (_DQT, body[at] & 15), 1 + 64 * (1 + (body[at] >> 4 > 0))
        else:
            slot, length = (_DHT, body[at] >> 4, body[at] & 15), 17 + sum(body[at + 1 : at + 17])
        if at + length > len(body):
            break
        found.append(_Table(slot, body[at : at + length]))
        at = at + length if marker != _DRI else len(body)
    return found


def _extended(body: bytes) -> Iterator[_Table]:
    """Yield what an LSE of JPEG-LS defines: parameters, a mapping table, or large sizes."""
    kind, number = (body[at] if at < len(body) else 0 for at in (0, 1))
    if kind in {_MAPPING, _MAPPING_ON}:
        yield _Table((_LSE, _MAPPING, number), body)
    elif kind == _PARAMETERS and len(body) >= 11:
        yield _Table((_LSE, kind), body[:11])
    elif kind == _LARGE and len(body) >= 2 + 2 * number:
        yield _Table((_LSE, kind), body[: 2 + 2 * number])


def _used(frame: bytes, segments: Sequence[_Segment], tables: Sequence[Sequence[_Table]]) -> set[tuple[int, int]]:
    """Return which tables a scan goes by: the numbers of their segments, and their places in those."""
    used: set[tuple[int, int]] = set()
    there: dict[Slot, list[tuple[int, int]]] = {}
    quantized: dict[int, int] = {}
    for number, (marker, start, end, _) in enumerate(segments):
        body = frame[start + 4 : end]
        for place, (slot, table) in enumerate(tables[number]):
            if marker == _LSE and table[0] == _MAPPING_ON:
                there.setdefault(slot, []).append((number, place))
            else:
                there[slot] = [(number, place)]
        if marker in _FRAMES:
            quantized |= {body[at]: body[at + 2] & 15 for at in range(6, len(body) - 2, 3)}
        elif marker == _SOS:
            for slot in _wanted(body, quantized, there):
                used.update(there.get(slot, ()))
    return used


def _wanted(body: bytes, quantized: dict[int, int], there: dict[Slot, list[tuple[int, int]]]) -> Iterator[Slot]:
    """Yield where the tables are that a scan names, or goes by unnamed."""
    yield from (slot for slot in there if slot[0] in {_DRI, _DAC} or slot in {(_LSE, _PARAMETERS), (_LSE, _LARGE)})
    for at in range(1, min(len(body) - 1, 1 + 2 * int.from_bytes(body[:1], "big")), 2):
        component, selected = body[at], body[at + 1]
        yield (_DHT, 0, selected >> 4)
        yield (_DHT, 1, selected & 15)
        yield (_LSE, _MAPPING, selected)
        if component in quantized:
            yield (_DQT, quantized[component])
