"""A device's trials: before it is given work of a kind, it does a small piece of it, and the processor's codecs judge.

A kind is a way (reading or writing), a coding, and a layout but for its size. A trial takes milliseconds, once in a
process; it costs less than to believe that every version of a library on every device knows 11 bits with a sign.

What is read was coded by encoders that are none of ours. Their code streams are of a kind when they are of one `Style`,
and a kind for which no trial's picture can be coded is not read at all: there is none with bypass or termination, with
a region of interest, several layers, or headers that stand elsewhere. The pictures are those of our own encoder, as it
writes them, or put together anew without coding: each of four is a tile, and what is one layer of one precinct is in
three orders of progression at once. Since a small picture is not all of it, the first frame of each style with its
numbers is read by the processor too; where the device differs, it reads none of these any more in this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from farm.codecs import htj2k, j2k_styles, jpeg2000, uids
from farm.codecs.j2k_styles import Numbers, Style
from farm.codecs.nvbatch import HT, LOSSY, NATIVE, Made, Piece
from farm.dicom.syntaxes import EXPLICIT_LITTLE
from farm.errors import BadInput
from farm.frames.codec import Codec, Decoded, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job, WhyNot

_SIZE, _TILES, _PRECINCTS = (72, 100), (128, 128), (280, 300)
"""Rows and columns of a picture: the usual one, one of 2 x 2 tiles, and one of several precincts of 256."""
_SAME_PACKETS = range(3)
"""Orders that are one in a layer of one precinct: LRCP, RLCP, RPCL (T.800 table A.16)."""
_LOSSY_READ, _LOSSY_WRITTEN = 1.0, 0.02
"""The mean error of reading, in values, since floats are rounded either way; of writing, in parts of the scale."""
_ROUNDED, _ROUNDED_OF_SCALE = 2, 1 / 4096
"""By how much a sample of a lossy frame may differ between two decoders: in values, or in parts of the scale."""

_CODECS: dict[str, Codec] = {
    **dict.fromkeys((uids.J2K_LOSSLESS, uids.J2K), jpeg2000.CODEC),
    **dict.fromkeys((uids.HTJ2K_LOSSLESS, uids.HTJ2K_RPCL), htj2k.CODEC),
    uids.HTJ2K: htj2k.READS_LOSSY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried: reading a transfer syntax that is coded in a style, or writing by options, of a layout."""

    layout: Layout
    reads: str = ""
    style: Style | None = None
    writes: Options | None = None


class Trials:
    """What a device was tried in, and whether it passed."""

    def __init__(self, run: Callable[[Frame, Job], Made | None]) -> None:
        """Take what makes the device do a job, and gives None where it does not."""
        self._run = run
        self._passed: dict[Trial, bool] = {}
        self._firsts: dict[tuple[Trial, Numbers], bool] = {}

    def passed(self, piece: Piece) -> bool:
        """Tell whether the device may be given a piece, after it has shown that it can."""
        return all(self._shown(trial) for trial in trials_of(piece)) and self._alike(piece)

    def why_not(self, piece: Piece) -> WhyNot | None:
        """Return why the device may not read a piece, as far as trials tell; nothing is tried."""
        reading = reading_of(piece)
        if reading is None:
            return None
        if self._firsts.get(reading) is False:
            return WhyNot.DIFFERS
        return WhyNot.STYLE if self._passed.get(reading[0]) is False else None

    def _alike(self, piece: Piece) -> bool:
        """Tell whether the device reads such frames as the processor does, by the first that both of them read."""
        reading = reading_of(piece)
        if reading is None or self._firsts.get(reading):
            return True
        if reading in self._firsts:
            return False
        made = self._run(piece.frame, Job(source=piece.job.source, layout=piece.job.layout))
        if not isinstance(made, Decoded):
            return False
        try:
            expected = _CODECS[piece.job.source].decode(piece.frame, piece.job.layout).samples
        except BadInput:  # it is no frame, and says nothing of others
            return False
        low, high = piece.job.layout.bounds
        most = 0 if piece.exact else max(_ROUNDED, int((high - low) * _ROUNDED_OF_SCALE))
        self._firsts[reading] = bool((np.abs(made.samples.astype(np.int64) - expected) <= most).all())
        return self._firsts[reading]

    def _shown(self, trial: Trial) -> bool:
        if trial not in self._passed:
            try:
                self._passed[trial] = (_reads if trial.reads else _writes)(trial, self._run)
            except BadInput:  # the processor's codecs take it neither
                self._passed[trial] = False
        return self._passed[trial]


