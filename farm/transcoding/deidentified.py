"""A data set that is de-identified, as edits over the original bytes, taken as parts for transcoding.

The elements around Pixel Data are put together as they will be; Pixel Data is as long as its frames, and without
overlays in unused bits. Nothing large is copied but what such an edit changes.

A bitstream that is rewritten brings along all that a JPEG stream can carry beside the picture, and gives it back: EXIF,
comments, bytes behind its end. So that goes before JPEG Baseline is rewritten, or from what comes out as JPEG Baseline;
what is encoded brings nothing along (see `farm.pixels.markers`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from farm.deid.deidentify import Deidentified
from farm.dicom import reencode, splice
from farm.dicom.elements import BIG
from farm.dicom.grammar import Span
from farm.dicom.part10 import Part10
from farm.frames.encapsulated import Frame
from farm.frames.work import Result
from farm.pixels import markers
from farm.transcoding.dataset import Parts, Ready
from farm.transcoding.pixels import Pixels
from farm.transcoding.plan import Action


def parts_of(source: Part10, done: Deidentified) -> Parts:
    """Return the de-identified data set around its Pixel Data; its headers are explicit VR already."""
    span = done.pixels
    start, end = (span.start, span.end) if span else (done.end, done.end)
    before = [edit for edit in done.edits if edit[1] <= start]
    behind = [edit for edit in done.edits if edit[0] >= end] if span else []
    head = b"".join(splice.assemble(source.data, before, source.start, start))
    tail = splice.assemble(source.data, behind, end, done.end)
    if done.target is BIG:
        head, tail = reencode.little(head, 0), [reencode.little(b"".join(tail), 0)]
    return Parts(head=head, pixels=_pixels(source, done, span) if span else None, tail=tail)


def _pixels(source: Part10, done: Deidentified, span: Span) -> Pixels:
    if not span.defined:
        return Pixels(data=source.data, start=span.value, end=span.end, encapsulated=True)
    inside = [edit for edit in done.edits if span.start <= edit[0] < span.end and edit[1] > span.start]
    pieces = splice.assemble(source.data, inside, span.start, span.end)
    first = bytes(pieces[0][:12])
    header = done.target.header(first, 0, len(first))
    value: Frame = pieces[0][header.size :]
    if len(pieces) > 1:
        value = pieces[1] if len(pieces) == 2 and not value else b"".join([value, *pieces[1:]])
    return Pixels(data=value, start=0, end=len(value), encapsulated=False, order=done.target.order, vr=header.vr)


@dataclass(frozen=True, slots=True)
class _Bare:
    """The frames of JPEG with nothing but picture in them, drawn as often as they are asked for."""

    frames: Iterable[Frame] = field(repr=False)

    def __iter__(self) -> Iterator[Frame]:
        return (markers.stripped(bytes(frame), "jpeg") for frame in self.frames)


def bare(ready: Ready) -> Ready:
    """Return an instance to be rewritten with nothing but picture in the bitstreams that are given; others as is."""
    if ready.work is None or not _rewrites(ready, ready.source):
        return ready
    return replace(ready, work=replace(ready.work, frames=_Bare(ready.work.frames)))


def bared(ready: Ready, result: Result) -> Result:
    """Return what came of the work with nothing but picture in bitstreams that were rewritten to JPEG."""
    return replace(result, streams=list(_Bare(result.streams))) if _rewrites(ready, ready.plan.target) else result


def _rewrites(ready: Ready, syntax: str) -> bool:
    """Tell whether bitstreams are rewritten, and are JPEG in this transfer syntax."""
    return ready.plan.action is Action.REWRITE and markers.family_of(syntax) == "jpeg"
