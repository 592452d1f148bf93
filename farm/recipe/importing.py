"""What recipes of other programs become: a recipe that extends `basic`, and a list of what could not be carried over.

Other programs say what to do attribute by attribute, and leave the rest alone; a recipe says what differs from the
profile. So a rule that the profile already fulfils needs no words; one that leaves less is carried over; one that
leaves more is not, and the option that would allow it is named. What cannot be carried over (a constant, a condition, a
function) is told with its line, and where the profile would keep such an attribute, it is removed: the other program
was told to change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from farm.deid.policy import OPTIONS, Action, Policy
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.recipe import rules, tags
from farm.recipe.recipe import Recipe

_BASIC = Policy()
_MODIFIED = "retain-longitudinal-modified-dates"
_NOTHING_LEFT = frozenset({Action.REMOVE, Action.EMPTY, Action.DUMMY})
_UNLISTED_REMOVED = Policy(unlisted_removed=True)
_UIDS = frozenset({0x00080018, 0x0020000D, 0x0020000E})
_COLUMNS = {pattern: columns for pattern, _, columns in ROWS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """What could not be carried over: its line, what it is about, and why."""

    line: int
    what: str
    why: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"line {self.line}: {self.what}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A recipe as it may be written down, and what it does not hold."""

    recipe: dict[str, object]
    lost: tuple[Lost, ...]


@dataclass(slots=True, kw_only=True)
class Draft:
    """A recipe in the making."""

    name: str
    attributes: dict[int, Action] = field(default_factory=dict)
    keep: set[int] = field(default_factory=set)
    lost: list[Lost] = field(default_factory=list)
    unlisted_removed: bool = False
    days: int = 0
    root: str = ""

    def lose(self, line: int, what: str, why: str) -> None:
        """Note what cannot be carried over."""
        self.lost.append(Lost(line=line, what=what, why=why))

    def act(self, line: int, tag: int, action: Action) -> None:
        """Carry over that an attribute is removed, emptied, replaced or gets a new UID."""
        if action is Action.UID and vr_of(tag) != "UI":
            self.drop(line, tag, "a new UID for what is no UID")
        elif tag in rules.FIXED:
            if action is not Action.UID or tag not in _UIDS:
                self.lose(line, tags.named(tag), f"has no rule of its own: {rules.FIXED[tag]}")
        else:
            basic = rules.mandatory(_BASIC, tag)
            if _BASIC.weakens(action, basic.action):
                self.lose(line, tags.named(tag), f"{action.value} leaves more than {basic.rule}")
            else:
                self.attributes[tag] = basic.action if basic.action in _NOTHING_LEFT else action

    def spare(self, line: int, tag: int) -> None:
        """Carry over that an attribute is kept, where that leaves no more than the profile does."""
        self.attributes.pop(tag, None)
        decision = rules.mandatory(_BASIC, tag)
        if decision.layer == "unlisted" and decision.action is Action.KEEP:
            self.keep.add(tag)
        elif tag in rules.FIXED:
            self.lose(line, tags.named(tag), f"has no rule of its own: {rules.FIXED[tag]}")
        elif decision.action is not Action.KEEP:
            options = _keeping(tag)
            hint = (
                f"; the option {options[0]} keeps or cleans it"
                if options
                else "; only policy.allow_weaken would keep it"
            )
            self.lose(line, tags.named(tag), f"is kept there; here {decision.rule}{hint}")

    def drop(self, line: int, tag: int, why: str) -> None:
        """Note that an attribute's rule cannot be carried over, and remove what the profile would keep."""
        if tag in rules.FIXED:
            self.lose(line, tags.named(tag), f"{why}; here {rules.FIXED[tag]}")
            return
        decision = rules.mandatory(_BASIC, tag)
        self.attributes[tag] = Action.REMOVE if decision.action is Action.KEEP else decision.action
        here = "removed" if decision.action is Action.KEEP else f"as the profile says, {decision.rule}"
        self.lose(line, tags.named(tag), f"{why}; here it is {here}")

    def shift(self, line: int, tag: int, days: int) -> None:
        """Carry over that a date moves by fixed days: the option moves all dates, by one shift."""
        if not days:
            self.drop(line, tag, "a shift of 0 days is none")
        elif _MODIFIED not in _options(tag):
            self.drop(line, tag, "moves there; the option for modified dates does not cover it")
        elif self.days not in {0, days}:
            self.lose(line, tags.named(tag), "moves by other days than dates before; here all move by the same")
        else:
            self.attributes.pop(tag, None)
            self.days = days

    def finished(self) -> Imported:
        """Return what became of it; the recipe is one that can be read."""
        made = Policy(options=frozenset({_MODIFIED} if self.days else ()), unlisted_removed=self.unlisted_removed)
        policy: dict[str, object] = {
            "options": sorted(made.options),
            "unlisted": "remove" if self.unlisted_removed else "",
            "keep": [tags.named(tag) for tag in sorted(self.keep) if self._has_to_be_kept(tag)],
            "attributes": {
                tags.named(tag): action.value
                for tag, action in sorted(self.attributes.items())
                if not _fulfilled(made, tag, action)
            },
        }
        recipe: dict[str, object] = {"name": self.name, "$extends": "basic"}
        recipe["policy"] = {key: value for key, value in policy.items() if value}
        if self.days:
            recipe["dates"] = {"strategy": "fixed", "days": self.days}
        if self.root:
            recipe["uids"] = {"root": self.root}
        Recipe.from_dict(recipe)
        return Imported(recipe=recipe, lost=tuple(sorted(self.lost, key=lambda lost: lost.line)))

    def _has_to_be_kept(self, tag: int) -> bool:
        return self.unlisted_removed and rules.mandatory(_UNLISTED_REMOVED, tag).action is not Action.KEEP


def _fulfilled(made: Policy, tag: int, action: Action) -> bool:
    """Tell whether a policy does to an attribute what a rule asks for, by Type where the table leaves a choice."""
    found = rules.mandatory(made, tag).action
    return found is action or (found in _NOTHING_LEFT and action in _NOTHING_LEFT)


def _options(tag: int) -> dict[str, str]:
    """Return the options that have a column for an attribute, with their letters."""
    pairs = (column.replace("_", "-").split("=") for column in _COLUMNS.get(f"{tag:08x}", "").split())
    return {name: letter for name, letter in pairs if name in OPTIONS}


def _keeping(tag: int) -> list[str]:
    return [name for name, letter in _options(tag).items() if letter == "K"] or list(_options(tag))
