"""The pipeline: bytes, a recipe and a mapping in; bytes and a report out.

It opens nothing, sends nothing and looks at no clock, so the same input gives the same output in a Celery worker, in
`farm deid` and in a test. What it learned that a shell has to act on (digests, UIDs to record, the output's path) comes
back as data in the `Report`.

    draft (attributes) -> the work on frames, done by a transcoder -> settled -> examine (the release gate) -> finished

`process` is all of it for one instance, and `steps` the same with a stop at the work on frames.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache

from blake3 import blake3

from farm import __version__
from farm.deid import gate, pixeldata
from farm.deid.consult import Callback
from farm.deid.deidentify import Deidentified, Deidentifier
from farm.deid.facts import SERIES, SOP_CLASS, SOP_INSTANCE, STUDY, STUDY_DATE
from farm.deid.mapping import Asked, KeyedMapping, Mapped, MappedSubject, Mapping, Needs
from farm.deid.rules import BURNED_IN, FRAMES, RECOGNIZABLE
from farm.deid.standard.e1_1 import EDITION
from farm.dicom import part10, splice, syntaxes
from farm.dicom.editor import Onlooker
from farm.dicom.elements import EXPLICIT, Data, Dialect
from farm.dicom.grammar import Edit, Noting, Plan
from farm.dicom.part10 import Joined, Limits, Part10
from farm.errors import BadInput, BadRecipe, Reason
from farm.frames.work import Result, Transcoder, Work, carried_out
from farm.pixels import fragments, markers
from farm.pixels.risk import at_risk
from farm.recipe.recipe import Recipe
from farm.transcoding import dataset
from farm.transcoding.dataset import Ready
from farm.transcoding.deidentified import bare, bared, parts_of
from farm.transcoding.plan import Action
from farm.transcoding.targets import NAMES, Wanted
from farm.transcoding.uids import derived_uid

__all__ = [
    "KeyedMapping",
    "Limits",
    "Mapped",
    "MappedSubject",
    "Mapping",
    "Needs",
    "Product",
    "Report",
    "Survey",
    "needs",
    "process",
    "steps",
    "survey",
]

VERSIONS = f"dicom-farm {__version__}, PS3.15 {EDITION}"
Segment = bytes | memoryview
_LIMITS = Limits()
_FRAMES_DIGITS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of one instance: new identifiers, digests (BLAKE3, hex) and counts; `mapped` alone identifies."""

    path: str
    input_digest: str
    output_digest: str
    output_bytes: int
    sop_class: str
    study: str
    series: str
    instance: str
    subject: str
    source_syntax: str
    target_syntax: str
    pixels: str
    """What was done with the frames: `copy`, `rewrite`, `encode`; empty: there are none."""
    codec: str
    """The libraries that did it, their versions, and the device where there is one."""
    pixels_at_risk: bool
    versions: str
    counts: dict[str, int]
    mapped: Mapped = field(repr=False)

    def to_dict(self) -> dict[str, object]:
        """Return all but what identifies."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "mapped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """An output as segments to be written one after the other, and its report.

    Segments may be views of the input: they are valid as long as it is.
    """

    segments: list[Segment] = field(repr=False)
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An output that the release gate has not seen: the file's header, the data set as segments, and how they came.

    `ready`: its frames are to be transcoded, and the segments are those of the data set without that.
    """

    recipe: Recipe
    source: Part10
    done: Deidentified = field(repr=False)
    header: bytes = field(repr=False)
    segments: list[Segment] = field(repr=False)
    target: syntaxes.TransferSyntax
    dialect: Dialect
    instance: str
    pixels_at_risk: bool
    pixels_changed: bool
    ready: Ready | None = field(default=None, repr=False)
    result: Result | None = field(default=None, repr=False)

    @property
    def work(self) -> Work | None:
        """What has to be done with the frames, if anything."""
        return self.ready.work if self.ready else None