def trials_of(piece: Piece) -> list[Trial]:
    """Return what has to be shown before a piece is given to a device."""
    reading = reading_of(piece)
    found = [] if reading is None else [reading[0]]
    if piece.job.options and piece.target not in NATIVE:
        found.append(Trial(layout=_sized(piece.layout, _SIZE), writes=piece.job.options))
    return found


def reading_of(piece: Piece) -> tuple[Trial, Numbers] | None:
    """Return what has to be shown before a piece is read, and the numbers of its style; None: it is a native frame."""
    if piece.coded is None:
        return None
    style, numbers = piece.coded
    exact, lossy = (uids.HTJ2K_LOSSLESS, uids.HTJ2K) if piece.job.source in HT else (uids.J2K_LOSSLESS, uids.J2K)
    size = _TILES if style.tiled else _PRECINCTS if style.precincts else _SIZE
    return Trial(layout=_sized(piece.job.layout, size), reads=exact if piece.exact else lossy, style=style), numbers


def _sized(layout: Layout, size: tuple[int, int]) -> Layout:
    """Return a layout of another size, without what no codec is told."""
    colours = "RGB" if layout.photometric in jpeg2000.TRANSFORMED else layout.photometric
    rows, columns = size
    high = layout.bits_stored - 1
    return replace(layout, rows=rows, columns=columns, planar=0, high_bit=high, photometric=colours)


def picture(layout: Layout) -> Samples:
    """Return slopes with noise, and both bounds."""
    low, high = layout.bounds
    slope = np.linspace(0.1, 0.8, layout.rows)[:, None] + np.linspace(0, 0.1, layout.columns)[None, :]
    noisy = slope + np.random.default_rng(layout.bits_stored).random(slope.shape) * 0.05
    if layout.samples > 1:
        noisy = np.stack([noisy, 0.9 - noisy / 2, noisy * 0.7 + 0.1], axis=-1)
    frame: Samples = np.floor(low + noisy * (high - low)).astype(layout.dtype)
    frame.reshape(-1)[:6], frame.reshape(-1)[-6:] = high, low
    return frame


def _reads(trial: Trial, run: Callable[[Frame, Job], Made | None]) -> bool:
    codec = _CODECS[trial.reads]
    data, layout = _coded(trial, codec)
    if j2k_styles.read(data)[0] != trial.style:
        return False
    made = run(data, Job(source=trial.reads, layout=layout))
    if not isinstance(made, Decoded):
        return False
    expected = codec.decode(data, layout).samples
    error = np.abs(made.samples.astype(np.int64) - expected)
    return bool(error.mean() <= (_LOSSY_READ if trial.reads in LOSSY else 0))


def _coded(trial: Trial, codec: Codec) -> tuple[bytes, Layout]:
    """Return a picture in a trial's style, as near to it as it can be had, and what attributes say of it then."""
    whole, style = trial.layout, trial.style
    tiled = style is not None and style.tiled and trial.reads not in HT
    part = replace(whole, rows=whole.rows // 2, columns=whole.columns // 2) if tiled else whole
    across, samples = whole.columns // part.columns, picture(whole)
    options, parts = Options(syntax=trial.reads), []
    for at in range(4 if tiled else 1):
        row, column = at // across * part.rows, at % across * part.columns
        cut = np.ascontiguousarray(samples[row : row + part.rows, column : column + part.columns])
        parts.append(codec.encode(cut, part, options))
    layout = parts[0].changes.apply(whole)
    layout = replace(layout, rows=whole.rows, columns=whole.columns)
    data = j2k_styles.tiled([one.data for one in parts], across) if tiled else parts[0].data
    if style is None or trial.reads in HT or style.precincts or style.order not in _SAME_PACKETS:
        return data, layout
    return j2k_styles.ordered(data, style.order), layout


def _writes(trial: Trial, run: Callable[[Frame, Job], Made | None]) -> bool:
    samples, options = picture(trial.layout), trial.writes
    if options is None:
        return False
    made = run(samples.tobytes(), Job(source=EXPLICIT_LITTLE, layout=trial.layout, options=options))
    if not isinstance(made, Encoded):
        return False
    back = _CODECS[options.syntax].decode(made.data, made.changes.apply(trial.layout)).samples
    error = np.abs(back.astype(np.int64) - samples)
    low, high = trial.layout.bounds
    return bool(error.mean() <= (_LOSSY_WRITTEN * (high - low) if options.syntax in LOSSY else 0))
