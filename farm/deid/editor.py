"""The editor of one instance: answers what the walk asks about values, and finishes what the walk only noted.

Most actions are remembered with an element's header (`farm.deid.rules`); here is what depends on a value or on other
attributes: UIDs are mapped, dates moved, text cleaned, private elements judged, content items told apart. What depends
on attributes further behind was noted, and is edited when the walk is done: what describes the pixels, encapsulated
documents, earlier markers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from farm.deid import ages, codes, content, documents, icc, markers, overlays, palette, pixeldata, rules
from farm.deid.dates import TIMEZONE, Dates, Strategy
from farm.deid.facts import PATIENT_ID, PATIENT_NAME, PRIVATE_DATA, SERIES, SOP_CLASS, SOP_INSTANCE, STUDY, Facts, noted
from farm.deid.mapping import Mapped, MappedSubject, Mapping
from farm.deid.policy import CHARSET, CODES, ICC_PROFILE, PALETTES, TEMPORAL_VRS, TERMS, Action, Policy
from farm.deid.private import Declared, SafePrivate, leads_back
from farm.deid.rules import (
    BITS,
    DOCUMENT,
    DOCUMENT_LENGTH,
    DOCUMENT_TYPE,
    HIGH_BIT,
    PHOTOMETRIC,
    SIGN,
    STORED,
    PolicyRules,
)
from farm.deid.text import Cleaner
from farm.deid.uids import CLASSES, WELL_KNOWN, components, is_class
from farm.dicom import charsets
from farm.dicom.dictionary import vr_of
from farm.dicom.editor import Onlooker
from farm.dicom.elements import PIXEL_DATA, Dialect
from farm.dicom.grammar import Edit, Noting, Plan, Rule, Span, meant
from farm.dicom.part10 import Part10
from farm.dicom.splice import Walk
from farm.errors import BadInput, Reason

_CODE_VALUE = frozenset({0x00080100})
_BINARY = rules.DESCRIBING - {PHOTOMETRIC, rules.FRAMES, rules.BURNED_IN, rules.RECOGNIZABLE, DOCUMENT_TYPE}
_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|")  # PS3.5 6.2, DS and IS
_FIRST_OVERLAY = min(rules.OVERLAYS)
_DATED = frozenset({"DATE", "DATETIME", "TIME"})
_SIMPLE = _DATED | frozenset({"PNAME", "TEXT", "UIDREF"})
_SHIFTS = frozenset({Strategy.SUBJECT, Strategy.WEEKS, Strategy.ANCHOR, Strategy.CROSSWALK, Strategy.RANDOM})


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """What a recipe asks of the attributes of an instance.

    `days` is the date shift of the strategy `fixed`. `by_study`: an instance without a Patient ID belongs to a subject
    of its own study. `domain` stands for an absent issuer. `explicit`: an implicit data set comes out explicit.
    """

    policy: Policy
    strategy: Strategy = Strategy.SUBJECT
    days: int = 0
    by_study: bool = True
    domain: str = ""
    explicit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deidentified:
    """The edits that de-identify a data set, where it ends, and what was learned on the way.

    `uids`: the new Study, Series and SOP Instance UID by tag. `notes`: values of attributes that describe the pixels.
    `pixels`, `offset_tables`: where Pixel Data and its Extended Offset Table and Lengths stand.
    """

    edits: list[Edit] = field(repr=False)
    end: int
    target: Dialect
    facts: Facts = field(repr=False)
    notes: dict[int, bytes] = field(repr=False)
    uids: dict[int, str]
    pixels: Span | None
    offset_tables: list[Span]
    mapped: Mapped = field(repr=False)
    uid_map: dict[bytes, bytes] = field(repr=False)
    days: int = field(repr=False)
    pixels_changed: bool
    counts: dict[str, int]
    weakened: frozenset[int] = frozenset()


class About(NamedTuple):
    """What decides how an instance is edited, besides its bytes."""

    known: Facts
    cleaner: Cleaner
    subject: MappedSubject
    directions: Directions


class Instance:
    """The editor of one instance: answers for values, and collects what was mapped."""

    walk: Walk
    answers: dict[bytes, bytes | None] | None = None

    def __init__(self, source: Part10, mapping: Mapping, about: About) -> None:
        self.source, self.data, self.dialect, self.mapping = source, source.data, source.dialect, mapping
        self.known, self.cleaner, self.subject, directions = about
        self.policy = directions.policy
        self.pseudonym = self.subject.pseudonym.encode()
        strategy = directions.strategy
        days = self.subject.date_shift_days if strategy in _SHIFTS else directions.days
        self.dates = Dates(strategy=strategy, days=days)
        self.private: SafePrivate | None = None
        self.uids: dict[bytes, bytes] = {}
        self._measured_ages: list[Edit] = []

    # What the walk asks.

    def ask(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """Return the new value of an attribute; None where nothing is left of it."""
        if vr == "UI":
            return self._uid_value(tag, value)
        if tag == PATIENT_ID:
            return self.pseudonym
        if not value.strip(b"\0 "):
            return b""
        if tag == PATIENT_NAME:
            return self.pseudonym
        if vr in TEMPORAL_VRS or tag == TIMEZONE:
            return self.dates.value(tag, vr, value)
        return self._cleaned(tag, vr, value) or None

    def judge(self, tag: int, vr: str, value: bytes, item: int) -> bool:
        """Tell whether a private element is known to be safe."""
        if self.private is None:
            self.private = SafePrivate(Declared(self.known[PRIVATE_DATA], self.dialect))
        return self.private.keeps(tag, vr, value, item) and not leads_back(vr, value, self.policy.columns)

    def kind(self, tag: int, start: int, end: int) -> int:
        """Return the action of a content item as the negative code of its letter; 0: it goes (E.3.4)."""
        del tag
        behind = end if end >= 0 else len(self.data)
        scheme, value, value_type = content.concept(self.data, start, behind, self.walk.dialect)
        letter = content.action(scheme, value, value_type, self.policy.columns) or content.unlisted(value_type)
        if letter == "X":
            # Where items are referred to by their number, none may go; it stays with a dummy.
            return -ord("D") if self._numbers_items() else 0
        if letter == "K" and value_type not in _SIMPLE:
            letter = "C"  # text, names and dates are not what such an item is kept for
        if letter == "C" and value_type in _DATED and self.policy.temporal == "UNMODIFIED":
            letter = "K"
        if letter in "KC" and value_type == "NUM":
            self._measured_ages += self._ages(scheme, value, start, behind)
        return -ord(letter)

    def _ages(self, scheme: str, value: str, start: int, end: int) -> Iterator[Edit]:
        """Yield edits of a content item's numbers that tell an age over 89 years; none changes its length."""
        dialect = self.walk.dialect
        for unit, forms in content.measured(self.data, start, end, dialect):
            most = ages.longest(scheme, value, unit)
            if most is not None:
                said = {tag: self.data[at:stop] for tag, (at, stop) in forms.items()}
                new = ages.capped(said, most, dialect.order)
                yield from ((*forms[tag], new[tag]) for tag in forms if new[tag] != said[tag])

    def insert(self, phase: int, dialect: Dialect) -> bytes:
        """Return the markers that belong where a phase ends."""
        if phase == 0:
            own = tuple(markers.codes(self.policy.options))
            said = self.note(markers.METHOD)
            if self.policy.unlisted_removed:  # an earlier method's text is text as any
                said = self.cleaner.text("LO", said)
            return markers.method(dialect, said, self._prior_codes(), own)
        return markers.temporal(dialect, self.policy.temporal) if phase == 1 else b""

    def settle(self, tag: int, vr: str) -> str:
        """Return the VR to write where the dictionary leaves a choice (PS3.5 annex A)."""
        if len(vr) == 2 and vr != "UN":
            return vr
        vr = vr_of(tag)
        if len(vr) == 2:
            return vr
        if vr.startswith("US or SS"):
            return "SS" if self.note(SIGN)[:1] == b"\1" else "US"
        if tag == PIXEL_DATA and self.note(BITS)[:1] <= b"\x08":
            return "OB"
        return "OW"

    # Values.

    def _uid_value(self, tag: int, value: bytes) -> bytes:
        """Map every UID of a value; those that the standard assigned stay."""
        if tag == SOP_CLASS:
            return value if value.strip(b"\0 ") else self.known[tag]
        if tag in CLASSES and all(is_class(part) for part in components(value) if part):
            return value
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

    def _numbers_items(self) -> bool:
        """Tell whether content items may refer to each other by Referenced Content Item Identifier (0040,DB73)."""
        return self.data.find(self.dialect.tag_at.pack(0x0040, 0xDB73), self.source.start) >= 0

    def _cleaned(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return what may stay of a value that is cleaned."""
        if vr in {"AS", "CS"} or tag in TERMS or tag == CHARSET:
            return self._of_terms(tag, vr, value)
        if vr in {"DS", "IS"}:
            return value if all(_NUMBER.fullmatch(part) for part in components(value)) else b""
        if tag in CODES:
            return self._of_code(tag, vr, value.strip(b"\0 "))
        if tag == ICC_PROFILE:
            return icc.cleaned(value)
        if tag in PALETTES:
            return self._palette(tag, value)
        return self.cleaner.text(vr, value)

    def _of_terms(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return what may stay of an age, of code strings and of what is read like them."""
        if tag == CHARSET:
            return b"\\".join([part if charsets.is_known(part) else b"" for part in components(value)])
        return ages.age(value) if vr == "AS" else self.cleaner.code_string(value, tag)

    def _of_code(self, tag: int, vr: str, value: bytes) -> bytes:
        """Return what may stay of an attribute of a coded entry."""
        if tag != codes.MEANING:
            return value if codes.keeps(tag, value) else b""
        is_public = codes.is_meaning(value) and not self.cleaner.mentions(value.decode("ascii"))
        return value if is_public else self.cleaner.text(vr, value)

    def _palette(self, tag: int, value: bytes) -> bytes:
        """Return a palette that is what its descriptor says; an image in palette colours cannot do without."""
        segmented = 0x00281221 <= tag <= 0x00281223
        descriptor = self.note((tag & ~0xFF0) + 0x100 if segmented else tag - 0x100, strip=False)
        segments = value if segmented else None
        order = self.dialect.order
        if palette.keeps(self.note(PHOTOMETRIC), descriptor or None, len(value), order, segments=segments):
            return value
        if self.note(PHOTOMETRIC) == b"PALETTE COLOR":
            raise BadInput(Reason.PIXEL_LENGTH, "the palette is not what its descriptor says")
        return b""

    # What was noted.

    def note(self, tag: int, *, strip: bool = True) -> bytes:
        """Return the value of an attribute noted so far; empty where it is absent. The first one counts."""
        for span in self.walk.notes:
            if span.tag == tag:
                value = self.data[span.value : span.end]
                return value.strip(b"\0 ") if strip and tag not in _BINARY else value
        return b""

    def _notes(self) -> dict[int, bytes]:
        """Return the values of all noted attributes but the bulky ones, without padding; empty where one is absent."""
        found = dict.fromkeys(rules.DESCRIBING, b"")
        for tag, _, _, value, end, _ in reversed(self.walk.notes):
            if tag in found:
                found[tag] = self.data[value:end] if tag in _BINARY else self.data[value:end].strip(b"\0 ")
        return found

    def _prior_codes(self) -> tuple[bytes, ...]:
        """Return the code values that stand in an earlier De-identification Method Code Sequence."""
        codes: list[bytes] = []
        for span in self.walk.notes:
            if span.tag != markers.METHOD_CODES:
                continue
            walk = Walk(self.data, Plan(Noting(_CODE_VALUE, inside=True), self.dialect), Onlooker())
            walk.run(span.start, span.end)
            codes += [self.data[code.value : code.end] for code in walk.notes]
        return tuple(codes)

    # What is done when the walk is.

    def done(self, plan: Plan, policy: PolicyRules) -> Deidentified:
        """Return all edits, and what was learned."""
        said = noted(self.source, self.walk.notes, policy.facts)
        notes = self._notes()
        edits = self.walk.edits
        edits += self._later(plan, policy, notes)
        edits += [age for age in self._measured_ages if not any(one[0] < age[1] and one[1] > age[0] for one in edits)]
        new = {tag: self._kept_or_new(said[tag]) for tag in (SOP_INSTANCE, STUDY, SERIES)}
        uids = tuple([(old.decode("latin-1"), uid.decode("ascii")) for old, uid in self.uids.items()])
        return Deidentified(
            edits=edits,
            end=self.walk.end,
            target=plan.target,
            facts=said,
            notes=notes,
            uids=new,
            pixels=next((span for span in self.walk.notes if span.tag == PIXEL_DATA), None),
            offset_tables=[
                span
                for span in self.walk.notes
                if span.tag in rules.OFFSET_TABLES and span.defined and policy.action(span.tag, "OV", ()) is Action.KEEP
            ],
            mapped=Mapped(uids=uids, subject=self.subject),
            uid_map=self.uids,
            days=self.dates.days,
            pixels_changed=self._mask(notes) is not None,
            counts={"uids": len(uids), "trailing_bytes": len(self.data) - self.walk.end},
        )

    def _kept_or_new(self, original: bytes) -> str:
        return (original if self.policy.has("retain-uids") else self.uid(original)).decode("latin-1")

    def _mask(self, notes: dict[int, bytes]) -> int | None:
        """Return what hides overlays that lie in unused bits of the pixels, if there are any."""
        found: dict[int, dict[int, bytes]] = {}
        for tag, _, _, value, end, _ in reversed(self.walk.notes):
            if tag in rules.OVERLAYS:
                found.setdefault(tag >> 16, {})[tag & 0xFFFF] = self.data[value : min(end, value + 2)]
            elif tag < _FIRST_OVERLAY:
                break
        positions = [self._number(group.get(0x102, b"")) for group in found.values() if 0x3000 not in group]
        if not any(positions):
            return None
        allocated, stored, high = (self._number(notes[tag]) for tag in (BITS, STORED, HIGH_BIT))
        return overlays.masked(allocated, stored, high, positions)

    def _number(self, value: bytes) -> int:
        return int.from_bytes(value[:2], self.dialect.order)

    def _later(self, plan: Plan, policy: PolicyRules, notes: dict[int, bytes]) -> list[Edit]:
        """Return the edits of noted elements: what the policy says of them, and headers rewritten if asked."""
        edits: list[Edit] = []
        target = plan.target
        held = next(
            (span.end > span.value for span in self.walk.notes if span.tag == DOCUMENT), False
        )  # the first counts
        document = documents.replacement(notes[DOCUMENT_TYPE] or b"application/pdf") if held else b""
        for span in self.walk.notes:
            if span.tag == PIXEL_DATA or span.tag in pixeldata.FLOATS:
                vr = self.settle(span.tag, span.vr)
                mask = self._mask(notes) if span.tag == PIXEL_DATA else None
                edits += pixeldata.edits(self.source, span, notes, target, vr, mask)
                continue
            rule, new = policy.later(span.tag, meant(span.tag, span.vr), target)
            if span.tag == PRIVATE_DATA and rule is Rule.KEEP:
                declared = Declared(self.data[span.start : span.end], self.dialect)
                edits.append((span.start, span.end, declared.encoded(target)))
                continue
            edit = self._finished(span, rule if span.defined else Rule.CUT, new, document, target)
            if edit is not None:
                edits.append(edit)
        return edits

    def _finished(self, span: Span, rule: Rule, new: bytes, document: bytes, target: Dialect) -> Edit | None:
        """Return the edit of one noted element, if it changes; `new` takes the place of one that is swapped."""
        tag, vr, start, value, end, _ = span
        rewrite = target is not self.dialect
        edit: Edit | None = None
        if rule is Rule.CUT:
            edit = start, end, b""
        elif rule is Rule.SWAP and tag == DOCUMENT and document:
            edit = start, end, target.element(tag, "OB", document)
        elif rule is Rule.KEEP and tag == DOCUMENT_LENGTH and document:
            edit = start, end, target.element(tag, "UL", target.pack_long(len(document)))
        elif rule is Rule.ASK:
            old = self.data[value:end]
            if tag == SOP_INSTANCE and not old.strip(b"\0 "):
                old = self.source.sop_instance
            answer = self.ask(tag, meant(tag, vr), old)
            if answer is not None:
                new = target.element(tag, self.settle(tag, vr), answer)
            if rewrite or answer != old:
                edit = start, end, new
        elif rule is Rule.SWAP and end > value:
            edit = start, end, new
        elif rewrite:
            edit = start, value, target.pack_header(tag, self.settle(tag, vr), end - value)
        return edit