def process(  # noqa: PLR0913 - what an output is made of
    data: Data,
    recipe: Recipe,
    mapping: Mapping,
    limits: Limits | None = None,
    *,
    transcoder: Transcoder | None = None,
    callback: Callback | None = None,
) -> Product:
    """De-identify one instance; raise `BadInput` with the reason where it has to be quarantined.

    `transcoder` is needed where the recipe asks for a transfer syntax. A `callback` has its say on every element: see
    `farm.deid.consult`.
    """
    work = steps(data, recipe, mapping, limits, callback=callback)
    try:
        wanted = next(work)
        if transcoder is None:
            raise BadRecipe(Reason.BAD_RECIPE, "output.transfer_syntax: nothing that transcodes was given")
        work.send(carried_out(wanted, transcoder))
    except StopIteration as end:
        product: Product = end.value
        return product
    raise AssertionError


def steps(  # noqa: PLR0913 - what an output is made of
    data: Data,
    recipe: Recipe,
    mapping: Mapping,
    limits: Limits | None = None,
    *,
    callback: Callback | None = None,
    waived: str = "",
) -> Generator[Work, Result, Product]:
    """De-identify one instance as `process` does; yield the work on its frames, if there is any, for its result.

    So a shell can have the frames of several instances transcoded at once. `waived`: the seal of what the release gate
    held back of this very source, and a person let go.
    """
    made = draft(data, recipe, mapping, limits, callback=callback)
    if made.work is not None:
        made = settled(made, (yield made.work))
    waived_findings = _reviewed(made, data, waived)
    return finished(made, blake3(data).hexdigest(), waived_findings, (limits or _LIMITS).joined)


def draft(
    data: Data, recipe: Recipe, mapping: Mapping, limits: Limits | None = None, *, callback: Callback | None = None
) -> Draft:
    """De-identify one instance without a look at the result, and decide what becomes of its frames."""
    source = part10.parse(data, limits or _LIMITS)
    deidentifier = Deidentifier(recipe.directions, callback) if callback else _deidentifier(recipe)
    done = deidentifier.run(source, mapping)
    sop_class, notes = done.facts[SOP_CLASS], done.notes
    risky = at_risk(sop_class, notes[BURNED_IN], notes[RECOGNIZABLE])
    if risky and recipe.quarantine_at_risk:
        raise BadInput(Reason.PIXELS_AT_RISK)
    ready = _ready(source, done, recipe.wanted, (limits or _LIMITS).frame_bytes)
    return _drafted(recipe, source, done, ready, risky=risky)


def _drafted(recipe: Recipe, source: Part10, done: Deidentified, ready: Ready | None, *, risky: bool) -> Draft:
    """Return the output with its frames as they are, or as they will be once the work on them is done."""
    sop_class = done.facts[SOP_CLASS]
    stripped: list[Edit] = []
    if ready is None or ready.plan.action is Action.COPY:
        try:
            stripped, is_whole = _frames(source, done)
        except BadInput:  # frames that cannot be looked into are pixels at risk
            if recipe.quarantine_at_risk:
                raise
            is_whole = False
        if recipe.quarantine_at_risk and not is_whole:
            raise BadInput(Reason.PIXELS_AT_RISK, "a video's container cannot be looked into")
        risky = risky or not is_whole
    instance = done.uids[SOP_INSTANCE]
    target = _target(source, done.target, ready)
    made = Draft(
        recipe=recipe,
        source=source,
        done=done,
        header=part10.header(target, sop_class, instance.encode()),
        segments=splice.assemble(source.data, done.edits + stripped, source.start, done.end),
        target=target,
        dialect=done.target,
        instance=instance,
        pixels_at_risk=risky,
        pixels_changed=bool(stripped) or done.pixels_changed,
        ready=ready,
    )
    if ready is None or not ready.loses or instance.encode("latin-1") != done.facts[SOP_INSTANCE]:
        return made
    # The original's name is taken; what has a new one is a new instance already, and references lead to it.
    lost = derived_uid(done.facts[SOP_INSTANCE], recipe.wanted.options, recipe.uid_root).decode("ascii")
    return replace(made, instance=lost, header=part10.header(target, sop_class, lost.encode()))


