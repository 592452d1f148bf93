"""The file around the data set: preamble, File Meta Information, transfer syntax (PS3.10 section 7).

Files come without preamble, without meta, with a wrong group length or with a transfer syntax that the data set belies.
What can be told from the bytes themselves is repaired; what cannot is `BadInput`. A new file's meta is always built
afresh, so nothing of the old one (AE titles, private information, the preamble) is handed on (PS3.15 E.1.1).

A data set is inflated and deflated piece by piece, and whoever may write files says where the pieces are put together:
so one of any size takes no more memory than a few of them do.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from isal import isal_zlib

from farm.dicom import syntaxes
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, ITEM, Data, Dialect, Header, is_vr
from farm.dicom.syntaxes import TransferSyntax
from farm.errors import BadInput, Reason

IMPLEMENTATION_CLASS_UID = b"2.25.304743265298327409571986208171205487301"
IMPLEMENTATION_VERSION = b"DICOM_FARM_1"
DICOMDIR_CLASS = b"1.2.840.10008.1.3.10"
_MARK = b"DICM"
_FIRST_GROUPS = (0x0002, 0x0008)  # a data set without File Meta Information opens with group 0008
_LEVEL = 2  # of 0 to 3
_INFLATED_FREELY = 64 << 20  # a deflated data set may grow to this size whatever its ratio
_READ = 1 << 20  # bytes that are inflated at a time
_PIECE = 4 << 20  # bytes that they may become at a time, and that are deflated at a time

Joined: TypeAlias = Callable[[Iterable[bytes | memoryview]], Data]
"""Puts pieces one behind the other; in memory, or, where files may be written, what is large in one that is mapped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a deflated data set may inflate: bytes, and times its own size once past 64 MiB; and a frame's bytes.

    `joined` holds what is inflated, deflated or written anew.
    """

    inflated_bytes: int = 2 << 30
    inflated_ratio: int = 200
    frame_bytes: int = 1 << 30
    joined: Joined = b"".join


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10:
    """A file as read: its data set stands in `data` from `start` on, written in `dialect`.

    `sop_class` and `sop_instance` are what File Meta Information says; empty where it says nothing.
    """

    data: Data
    start: int
    syntax: TransferSyntax
    dialect: Dialect
    sop_class: bytes = b""
    sop_instance: bytes = b""


def parse(data: Data, limits: Limits | None = None, *, takes_private: bool = False) -> Part10:
    """Find the data set in a file; raise `BadInput` where it is not DICOM or its syntax cannot be told.

    With `limits` None a deflated data set is not inflated, and `data` is the file's. With `takes_private` a transfer
    syntax that the standard does not list is taken as declared: nothing but its headers is then known.
    """
    if not len(data):
        raise BadInput(Reason.EMPTY_FILE)
    start = _meta_start(data)
    meta, start = _read_meta(data, start)
    sop_class, sop_instance = meta.get(0x00020002, b""), meta.get(0x00020003, b"")
    if sop_class == DICOMDIR_CLASS:
        raise BadInput(Reason.DICOMDIR)
    uid = meta.get(0x00020010, b"").decode("ascii", "replace")
    declared = syntaxes.find(uid)
    if uid and declared is None:
        if not takes_private:
            raise BadInput(Reason.UNKNOWN_SYNTAX)
        syntax, dialect = TransferSyntax(uid=uid), _dialect(data, start)
        return Part10(
            data=data, start=start, syntax=syntax, dialect=dialect, sop_class=sop_class, sop_instance=sop_instance
        )
    if declared is not None and declared.deflated:
        if limits is not None:
            data, start = limits.joined(_inflated(data, start, limits)), 0
        dialect = EXPLICIT
    else:
        dialect = _dialect(data, start)
    return Part10(
        data=data,
        start=start,
        syntax=_agreed(declared, dialect),
        dialect=dialect,
        sop_class=sop_class,
        sop_instance=sop_instance,
    )


def _meta_start(data: Data) -> int:
    """Return where File Meta Information, or the data set of a file without any, begins."""
    if data[128:132] == _MARK:
        return 132
    if data[:4] == _MARK:
        return 4
    group = int.from_bytes(data[:2], "little")
    swapped = int.from_bytes(data[:2], "big")
    explicit = is_vr(data[4:6])
    if len(data) > 8 and (
        (explicit and (group in _FIRST_GROUPS or swapped == _FIRST_GROUPS[1]))
        or (group == _FIRST_GROUPS[1] and data[2] < 0x20 and int.from_bytes(data[4:8], "little") <= 64)
    ):
        return 0
    raise BadInput(Reason.NOT_DICOM)


_META_WANTED = frozenset({0x00020002, 0x00020003, 0x00020010})
_META_HEADERS: dict[bytes, Header] = {}
_REMEMBERED = 1_000


def _read_meta(data: Data, at: int) -> tuple[dict[int, bytes], int]:
    """Read group 0002 element by element (its own length may be wrong); return what is wanted and where it ends."""
    meta: dict[int, bytes] = {}
    end = len(data)
    dialect = EXPLICIT if is_vr(data[at + 4 : at + 6]) else IMPLICIT
    while data[at : at + 2] == b"\x02\x00":
        head = data[at : at + 8]
        tag, _, size, length = _META_HEADERS.get(head) or dialect.header(data, at, end)
        if size == 8 and dialect.explicit and len(_META_HEADERS) < _REMEMBERED:
            _META_HEADERS[head] = Header(tag, "", size, length)
        at += size + length
        if at > end:
            raise BadInput(Reason.TRUNCATED)
        if tag in _META_WANTED:
            meta[tag] = data[at - length : at].rstrip(b"\0 ")
    return meta, at


def _dialect(data: Data, at: int) -> Dialect:
    """Tell from the first element how the data set is written."""
    head = data[at : at + 8]
    if len(head) < 8:
        raise BadInput(Reason.TRUNCATED)
    if is_vr(head[4:6]):
        return BIG if head[0] == 0 and head[1] else EXPLICIT
    if int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little") == ITEM:
        raise BadInput(Reason.BAD_STRUCTURE, "the data set opens with an item")
    return IMPLICIT


def _agreed(declared: TransferSyntax | None, dialect: Dialect) -> TransferSyntax:
    """Return the syntax that is both declared and true; headers are believed before the declaration."""
    if declared is not None and (declared.encapsulated or declared.deflated):
        if dialect is not EXPLICIT:
            raise BadInput(Reason.BAD_STRUCTURE, "an encapsulated syntax is always explicit VR little endian")
        return declared
    uid = {EXPLICIT: syntaxes.EXPLICIT_LITTLE, IMPLICIT: syntaxes.IMPLICIT_LITTLE, BIG: syntaxes.EXPLICIT_BIG}[dialect]
    found = syntaxes.find(uid)
    if found is None:
        raise BadInput(Reason.UNKNOWN_SYNTAX)
    return found


def _inflated(data: Data, start: int, limits: Limits) -> Iterator[bytes]:
    """Yield what a deflated data set inflates to (PS3.5 A.5), piece by piece, never further than the limits say."""
    ratio = max(_INFLATED_FREELY, limits.inflated_ratio * (len(data) - start))
    left = min(limits.inflated_bytes, ratio)
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    view = memoryview(data)
    for at in range(start, len(data), _READ):
        for piece in _pieces(stream, view[at : at + _READ]):
            left -= len(piece)
            if left < 0:
                raise BadInput(Reason.INFLATES_TOO_FAR)
            yield piece
        if stream.eof:
            return
    raise BadInput(Reason.TRUNCATED)


def _pieces(stream: zlib._Decompress, given: bytes | memoryview) -> Iterator[bytes]:
    """Yield all that a stream makes of the bytes that it is given."""
    piece = b""
    while not stream.eof and (given or len(piece) == _PIECE):  # a full piece may have left some in the stream
        try:
            piece = stream.decompress(given, _PIECE)
        except zlib.error:
            raise BadInput(Reason.BAD_DEFLATE) from None
        given = stream.unconsumed_tail
        yield piece


def deflated(segments: Iterable[bytes | memoryview], joined: Joined = b"".join) -> Data:
    """Deflate a data set; the stream is padded to even length (PS3.5 A.5).

    ISA-L is many times as fast as zlib; inflating, which meets what strangers wrote, is left to zlib.
    """
    return joined(_deflated(segments))


def _deflated(segments: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the stream piece by piece."""
    stream = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = 0
    for segment in segments:
        for at in range(0, len(segment), _PIECE):
            piece = stream.compress(memoryview(segment)[at : at + _PIECE])
            size += len(piece)
            yield piece
    last = stream.flush()
    yield last + b"\0" * ((size + len(last)) % 2)


def header(syntax: TransferSyntax, sop_class: bytes, sop_instance: bytes) -> bytes:
    """Return a new preamble and File Meta Information (PS3.10 table 7.1-1)."""
    before, after = _around_instance(syntax.uid, sop_class, len(sop_instance))
    return before + sop_instance + after


@lru_cache(maxsize=256)
def _around_instance(syntax: str, sop_class: bytes, length: int) -> tuple[bytes, bytes]:
    """Return what stands before and behind the SOP Instance UID, given its length."""
    instance = EXPLICIT.element(0x00020003, "UI", b"0" * length)
    version = EXPLICIT.element(0x00020001, "OB", b"\0\1")
    sop = EXPLICIT.element(0x00020002, "UI", sop_class)
    after = (
        EXPLICIT.element(0x00020010, "UI", syntax.encode()),
        EXPLICIT.element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID),
        EXPLICIT.element(0x00020013, "SH", IMPLEMENTATION_VERSION),
    )
    size = sum(len(part) for part in (version, sop, instance, *after))
    group = EXPLICIT.element(0x00020000, "UL", size.to_bytes(4, "little"))
    before = b"".join((bytes(128), _MARK, group, version, sop, instance[:8]))
    return before, b"".join((instance[8 + length :], *after))
