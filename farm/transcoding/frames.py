"""What is done to a single frame: decode, blank, encode, and the proof that nothing was lost.

The proof is made on every frame that a lossless syntax is written for: what was encoded is decoded again, and every
sample compared. A codec that errs on one frame in a million costs that instance an error instead of its truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from blake3 import blake3

from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Codec, Region, Rewriter
from farm.frames.encapsulated import Frame
from farm.frames.layout import Samples
from farm.frames.work import Job, Result, Work

Finder = Callable[[str], Codec]
"""What returns the codec for a transfer syntax."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """The new bitstream of a frame, and what has to be said differently."""

    data: bytes = field(repr=False)
    changes: Changes


def worked(frame: Frame, job: Job, decoder: Finder, encoder: Finder) -> Worked:
    """Do to one frame what a job says; raise `BadInput` where it cannot be done or its proof fails."""
    rewriter = None if job.blank or job.options is None else rewriter_of(job, decoder, encoder)
    if rewriter is not None:
        return _rewritten(frame, job, rewriter)
    decoded = decoder(job.source).decode(frame, job.layout)
    layout = decoded.changes.apply(job.layout)
    samples = blanked(decoded.samples, job.blank)
    if job.options is None:
        return Worked(data=digest(samples), changes=decoded.changes)
    writer = encoder(job.options.syntax)
    encoded = writer.encode(samples, layout, job.options)
    if job.prove:
        back = decoder(job.options.syntax).decode(encoded.data, encoded.changes.apply(layout)).samples
        if back.shape != samples.shape or (
            writer.encodes[job.options.syntax].lossless and not np.array_equal(back, samples)
        ):
            raise BadInput(Reason.PIXELS_DIFFER)
    return Worked(data=encoded.data, changes=decoded.changes.then(encoded.changes))


def rewriter_of(job: Job, decoder: Finder, encoder: Finder) -> Rewriter | None:
    """Return the codec that turns the bitstreams of a job into those that it asks for, if there is one."""
    if job.options is None:
        return None
    pair = (job.source, job.options.syntax)
    codecs = (decoder(job.source), encoder(job.options.syntax))
    return next((codec for codec in codecs if isinstance(codec, Rewriter) and pair in codec.rewrites), None)


def _rewritten(frame: Frame, job: Job, rewriter: Rewriter) -> Worked:
    """Rewrite the bitstream of a frame, and prove that every byte comes back."""
    source, target = job.source, job.options.syntax if job.options else ""
    data = rewriter.rewrite(frame, source, target)
    if job.prove and rewriter.rewrite(data, target, source).rstrip(b"\0") != bytes(frame).rstrip(b"\0"):
        raise BadInput(Reason.PIXELS_DIFFER)
    return Worked(data=data, changes=Changes())


def blanked(samples: Samples, regions: Sequence[Region]) -> Samples:
    """Return samples with regions set to the least value; the same array where there are none."""
    if not regions:
        return samples
    copy = samples.copy()
    for region in regions:
        copy[region.row : region.row + region.rows, region.column : region.column + region.columns] = 0
    return copy


def digest(samples: Samples) -> bytes:
    """Return the BLAKE3 digest of samples, little endian, pixel by pixel."""
    plain = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    return blake3(plain.data.cast("B") if plain.size else b"").digest()


def together(changes: Sequence[Changes]) -> Changes:
    """Return the changes of all frames of an instance: the same of each, and the mean of the ratios.

    Raise `BadInput` where frames differ in what an attribute can say only once.
    """
    ratios = [one.lossy_ratio for one in changes if one.lossy_ratio is not None]
    ratio = round(len(ratios) / sum(1 / each for each in ratios), 2) if ratios else None
    alike = {one.with_ratio(ratio if one.lossy_ratio is not None else None) for one in changes}
    if len(alike) != 1:
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the frames are not of one kind")
    return alike.pop()


class Inline:
    """Carries jobs out in this process, frame by frame: for tests, and for those who trust their input."""

    batch = 1

    def __init__(self, decoder: Finder, encoder: Finder) -> None:
        """Take what finds codecs."""
        self._decoder, self._encoder = decoder, encoder

    def run(self, works: Sequence[Work]) -> list[Result | BadInput]:
        """Carry out each work."""
        results: list[Result | BadInput] = []
        for work in works:
            try:
                results.append(self._one(work))
            except BadInput as error:
                results.append(error)
        return results

    def _one(self, work: Work) -> Result:
        done = [worked(frame, work.job, self._decoder, self._encoder) for frame in work.frames]
        return Result(
            streams=[one.data for one in done],
            changes=together([one.changes for one in done]),
            codec=codec_of(work.job, self._decoder, self._encoder),
        )


def codec_of(job: Job, decoder: Finder, encoder: Finder) -> str:
    """Return what does a job: `OpenJPEG 2.5.4 to OpenJPH 0.26.3`."""
    used = [decoder(job.source), *([encoder(job.options.syntax)] if job.options else [])]
    names = dict.fromkeys(f"{codec.library} {codec.version}" for codec in used)
    return " to ".join(names)
