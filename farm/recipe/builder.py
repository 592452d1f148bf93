"""Recipes written in Python: each step returns a new builder, and `build` checks the whole as a file is checked.

    recipe = (
        RecipeBuilder.extending("research")
        .option("retain-safe-private")
        .keep("FrameLabel")
        .rule("PatientComments", Action.REMOVE)
        .dates(Strategy.FIXED, days=-100)
        .build()
    )

What is built is no other than what a file would say: it has the same digest as the same recipe in JSON.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from farm.deid.dates import Strategy
from farm.deid.policy import Action
from farm.deid.scheme import Pseudonyms, Uids
from farm.recipe.extends import EXTENDS
from farm.recipe.recipe import Recipe

_Place = Literal["policy", "dates", "uids", "subject", "pixels", "output", "coding"]


@dataclass(frozen=True, slots=True)
class RecipeBuilder:
    """What a recipe says so far."""

    _given: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def extending(cls, name: str) -> RecipeBuilder:
        """Begin with a recipe that ships, and say what changes in it."""
        return cls({EXTENDS: name})

    def named(self, name: str) -> RecipeBuilder:
        """Give the recipe a name."""
        return replace(self, _given=self._given | {"name": name})

    def option(self, *names: str) -> RecipeBuilder:
        """Choose options of PS3.15 E.3, such as `retain-safe-private`, beside the inherited ones."""
        return self._listed("options", [f"+{name}" for name in names])

    def without(self, *names: str) -> RecipeBuilder:
        """Take inherited options off."""
        return self._listed("options", [f"-{name}" for name in names])

    def keep(self, *attributes: str) -> RecipeBuilder:
        """Keep unlisted attributes, given by keyword or as `(gggg,eeee)`, where unlisted ones are removed."""
        return self._listed("keep", list(attributes))

    def rule(self, attribute: str, action: Action) -> RecipeBuilder:
        """Give one attribute a rule of its own; one that leaves more than the profile does needs `allow_weaken`."""
        rules = self._given.get("policy", {}).get("attributes", {})
        return self._set("policy", attributes=rules | {attribute: action.value})

    def unlisted(self, what: Literal["keep", "remove"]) -> RecipeBuilder:
        """Say what happens to text and dates that table E.1-1 does not list."""
        return self._set("policy", unlisted=what)

    def private_sop_classes(self, what: Literal["refuse", "allow"]) -> RecipeBuilder:
        """Say whether instances of private SOP classes are let in."""
        return self._set("policy", private_sop_classes=what)

    def allow_weaken(self) -> RecipeBuilder:
        """Let rules and callbacks leave more than the profile does; the manifest shows it."""
        return self._set("policy", allow_weaken=True)

    def dates(
        self,
        strategy: Strategy,
        *,
        days: int | None = None,
        between: tuple[int, int] | None = None,
        anchor: str | None = None,
    ) -> RecipeBuilder:
        """Say how dates are modified: `days` of a fixed shift, the range of derived ones, an anchor as YYYYMMDD."""
        given = {"days": days, "range": list(between) if between else None, "anchor": anchor}
        return self._set("dates", strategy=strategy.value, **{key: value for key, value in given.items() if value})

    def uids(self, method: Uids, *, root: str = "2.25") -> RecipeBuilder:
        """Say where new UIDs come from, and below which root they are."""
        return self._set("uids", method=method.value, root=root)

    def subjects(self, pseudonym: Pseudonyms, *, prefix: str | None = None, domain: str | None = None) -> RecipeBuilder:
        """Say what stands for a subject; `domain` stands for an absent issuer of Patient IDs."""
        given = {"prefix": prefix, "domain": domain}
        chosen = {key: value for key, value in given.items() if value is not None}
        return self._set("subject", pseudonym=pseudonym.value, **chosen)

    def missing_patient_id(self, what: Literal["study", "quarantine"]) -> RecipeBuilder:
        """Say what becomes of an instance without a Patient ID: a subject of its own study, or quarantine."""
        return self._set("subject", when_missing=what)

    def pixels_at_risk(self, what: Literal["pass", "quarantine"]) -> RecipeBuilder:
        """Say what becomes of instances whose pixels may show names."""
        return self._set("pixels", at_risk=what)

    def output(self, *, path: str | None = None, transfer_syntax: str | None = None) -> RecipeBuilder:
        """Say where outputs go, as a template of new identifiers, and in which transfer syntax they are."""
        given = {"path": path, "transfer_syntax": transfer_syntax}
        return self._set("output", **{key: value for key, value in given.items() if value is not None})

    def coding(
        self,
        *,
        lossy_again: Literal["keep", "encode"] | None = None,
        unable: Literal["keep", "quarantine"] | None = None,
        **numbers: float,
    ) -> RecipeBuilder:
        """Say how pixels are encoded: `near`, `quality`, `psnr`, `step`, `distance` of lossy ones; and what is not."""
        given = {"lossy_again": lossy_again, "unable": unable, **numbers}
        return self._set("coding", **{key: value for key, value in given.items() if value is not None})

    def build(self) -> Recipe:
        """Return the recipe; raise `BadRecipe` with the dotted path of what is wrong."""
        return Recipe.from_dict(self._given)

    def _set(self, place: _Place, **values: object) -> RecipeBuilder:
        return replace(self, _given=self._given | {place: self._given.get(place, {}) | values})

    def _listed(self, key: str, more: list[str]) -> RecipeBuilder:
        return self._set("policy", **{key: [*self._given.get("policy", {}).get(key, []), *more]})
