"""A data set with its frames in another transfer syntax.

Around Pixel Data little changes: some attributes that describe it, and nothing else. So a data set is taken as three
parts: the elements before Pixel Data, explicit VR little endian, which are edited by a splice; Pixel Data, whose frames
are handed to whatever transcodes them; and the elements behind, which stay. `prepare` looks and decides, and hands out
the work; `finish` puts together what came of it. Neither decodes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from farm.codecs import registry
from farm.deid.overlays import embedded
from farm.dicom import splice
from farm.dicom.editor import Onlooker
from farm.dicom.elements import EXPLICIT, PIXEL_DATA
from farm.dicom.grammar import Edit, Noting, Span
from farm.dicom.grammar import Plan as WalkPlan
from farm.dicom.splice import Walk
from farm.errors import BadInput, Reason
from farm.frames import layout as layouts
from farm.frames.codec import Claim, Codec, Doubt, Options, Region
from farm.frames.layout import SUBSAMPLED, Layout
from farm.frames.work import Job, Result, Work
from farm.transcoding import attributes, frametypes, pixels, timing
from farm.transcoding.attributes import LENGTHS, OFFSETS, VRS
from farm.transcoding.frames import rewriter_of
from farm.transcoding.pixels import Pixels
from farm.transcoding.plan import VIDEO, Action, Case, Frames, Plan, plan
from farm.transcoding.targets import Wanted

_DECODED = {SUBSAMPLED: "YBR_FULL", **dict.fromkeys(("YBR_RCT", "YBR_ICT", "XYB", "YBR_PARTIAL_420"), "RGB")}
"""The photometric interpretations that decoding does not leave."""
_OVERLAYS = frozenset(group << 16 | element for group in range(0x6000, 0x6020, 2) for element in (0x100, 0x102, 0x3000))
_ICON = bytes.fromhex("e07f10004f420000ffffffff")
"""What opens the compressed pixels of an icon: they have the transfer syntax of the instance (PS3.5 A.4)."""
_MOST_FRAMES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A data set: the elements before Pixel Data, explicit VR little endian; Pixel Data; and the elements behind."""

    head: bytes = field(repr=False)
    pixels: Pixels | None
    tail: Sequence[bytes | memoryview] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the head says: values by tag, where they stand, and where what is missing belongs."""

    values: dict[int, bytes] = field(repr=False)
    spans: dict[int, Span]
    places: dict[int, int]
    layout: Layout | None
    count: int
    offsets: bytes = field(repr=False)
    """The Extended Offset Table."""
    overlaid: bool
    """An overlay stands in unused bits of the samples."""
    fault: BadInput | None
    """What is wrong with what describes the frames, where they have no layout."""
    icon: bool
    """Its icon is compressed."""
    deeper: bool
    """So is another image, within a sequence that stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """An instance looked at and decided on; `work` is what has to be done with its frames, if anything."""

    parts: Parts
    looked: Looked
    source: str
    plan: Plan
    case: Case
    work: Work | None
    loses: bool
    """The pixels will be others afterwards, so the instance needs a new UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """The data set with its frames in another syntax; a deflated one is yet to be deflated."""

    segments: list[bytes | memoryview] = field(repr=False)
    syntax: str


def prepare(  # noqa: PLR0913 - what is looked at, and what is wanted of it
    parts: Parts,
    source: str,
    wanted: Wanted,
    blank: Sequence[Region] = (),
    *,
    sop_class: bytes = b"",
    frame_bytes: int = layouts.FRAME_LIMIT,
) -> Ready:
    """Look at a data set in the transfer syntax `source` and decide what becomes of its frames.

    `sop_class` counts where the data set does not say it; `frame_bytes` is the most that a frame's samples may take.
    Raise `BadInput` where it is refused: see `farm.transcoding.plan.RULES`.
    """
    looked = look(parts, frame_bytes)
    claim = _claim(wanted.syntax or source, looked)
    codec = _codec(registry.decoder, source)
    case = Case(
        source=source,
        target=wanted.syntax,
        redacting=bool(blank),
        frames=_frames(parts, looked),
        doubt=Doubt.BITS if looked.overlaid else None,
        icon=looked.deeper,
        numbers=attributes.numbers(looked.values.get(attributes.SOP_CLASS, b"") or sop_class),
        lossy=attributes.lossy(source, looked.values),
        readable=codec is not None,
        writable=claim is not None,
        rewritable=rewriter_of(source, wanted.syntax, registry.decoder, registry.encoder) is not None,
        loses=claim is not None and not claim.lossless,
        again=wanted.again,
        refuse=wanted.refuse,
    )
    decided = _decided(case)
    work = None
    if decided.action is not Action.COPY:
        options = replace(wanted.options, syntax=decided.target)
        work = work_of(parts, source, looked, options, prove=wanted.prove)
        if work is not None and blank:
            work = replace(work, job=replace(work.job, blank=tuple(blank)))
    loses = decided.action is Action.ENCODE and case.loses
    return Ready(parts=parts, looked=looked, source=source, plan=decided, case=case, work=work, loses=loses)


def doubted(ready: Ready, doubt: Doubt) -> Ready:
    """Return an instance decided on anew: its frames were read, and hold what would be lost. They stay as they are.

    Raise `BadInput` where it is refused for that.
    """
    case = ready.case._replace(doubt=doubt)
    return replace(ready, plan=_decided(case), case=case, work=None, loses=False)


def _decided(case: Case) -> Plan:
    decided = plan(case)
    if decided.reason is not None:
        raise BadInput(decided.reason, decided.why)
    return decided


def finish(ready: Ready, result: Result | None, instance: str = "") -> Made:
    """Return the data set with what became of its frames; `instance`: the SOP Instance UID that it has from now on."""
    parts, looked = ready.parts, ready.looked
    new: dict[int, bytes | None] = attributes.derived(looked.values, instance) if ready.loses else {}
    inner = frametypes.derived(parts.head) if ready.loses else []
    if result is None or ready.work is None:
        return Made(
            segments=[edited(parts.head, looked, new, inner), *pixels.unchanged(parts.pixels), *parts.tail],
            syntax=ready.plan.target,
        )
    new |= attributes.said(looked.values, ready.work, result.changes)
    if looked.icon:  # its pixels would be in another transfer syntax than the instance
        new[attributes.ICON] = None
    after = result.changes.apply(ready.work.job.layout)
    element, tables = pixels.element(result.streams, ready.plan.target, after, looked.count)
    for tag, value in zip((OFFSETS, LENGTHS), tables or (None, None), strict=True):
        if value is not None or tag in looked.spans:
            new[tag] = value
    return Made(segments=[edited(parts.head, looked, new, inner), *element, *parts.tail], syntax=ready.plan.target)


def look(parts: Parts, frame_bytes: int = layouts.FRAME_LIMIT) -> Looked:
    """Return what the elements before Pixel Data say; there is no layout of frames that are larger than may be."""
    marking = _Marking()
    walk = Walk(parts.head, _looking(), marking)
    walk.run(0, len(parts.head))
    spans = {span.tag: span for span in reversed(walk.notes)}
    values = {tag: parts.head[span.value : span.end] for tag, span in spans.items() if tag < PIXEL_DATA}
    places = {attributes.INSERTED[new[0]]: at for at, end, new in walk.edits if at == end}
    layout, count, fault = None, 0, None
    if parts.pixels is not None:
        try:
            count = _count(values.get(layouts.FRAMES, b""))
            layout = layouts.read(values, limit=frame_bytes)
        except BadInput as error:
            fault = error
    overlaid = any(_hidden(group << 16, values) for group in range(0x6000, 0x6020, 2))
    table, icon = spans.get(OFFSETS), spans.get(attributes.ICON)
    start, end = (icon.start, icon.end) if icon else (0, 0)
    return Looked(
        values=values,
        spans=spans,
        places=places,
        layout=layout,
        count=count,
        offsets=parts.head[table.value : table.end] if table else b"",
        overlaid=overlaid,
        fault=fault,
        icon=parts.head.find(_ICON, start, end) >= 0,
        deeper=parts.head.find(_ICON, 0, start) >= 0 or parts.head.find(_ICON, end) >= 0,
    )


def _frames(parts: Parts, looked: Looked) -> Frames:
    if parts.pixels is None:
        return Frames.NONE
    if looked.fault is None:
        return Frames.SOUND
    return Frames.LARGE if looked.fault.reason is Reason.PIXELS_TOO_LARGE else Frames.UNDESCRIBED


def _hidden(group: int, values: Mapping[int, bytes]) -> bool:
    """Tell whether the overlay of a group 60xx stands in bits of the samples."""
    allocated, position = (int.from_bytes(values.get(group | element, b"")[:2], "little") for element in (0x100, 0x102))
    return embedded(bits_allocated=allocated, position=position, has_data=group | 0x3000 in values)


def edited(head: bytes, looked: Looked, new: dict[int, bytes | None], inner: Sequence[Edit] = ()) -> bytes:
    """Return the head with new values of attributes (None: without it), and edits within its sequences."""
    edits: list[Edit] = list(inner)
    inserted: dict[int, bytes] = {}
    for tag, value in sorted(new.items()):
        element = b"" if value is None else EXPLICIT.element(tag, VRS[tag], value)
        if tag in looked.spans:
            edits.append((looked.spans[tag].start, looked.spans[tag].end, element))
        elif element:
            inserted[looked.places[tag]] = inserted.get(looked.places[tag], b"") + element
    edits += [(place, place, elements) for place, elements in inserted.items()]
    return b"".join(splice.assemble(head, edits, 0, len(head))) if edits else head


class _Marking(Onlooker):
    """Marks the places where something may have to be inserted, each with the number of its phase."""

    def insert(self, phase: int, dialect: object) -> bytes:
        """Return the mark."""
        del dialect
        return bytes([phase]) if phase < len(attributes.INSERTED) else b""


@cache
def _looking() -> WalkPlan:
    return WalkPlan(Noting(attributes.WANTED | _OVERLAYS), EXPLICIT, attributes.INSERTED)


def allocated(head: bytes) -> int:
    """Return Bits Allocated as the elements before Pixel Data say it; 0 where they do not."""
    value = look(Parts(head=head, pixels=None)).values.get(layouts.ALLOCATED, b"")
    return int.from_bytes(value[:2], "little")


def _count(value: bytes) -> int:
    """Return Number of Frames, 1 where it is absent; raise `BadInput` where it is no number that can be true."""
    text = value.strip(b"\0 ")
    number = int(text) if text.isdigit() else int(not text)
    if not 0 < number < _MOST_FRAMES:
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the number of frames cannot be true")
    return number


def _claim(syntax: str, looked: Looked) -> Claim | None:
    """Return what a codec claims of a syntax, where it covers the samples once they are decoded."""
    writer, layout = _codec(registry.encoder, syntax), looked.layout
    if writer is None or layout is None or (syntax in VIDEO and not timing.films(looked.values)):
        return None
    decoded = replace(layout, photometric=_DECODED.get(layout.photometric, layout.photometric))
    claim = writer.encodes[syntax]
    return claim if claim.covers(decoded) else None


def _codec(find: Callable[[str], Codec], syntax: str) -> Codec | None:
    try:
        return find(syntax)
    except BadInput:
        return None


def work_of(parts: Parts, source: str, looked: Looked, options: Options | None, *, prove: bool = True) -> Work | None:
    """Return the work on the frames, nothing blanked; None where there are none. `options` None: to decode them."""
    if parts.pixels is None or looked.layout is None:
        return None
    if options is not None:
        options = replace(options, rate=timing.rate(looked.values) or options.rate)
    count = 1 if source in VIDEO else looked.count
    given = pixels.frames_of(parts.pixels, source, looked.layout, count, looked.offsets)
    job = Job(source=given.syntax, layout=given.layout, count=looked.count, options=options, prove=prove)
    return Work(job=job, frames=given.frames)
