"""The pipeline: bytes, a recipe and a mapping in; bytes and a report out.

It opens nothing, sends nothing and looks at no clock, so the same input gives the same output in a Celery worker, in
`farm deid` and in a test. What it learned that a shell has to act on (digests, UIDs to record, the output's path) comes
back as data in the `Report`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cache

from blake3 import blake3

from farm import __version__
from farm.deid import deidentify as deid
from farm.deid.mapping import KeyedMapping, Mapped, MappedSubject, Mapping
from farm.deid.standard.e1_1 import EDITION
from farm.dicom import part10, splice, syntaxes
from farm.dicom.elements import Data, Dialect
from farm.dicom.grammar import Noting, Plan
from farm.dicom.part10 import Limits, Part10
from farm.errors import BadInput, Reason
from farm.pixels.risk import at_risk
from farm.recipe.recipe import Recipe

__all__ = [
    "KeyedMapping",
    "Limits",
    "Mapped",
    "MappedSubject",
    "Mapping",
    "Product",
    "Report",
    "Survey",
    "process",
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


def process(data: Data, recipe: Recipe, mapping: Mapping, limits: Limits | None = None) -> Product:
    """De-identify one instance; raise `BadInput` with the reason where it has to be quarantined."""
    source = part10.parse(data, limits or _LIMITS)
    done = deid.deidentify(
        source, mapping, fallback=recipe.subject_by_study, domain=recipe.domain, explicit=recipe.explicit
    )
    risky = at_risk(done.facts[deid.SOP_CLASS], done.facts[deid.BURNED_IN], done.facts[deid.RECOGNIZABLE])
    if risky and recipe.quarantine_at_risk:
        raise BadInput(Reason.PIXELS_AT_RISK)
    target = _target(source, done.target)
    segments = splice.assemble(source.data, done.edits, source.start, done.end)
    if target.deflated:
        segments = [part10.deflated(segments)]
    instance = done.uids[deid.SOP_INSTANCE]
    segments[0] = part10.header(target, done.facts[deid.SOP_CLASS], instance.encode()) + segments[0]
    digest = blake3()
    for segment in segments:
        digest.update(segment)
    names = {
        "subject": done.mapped.subject.pseudonym,
        "study": done.uids[deid.STUDY],
        "series": done.uids[deid.SERIES],
        "instance": instance,
    }
    report = Report(
        **names,
        path=recipe.path.format(**names),
        input_digest=blake3(data).hexdigest(),
        output_digest=digest.hexdigest(),
        output_bytes=sum(len(segment) for segment in segments),
        sop_class=done.facts[deid.SOP_CLASS].decode("ascii", "replace"),
        source_syntax=source.syntax.uid,
        target_syntax=target.uid,
        pixels_at_risk=risky,
        versions=VERSIONS,
        counts=done.counts,
        mapped=done.mapped,
    )
    return Product(segments=segments, report=report)


def _target(source: Part10, dialect: Dialect) -> syntaxes.TransferSyntax:
    """Return the output's transfer syntax: the source's, or explicit little endian where headers were rewritten."""
    if dialect is source.dialect:
        return source.syntax
    explicit = syntaxes.find(syntaxes.EXPLICIT_LITTLE)
    return explicit or source.syntax


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What the crawler wants to know of an instance for routing; `series` is the original UID, for a keyed id alone."""

    syntax: str
    series: bytes | None = field(repr=False)
    frames: int


_SURVEYED = frozenset({deid.SERIES, deid.FRAMES})


@cache
def _survey_plan(dialect: Dialect) -> Plan:
    return Plan(Noting(_SURVEYED, deid.FRAMES), dialect)


def survey(head: bytes) -> Survey:
    """Look at the first bytes of a file (64 KiB are plenty); raise `BadInput` where it is not an instance.

    Only what the first bytes show for certain is an error: a data set that cannot be read is the worker's to judge.
    """
    source = part10.parse(head)
    series, frames = None, 1
    if not source.syntax.deflated:
        walk = splice.Walk(head, _survey_plan(source.dialect), splice.Onlooker())
        # The head may end inside an element, or the data set be broken: what was seen so far is enough.
        with suppress(BadInput):
            walk.run(source.start, len(head))
        for span in walk.notes:
            value = head[span.value : span.end].strip(b"\0 ")
            if span.tag == deid.SERIES:
                series = value or None
            elif value.isdigit() and len(value) < _FRAMES_DIGITS:
                frames = int(value)
    return Survey(syntax=source.syntax.uid, series=series, frames=frames)
