"""How two recipes differ: in what they say, key by key, and in what becomes of attributes."""

from __future__ import annotations

from farm.deid import resolve
from farm.deid.policy import Action
from farm.dicom.dictionary import vr_of
from farm.recipe import tags
from farm.recipe.recipe import Recipe

_NOWHERE = resolve.types("")


def keys(left: Recipe, right: Recipe) -> list[tuple[str, str, str]]:
    """Return each settled key that differs, with both values; an entry of a list is a key of its own."""
    flat = [_flat(recipe.to_dict()) for recipe in (left, right)]
    names = sorted(flat[0].keys() | flat[1].keys())
    rows = [(name, flat[0].get(name, ""), flat[1].get(name, "")) for name in names if name != "name"]
    return [row for row in rows if row[1] != row[2]]


def attributes(left: Recipe, right: Recipe) -> list[tuple[int, Action, Action]]:
    """Return each attribute of the dictionary whose action differs, with both, in an IOD that is not known."""
    rows = [(tag, _action(left, tag), _action(right, tag)) for tag in tags.known()]
    return [row for row in rows if row[1] is not row[2]]


def _action(recipe: Recipe, tag: int) -> Action:
    return recipe.policy.decide(tag, vr_of(tag), (), _NOWHERE).action


def _flat(given: object, place: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    if isinstance(given, dict):
        for key, value in given.items():
            flat |= _flat(value, f"{place}.{key}" if place else key)
    elif isinstance(given, list) and place.startswith("policy."):
        flat = {f"{place}.{entry}": "yes" for entry in given}
    else:
        flat[place] = f"{given}"
    return flat
