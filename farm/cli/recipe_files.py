"""Recipe files: the one place that reads them, by the names that people and recipes give."""

from __future__ import annotations

from pathlib import Path

from farm.errors import BadRecipe, Reason
from farm.recipe.extends import is_file
from farm.recipe.reading import read_json, read_yaml
from farm.recipe.recipe import Recipe, preset


def chosen_recipe(text: str) -> Recipe:
    """Return a recipe that ships, by its name, or that of a JSON or YAML file."""
    if not is_file(text):
        return preset(text)
    return Recipe.from_dict(_load(text), _load, text)


def content(path: str) -> str:
    """Return the text of a file; raise `BadRecipe` where there is none."""
    try:
        return Path(path).read_text("utf-8-sig")
    except (OSError, UnicodeError, ValueError):
        raise BadRecipe(Reason.BAD_RECIPE, "the recipe file cannot be read") from None


def _load(path: str) -> object:
    """Return what a recipe file holds: by its suffix, or else by how it begins."""
    text = content(path)
    is_json = path.endswith(".json") or (not path.endswith((".yaml", ".yml")) and text.lstrip().startswith("{"))
    return read_json(text) if is_json else read_yaml(text)
