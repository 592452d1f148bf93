"""De-identify data sets: the policy's actions as edits over the original bytes.

How an attribute is treated depends on what the instance says of itself (`farm.deid.facts`), so that is known, or taken
for granted, before the walk begins. The walk follows the policy's rules (`farm.deid.rules`); the editor
(`farm.deid.editor`) answers for values.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from farm.deid import markers, subjects
from farm.deid.consult import Callback, Consultation, ConsultedInstance, ConsultingRules
from farm.deid.editor import About, Deidentified, Directions, Instance
from farm.deid.facts import CHARSET, ISSUER, PATIENT_ID, SOP_CLASS, STUDY, Facts, facts
from farm.deid.mapping import MappedSubject, Mapping
from farm.deid.rules import PolicyRules
from farm.deid.text import Cleaner, names
from farm.dicom.charsets import decode
from farm.dicom.dictionary import vr_of
from farm.dicom.elements import Dialect
from farm.dicom.grammar import Plan
from farm.dicom.part10 import Part10
from farm.dicom.splice import Walk
from farm.dicom.stretch import Lessons
from farm.errors import BadInput, Reason

__all__ = ["Deidentified", "Deidentifier", "Directions", "subject_of"]

_REMEMBERED = 64  # SOP classes, dialects


class Deidentifier:
    """De-identifies instances as directed; it remembers what it learned from one for the next."""

    def __init__(self, directions: Directions, callback: Callback | None = None) -> None:
        """Learn nothing yet."""
        self.directions = directions
        self._callback = callback
        self._plans: dict[tuple[Dialect, str], tuple[Plan, Lessons, PolicyRules]] = {}
        self._last: Facts | None = None  # what the last instance said of itself
        self._cleaned: Facts | None = None
        self._words = Cleaner((), b"")
        self._answered: tuple[tuple[object, ...], dict[bytes, bytes | None]] = ((None, None, None), {})

    def run(self, source: Part10, mapping: Mapping) -> Deidentified:
        """Return the edits that de-identify a data set; raise `BadInput` where it cannot be done."""
        last = self._last
        if last is not None:
            # Wrong where another subject begins; and what fails by a wrong guess may be right.
            with suppress(BadInput):
                done = self._attempt(source, mapping, last)
                if done.facts.same(last):
                    return done
        done = self._attempt(source, mapping, facts(source))
        self._last = done.facts
        return done

    def _attempt(self, source: Part10, mapping: Mapping, known: Facts) -> Deidentified:
        """De-identify an instance that is taken to say certain facts of itself; return it with what it says."""
        if not self.directions.policy.private_classes and not known[SOP_CLASS].startswith(b"1.2.840.10008."):
            raise BadInput(Reason.PRIVATE_SOP_CLASS)
        subject = mapping.subject(subject_of(known, self.directions))
        sop_class = known[SOP_CLASS].decode("ascii")
        about = About(known, self._cleaner(known), subject, self.directions)
        if self._callback is not None:
            return self._consulted(source, mapping, about, Consultation(self.directions.policy, self._callback))
        plan, lessons, policy = self._plan(source.dialect, sop_class)
        editor = Instance(source, mapping, about)
        editor.answers = self._answers(known, subject, source.dialect)
        editor.walk = lessons.walk(source.data, editor)
        editor.walk.run(source.start, len(source.data))
        lessons.learn(editor.walk, source.start)
        return editor.done(plan, policy)

    def _consulted(self, source: Part10, mapping: Mapping, about: About, consultation: Consultation) -> Deidentified:
        """De-identify an instance with a callback's say on each element."""
        policy = ConsultingRules(self.directions.policy, about.known[SOP_CLASS].decode("ascii"), consultation)
        plan = self._made(policy, source.dialect)
        editor = ConsultedInstance(source, mapping, about, policy, consultation)
        editor.walk = Walk(source.data, plan, editor)
        editor.walk.run(source.start, len(source.data))
        done = editor.done(plan, policy)
        done.counts["weakened"] = len(consultation.weakened)
        return replace(done, weakened=frozenset(consultation.weakened))

    def _answers(self, known: Facts, subject: MappedSubject, dialect: Dialect) -> dict[bytes, bytes | None]:
        """Return the answers given so far for instances that say the same, of a subject who stands for the same."""
        about = (known, subject, dialect)
        if known is not self._answered[0][0] or about[1:] != self._answered[0][1:]:
            self._answered = (about, {})
        return self._answered[1]

    def _cleaner(self, known: Facts) -> Cleaner:
        """Return what cleans the text of instances that say the same of themselves."""
        if known is not self._cleaned:
            charset = known[CHARSET]
            values = [(vr_of(tag), decode(value, vr_of(tag), charset)) for tag, value in known.identifying()]
            spellings = [spelling for vr, value in values for spelling in (names(value) if vr == "PN" else [value])]
            self._cleaned, self._words = known, Cleaner(spellings, charset)
        return self._words

    def _plan(self, dialect: Dialect, sop_class: str) -> tuple[Plan, Lessons, PolicyRules]:
        found = self._plans.get((dialect, sop_class))
        if found is None:
            if len(self._plans) >= _REMEMBERED:
                self._plans.clear()
            policy = PolicyRules(self.directions.policy, sop_class)
            plan = self._made(policy, dialect)
            found = self._plans[dialect, sop_class] = (plan, Lessons(plan), policy)
        return found

    def _made(self, policy: PolicyRules, dialect: Dialect) -> Plan:
        rewrite = self.directions.explicit
        return Plan(policy, dialect, markers.INSERTS, told_apart=policy.told_apart, rewrite=rewrite)


def subject_of(known: Facts, directions: Directions) -> str:
    """Return who an instance belongs to: by issuer and Patient ID, or by the study where the recipe says so."""
    if known[PATIENT_ID]:
        return subjects.canonical(known[ISSUER] or directions.domain.encode(), known[PATIENT_ID])
    if not directions.by_study:
        raise BadInput(Reason.NO_SUBJECT)
    return subjects.canonical(b"study", known[STUDY])
