"""Work that only decodes: the proof that every frame of an instance can be read, without a word on what it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import BadInput, Reason
from farm.frames import layout
from farm.transcoding.dataset import work_of

if TYPE_CHECKING:
    from farm.frames.work import Work
    from farm.transcoding.instance import Opened


def decoding(one: Opened) -> Work | None:
    """Return the work that decodes the frames of an instance; None: it has no Pixel Data.

    Raise `BadInput` where what describes them cannot be true, or Pixel Data is too short.
    """
    parts, looked = one.ready.parts, one.ready.looked
    if parts.pixels is not None and looked.layout is None:
        layout.read(looked.values)
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the number of frames cannot be true")
    return work_of(parts, one.source.syntax.uid, looked, None)
