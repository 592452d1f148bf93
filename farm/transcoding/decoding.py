"""Work that only decodes: the proof that every frame of an instance can be read, without a word on what it becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import BadInput, Reason
from farm.frames import layout
from farm.frames.work import Job, Work
from farm.transcoding import pixels
from farm.transcoding.plan import VIDEO

if TYPE_CHECKING:
    from farm.transcoding.instance import Opened


def decoding(one: Opened) -> Work | None:
    """Return the work that decodes the frames of an instance; None: it has no Pixel Data.

    Raise `BadInput` where what describes them cannot be true, or Pixel Data is too short.
    """
    parts, looked = one.ready.parts, one.ready.looked
    if parts.pixels is None:
        return None
    if looked.layout is None:
        layout.read(looked.values)
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the number of frames cannot be true")
    source = one.source.syntax.uid
    count = 1 if source in VIDEO else looked.count
    given = pixels.frames_of(parts.pixels, source, looked.layout, count, looked.offsets)
    return Work(job=Job(source=given.syntax, layout=given.layout, count=looked.count), frames=given.frames)
