"""A recipe: what a run does to each instance, frozen, with a digest that stands in every manifest line.

A recipe is the name of a preset that ships with the farm, or an object that says what it changes in another recipe
(`extends`), checked by the schema that ships (`schema`). Settled, it says everything and extends nothing: that is what
a run stores and its workers read, so that no file that changes later can change what a run does.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import asdict, dataclass
from functools import cached_property
from string import Formatter
from typing import Any, Literal

from blake3 import blake3

from farm.deid import codes, dummies, vocabulary
from farm.deid.dates import Strategy
from farm.deid.editor import Directions
from farm.deid.gate import Reading
from farm.deid.markers import METHOD_TEXT
from farm.deid.policy import Policy
from farm.deid.scheme import Pseudonyms, Scheme, Uids
from farm.deid.standard.e1_1 import EDITION
from farm.dicom.part10 import IMPLEMENTATION_VERSION
from farm.frames.codec import Options
from farm.recipe import rules
from farm.recipe.extends import EXTENDS, Load, merged, presets, shipped
from farm.recipe.reading import read_json
from farm.recipe.refusals import refusal
from farm.transcoding.targets import KEEP, TARGETS, Wanted

__all__ = ["Recipe", "preset", "presets"]

_PLACES = frozenset({"subject", "study", "series", "instance"})
_MODIFIED = "retain-longitudinal-modified-dates"


Shown = Literal["removed", "shifted", "month", "year", "kept"]
_KEPT: dict[str, Shown] = {"REMOVED": "removed", "UNMODIFIED": "kept"}
_DATES: dict[Strategy, Shown] = {Strategy.MONTH: "month", Strategy.YEAR: "year"}


def _is_word(word: str) -> bool:
    """Tell the release gate what says nothing of anybody: a safe word, a defined term, a public code."""
    if vocabulary.kind(word) is not vocabulary.Kind.DROPPED:
        return True
    value = word.upper().encode("ascii", "replace")
    return vocabulary.is_defined(value) or codes.keeps(codes.VALUE, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How pixels are encoded where something is lost: see `farm.frames.codec.Options`.

    `lossy_again`: what was lossy already is kept as it is, or encoded; `unable`: what cannot be had in the transfer
    syntax is kept as it is, or quarantined.
    """

    near: int
    quality: int
    psnr: int
    step: float
    distance: float
    lossy_again: str
    unable: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is done to an instance.

    `strategy`, `days`, `shift_range` and `anchor` say how dates move where the policy lets them stay modified.
    `uid_method` and `uid_root`: how UIDs are replaced. `domain` stands for an absent issuer; `subject_by_study` lets an
    instance without a Patient ID belong to a subject of its own study; `pseudonyms` and `prefix`: what stands for a
    subject. `path` is a template of new UIDs and the pseudonym. `transfer_syntax` names that of the outputs, `coding`
    says how their pixels get there.
    """

    name: str
    policy: Policy
    strategy: str
    days: int
    shift_range: tuple[int, int]
    anchor: str
    uid_method: str
    uid_root: str
    domain: str
    subject_by_study: bool
    pseudonyms: str
    prefix: str
    quarantine_at_risk: bool
    path: str
    transfer_syntax: str
    coding: Coding

    @cached_property
    def digest(self) -> str:
        """Return the BLAKE3 of all that decides an output: the recipe without its name, and the standard's edition."""
        settled = self.to_dict()
        del settled["name"]
        return blake3(json.dumps([EDITION, settled], sort_keys=True).encode()).hexdigest()

    @cached_property
    def scheme(self) -> Scheme:
        """Return how UIDs, subjects and date shifts are mapped; without modified dates there is no shift."""
        return self.mapped_by(Strategy(self.strategy) if self.policy.has(_MODIFIED) else Strategy.REMOVE)

    @cached_property
    def directions(self) -> Directions:
        """Return what is asked of the attributes of an instance."""
        return Directions(
            policy=self.policy,
            strategy=self.scheme.dates,
            days=self.days,
            by_study=self.subject_by_study,
            domain=self.domain,
            explicit=self.transfer_syntax != KEEP,
        )

    @cached_property
    def wanted(self) -> Wanted:
        """Return what the pixels of an output are to be."""
        coding, syntax = self.coding, TARGETS.get(self.transfer_syntax, "")
        options = Options(
            syntax=syntax,
            near=coding.near,
            quality=coding.quality,
            psnr=coding.psnr,
            step=coding.step,
            distance=coding.distance,
        )
        return Wanted(
            syntax=syntax,
            options=options,
            again=coding.lossy_again == "encode",
            refuse=coding.unable == "quarantine",
        )

    @cached_property
    def reading(self) -> Reading:
        """Return the recipe as the release gate reads it."""
        policy = self.policy
        shifted: Shown = _DATES.get(self.scheme.dates, "shifted")
        return Reading(
            options=policy.columns,
            unlisted_removed=policy.unlisted_removed,
            keep=policy.keep,
            attributes={tag: action.value for tag, action in policy.own},
            dates=_KEPT.get(policy.temporal, shifted),
            own=(METHOD_TEXT, IMPLEMENTATION_VERSION, dummies.TEXT),
            is_word=_is_word,
        )

    def to_dict(self) -> dict[str, object]:
        """Return the settled recipe as the object that `from_dict` reads; it extends nothing."""
        return {
            "name": self.name,
            "policy": rules.to_dict(self.policy),
            "dates": {
                "strategy": self.strategy,
                "days": self.days,
                "range": list(self.shift_range),
                "anchor": self.anchor,
            },
            "uids": {"method": self.uid_method, "root": self.uid_root},
            "subject": {
                "domain": self.domain,
                "when_missing": "study" if self.subject_by_study else "quarantine",
                "pseudonym": self.pseudonyms,
                "prefix": self.prefix,
            },
            "pixels": {"at_risk": "quarantine" if self.quarantine_at_risk else "pass"},
            "output": {"path": self.path, "transfer_syntax": self.transfer_syntax},
            "coding": asdict(self.coding),
        }

    def to_json(self) -> str:
        """Return the settled recipe as JSON text."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe from JSON text; raise `BadRecipe` naming the dotted path of what is wrong."""
        return cls.from_dict(read_json(text))

    @classmethod
    def from_dict(cls, given: object, load: Load | None = None, origin: str = "") -> Recipe:
        """Read a recipe from an object; raise `BadRecipe` naming the dotted path of what is wrong.

        `load` returns the object of a file that is extended, by its path; `origin` is the path of the recipe's own.
        """
        whole = merged(given, load, origin)
        if origin and isinstance(given, dict) and "name" not in given:  # what it extends is another recipe
            whole["name"] = posixpath.splitext(posixpath.basename(origin))[0]
        recipe = cls._settled(whole)
        recipe.mapped_by(Strategy(recipe.strategy))
        if recipe.strategy == Strategy.FIXED and not recipe.days:
            raise refusal("dates.days", "a shift of 0 days is none")
        _check_dates(recipe, given)
        return recipe

    @classmethod
    def _settled(cls, whole: dict[str, Any]) -> Recipe:
        dates, uids, subject = whole["dates"], whole["uids"], whole["subject"]
        lowest, highest = dates["range"]
        options = set(whole["policy"]["options"])
        if dates["strategy"] == Strategy.REMOVE:  # then none is modified, and none may be said to be
            options.discard(_MODIFIED)
        return cls(
            name=whole["name"],
            policy=rules.policy(whole["policy"] | {"options": options}),
            strategy=dates["strategy"],
            days=int(dates["days"]),
            shift_range=(int(lowest), int(highest)),
            anchor=dates["anchor"],
            uid_method=uids["method"],
            uid_root=uids["root"],
            domain=subject["domain"],
            subject_by_study=subject["when_missing"] == "study",
            pseudonyms=subject["pseudonym"],
            prefix=subject["prefix"],
            quarantine_at_risk=whole["pixels"]["at_risk"] == "quarantine",
            path=_template(whole["output"]["path"]),
            transfer_syntax=whole["output"]["transfer_syntax"],
            coding=_coding(whole["coding"]),
        )

    def mapped_by(self, dates: Strategy) -> Scheme:
        """Return the scheme with this strategy for dates; raise `BadRecipe` where its rules do not go together."""
        return Scheme(
            uids=Uids(self.uid_method),
            root=self.uid_root,
            pseudonyms=Pseudonyms(self.pseudonyms),
            prefix=self.prefix,
            dates=dates,
            lowest=self.shift_range[0],
            highest=self.shift_range[1],
            anchor=self.anchor,
        )


