"""The protocol of a codec whose bitstream holds all frames of an instance: video (PS3.5 8.2.5 to 8.2.11).

Frames are handed on one by one in both directions, so that neither side has to hold all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from farm.frames.codec import Changes, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples


@runtime_checkable
class VideoCodec(Protocol):
    """What reads and writes streams; each is a `farm.frames.codec.Codec` as well, of streams of one frame."""

    def decoded(self, layout: Layout) -> Changes:
        """Return what has to be said differently of the frames that `decode_all` yields."""

    def decode_all(self, stream: Frame, layout: Layout, count: int) -> Iterator[Samples]:
        """Return the frames of a stream; raise `BadInput` where they are not as many, or not what the layout says."""

    def encode_all(self, frames: Iterable[Samples], layout: Layout, options: Options) -> Encoded:
        """Return frames as one stream; raise `BadInput` where the syntax cannot hold them."""
