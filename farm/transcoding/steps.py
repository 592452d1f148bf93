"""The steps of work on a frame: decode, blank, encode, and the proof that nothing was lost.

The proof is made on every frame: what was encoded is decoded again, and where the syntax is lossless every sample
compared; where it bounds what a sample may lose (JPEG-LS), every error is held against that. A codec that errs on one
frame in a million costs that instance an error instead of its truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from blake3 import blake3

from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Codec, Decoded, Region
from farm.frames.layout import Layout, Samples
from farm.frames.work import Job

Finder = Callable[[str], Codec]
"""What returns the codec for a transfer syntax."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """The new bitstream of a frame, and what has to be said differently."""

    data: bytes = field(repr=False)
    changes: Changes


def finished(decoded: Decoded, job: Job, decoder: Finder, encoder: Finder) -> Worked:
    """Do to a frame that was decoded what is left of a job; raise `BadInput` where it cannot be, or its proof fails."""
    layout = decoded.changes.apply(job.layout)
    samples = blanked(decoded.samples, job.blank, layout)
    if job.options is None:
        return Worked(data=digest(samples), changes=decoded.changes)
    writer = encoder(job.options.syntax)
    encoded = writer.encode(samples, layout, job.options)
    if job.prove:
        back = decoder(job.options.syntax).decode(encoded.data, encoded.changes.apply(layout)).samples
        error = 0 if writer.encodes[job.options.syntax].lossless else encoded.error
        if back.shape != samples.shape or (error is not None and not near(back, samples, error)):
            raise BadInput(Reason.PIXELS_DIFFER)
    return Worked(data=encoded.data, changes=decoded.changes.then(encoded.changes))


def same(first: Samples, second: Samples) -> bool:
    """Tell whether two frames of one shape have the same samples."""
    if first.ndim < 3 or (first.flags.c_contiguous and second.flags.c_contiguous):
        return np.array_equal(first, second)
    # One lies by pixel and the other by plane: numpy would go by pixels, three samples at a time.
    return all(np.array_equal(first[..., plane], second[..., plane]) for plane in range(first.shape[2]))


def near(first: Samples, second: Samples, error: int) -> bool:
    """Tell whether no sample of two frames of one shape differs by more than an error; 0: by nothing."""
    if not error:
        return same(first, second)
    pairs = zip(first, second, strict=True)  # row by row: a difference of whole frames takes their room again
    return all(int((np.maximum(one, two) - np.minimum(one, two)).max()) <= error for one, two in pairs)


def blanked(samples: Samples, regions: Sequence[Region], layout: Layout) -> Samples:
    """Return samples of a layout with regions black; the same array where there are none."""
    if not regions:
        return samples
    copy = samples.copy()
    for region in regions:
        copy[region.row : region.row + region.rows, region.column : region.column + region.columns] = layout.black
    return copy


def digest(samples: Samples) -> bytes:
    """Return the BLAKE3 digest of samples, little endian, pixel by pixel."""
    plain = np.ascontiguousarray(samples, samples.dtype.newbyteorder("<"))
    return blake3(plain.data.cast("B") if plain.size else b"").digest()
