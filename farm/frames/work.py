"""Work on frames: what is asked of codecs for one instance, and what comes back.

Whoever decides what becomes of an instance's pixels says it as a `Job`; whoever has codecs at hand carries it out, in
this process, in one of its own or on a device, and knows no more of the instance than its frames. Frames are asked for
one by one, so that neither side has to hold all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from farm.errors import BadInput
from farm.frames.codec import Changes, Options, Region
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done with every frame of an instance: decode, blank regions, encode, prove.

    `source` is the transfer syntax of the frames that are given, `layout` what the attributes say of them, `count` how
    many frames there are (a video is given as one stream). `options` None: they are only decoded, and what comes back
    for each is the BLAKE3 digest of its samples. `prove`: what was encoded is decoded again, and where the syntax is
    lossless the samples have to be the same.
    """

    source: str
    layout: Layout
    count: int = 1
    options: Options | None = None
    blank: tuple[Region, ...] = ()
    prove: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A job, and the bitstream of each frame, in order; it may be asked for the frames more than once."""

    job: Job
    frames: Iterable[Frame] = field(repr=False)


class WhyNot(StrEnum):
    """Why a device was not given a frame that it was to read, where its trials tell."""

    STYLE = "style"
    """No trial shows that it knows how the frame is coded."""
    DIFFERS = "differs"
    """It read the first frame that was coded so otherwise than the processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The new bitstream of each frame, in order, what has to be said differently, and what did the work.

    `codec` names libraries and versions, and the device where it is none of ours: `OpenJPH 0.26.3`. `handed_back`: a
    device was to do it and did not; `why_not` tells why, where that is known.
    """

    streams: Sequence[Frame] = field(repr=False)
    changes: Changes
    codec: str
    handed_back: bool = False
    why_not: WhyNot | None = None


class Transcoder(Protocol):
    """What carries jobs out."""

    @property
    def batch(self) -> int:
        """How many instances it wants at a time."""

    def run(self, works: Sequence[Work]) -> list[Result | BadInput]:
        """Carry out each work; one that fails spoils no other. Raise `Unavailable` where none can be done."""


def carried_out(work: Work, transcoder: Transcoder) -> Result:
    """Return what came of a single work; raise the `BadInput` that it failed with."""
    (result,) = transcoder.run([work])
    if isinstance(result, BadInput):
        raise result
    return result
