"""Callbacks: a program has its say on every element, and cannot say less than the policy must.

A callback is asked for each element with its path, the action that the policy proposes, and its value, read only on
demand. It answers None to agree, another action, or bytes to be the new value. What would leave more than the policy's
action does is refused, unless the recipe says `allow_weaken`; the report then counts such answers, and the manifest
shows them. So are bytes that are no value of the element's VR.

Not asked about are elements that hold the identity of instance and subject, those that say how it was de-identified,
and Pixel Data. What describes pixels, text or a document is told and cannot be changed: the rest is read by it.

A walk with callbacks remembers nothing about values and learns no stretches: it is some ten times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.datadict import keyword_for_tag

from farm.deid import answers, dummies, facts, markers, rules
from farm.deid.editor import About, Instance
from farm.deid.mapping import Mapping
from farm.deid.policy import Action, Policy
from farm.deid.rules import PolicyRules
from farm.dicom.elements import PIXEL_DATA, Dialect
from farm.dicom.grammar import SOMEWHERE, Edit, Path, Rule, Span, meant
from farm.dicom.part10 import Part10
from farm.errors import BadRecipe, Reason

_REPLACING = frozenset({Action.EMPTY, Action.DUMMY})
_DEEPEST = 16  # levels of sequences that are told apart
_SUBJECT = frozenset({facts.PATIENT_NAME, facts.PATIENT_ID})
_IDENTITY = frozenset({facts.SOP_CLASS, facts.SOP_INSTANCE, facts.STUDY, facts.SERIES})
_NOT_ASKED = _IDENTITY | _SUBJECT | markers.TAGS | {PIXEL_DATA}
_FIXED = (rules.DESCRIBING - {rules.BURNED_IN, rules.RECOGNIZABLE}) | rules.OFFSET_TABLES | {rules.DOCUMENT_LENGTH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """An element as a callback sees it: where it stands, what would happen to it, and how to read it.

    `path`: the tags of the sequences that enclose it, outermost first. `value` is without padding; None for a sequence.
    """

    tag: int
    vr: str
    path: Path
    proposed: Action
    _value: bytes | None = field(default=None, repr=False)

    @property
    def keyword(self) -> str:
        """Return the DICOM keyword; empty for a private or unknown attribute."""
        return keyword_for_tag(self.tag)

    @property
    def value(self) -> bytes | None:
        """Return the value's bytes without padding. It identifies: keep it out of logs."""
        return None if self._value is None else self._value.strip(b"\0 ")


def asked(tag: int, vr: str, path: Path, proposed: Action, value: bytes | None = None) -> Element:
    """Return an element at a place of the walk; of what kind the items around it are is no part of its path."""
    return Element(tag=tag, vr=vr, path=tuple(step for step in path if step >= 0), proposed=proposed, _value=value)


Callback = Callable[[Element], Action | bytes | None]


class Consultation:
    """Asks a callback, and holds it to the policy."""

    def __init__(self, policy: Policy, callback: Callback) -> None:
        """Know of nothing weakened yet; `weakened` holds a tag for each such answer."""
        self._policy, self._callback = policy, callback
        self.weakened: list[int] = []

    def ask(self, element: Element, charset: bytes | None = None) -> Action | bytes:
        """Return the callback's answer, or the proposed action; raise `BadRecipe` where it leaves too much.

        `charset`: by which its bytes will be read, if that is known.
        """
        answer = answers.of_kind(self._callback(element), element.tag)
        if answer is None:
            return element.proposed
        told = answer if isinstance(answer, Action) else _told(answer, element.value)
        if self._policy.weakens(told, element.proposed):
            if not self._policy.allow_weaken:
                where = answers.where(element.tag)
                raise BadRecipe(Reason.BAD_RECIPE, f"a callback may not weaken the action of {where}")
            self.weakened.append(element.tag)
        if told is Action.KEEP:
            return told
        if isinstance(answer, bytes) and element.vr != "SQ":
            answers.check(answer, element.tag, element.vr, charset)
        return answer


def _told(answer: bytes, value: bytes | None) -> Action:
    """Return what a new value amounts to: the original one is kept."""
    return Action.KEEP if value and answer.strip(b"\0 ") == value else Action.DUMMY


