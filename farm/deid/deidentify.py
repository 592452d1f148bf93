"""De-identify one data set: the policy's actions as edits over the original bytes.

Most attributes are decided by tag and VR alone, and the walk remembers that. Three kinds need the value: UIDs, which
are mapped while walking; the subject, which is known only once both Patient ID and its issuer were seen; and what
describes the pixels, by which Pixel Data is trimmed to its frames. The latter are noted by the walk and edited
afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from farm.deid import dummies, markers, pixeldata, subjects
from farm.deid.mapping import Mapped, MappedSubject, Mapping
from farm.deid.policy import Action, basic
from farm.deid.uids import WELL_KNOWN, components
from farm.dicom.dictionary import vr_of
from farm.dicom.elements import PIXEL_DATA, Dialect
from farm.dicom.grammar import Edit, Noting, Plan, Rule
from farm.dicom.part10 import Part10
from farm.dicom.splice import Onlooker, Walk
from farm.dicom.stretch import Lessons
from farm.errors import BadInput, Reason

SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
PATIENT_NAME, PATIENT_ID, ISSUER = 0x00100010, 0x00100020, 0x00100021
BURNED_IN, RECOGNIZABLE = 0x00280301, 0x00280302
SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, BITS, SIGN = (0x00280000 + n for n in (2, 4, 8, 0x10, 0x11, 0x100, 0x103))
_NOTED = frozenset(
    {SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, PATIENT_NAME, PATIENT_ID, ISSUER, BURNED_IN, RECOGNIZABLE, PIXEL_DATA}
    | {SAMPLES, PHOTOMETRIC, FRAMES, ROWS, COLUMNS, BITS, SIGN}
    | markers.TAGS
)
_CODE_VALUE = frozenset({0x00080100})
_CUT_LATER = markers.TAGS | {ISSUER}
_IDENTITY = frozenset({PATIENT_NAME, PATIENT_ID})
_UIDS = frozenset({SOP_INSTANCE, STUDY, SERIES})
_BINARY = frozenset({SAMPLES, ROWS, COLUMNS, BITS, SIGN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deidentified:
    """The edits that de-identify a data set, where it ends, and what was learned on the way.

    `uids`: the new Study, Series and SOP Instance UID by tag.
    """

    edits: list[Edit] = field(repr=False)
    end: int
    target: Dialect
    facts: dict[int, bytes] = field(repr=False)
    uids: dict[int, str]
    mapped: Mapped = field(repr=False)
    counts: dict[str, int]


class _BasicRules:
    """Table E.1-1's Basic column, and what the walk shall note, as rules for a grammar."""

    def rule(self, tag: int, vr: str, *, nested: bool) -> Rule:
        """Return what to do with an element by tag and VR."""
        if not nested and tag in _NOTED:
            return Rule.NOTE if (vr == "SQ") == (tag == markers.METHOD_CODES) else Rule.CUT
        action = basic(tag)
        if action is Action.UID:
            return Rule.ASK if vr in {"UI", "UN"} else Rule.CUT
        return _RULES[action]

    def swap(self, tag: int, vr: str, dialect: Dialect) -> bytes:
        """Return the empty or dummy element that takes another's place."""
        if basic(tag) is Action.EMPTY:
            return dialect.element(tag, vr, b"")
        return dummies.element(tag, vr, dialect)


_RULES = {Action.KEEP: Rule.KEEP, Action.REMOVE: Rule.CUT, Action.EMPTY: Rule.SWAP, Action.DUMMY: Rule.SWAP}


@cache
def _plan(dialect: Dialect, *, rewrite: bool) -> tuple[Plan, Lessons]:
    plan = Plan(_BasicRules(), dialect, markers.INSERTS, rewrite=rewrite)
    return plan, Lessons(plan)


