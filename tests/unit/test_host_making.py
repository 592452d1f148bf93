"""A codec host as the settings say."""

from __future__ import annotations

import stat
from pathlib import Path

from farm.host.making import host_of, spill_of
from farm.settings import Settings


def test_what_spills_lies_in_the_home(tmp_path: Path) -> None:
    """Lost otherwise: results of gigabytes would fill the system's temporary folder, which is often memory."""
    settings = Settings(home=tmp_path)
    assert spill_of(settings) == str(tmp_path / "spill")
    assert stat.S_IMODE((tmp_path / "spill").stat().st_mode) == 0o700
    with host_of(settings) as host:
        assert host._limits.spill_dir == str(tmp_path / "spill")


def test_a_folder_that_was_named_is_taken(tmp_path: Path) -> None:
    """Lost otherwise: who names a large disk would have another one filled, even where the named one is away."""
    assert spill_of(Settings(home=tmp_path, spill_dir=str(tmp_path / "big"))) == str(tmp_path / "big")
    away = str(tmp_path / "not" / "there")
    assert spill_of(Settings(home=tmp_path, spill_dir=away)) == away


def test_no_home_is_made(tmp_path: Path) -> None:
    """Lost otherwise: `farm transcode` would make a home that the embedded servers cannot use."""
    assert spill_of(Settings(home=tmp_path / "home")) is None
    assert not (tmp_path / "home").exists()
