"""The farm's database for commands that look into it, whether a run is going on or not.

Only Postgres is needed for that. If it does not run, it is started for the time of the look; so a look never meets the
broker.
"""

from __future__ import annotations

import getpass
import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.database import connect, migrate
from farm.deid.keys import ProjectKey
from farm.embedded import Stack
from farm.errors import BadRecipe, Reason
from farm.ledger import Ledger
from farm.registry import Registry, Vault, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from farm.settings import Settings

_NOT_WANTED = "redis://not-wanted"
_PACKAGES = ("farm.registry", "farm.ledger")


def has_database(settings: Settings) -> bool:
    """Tell whether a database is named, or was made in the home."""
    return bool(settings.database_url) or (settings.home / "embedded").is_dir()


@contextmanager
def database(settings: Settings, *, make: bool = False) -> Iterator[psycopg.Connection]:
    """Give a connection; `make`: a database that is not there yet is made, else that is `BadRecipe`."""
    if not (make or has_database(settings)):
        raise BadRecipe(Reason.BAD_OPTION, "there is no run yet in FARM_HOME")
    with Stack(replace(settings, broker_url=_NOT_WANTED)) as stack, connect(stack.database_url) as connection:
        if make or not settings.database_url:
            for package in _PACKAGES:
                migrate(connection, package, post=make)  # the first run may have ended before it made them
        yield connection


def ledger_in(connection: psycopg.Connection, settings: Settings) -> Ledger:
    """Return the ledger of a database."""
    return Ledger(connection, max_attempts=settings.max_attempts)


def keys(settings: Settings) -> tuple[ProjectKey, Vault]:
    """Return the project key and the vault; raise `BadRecipe(BAD_KEY)` where one is missing."""
    project, vault = (
        load(path, kind) for path, kind in ((settings.project_key_path, "project"), (settings.vault_key_path, "vault"))
    )
    return ProjectKey(project), Vault(vault)


@contextmanager
def registry(settings: Settings, *, make: bool = False) -> Iterator[Registry]:
    """Give the registry, to holders of both keys."""
    project_key, vault = keys(settings)
    with database(settings, make=make) as connection:
        yield Registry(connection, vault, project_key)


def actor() -> str:
    """Return who gives the command, for the audit."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have a number and no name
        return f"uid {os.geteuid()}"
