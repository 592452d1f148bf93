"""A recipe: what a run does to each instance, frozen, with a digest that stands in every manifest line.

A recipe is a JSON object or the name of a preset that ships with the farm. What it leaves out is filled in from the
`basic` preset. A key that does not exist is an error that names the place and the nearest right name, because a
misspelt rule that is silently ignored is a leak.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from string import Formatter

from blake3 import blake3

from farm.deid.standard.e1_1 import EDITION
from farm.errors import BadRecipe, Reason

DEFAULT = "basic"
_PLACES = frozenset({"subject", "study", "series", "instance"})
# Every key that a recipe may have, with the values it may take; None: any text.
_KEYS: dict[str, tuple[str, ...] | None] = {
    "name": None,
    "policy.profile": ("basic",),
    "subject.domain": None,
    "subject.when_missing": ("study", "quarantine"),
    "pixels.at_risk": ("pass", "quarantine"),
    "output.path": None,
    "output.transfer_syntax": ("keep", "explicit"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is done to an instance.

    `path` is a template of new UIDs and the pseudonym; `explicit` writes implicit VR data sets with explicit VRs;
    `subject_by_study` lets an instance without a Patient ID belong to a subject of its own study.
    """

    name: str
    profile: str
    domain: str
    subject_by_study: bool
    quarantine_at_risk: bool
    path: str
    explicit: bool

    @cached_property
    def digest(self) -> str:
        """Return the BLAKE3 of all that decides an output: the recipe without its name, and the standard's edition."""
        settled = self.to_dict()
        del settled["name"]
        return blake3(json.dumps([EDITION, settled], sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, object]:
        """Return the recipe as the JSON object that `from_dict` reads."""
        return {
            "name": self.name,
            "policy": {"profile": self.profile},
            "subject": {"domain": self.domain, "when_missing": "study" if self.subject_by_study else "quarantine"},
            "pixels": {"at_risk": "quarantine" if self.quarantine_at_risk else "pass"},
            "output": {"path": self.path, "transfer_syntax": "explicit" if self.explicit else "keep"},
        }

    def to_json(self) -> str:
        """Return the recipe as JSON text."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe from JSON text; raise `BadRecipe` naming the dotted path of what is wrong."""
        try:
            given = json.loads(text)
        except ValueError as error:
            line = getattr(error, "lineno", 0)
            raise BadRecipe(Reason.BAD_RECIPE, "the recipe is not valid JSON", line=line) from None
        return cls.from_dict(given)

    @classmethod
    def from_dict(cls, given: object) -> Recipe:
        """Read a recipe from a JSON object."""
        flat = _flat(_preset(DEFAULT)) | _flat(given)
        for key, value in flat.items():
            _check(key, value)
        return cls(
            name=flat["name"],
            profile=flat["policy.profile"],
            domain=flat["subject.domain"],
            subject_by_study=flat["subject.when_missing"] == "study",
            quarantine_at_risk=flat["pixels.at_risk"] == "quarantine",
            path=_template(flat["output.path"]),
            explicit=flat["output.transfer_syntax"] == "explicit",
        )


def presets() -> list[str]:
    """Return the names of the recipes that ship with the farm."""
    folder = resources.files("farm.recipe") / "presets"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def preset(name: str) -> Recipe:
    """Return a recipe that ships with the farm; raise `BadRecipe` naming the nearest where there is none."""
    return Recipe.from_dict(_preset(name))


def _preset(name: str) -> object:
    known = presets()
    if name not in known:
        hint = _nearest(name, known) or f"the recipes that ship are: {', '.join(known)}"
        raise BadRecipe(Reason.BAD_RECIPE, f"there is no recipe {name!r}; {hint}")
    return json.loads((resources.files("farm.recipe") / "presets" / f"{name}.json").read_text())


def _flat(given: object, path: str = "") -> dict[str, str]:
    """Return nested objects as dotted keys."""
    if not isinstance(given, dict):
        raise BadRecipe(Reason.BAD_RECIPE, f"{path.rstrip('.') or 'a recipe'} must be an object")
    flat: dict[str, str] = {}
    for key, value in given.items():
        name = f"{path}{key}"
        if any(known.startswith(f"{name}.") for known in _KEYS):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _check(key: str, value: object) -> None:
    if key not in _KEYS:
        raise BadRecipe(Reason.BAD_RECIPE, f"{key}: no such key; {_nearest(key, list(_KEYS)) or 'see the README'}")
    if not isinstance(value, str):
        raise BadRecipe(Reason.BAD_RECIPE, f"{key}: must be text")
    choices = _KEYS[key]
    if choices is not None and value not in choices:
        raise BadRecipe(Reason.BAD_RECIPE, f"{key}: must be one of {', '.join(choices)}")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else ""


def _template(path: str) -> str:
    """Check an output path: relative, made of new identifiers alone, one file for each instance."""
    try:
        places = [place for _, place, _, _ in Formatter().parse(path) if place is not None]
    except ValueError:
        places = ["?"]
    literal = path
    for place in _PLACES:
        literal = literal.replace("{" + place + "}", "0")
    parts = literal.split("/")
    names = all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", part) for part in parts)
    if not names or not set(places) <= _PLACES or "instance" not in places:
        known = ", ".join("{" + place + "}" for place in sorted(_PLACES))
        raise BadRecipe(
            Reason.BAD_RECIPE, f"output.path: must be a relative path of {known}; {{instance}} must be there"
        )
    return path
