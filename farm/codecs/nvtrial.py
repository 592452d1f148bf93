"""A device's trials: before it is given work of a kind, it does a small piece of it, and the processor's codecs judge.

A kind is a way (reading or writing), a coding, and a layout but for its size. A trial takes milliseconds, once in a
process; it costs less than to believe that every version of a library on every device knows 11 bits with a sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from farm.codecs import htj2k, jpeg2000, uids
from farm.codecs.nvbatch import HT, LOSSY, NATIVE, Made, Piece
from farm.dicom.syntaxes import EXPLICIT_LITTLE
from farm.errors import BadInput
from farm.frames.codec import Codec, Decoded, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job

_ROWS, _COLUMNS = 72, 100
_LOSSY_READ, _LOSSY_WRITTEN = 1.0, 0.02
"""The mean error of reading, in values, since floats are rounded either way; of writing, in parts of the scale."""

_CODECS: dict[str, Codec] = {
    **dict.fromkeys((uids.J2K_LOSSLESS, uids.J2K), jpeg2000.CODEC),
    **dict.fromkeys((uids.HTJ2K_LOSSLESS, uids.HTJ2K_RPCL), htj2k.CODEC),
    uids.HTJ2K: htj2k.READS_LOSSY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is tried: reading a transfer syntax, or writing by options, of a layout."""

    layout: Layout
    reads: str = ""
    writes: Options | None = None


class Trials:
    """What a device was tried in, and whether it passed."""

    def __init__(self, run: Callable[[Frame, Job], Made | None]) -> None:
        """Take what makes the device do a job, and gives None where it does not."""
        self._run = run
        self._passed: dict[Trial, bool] = {}

    def passed(self, piece: Piece) -> bool:
        """Tell whether the device may be given a piece, after it has shown that it can."""
        return all(self._shown(trial) for trial in trials_of(piece))

    def _shown(self, trial: Trial) -> bool:
        if trial not in self._passed:
            try:
                self._passed[trial] = (_reads if trial.reads else _writes)(trial, self._run)
            except BadInput:  # the processor's codecs take it neither
                self._passed[trial] = False
        return self._passed[trial]


def trials_of(piece: Piece) -> list[Trial]:
    """Return what has to be shown before a piece is given to a device."""
    layout = replace(piece.layout, rows=_ROWS, columns=_COLUMNS, planar=0, high_bit=piece.layout.bits_stored - 1)
    if layout.photometric in jpeg2000.TRANSFORMED:
        layout = replace(layout, photometric="RGB")
    found = []
    if piece.job.source not in NATIVE:
        exact, lossy = (uids.HTJ2K_LOSSLESS, uids.HTJ2K) if piece.job.source in HT else (uids.J2K_LOSSLESS, uids.J2K)
        found.append(Trial(layout=layout, reads=exact if piece.exact else lossy))
    if piece.job.options and piece.target not in NATIVE:
        found.append(Trial(layout=layout, writes=piece.job.options))
    return found


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
    written = codec.encode(picture(trial.layout), trial.layout, Options(syntax=trial.reads))
    layout = written.changes.apply(trial.layout)
    made = run(written.data, Job(source=trial.reads, layout=layout))
    if not isinstance(made, Decoded):
        return False
    expected = codec.decode(written.data, layout).samples
    error = np.abs(made.samples.astype(np.int64) - expected)
    return bool(error.mean() <= (_LOSSY_READ if trial.reads in LOSSY else 0))


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
