"""One batch of frames through a device: read, blank, write, prove; `nvjpeg2000` says which, and how many.

Decoded samples are taken as they come, so only such code streams are read as say the same of their samples as the
attributes do. What was written is taken when its headers say what was asked for, and its samples are those that went
in. A frame that anything is amiss with has nothing made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from farm.codecs import htj2k, j2k_markers, j2k_styles, jpeg2000, native, uids
from farm.codecs.faults import agree
from farm.codecs.j2k_styles import Numbers, Style
from farm.codecs.nvlibrary import Coding, Library
from farm.codecs.streams import jpeg2000 as head_of
from farm.errors import BadInput
from farm.frames.codec import Changes, Decoded, Encoded
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout
from farm.frames.work import Job

Made: TypeAlias = Encoded | Decoded
"""What became of a frame: its new bitstream; or its samples, where it was only to be decoded."""

NATIVE = {uid: codec for codec in (native.LITTLE, native.BIG, native.ENCAPSULATED) for uid in codec.decodes}
J2K, HT = (uids.J2K_LOSSLESS, uids.J2K), (uids.HTJ2K_LOSSLESS, uids.HTJ2K_RPCL, uids.HTJ2K)
LOSSY = frozenset({uids.J2K, uids.HTJ2K})
_LEAST_LEVELS, _CLEANUP_ALONE = 5, b"OpenJPH"


@dataclass(slots=True)
class Piece:
    """A frame on its way; `layout` and `changes` are those of its samples as they are at the moment."""

    frame: Frame = field(repr=False)
    job: Job
    layout: Layout
    changes: Changes = field(default_factory=Changes)
    array: Any = field(default=None, repr=False)
    made: Made | None = field(default=None, repr=False)
    exact: bool = True
    """The code stream's transform is reversible."""
    coded: tuple[Style, Numbers] | None = None
    """How the code stream is coded; None: it is a native frame."""

    @property
    def target(self) -> str:
        """The transfer syntax to write; empty: none."""
        return self.job.options.syntax if self.job.options else ""


def opened(frame: Frame, job: Job) -> Piece | None:
    """Return a frame as a piece; None where its code stream is none that a device is given."""
    if job.source in NATIVE:
        return Piece(frame, job, job.layout)
    try:
        head = head_of(frame)
        agree(head, job.layout)
        stream = bytes(frame[head.start :])
        header = j2k_markers.read(stream)
        coded = j2k_styles.read_behind(header, stream)
    except BadInput:  # the processor's codecs say what is wrong with it
        return None
    samples = head.signed == job.layout.signed and (9 if head.signed else 1) <= head.precision <= job.layout.bits_stored
    refined = header.high_throughput and (
        header.mixed or header.layers > 1 or not header.comment.startswith(_CLEANUP_ALONE)
    )
    coloured = job.layout.samples == 1 or header.colours
    if not samples or refined or not coloured or header.high_throughput != (job.source in HT):
        return None
    return Piece(stream, job, job.layout, exact=header.reversible, coded=coded)


