"""A codec host as the settings say."""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.errors import BadInput, Reason, Unavailable
from farm.host import pile
from farm.host.making import host_of, limits_of, spill_of
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


def test_a_large_data_set_waits_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: what inflates to gigabytes would take a worker's memory, or its pixels would stay on disk."""
    monkeypatch.setattr(pile, "_KEPT", 10)
    joined = limits_of(Settings(home=tmp_path)).joined
    assert isinstance(joined([b"12345", b"67890"]), bytes)
    large = joined(iter([b"12345", b"", b"67890", b"1", b"23"]))
    assert isinstance(large, mmap.mmap)
    assert large[:] == b"1234567890123"
    assert list((tmp_path / "spill").iterdir()) == []

    def broken() -> Iterator[bytes]:
        yield bytes(20)
        raise BadInput(Reason.BAD_DEFLATE)

    with pytest.raises(BadInput):
        joined(broken())
    away = limits_of(Settings(home=tmp_path, spill_dir=str(tmp_path / "not" / "there"))).joined
    with pytest.raises(Unavailable):
        away([bytes(20)])
