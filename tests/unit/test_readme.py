"""The README says what the program does: its tables are the program's own."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from farm.cli.statuses import MEANING as STATUSES
from farm.errors import MEANING
from farm.recipe.recipe import Recipe
from farm.settings import FIELDS_DOC, Settings

README = (Path(__file__).parents[2] / "README.md").read_text()


def _rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table behind a heading."""
    lines = README.split(f"\n### {heading}\n", 1)[1].strip().splitlines()
    end = next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines))
    table = lines[:end]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_setting_is_documented_with_its_default() -> None:
    """Lost if it fails: a setting that exists and nobody can find, or a default that is not the one in force."""
    settings = Settings(home=Path("/home"))
    expected = []
    for name, meaning in FIELDS_DOC.items():
        value = getattr(settings, name)
        default = "" if value == "" else f"`{value}`"
        if name == "home":
            default = "`/var/lib/farm` as root, else `~/.local/share/farm`"
        expected.append([f"`FARM_{name.upper()}`", default, meaning])
    assert _rows("Settings") == expected
    assert set(FIELDS_DOC) == set(Settings.__dataclass_fields__)


def test_every_reason_code_is_documented() -> None:
    """Lost if it fails: a quarantined instance with a code that nobody can look up."""
    assert _rows("Reason codes") == [[f"`{reason.value}`", meaning] for reason, meaning in MEANING.items()]


def test_every_exit_status_is_documented() -> None:
    """Lost if it fails: a script that takes a failure for success."""
    assert _rows("Exit statuses") == [[str(int(status)), meaning] for status, meaning in STATUSES.items()]


def test_the_recipe_in_the_readme_is_a_recipe() -> None:
    """Lost if it fails: a newcomer's first recipe is refused."""
    text = README.split("```json\n", 1)[1].split("```", 1)[0]
    assert Recipe.from_json(text).quarantine_at_risk


@pytest.mark.parametrize("command", sorted(entry.name for entry in entry_points(group="farm.commands")))
def test_every_command_is_named(command: str) -> None:
    """Lost if it fails: a command that the newcomer never hears of."""
    assert f"`farm {command}" in README
