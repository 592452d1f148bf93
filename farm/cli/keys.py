"""The keys of a project: made where they are missing, which is told with what losing them means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from farm.cli.screen import say, shown
from farm.cli.tables import database, has_database
from farm.errors import BadRecipe, Reason, symbol_of
from farm.registry import is_begun, load_or_create

if TYPE_CHECKING:
    from pathlib import Path

    from farm.settings import Settings

_LOSS = {
    "project": "UIDs and pseudonyms derive from it. If it is lost, none of them can be made again or added to.",
    "vault": "It opens the sealed originals. If it is lost, the way back to them is lost.",
}


def make_keys(settings: Settings, *kinds: str) -> None:
    """Make the keys that are missing, and say where they are and what losing them means.

    Raise `BadRecipe(BAD_KEY)` where the project was begun with others. That is asked where originals are sealed: the
    project key alone is what does without a database.
    """
    _make_home(settings.home)
    paths = {"project": settings.project_key_path, "vault": settings.vault_key_path}
    missing = [kind for kind in kinds if not os.path.exists(paths[kind])]  # noqa: PTH110 - raises nothing
    if missing and "vault" in kinds and _is_begun(settings):
        hint = f"there is no {missing[0]} key here, and the project was begun with one; a new one would fit nothing"
        raise BadRecipe(Reason.BAD_KEY, hint)
    for kind in kinds:
        if load_or_create(paths[kind], kind).created:
            say(f"A new {kind} key was made: {shown(paths[kind])}")
            say(f"  {_LOSS[kind]} Keep a copy, apart from the data.")


def _make_home(home: Path) -> None:
    """Make the home as the embedded servers need it: as root they run as another user, who has to get through."""
    if home.is_dir():
        return
    try:
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    except OSError as error:
        raise BadRecipe(Reason.BAD_OPTION, "FARM_HOME cannot be made here", errno=symbol_of(error)) from None


def _is_begun(settings: Settings) -> bool:
    if not has_database(settings):
        return False
    with database(settings) as connection:
        return is_begun(connection, settings.project)
