"""One instance into another transfer syntax, with nothing else changed: what `farm transcode` does.

Where nothing has to be done the file stays as it is, byte for byte; else its File Meta Information is written anew
(PS3.10 section 7.1), the elements around Pixel Data stay as they are but for what describes the pixels, and headers
become explicit VR little endian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from farm.dicom import part10, reencode, syntaxes
from farm.dicom.editor import Onlooker
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, PIXEL_DATA, Data, Dialect
from farm.dicom.grammar import Noting, Plan, Span
from farm.dicom.part10 import Limits, Part10
from farm.dicom.splice import Walk
from farm.errors import BadInput, Reason
from farm.frames.encapsulated import Frame
from farm.frames.work import Result, Work
from farm.transcoding import dataset
from farm.transcoding.attributes import SOP_CLASS, SOP_INSTANCE
from farm.transcoding.dataset import Parts, Ready
from farm.transcoding.pixels import Pixels
from farm.transcoding.plan import Action
from farm.transcoding.targets import Wanted
from farm.transcoding.uids import derived_uid

_PLANS = {dialect: Plan(Noting(frozenset({PIXEL_DATA})), dialect) for dialect in (EXPLICIT, IMPLICIT, BIG)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An instance that was looked at and decided on."""

    data: Data = field(repr=False)
    source: Part10
    ready: Ready
    wanted: Wanted

    @property
    def work(self) -> Work | None:
        """What has to be done with its frames, if anything."""
        return self.ready.work


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcoded:
    """A file in segments to be written one after the other, and what became of it.

    `why` is the rule that decided; `codec` what did the work, empty where there was none.
    """

    segments: list[Frame] = field(repr=False)
    source: str
    target: str
    action: Action
    why: str
    codec: str = ""
    handed_back: bool = False


def opened(data: Data, wanted: Wanted, limits: Limits) -> Opened:
    """Look at an instance and decide; raise `BadInput` where it cannot be read, or is refused."""
    source = part10.parse(data, limits)
    ready = dataset.prepare(
        _parts(source), source.syntax.uid, wanted, sop_class=source.sop_class, frame_bytes=limits.frame_bytes
    )
    return Opened(data=data, source=source, ready=ready, wanted=wanted)


def finished(one: Opened, result: Result | None, deflate: Callable[[list[Frame]], Data]) -> Transcoded:
    """Return the file; `result` is what came of `one.work`. Raise `BadInput` where it is refused after all."""
    ready, source = one.ready, one.source
    if result is not None and result.changes.doubt is not None:
        ready, result = dataset.doubted(ready, result.changes.doubt), None
    plan = ready.plan
    segments: list[Frame] = [memoryview(one.data)]
    if plan.target != source.syntax.uid or plan.action is not Action.COPY:
        values = ready.looked.values
        instance = values.get(SOP_INSTANCE, b"").strip(b"\0 ") or source.sop_instance
        sop_class = values.get(SOP_CLASS, b"").strip(b"\0 ") or source.sop_class
        if not instance or not sop_class:
            raise BadInput(Reason.NO_UID if sop_class else Reason.NO_SOP_CLASS)
        if ready.loses:
            instance = derived_uid(instance, replace(one.wanted.options, syntax=plan.target))
        made = dataset.finish(ready, result, instance.decode("latin-1"))
        syntax = syntaxes.find(made.syntax) or source.syntax
        body = [memoryview(deflate(made.segments))] if syntax.deflated else made.segments
        segments = [part10.header(syntax, sop_class, instance), *body]
    return Transcoded(
        segments=segments,
        source=source.syntax.uid,
        target=plan.target,
        action=plan.action,
        why=plan.why,
        codec=result.codec if result else "",
        handed_back=result is not None and result.handed_back,
    )


def _parts(source: Part10) -> Parts:
    """Return a data set around its Pixel Data; what stands behind it as bytes that belong to nothing goes."""
    data, dialect = source.data, source.dialect
    walk = Walk(data, _PLANS[dialect], Onlooker())
    walk.run(source.start, len(data))
    span = next((span for span in walk.notes if span.tag == PIXEL_DATA), None)
    if span is None:
        return Parts(head=_explicit(data, source.start, walk.end, dialect), pixels=None)
    if span.defined == source.syntax.encapsulated:
        raise BadInput(Reason.UNKNOWN_SYNTAX, "Pixel Data is not written as its transfer syntax says")
    head = _explicit(data, source.start, span.start, dialect)
    tail = _explicit(data, span.end, walk.end, dialect)
    return Parts(head=head, pixels=_pixels(source, span, head), tail=(tail,) if tail else ())


def _pixels(source: Part10, span: Span, head: bytes) -> Pixels:
    vr = span.vr
    if not source.dialect.explicit or vr not in {"OB", "OW"}:
        vr = "OW" if not source.dialect.explicit or dataset.allocated(head) > 8 else "OB"
    return Pixels(
        data=source.data,
        start=span.value,
        end=span.end,
        encapsulated=not span.defined,
        order=source.dialect.order,
        vr=vr,
    )


def _explicit(data: Data, start: int, end: int, dialect: Dialect) -> bytes:
    """Return elements as explicit VR little endian."""
    elements = data[start:end]
    if dialect is EXPLICIT or not elements:
        return elements
    return reencode.little(elements, 0) if dialect is BIG else b"".join(reencode.explicit(elements, 0))
