"""Work that only decodes: the proof that every frame of an instance can be read, without a word on what it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.transcoding.dataset import work_of

if TYPE_CHECKING:
    from farm.frames.work import Work
    from farm.transcoding.instance import Opened


def decoding(one: Opened) -> Work | None:
    """Return the work that decodes the frames of an instance; None: it has no Pixel Data.

    Raise `BadInput` where what describes them cannot be true, or Pixel Data is too short.
    """
    parts, looked = one.ready.parts, one.ready.looked
    if looked.fault is not None:
        raise looked.fault
    return work_of(parts, one.source.syntax.uid, looked, None)
