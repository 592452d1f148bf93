"""Callbacks: a program has its say on every element, and cannot say less than the policy must.

A callback is asked for each element with its path, the action that the policy proposes, and its value, read only on
demand. It answers None to agree, another action, or bytes to be the new value. What would leave more than the policy's
action does is refused, unless the recipe says `allow_weaken`; the report then counts such answers, and the manifest
shows them. Elements that hold the identity of instance and subject, and those that say how it was de-identified, are
not asked about.

A walk with callbacks remembers nothing about values and learns no stretches: it is some ten times slower.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydicom.datadict import keyword_for_tag

from farm.deid import dummies
from farm.deid.editor import About, Instance
from farm.deid.mapping import Mapping
from farm.deid.policy import Action, Policy
from farm.deid.rules import PolicyRules
from farm.dicom.elements import Dialect
from farm.dicom.grammar import SOMEWHERE, Path, Rule
from farm.dicom.part10 import Part10
from farm.errors import BadRecipe, Reason

_REPLACING = frozenset({Action.EMPTY, Action.DUMMY})
_DEEPEST = 16  # levels of sequences that are told apart


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

    def ask(self, element: Element) -> Action | bytes:
        """Return the callback's answer, or the proposed action; raise `BadRecipe` where it leaves too much."""
        answer = self._callback(element)
        if answer is None:
            return element.proposed
        told = answer if isinstance(answer, Action) else _told(answer, element.value)
        if self._policy.weakens(told, element.proposed):
            if not self._policy.allow_weaken:
                where = f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X})"
                raise BadRecipe(Reason.BAD_RECIPE, f"a callback may not weaken the action of {where}")
            self.weakened.append(element.tag)
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
        rule = super().rule(tag, vr, path)
        if rule is Rule.NOTE:
            return rule
        if vr != "SQ":
            return Rule.ASK
        answer = self._consultation.ask(asked(tag, vr, path, self.action(tag, vr, path)))
        if isinstance(answer, bytes):
            raise BadRecipe(Reason.BAD_RECIPE, "a callback may not give a sequence a value")
        self._answers[tag, path] = answer
        return {Action.KEEP: Rule.KEEP, Action.CLEAN: Rule.KEEP, Action.REMOVE: Rule.CUT}.get(answer, Rule.SWAP)

    def swap(self, tag: int, vr: str, path: Path, dialect: Dialect) -> bytes:
        """Return what takes the place of a sequence, or of what nobody was asked about; else the answer has said it."""
        if not path and tag in self.noted:
            return super().swap(tag, vr, path, dialect)
        answer = self._answers.get((tag, path)) if vr == "SQ" else None
        if answer is Action.EMPTY:
            return dialect.element(tag, vr, b"")
        return dummies.element(tag, vr, dialect) if answer is Action.DUMMY else b""

    def place(self, path: Path) -> Path:
        """Tell all places apart: a callback is told the whole path."""
        return path if len(path) <= _DEEPEST else SOMEWHERE

    def value(self, answer: Action, tag: int, vr: str) -> bytes | None:
        """Return the value that an action leaves, where it does not depend on the one before; None: it goes."""
        if answer is Action.REMOVE:
            return None
        return b"" if answer is Action.EMPTY else dummies.value(tag, vr)


class ConsultedInstance(Instance):
    """An editor that asks a callback about every element first."""

    def __init__(
        self, source: Part10, mapping: Mapping, about: About, policy: ConsultingRules, consultation: Consultation
    ) -> None:
        super().__init__(source, mapping, about)
        self.rules, self.consultation = policy, consultation

    def ask(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """Follow the callback's answer, or the policy."""
        path = self.walk.path
        if not path and tag in self.rules.noted:
            return super().ask(tag, vr, value)
        answer = self.consultation.ask(asked(tag, vr, path, self.rules.action(tag, vr, path), value))
        if isinstance(answer, bytes):
            return answer
        if tag >> 16 & 1 and answer is Action.CLEAN:
            return value if self.judge(tag, vr, value, self.walk.item) else None
        return self._followed(answer, tag, vr, value)

    def _followed(self, answer: Action, tag: int, vr: str, value: bytes) -> bytes | None:
        """Return what an action leaves of a value; None: nothing."""
        maps = answer is Action.UID or (answer is Action.DUMMY and vr == "UI")
        if answer is Action.REMOVE or (maps and vr not in {"UI", "UN"}):
            return None
        if answer in _REPLACING and not maps:  # an empty value needs no dummy
            return self.rules.value(answer, tag, vr) if value else value
        new = value if answer is Action.KEEP and vr != "AS" else super().ask(tag, vr, value)
        return self.rules.value(self.rules.left(tag, vr, self.walk.path), tag, vr) if new is None else new