class _Instance:
    """The editor of one instance: answers for values, and collects what was mapped."""

    def __init__(self, source: Part10, lessons: Lessons, mapping: Mapping) -> None:
        self.data, self.dialect, self.mapping = source.data, source.dialect, mapping
        self.walk = lessons.walk(source.data, self)
        self.uids: dict[bytes, bytes] = {}

    def ask(self, tag: int, value: bytes) -> bytes:
        """Map every UID of a value; those that the standard assigned stay."""
        del tag
        if b"\\" not in value:
            only = value.strip(b"\0 ")
            return self.uid(only) if only else only
        return b"\\".join(self.uid(part) if part else part for part in components(value))

    def uid(self, original: bytes) -> bytes:
        """Map one UID and remember that it was."""
        if original in WELL_KNOWN:
            return original
        new = self.uids[original] = self.mapping.uid(original)
        return new

    def insert(self, phase: int, dialect: Dialect) -> bytes:
        """Return the markers that belong where a phase ends."""
        if phase == 0:
            return markers.method(dialect, self.fact(markers.METHOD), self._prior_codes())
        return markers.temporal(dialect) if phase == 1 else b""

    def settle(self, tag: int, vr: str) -> str:
        """Return the VR to write where the dictionary leaves a choice (PS3.5 annex A)."""
        if len(vr) == 2 and vr != "UN":
            return vr
        vr = vr_of(tag)
        if len(vr) == 2:
            return vr
        if vr.startswith("US or SS"):
            return "SS" if self.fact(SIGN)[:1] == b"\1" else "US"
        if tag == PIXEL_DATA and self.fact(BITS)[:1] <= b"\x08":
            return "OB"
        return "OW"

    def fact(self, tag: int) -> bytes:
        """Return the value of an attribute noted so far; empty where it is absent. The first one counts."""
        for span in self.walk.notes:
            if span.tag == tag:
                return self.data[span.value : span.end]
        return b""

    def facts(self) -> dict[int, bytes]:
        """Return the values of all noted attributes but Pixel Data, without padding; empty where one is absent."""
        facts = dict.fromkeys(_NOTED, b"")
        for tag, _, _, value, end, _ in reversed(self.walk.notes):
            if tag != PIXEL_DATA:
                facts[tag] = self.data[value:end].strip(b"\0 ") if tag not in _BINARY else self.data[value:end]
        return facts

    def _prior_codes(self) -> tuple[bytes, ...]:
        """Return the code values that stand in an earlier De-identification Method Code Sequence."""
        codes: list[bytes] = []
        for span in self.walk.notes:
            if span.tag != markers.METHOD_CODES:
                continue
            walk = Walk(self.data, Plan(Noting(_CODE_VALUE), self.dialect), Onlooker())
            walk.run(span.start, span.end)
            codes += [self.data[code.value : code.end] for code in walk.notes]
        return tuple(codes)


def deidentify(source: Part10, mapping: Mapping, *, fallback: bool, domain: str, explicit: bool) -> Deidentified:
    """Return the edits that de-identify a data set by the Basic Profile; raise `BadInput` where it cannot be done.

    `fallback`: an instance without a Patient ID belongs to a subject of its own study. `domain` stands for an absent
    issuer. `explicit`: an implicit data set is written with explicit VRs.
    """
    plan, lessons = _plan(source.dialect, rewrite=explicit)
    editor = _Instance(source, lessons, mapping)
    editor.walk.run(source.start, len(source.data))
    lessons.learn(editor.walk, source.start)
    facts = editor.facts()
    if facts[SOP_CLASS].strip(b"0123456789.") or not facts[SOP_CLASS]:
        raise BadInput(Reason.NO_SOP_CLASS)
    if not (facts[SOP_INSTANCE] and facts[STUDY] and facts[SERIES]):
        raise BadInput(Reason.NO_UID)
    if any(b"\\" in facts[tag] for tag in _UIDS):
        raise BadInput(Reason.BAD_UID)
    subject = _subject(mapping, facts, fallback=fallback, domain=domain)
    edits = editor.walk.edits
    edits += _later(editor, plan, source, subject.pseudonym.encode(), facts)
    uids = tuple([(old.decode("latin-1"), new.decode("ascii")) for old, new in editor.uids.items()])
    return Deidentified(
        edits=edits,
        end=editor.walk.end,
        target=plan.target,
        facts=facts,
        uids={tag: editor.ask(tag, facts[tag]).decode("ascii") for tag in (SOP_INSTANCE, STUDY, SERIES)},
        mapped=Mapped(uids=uids, subject=subject),
        counts={"edits": len(edits), "uids": len(uids), "trailing_bytes": len(source.data) - editor.walk.end},
    )


def _subject(mapping: Mapping, facts: dict[int, bytes], *, fallback: bool, domain: str) -> MappedSubject:
    """Return what stands for the subject: by issuer and Patient ID, or by the study where the recipe says so."""
    if facts[PATIENT_ID]:
        return mapping.subject(subjects.canonical(facts[ISSUER] or domain.encode(), facts[PATIENT_ID]))
    if not fallback:
        raise BadInput(Reason.NO_SUBJECT)
    return mapping.subject(subjects.canonical(b"study", facts[STUDY]))


def _later(editor: _Instance, plan: Plan, source: Part10, pseudonym: bytes, facts: dict[int, bytes]) -> list[Edit]:
    """Return the edits of noted elements: identity and UIDs replaced, old markers cut, the rest rewritten if asked."""
    edits: list[Edit] = []
    target, rewrite = plan.target, plan.target is not source.dialect
    for span in editor.walk.notes:
        tag, vr, start, value, end, defined = span
        if tag in _IDENTITY:
            if end == value and tag == PATIENT_NAME and not rewrite:
                continue
            new = target.element(tag, editor.settle(tag, vr), pseudonym)
        elif tag in _UIDS:
            new = target.element(tag, "UI", editor.ask(tag, editor.data[value:end]))
        elif tag in _CUT_LATER or not (defined or tag == PIXEL_DATA):
            new = b""
        elif tag == PIXEL_DATA:
            edits += pixeldata.edits(source, span, facts, target, editor.settle(tag, vr))
            continue
        elif rewrite:
            new = target.pack_header(tag, editor.settle(tag, vr), end - value)
            end = value
        else:
            continue
        edits.append((start, end, new))
    return edits
