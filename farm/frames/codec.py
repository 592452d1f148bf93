"""The codec protocol: a frame's bitstream in, samples out, and the other way round.

It lies below those that write codecs and those that use them, so neither knows the other. A codec is told what the
attributes say and hands back what has to be said differently from then on, as data: it changes no attribute. Samples
are handed on in the photometric interpretation that the attributes have after these changes. A codec keeps no state
between frames, may be used from several threads at once, and does not hold the interpreter while it works. Whatever its
library finds wrong is `BadInput` with a code, never the library's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, runtime_checkable

from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples


class Doubt(StrEnum):
    """Why the samples of a frame may not be all that its bitstream says."""

    BITS = "bits"
    """Unused bits hold something that is in no sample: a padding value of all bits, as a rule."""
    COLOURS = "colours"
    """The bitstream tells of other colours than Photometric Interpretation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What attributes say from now on; None: what they said before.

    The method and the ratio are those of (0028,2114) and (0028,2112), for this frame alone; None: nothing was lost.
    `lost` is the method by which something was lost before the frame was read, as its bitstream says.
    """

    photometric: str | None = None
    planar: int | None = None
    rows: int | None = None
    columns: int | None = None
    bits_allocated: int | None = None
    bits_stored: int | None = None
    high_bit: int | None = None
    lossy_method: str | None = None
    lossy_ratio: float | None = None
    lost: str | None = None
    doubt: Doubt | None = None

    def apply(self, layout: Layout) -> Layout:
        """Return a layout with the changes made."""
        return _applied(self, layout)

    def then(self, later: Changes) -> Changes:
        """Return these changes followed by later ones."""
        return _followed(self, later)

    def said(self) -> dict[str, Any]:
        """Return what is not None."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}


@lru_cache(maxsize=256)  # the frames of an instance are alike, and small ones are quickly coded
def _applied(changes: Changes, layout: Layout) -> Layout:
    names = {one.name for one in fields(layout)}
    return replace(layout, **{name: value for name, value in changes.said().items() if name in names})


@lru_cache(maxsize=256)
def _followed(changes: Changes, later: Changes) -> Changes:
    return replace(changes, **later.said())


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The samples of a frame, and what has to be said differently of them."""

    samples: Samples = field(repr=False)
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The bitstream of a frame, not padded, and what has to be said differently of its samples.

    `error` is by how much a sample may differ when it comes back; None: the syntax bounds no error of a sample.
    """

    data: bytes = field(repr=False)
    changes: Changes = field(default_factory=Changes)
    error: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to encode: the transfer syntax, and how much may be lost where it may be lossy.

    `near` is the greatest error of JPEG-LS; `quality` that of JPEG, 1 to 100; `psnr` decibels of JPEG 2000; `step` the
    quantisation step of HTJ2K as a part of the full scale; `distance` that of JPEG XL; `rate` the frames a second of a
    video.
    """

    syntax: str
    near: int = 2
    quality: int = 90
    psnr: int = 60
    step: float = 1 / 1024
    distance: float = 1.0
    rate: float = 25.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a codec writes in a transfer syntax: which Bits Stored and colours, if signed ones, if all comes back.

    `allocated` is the least Bits Allocated: above 1, it takes no single bits that share bytes.
    """

    bits: tuple[int, int]
    signed: bool
    colours: tuple[str, ...]
    lossless: bool = True
    allocated: int = 1

    def covers(self, layout: Layout) -> bool:
        """Tell whether samples of a layout can be written."""
        least, most = self.bits
        bits = least <= layout.bits_stored <= most and layout.bits_allocated >= self.allocated
        return bits and layout.photometric in self.colours and (self.signed or not layout.signed)


class Region(NamedTuple):
    """A part of a frame: its first row and column, and how many of each."""

    row: int
    column: int
    rows: int
    columns: int


class Codec(Protocol):
    """What reads and writes the frames of some transfer syntaxes."""

    @property
    def name(self) -> str:
        """The family: `jpeg2000`."""

    @property
    def library(self) -> str:
        """What does the work: `OpenJPEG`."""

    @property
    def version(self) -> str:
        """The library's version."""

    @property
    def device(self) -> str:
        """Where it works: `cpu`."""

    @property
    def decodes(self) -> tuple[str, ...]:
        """The transfer syntaxes whose frames it reads."""

    @property
    def encodes(self) -> Mapping[str, Claim]:
        """The transfer syntaxes whose frames it writes, and which it can."""

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return the samples of a frame; raise `BadInput` where its bitstream is not what the layout says."""

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return the bitstream of a frame; raise `BadInput` where the syntax cannot hold its samples."""


@runtime_checkable
class Rewriter(Protocol):
    """A codec that turns a frame's bitstream into that of another syntax which holds the same coded picture."""

    @property
    def rewrites(self) -> tuple[tuple[str, str], ...]:
        """From which transfer syntax to which; where both ways, every byte comes back."""

    def rewrite(self, data: Frame, source: str, target: str) -> bytes:
        """Return the bitstream in the other syntax; raise `BadInput` where it has none there."""
