"""The JSON Schema that ships (draft 2020-12) at work: every recipe is checked by it before anything is read from it.

A validator's own messages name no nearest key and quote what was given, so each violation is told anew: the dotted path
and what may stand there. A key that does not exist is looked for first, since it explains what follows from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from math import isnan
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from farm.recipe.refusals import nearest, refusal

_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_MOST_SHOWN = 12  # choices
_DECIMAL = re.compile(r"[0-9]{1,7}\.[0-9]{1,12}")


@cache
def schema() -> dict[str, Any]:
    """Return the schema."""
    loaded: dict[str, Any] = json.loads((resources.files("farm.recipe") / "schema.json").read_text("utf-8"))
    return loaded


@cache
def keys() -> tuple[str, ...]:
    """Return the dotted path of every key that a recipe may have."""
    return tuple(_keys(schema(), ""))


def checked(given: object) -> dict[str, Any]:
    """Return a recipe that the schema allows; raise `BadRecipe` naming the dotted path of what is wrong."""
    if not isinstance(given, dict):
        raise refusal("", "a recipe must be an object")
    _check_keys(given, schema(), "")
    made: dict[str, Any] = _decimals(given, schema())
    for error in sorted(_validator().iter_errors(made), key=lambda error: [str(part) for part in error.absolute_path]):
        raise refusal(_dotted(error.absolute_path), _told(error))
    return made


def _decimals(given: Any, part: dict[str, Any]) -> Any:  # noqa: ANN401 - whatever a recipe holds
    """Return a recipe with numbers where decimals are meant: as YAML is read they are text, since `2.25` is a root."""
    if isinstance(given, dict):
        below = part.get("properties", {})
        return {name: _decimals(value, below.get(name, {})) for name, value in given.items()}
    if part.get("type") == "number" and isinstance(given, str) and _DECIMAL.fullmatch(given):
        return float(given)
    return given


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(schema())


def _keys(part: dict[str, Any], place: str) -> Iterator[str]:
    for name, below in part.get("properties", {}).items():
        dotted = f"{place}{name}"
        if "properties" in below:
            yield from _keys(below, f"{dotted}.")
        else:
            yield dotted


def _check_keys(given: object, part: dict[str, Any], place: str) -> None:
    """Refuse a key that does not exist, text that a terminal or a path could not carry, and what is no number.

    NaN is neither too small nor too great for a schema.
    """
    if isinstance(given, float) and isnan(given):
        raise refusal(place, "must be a number")
    if isinstance(given, str) and not given.isprintable():
        raise refusal(place, "must hold no control characters")
    if isinstance(given, list):
        for at, entry in enumerate(given):
            _check_keys(entry, part.get("items", {}), f"{place}[{at}]")
    if not isinstance(given, dict):
        return
    below = part.get("properties", {})
    for name, value in given.items():
        dotted = f"{place}.{name}" if place else str(name)
        if not dotted.isprintable():
            raise refusal(place, "a key must hold no control characters")
        if name not in below and below:
            raise refusal(dotted, f"no such key; {nearest(dotted, keys(), 'see farm recipe show basic')}")
        _check_keys(value, below.get(name, {}), dotted)


def _dotted(path: Iterable[str | int]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _told(error: ValidationError) -> str:
    """Return what may stand where something else does."""
    rule = error.schema if isinstance(error.schema, dict) else {}
    if error.validator == "type":
        return f"must be {_TYPES[str(error.validator_value)]}"
    if error.validator == "enum":
        choices = [str(choice) for choice in rule["enum"] if str(choice)[0] not in "+-"]
        if len(choices) <= _MOST_SHOWN:
            near = nearest(error.instance, choices) if isinstance(error.instance, str) else ""
            return f"must be one of {', '.join(choices)}{'; ' + near if near else ''}"
    if error.validator == "uniqueItems":
        return "must not name anything twice"
    return f"must be {rule.get('$comment', 'something else: see the schema')}"