class ConsultingRules(PolicyRules):
    """The policy's rules where every element is asked about."""

    def __init__(self, policy: Policy, sop_class: str, consultation: Consultation) -> None:
        """Ask through a consultation."""
        super().__init__(policy, sop_class)
        self._consultation = consultation
        self._answers: dict[tuple[int, Path], Action] = {}

    def rule(self, tag: int, vr: str, path: Path) -> Rule:
        """Ask about a sequence at once: its header decides; about all else when its value is at hand."""
        if not path and (tag in self.noted or tag in rules.OVERLAYS):
            return super().rule(tag, vr, path)
        if vr != "SQ":
            return Rule.ASK
        answer = self._answers[tag, path] = self._of_sequence(tag, path)
        return _OF_SEQUENCES.get(answer, Rule.SWAP)

    def later(self, tag: int, vr: str, dialect: Dialect) -> tuple[Rule, bytes]:
        """Ask about the one sequence that is noted and not a marker: it says which private elements are safe."""
        rule, new = super().later(tag, vr, dialect)
        if tag != facts.PRIVATE_DATA or vr != "SQ":
            return rule, new
        answer = self._of_sequence(tag, ())
        if answer is self.action(tag, vr, ()):
            return rule, new
        return _OF_SEQUENCES.get(answer, Rule.SWAP), _sequence(answer, tag, dialect)

    def _of_sequence(self, tag: int, path: Path) -> Action:
        answer = self._consultation.ask(asked(tag, "SQ", path, self.action(tag, "SQ", path)))
        if isinstance(answer, bytes):
            raise BadRecipe(Reason.BAD_RECIPE, "a callback may not give a sequence a value")
        return answer

    def swap(self, tag: int, vr: str, path: Path, dialect: Dialect) -> bytes:
        """Return what takes the place of a sequence, or of what nobody was asked about; else the answer has said it."""
        if not path and tag in self.noted:
            return super().swap(tag, vr, path, dialect)
        answer = self._answers.get((tag, path)) if vr == "SQ" else None
        return _sequence(answer, tag, dialect)

    def place(self, path: Path) -> Path:
        """Tell all places apart: a callback is told the whole path."""
        return path if len(path) <= _DEEPEST else SOMEWHERE

    def value(self, answer: Action, tag: int, vr: str) -> bytes | None:
        """Return the value that an action leaves, where it does not depend on the one before; None: it goes."""
        if answer is Action.REMOVE:
            return None
        return b"" if answer is Action.EMPTY else dummies.value(tag, vr)


_OF_SEQUENCES = {Action.KEEP: Rule.KEEP, Action.CLEAN: Rule.KEEP, Action.REMOVE: Rule.CUT}


def _sequence(answer: Action | None, tag: int, dialect: Dialect) -> bytes:
    """Return what takes the place of a sequence by an answer."""
    if answer is Action.EMPTY:
        return dialect.element(tag, "SQ", b"")
    return dummies.element(tag, "SQ", dialect) if answer is Action.DUMMY else b""


class ConsultedInstance(Instance):
    """An editor that asks a callback about every element first."""

    def __init__(
        self, source: Part10, mapping: Mapping, about: About, policy: ConsultingRules, consultation: Consultation
    ) -> None:
        super().__init__(source, mapping, about)
        self.rules, self.consultation = policy, consultation
        self._length: tuple[Rule, bytes] | None = None  # of an encapsulated document, where the callback has its say

    def ask(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """Follow the callback's answer, or the policy."""
        path = self.walk.path
        if not path and tag in self.rules.noted:
            return super().ask(tag, vr, value)
        answer = self._answered(asked(tag, vr, path, self.rules.action(tag, vr, path), value))
        if isinstance(answer, bytes):
            return answer
        if tag >> 16 & 1 and answer is Action.CLEAN:
            return value if self.judge(tag, vr, value, self.walk.item) else None
        return self._followed(answer, tag, vr, value)

    def _answered(self, element: Element) -> Action | bytes:
        """Return the answer about an element; raise `BadRecipe` where it would change what the rest is read by."""
        charset = None if element.path else self.known[facts.CHARSET]  # an item may have a character set of its own
        answer = self.consultation.ask(element, charset)
        is_fixed = element.tag == facts.CHARSET or (not element.path and element.tag in _FIXED)
        if is_fixed and answer is not element.proposed:
            where = answers.where(element.tag)
            raise BadRecipe(Reason.BAD_RECIPE, f"a callback may not change {where}: the rest is read by it")
        return answer

    def _finished(self, span: Span, rule: Rule, new: bytes, document: bytes, target: Dialect) -> Edit | None:
        """Ask about an element that was noted, now that the walk is done, and follow the answer."""
        tag, vr = span.tag, meant(span.tag, span.vr)
        if tag in _NOT_ASKED or vr == "SQ" or not span.defined:
            return super()._finished(span, rule, new, document, target)
        value = self.data[span.value : span.end]
        proposed = self.rules.action(tag, vr, ())
        answer = self.consultation.ask(asked(tag, vr, (), proposed, value), self.known[facts.CHARSET])
        if answer is not proposed and tag in _FIXED:
            raise BadRecipe(
                Reason.BAD_RECIPE, f"a callback may not change {answers.where(tag)}: the rest is read by it"
            )
        if tag == rules.DOCUMENT_LENGTH and self._length is not None:
            rule, document = self._length
        if answer is proposed:
            return super()._finished(span, rule, new, document, target)
        left = answer if isinstance(answer, bytes) else self._followed(answer, tag, vr, value)
        if tag == rules.DOCUMENT:
            self._length = (Rule.KEEP if left else Rule.CUT, b"" if answer is Action.KEEP else left or b"")
        return span.start, span.end, b"" if left is None else target.element(tag, self.settle(tag, span.vr), left)

    def _followed(self, answer: Action, tag: int, vr: str, value: bytes) -> bytes | None:
        """Return what an action leaves of a value; None: nothing."""
        maps = answer is Action.UID or (answer is Action.DUMMY and vr == "UI")
        if answer is Action.REMOVE or (maps and vr not in {"UI", "UN"}):
            return None
        if answer in _REPLACING and not maps:  # an empty value needs no dummy
            return self.rules.value(answer, tag, vr) if value else value
        new = value if answer is Action.KEEP and vr != "AS" else super().ask(tag, vr, value)
        return self.rules.value(self.rules.left(tag, vr, self.walk.path), tag, vr) if new is None else new
