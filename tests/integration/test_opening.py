"""What opening a run leaves behind, and what it clears away."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fix_farm import visible

from farm.deid.keys import ProjectKey
from farm.errors import FarmError, Reason
from farm.recipe.recipe import preset
from scheduler.campaign import open_run

if TYPE_CHECKING:
    from scheduler.campaign import Desk

pytestmark = pytest.mark.servers

BASIC, STRICT = preset("basic"), preset("strict")


def _runs(desk: Desk) -> int:
    session = desk.session()
    try:
        return len(session.call(lambda tables: tables.ledger.runs()))
    finally:
        session.close()


def test_an_order_that_cannot_be_carried_out_leaves_no_run(desk: Desk, source: Path, tmp_path: Path) -> None:
    """`farm status` would show for ever a run that nobody can end."""
    open_run(desk, source, tmp_path / "lake", BASIC)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").touch()
    for destination, recipe, reason in (
        (Path("/proc/farm"), BASIC, Reason.STORAGE_ERROR),
        (tmp_path / "notes", BASIC, Reason.BAD_DESTINATION),
        (tmp_path / "lake", STRICT, Reason.BAD_DESTINATION),
    ):
        with pytest.raises(FarmError) as caught:
            open_run(desk, source, destination, recipe)
        assert caught.value.reason is reason
    assert _runs(desk) == 1


def test_a_destination_of_another_key_is_refused(desk: Desk, source: Path, tmp_path: Path) -> None:
    """Two homes with one name for their projects would make two subjects of one person, side by side."""
    open_run(desk, source, tmp_path / "lake", BASIC)
    settings = replace(desk.settings, project="another")
    mark = tmp_path / "lake" / ".farm" / "destination.json"
    mark.write_text(mark.read_text().replace(desk.settings.project, "another"))
    other = replace(desk, settings=settings, key=ProjectKey(b"q" * 32))
    with pytest.raises(FarmError, match="begun with another key") as caught:
        open_run(other, source, tmp_path / "lake", BASIC)
    assert caught.value.reason is Reason.BAD_DESTINATION
    assert desk.key.secret.hex() not in mark.read_text()


def test_what_killed_workers_have_staged_is_removed(desk: Desk, source: Path, tmp_path: Path) -> None:
    """A destination would fill up with what nobody sees, kill by kill."""
    lake = tmp_path / "lake"
    open_run(desk, source, lake, BASIC)
    old, young = (lake / ".farm" / "tmp" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"staged")
    longest = 2 * desk.settings.task_seconds
    for path, age in ((old, longest + 60), (young, longest - 60)):
        at = path.stat().st_mtime - age
        os.utime(path, (at, at))
    open_run(desk, source, lake, BASIC)
    assert [path.name for path in (lake / ".farm" / "tmp").iterdir()] == ["young"]
    assert not visible(lake)
