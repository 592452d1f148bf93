"""Which harvest is meant: by its number, by its PACS, or by its list, where that is not ambiguous.

A list is known by its content or, if that was changed meanwhile, by the name of its file; the ledger has keys of both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from farm.cli.tables import keys
from farm.errors import BadRecipe, Reason
from farm.queue import Sealer
from scheduler.harvest import lists
from scheduler.harvest.seals import HarvestSealer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from farm.ledger.harvest_values import Harvest
    from farm.ledger.harvests import Harvests
    from farm.settings import Settings


def meant(harvests: Harvests, settings: Settings, text: str, states: Collection[str] = ()) -> Harvest:
    """Return the harvest that is meant; of several by one name, the only one in one of these states.

    Raise `BadRecipe(BAD_OPTION)` where there is none, or there are several.
    """
    if text.isascii() and text.isdecimal():
        return harvests.harvest(int(text))
    named = _named(harvests.harvests(), settings, text)
    found = [one for one in named if one.state in states] or named
    if not found:
        raise BadRecipe(Reason.BAD_OPTION, "there is no such harvest; `farm harvest list` shows those there are")
    if len(found) > 1:
        numbers = ", ".join(str(one.id) for one in found)
        raise BadRecipe(Reason.BAD_OPTION, f"several harvests go by this name; give one of the numbers {numbers}")
    return found[0]


def _named(known: Sequence[Harvest], settings: Settings, text: str) -> list[Harvest]:
    """Return the harvests of a PACS of this name, else those of this list, else those of a list of this name."""
    found = [one for one in known if one.pacs == text]
    if found or not known:
        return found
    seals = HarvestSealer(Sealer(*keys(settings)))
    path = Path(text)
    if path.is_file():
        key = seals.list_key(lists.digest_of(path))
        found = [one for one in known if one.list_key == key]
    name = seals.name_key(path.name)
    return found or [one for one in known if one.name_key == name]