def settled(made: Draft, result: Result) -> Draft:
    """Return a draft with what came of the work on its frames; raise `BadInput` where it is held back for that."""
    if made.ready is None:
        return made
    if result.changes.doubt is not None:
        left = dataset.doubted(made.ready, result.changes.doubt)
        return _drafted(made.recipe, made.source, made.done, left, risky=made.pixels_at_risk)
    whole = dataset.finish(made.ready, bared(made.ready, result), made.instance)
    return replace(made, segments=whole.segments, dialect=EXPLICIT, pixels_changed=True, result=result)


def examine(made: Draft) -> None:
    """Let the release gate look at an output; raise `BadInput` where it does not let it go."""
    done, source = made.done, made.source
    reading = made.recipe.reading
    if done.weakened:  # a callback was allowed to keep these
        reading = replace(reading, attributes={**reading.attributes, **dict.fromkeys(done.weakened, "K")})
    expected = gate.Expected(
        reading=reading,
        pseudonym=done.mapped.subject.pseudonym.encode(),
        new_uids={*done.uid_map.values(), made.instance.encode()},
        original_uids=done.uid_map.keys(),
        days=done.days,
        pixels_changed=made.pixels_changed,
    )
    before = gate.Source(data=source.data, start=source.start, dialect=source.dialect)
    after = gate.Output(segments=[made.header, *made.segments], start=len(made.header), dialect=made.dialect)
    verdict = gate.examine(expected, before, after)
    if verdict.outcome is gate.Outcome.RELEASE:
        return
    reason = Reason.GATE_WITHHOLD if verdict.outcome is gate.Outcome.WITHHOLD else Reason.GATE_REVIEW
    raise gate.HeldBack.by(reason, verdict.findings)


def _reviewed(made: Draft, data: Data, waived: str) -> int:
    """Let the release gate look; return how many findings a person has looked at and let go (`waived`: their seal)."""
    try:
        examine(made)
    except gate.HeldBack as held:
        sealed = held.sealed(data, made.recipe.digest)
        if not sealed.seal or sealed.seal != waived:
            raise sealed from None
        return len(held.findings)
    return 0


def finished(made: Draft, input_digest: str, waived: int = 0, joined: Joined = b"".join) -> Product:
    """Return a draft as a product: deflated where its syntax is, with its digest and report.

    `waived` counts the findings of the release gate that a person let go; `joined` holds what is deflated.
    """
    done = made.done
    segments: list[Segment] = [made.header]
    if made.target.deflated:
        segments.append(memoryview(part10.deflated(made.segments, joined)))
    else:
        segments = [made.header + made.segments[0], *made.segments[1:]]
    digest = blake3()
    for segment in segments:
        digest.update(segment)
    names = {
        "subject": done.mapped.subject.pseudonym,
        "study": done.uids[STUDY],
        "series": done.uids[SERIES],
        "instance": made.instance,
    }
    report = Report(
        **names,
        path=made.recipe.path.format(**names),
        input_digest=input_digest,
        output_digest=digest.hexdigest(),
        output_bytes=sum(len(segment) for segment in segments),
        sop_class=done.facts[SOP_CLASS].decode("ascii", "replace"),
        source_syntax=made.source.syntax.uid,
        target_syntax=made.target.uid,
        pixels=_told(made),
        codec=made.result.codec if made.result else "",
        pixels_at_risk=made.pixels_at_risk,
        versions=VERSIONS,
        counts=done.counts
        | (_handed_back(made.result) if made.result else {})
        | ({"waived": waived} if waived else {}),
        mapped=_mapped(made),
    )
    return Product(segments=segments, report=report)


def _ready(source: Part10, done: Deidentified, wanted: Wanted, frame_bytes: int) -> Ready | None:
    """Decide what becomes of the frames; None where no transfer syntax is wanted."""
    if not wanted.syntax:
        return None
    return bare(dataset.prepare(parts_of(source, done), source.syntax.uid, wanted, frame_bytes=frame_bytes))


def _frames(source: Part10, done: Deidentified) -> fragments.Stripped:
    """Return the edits that leave nothing but picture in compressed frames, and whether all could be looked into."""
    if done.pixels is None or done.pixels.defined:
        return fragments.Stripped([])
    syntax, notes = source.syntax.uid, done.notes
    size = (pixeldata.segment_bytes if markers.family_of(syntax) == "rle" else pixeldata.frame_bytes)(notes)
    return fragments.stripped(source.data, done.pixels, done.offset_tables, syntax, pixeldata.count(notes) or 1, size)


