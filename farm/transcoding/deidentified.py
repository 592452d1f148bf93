"""A data set that is de-identified, as edits over the original bytes, taken as parts for transcoding.

The elements around Pixel Data are put together as they will be; Pixel Data is as long as its frames, and without
overlays in unused bits. Nothing large is copied but what such an edit changes.
"""

from __future__ import annotations

from farm.deid.deidentify import Deidentified
from farm.dicom import reencode, splice
from farm.dicom.elements import BIG
from farm.dicom.grammar import Span
from farm.dicom.part10 import Part10
from farm.frames.encapsulated import Frame
from farm.transcoding.dataset import Parts
from farm.transcoding.pixels import Pixels


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
