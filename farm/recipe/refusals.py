"""How a recipe is refused: one line with the dotted path of what is wrong, and the nearest right name.

A misspelt rule that is silently ignored is a leak, so nothing in a recipe is ignored.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from farm.errors import BadRecipe, Reason


def refusal(place: str, text: str) -> BadRecipe:
    """Return the error for a dotted path."""
    return BadRecipe(Reason.BAD_RECIPE, f"{place}: {text}" if place else text)


def nearest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a question with the nearest known name, whatever its case; `otherwise` where none is near."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f"did you mean {by_lower[near[0]]}?" if near else otherwise