def coding_of(job: Job, layout: Layout) -> Coding:
    """Return how samples of a layout are to be encoded; `ValueError` where they are not."""
    if job.options is None:
        raise ValueError
    fast, lossless = job.options.syntax in HT, job.options.syntax not in LOSSY
    quality = job.options.step * (1 << layout.bits_stored) if fast else float(job.options.psnr)
    wanted = max(_LEAST_LEVELS, ((max(layout.rows, layout.columns) - 1) // j2k_markers.LOWEST).bit_length())
    return Coding(
        high_throughput=fast,
        lossless=lossless,
        quality=0.0 if lossless else quality,
        colours=layout.photometric == "RGB",
        resolutions=min(wanted + 1, min(layout.rows, layout.columns).bit_length()),
        bits=layout.bits_stored,
    )


def work(library: Library, pieces: Sequence[Piece]) -> None:
    """Make of each piece what its job says, where the device can; raise whatever the library raises."""
    _read(library, pieces)
    groups: dict[Coding, list[Piece]] = {}
    for piece in pieces:
        if piece.array is None:
            continue
        for row, column, rows, columns in piece.job.blank:
            piece.array[row : row + rows, column : column + columns] = piece.layout.black
        if not piece.target or piece.target in NATIVE:
            piece.made = _down(library, piece)
        else:
            groups.setdefault(coding_of(piece.job, piece.layout), []).append(piece)
    for coding, group in groups.items():
        _write(library, coding, group)


def _read(library: Library, pieces: Sequence[Piece]) -> None:
    """Bring samples to the device: code streams are decoded there, native frames taken up."""
    coded = [piece for piece in pieces if piece.job.source not in NATIVE]
    arrays = library.decode([bytes(piece.frame) for piece in coded]) if coded else []
    for piece, array in zip(coded, arrays, strict=True):
        layout = piece.job.layout
        if array is not None and array.shape == layout.shape and array.dtype == _type(layout):
            inside = array if piece.exact else array.clip(*layout.bounds)
            method = htj2k.METHOD if piece.job.source in HT else jpeg2000.METHOD
            read = Decoded(samples=inside, changes=Changes(lost=None if piece.exact else method))
            _take(piece, jpeg2000.cropped(read, layout, None))
    for piece in pieces:
        if piece.job.source in NATIVE:
            decoded = NATIVE[piece.job.source].decode(piece.frame, piece.job.layout)
            _take(piece, decoded)
            piece.array = library.upload(decoded.samples.astype(_type(piece.layout), copy=False))


def _take(piece: Piece, decoded: Decoded) -> None:
    piece.array, piece.changes = decoded.samples, decoded.changes
    piece.layout = decoded.changes.apply(piece.job.layout)


def _down(library: Library, piece: Piece) -> Made:
    """Bring samples to the host: as they are, or as a native frame."""
    samples = library.download(piece.array).astype(piece.layout.dtype, copy=False)
    if piece.job.options is None:
        return Decoded(samples=samples, changes=piece.changes)
    frame = NATIVE[piece.target].encode(samples, piece.layout, piece.job.options)
    return Encoded(data=frame.data, changes=piece.changes.then(frame.changes))


def _write(library: Library, coding: Coding, pieces: Sequence[Piece]) -> None:
    """Encode samples, hold what comes against what was asked for, and prove it."""
    streams = library.encode([piece.array for piece in pieces], coding)
    written = [
        (piece, stream)
        for piece, given in zip(pieces, streams, strict=True)
        if given is not None and (stream := finished(given, piece, coding)) is not None
    ]
    doubted = [(piece, stream) for piece, stream in written if piece.job.prove]
    backs = library.decode([stream for _, stream in doubted]) if doubted else []
    differ = {id(piece) for (piece, _), back in zip(doubted, backs, strict=True) if not _same(piece, back, coding)}
    for piece, stream in written:
        if id(piece) not in differ:
            method = htj2k.METHOD if coding.high_throughput else jpeg2000.METHOD
            said = jpeg2000.encoded(stream, piece.layout, method, lossless=coding.lossless)
            piece.made = Encoded(data=stream, changes=piece.changes.then(said.changes))


def finished(stream: bytes, piece: Piece, coding: Coding) -> bytes | None:
    """Return a code stream as its transfer syntax wants it; None where it is not what was asked for."""
    try:
        head = head_of(stream)
        agree(head, piece.layout)
        if piece.target == uids.HTJ2K_RPCL:
            stream = j2k_markers.with_tile_lengths(stream)
        header = j2k_markers.read(stream)
    except BadInput:
        return None
    depth = (head.start, head.precision, head.signed) == (0, piece.layout.bits_stored, piece.layout.signed)
    coded = (header.high_throughput, header.colours) == (coding.high_throughput, coding.colours)
    exact = header.reversible or not coding.lossless
    rpcl = piece.target != uids.HTJ2K_RPCL or header.serves_rpcl(piece.layout.rows, piece.layout.columns)
    return stream if depth and coded and exact and rpcl else None


def _same(piece: Piece, back: Any, coding: Coding) -> bool:  # noqa: ANN401 - the library's own array
    """Tell whether what was decoded again is what was encoded; where it may be lossy, whether it is such a frame."""
    if back is None or back.shape != piece.array.shape:
        return False
    return not coding.lossless or (back.dtype == piece.array.dtype and bool((back == piece.array).all()))


def _type(layout: Layout) -> np.dtype[np.integer]:
    """Return the type in which the library has samples."""
    return np.dtype("u1" if layout.bits_stored <= 8 else "i2" if layout.signed else "u2")