def _coding(given: dict[str, Any]) -> Coding:
    """Return how pixels are encoded; 2 and 2.0 are one number, else they would be two recipes."""
    whole = {name: int(given[name]) for name in ("near", "quality", "psnr")}
    decimal = {name: float(given[name]) for name in ("step", "distance")}
    return Coding(**given | whole | decimal)


def _check_dates(recipe: Recipe, given: object) -> None:
    """Raise `BadRecipe` where a recipe says how dates move, and nothing lets them; a settled one says everything."""
    if recipe.policy.has(_MODIFIED) or recipe.strategy == Strategy.REMOVE:
        return
    told = recipe.to_dict()
    is_told = isinstance(given, dict) and "dates" in given and not told.keys() <= given.keys()
    if is_told or told["dates"] != merged({})["dates"]:
        here = _KEPT[recipe.policy.temporal]
        raise refusal("dates", f"has no effect without the option {_MODIFIED}: dates are {here}")


def preset(name: str) -> Recipe:
    """Return a recipe that ships with the farm; raise `BadRecipe` naming the nearest where there is none."""
    shipped(name)
    return Recipe.from_dict({EXTENDS: name})


def _template(path: str) -> str:
    """Check an output path: relative, made of new identifiers alone, one file for each instance."""
    try:
        places = [place for _, place, _, _ in Formatter().parse(path) if place is not None]
    except ValueError:
        places = ["?"]
    literal = path
    for place in _PLACES:
        literal = literal.replace("{" + place + "}", "0")
    names = all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", part) for part in literal.split("/"))
    if not names or not set(places) <= _PLACES or "instance" not in places:
        known = ", ".join("{" + place + "}" for place in sorted(_PLACES))
        raise refusal("output.path", f"must be a relative path of {known}; {{instance}} must be there")
    return path