def needs(data: Data, recipe: Recipe, limits: Limits | None = None) -> Needs:
    """Return what `process` will ask the mapping for, so that a registry can be asked once for many instances."""
    asked = Asked()
    done = _deidentifier(recipe).run(part10.parse(data, limits or _LIMITS), asked)
    return Needs(uids=tuple(asked.uids), subject=asked.original, study_date=done.facts[STUDY_DATE])


_DEIDENTIFIERS: dict[str, Deidentifier] = {}
_MOST_RECIPES = 16


def _deidentifier(recipe: Recipe) -> Deidentifier:
    """Return what de-identifies by a recipe; it gets faster with each instance."""
    found = _DEIDENTIFIERS.get(recipe.digest)
    if found is None:
        if len(_DEIDENTIFIERS) >= _MOST_RECIPES:
            _DEIDENTIFIERS.clear()
        found = _DEIDENTIFIERS[recipe.digest] = Deidentifier(recipe.directions)
    return found


def _target(source: Part10, dialect: Dialect, ready: Ready | None) -> syntaxes.TransferSyntax:
    """Return the output's transfer syntax: as planned, else the source's, or explicit where headers were rewritten."""
    if ready is not None:
        return syntaxes.find(ready.plan.target) or source.syntax
    if dialect is source.dialect:
        return source.syntax
    explicit = syntaxes.find(syntaxes.EXPLICIT_LITTLE)
    return explicit or source.syntax


def _handed_back(result: Result) -> dict[str, int]:
    """Return that a device did not do what it was to, and why, where its trials tell."""
    why = {f"handed_back_{result.why_not}": 1} if result.why_not else {}
    return {"handed_back": 1} | why if result.handed_back else {}


def _told(made: Draft) -> str:
    """Return what was done with the frames."""
    if made.done.pixels is None:
        return ""
    return (made.ready.plan.action if made.ready else Action.COPY).value


def _mapped(made: Draft) -> Mapped:
    """Return what was mapped; the UID of a lossy copy that needed one leads back to the original, and says so."""
    done = made.done
    if made.instance == done.uids[SOP_INSTANCE]:
        return done.mapped
    syntax = NAMES.get(made.target.uid, made.target.uid)
    original = f"{done.facts[SOP_INSTANCE].decode('latin-1')} {syntax}"
    return replace(done.mapped, uids=(*done.mapped.uids, (original, made.instance)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the first bytes tell of an instance, for routing; the UIDs are the original ones, for keyed ids alone."""

    syntax: str
    study: bytes | None = field(repr=False)
    series: bytes | None = field(repr=False)
    instance: bytes | None = field(repr=False)
    frames: int


_SURVEYED = frozenset({SOP_INSTANCE, STUDY, SERIES, FRAMES})


@cache
def _survey_plan(dialect: Dialect) -> Plan:
    return Plan(Noting(_SURVEYED, FRAMES), dialect)


def survey(head: bytes) -> Survey:
    """Look at the first bytes of a file (64 KiB are plenty); raise `BadInput` where it is not an instance.

    Only what the first bytes show for certain is an error: a data set that cannot be read is the worker's to judge.
    """
    source = part10.parse(head)
    seen: dict[int, bytes] = {}
    if not source.syntax.deflated:
        walk = splice.Walk(head, _survey_plan(source.dialect), Onlooker())
        # The head may end inside an element, or the data set be broken: what was seen so far is enough.
        with suppress(BadInput):
            walk.run(source.start, len(head))
        seen = {span.tag: head[span.value : span.end].strip(b"\0 ") for span in walk.notes}
    frames = seen.get(FRAMES, b"")
    return Survey(
        syntax=source.syntax.uid,
        study=seen.get(STUDY) or None,
        series=seen.get(SERIES) or None,
        instance=seen.get(SOP_INSTANCE) or None,
        frames=int(frames) if frames.isdigit() and len(frames) < _FRAMES_DIGITS else 1,
    )
