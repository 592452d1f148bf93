"""`$extends`: a recipe says only what it changes in another one.

Objects merge key by key. Three places of the policy are more than values: `options` is a whole list, or changes to the
inherited one by `+` and `-`; `keep` adds to the inherited list, or takes off by `-`; `attributes` merges by tag,
however a tag is written. Files are read by whoever calls: `load` turns a path into objects, and paths are joined here,
relative to the file that names them, so that a circle is seen however its paths are written.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, NamedTuple

from farm.deid.policy import EXCLUSIVE
from farm.errors import BadRecipe
from farm.recipe import tags
from farm.recipe.refusals import nearest, refusal
from farm.recipe.schema import checked

BOTTOM = "basic"
"""What a recipe extends that does not say so."""
EXTENDS = "$extends"
Load = Callable[[str], object]


class _Link(NamedTuple):
    """A recipe in the chain: one that ships, by its name, or a file, by its path."""

    name: str
    ships: bool


_BOTTOM = _Link(BOTTOM, ships=True)


def presets() -> list[str]:
    """Return the names of the recipes that ship with the farm."""
    folder = resources.files("farm.recipe") / "presets"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def shipped(name: str) -> object:
    """Return a recipe that ships, as it is written; raise `BadRecipe` naming the nearest where there is none."""
    names = presets()
    if name not in names:
        hint = nearest(name, names, f"the recipes that ship are: {', '.join(names)}")
        raise refusal("", f"there is no recipe {name!r}; {hint}")
    return json.loads((resources.files("farm.recipe") / "presets" / f"{name}.json").read_text("utf-8"))


def is_file(name: str) -> bool:
    """Tell whether a name means a file: it has a slash, or ends as recipe files do."""
    return "/" in name or name.endswith((".json", ".yaml", ".yml"))


def merged(given: object, load: Load | None = None, origin: str = "") -> dict[str, Any]:
    """Return a recipe with all that it extends merged in; `origin` is its own file's path.

    Raise `BadRecipe` with the dotted path of what is wrong, behind the name of the recipe where that is one further
    down the chain.
    """
    chain = [_Link(posixpath.normpath(origin) if origin else "", ships=False)]
    levels: list[dict[str, Any]] = []
    while True:
        with _told_of(chain):
            levels.append(checked(given))
            below = _below(levels[-1], chain)
            if below is None:
                break
            given = _read(below, load)
        chain.append(below)
    whole: dict[str, Any] = {}
    while levels:
        with _told_of(chain):
            whole = _merge(whole, levels.pop())
        chain.pop()
    whole.pop(EXTENDS, None)
    return whole


@contextmanager
def _told_of(chain: Sequence[_Link]) -> Iterator[None]:
    """Put the name of the last recipe of a chain before an error, unless it is the one that was given."""
    try:
        yield
    except BadRecipe as error:
        if len(chain) == 1:
            raise
        raise BadRecipe(error.reason, f"in {_shown(chain[-1])}: {error.hint}", **error.fields) from None


def _shown(link: _Link) -> str:
    return posixpath.basename(link.name) or "this recipe"


def _below(level: dict[str, Any], chain: Sequence[_Link]) -> _Link | None:
    """Return what the last recipe of a chain extends; raise `BadRecipe` where it stands in the chain already."""
    name = level.get(EXTENDS)
    if name is None:
        return None if chain[-1] == _BOTTOM else _BOTTOM
    below = _Link(name, ships=True)
    if is_file(name):
        below = _Link(posixpath.normpath(posixpath.join(posixpath.dirname(chain[-1].name), name)), ships=False)
    if below in chain:
        circle = " -> ".join(_shown(link) for link in (*chain[chain.index(below) :], below))
        raise refusal(EXTENDS, f"goes round in a circle: {circle}")
    return below


def _read(link: _Link, load: Load | None) -> object:
    """Return a recipe that is extended, as it is written."""
    try:
        if link.ships:
            return shipped(link.name)
        if load is None:
            raise refusal("", "a file can be extended by a file alone")
        return load(link.name)
    except BadRecipe as error:
        raise BadRecipe(error.reason, f"{EXTENDS}: {error.hint}", **error.fields) from None


def _merge(below: dict[str, Any], level: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's objects laid over those of the recipe that it extends."""
    whole = below | {key: value for key, value in level.items() if not isinstance(value, dict)}
    for key, value in level.items():
        if isinstance(value, dict):
            whole[key] = below.get(key, {}) | value
    policy, inherited = level.get("policy", {}), below.get("policy", {})
    if "options" in policy:
        whole["policy"]["options"] = _options(inherited.get("options", []), policy["options"])
    if "keep" in policy:
        whole["policy"]["keep"] = _keep(inherited.get("keep", []), policy["keep"])
    if "attributes" in policy:
        whole["policy"]["attributes"] = inherited.get("attributes", {}) | _attributes(policy["attributes"])
    return whole


def _options(inherited: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return the options, in order; raise `BadRecipe` where some exclude each other."""
    signed = [entry for entry in given if entry[0] in "+-"]
    if signed and len(signed) < len(given):
        raise refusal("policy.options", "either a whole list, or + and - before every entry")
    added = {entry[1:] for entry in signed if entry[0] == "+"}
    removed = {entry[1:] for entry in signed if entry[0] == "-"}
    if added & removed:
        raise refusal("policy.options", f"{min(added & removed)} is both added and taken off")
    chosen = set(inherited) - removed | added if signed else set(given)
    if chosen >= EXCLUSIVE:
        raise refusal("policy.options", f"{' and '.join(sorted(EXCLUSIVE))} exclude each other (PS3.15 E.3.6)")
    return sorted(chosen)


def _keep(inherited: Sequence[str], given: Sequence[str]) -> list[str]:
    kept = set(inherited)
    for at, entry in enumerate(given):
        tag = tags.written(tags.read(entry.removeprefix("-"), f"policy.keep[{at}]"))
        (kept.discard if entry.startswith("-") else kept.add)(tag)
    return sorted(kept)


def _attributes(given: dict[str, str]) -> dict[str, str]:
    """Return rules by tag; raise `BadRecipe` where one attribute is written in two ways with two actions."""
    rules: dict[str, str] = {}
    for text, letter in given.items():
        tag = tags.written(tags.read(text, f"policy.attributes.{text}"))
        if rules.setdefault(tag, letter) != letter:
            raise refusal(f"policy.attributes.{text}", "has another rule under another spelling")
    return rules
