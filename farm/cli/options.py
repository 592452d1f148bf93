"""What several commands take. Every command imports this, so it imports little."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import click

from farm.recipe import DEFAULT
from farm.settings import Settings, load


class _Place(click.Path):
    """A file or folder of this machine; the URL of a bucket would become a folder of that name."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path; refuse a URL."""
        if "://" in os.fspath(value):
            self.fail("a folder of this machine is wanted, not a URL.", param, ctx)
        return super().convert(value, param, ctx)


PLACE = _Place(path_type=Path)
recipe_option = click.option(
    "--recipe",
    default=DEFAULT,
    show_default=True,
    metavar="NAME|FILE",
    help="A recipe that ships, or a JSON or YAML file.",
)
strict_option = click.option("--strict", is_flag=True, help="End with status 3 if anything is quarantined.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
jobs_option = click.option(
    "-j", "--jobs", type=click.IntRange(min=1), help="Processes.  [default: one for each processor]"
)
project_option = click.option("--project", metavar="NAME", help="The project (instead of FARM_PROJECT).")


def settings_with(*, workers: int | None = None, project: str | None = None) -> Settings:
    """Return the settings of the environment with what the command line says instead."""
    settings = load()
    if workers:
        settings = replace(settings, workers=workers)
    return replace(settings, project=project) if project else settings
