"""Key files: made once, readable by their owner alone, never guessed at."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from farm.errors import BadRecipe, Reason
from farm.registry.keyfiles import HEADERS, load, load_or_create

if TYPE_CHECKING:
    from pathlib import Path


def _refused(path: Path, kind: str = "project") -> str:
    for opened in (load, load_or_create):
        with pytest.raises(BadRecipe) as caught:
            opened(path, kind)
        assert caught.value.reason is Reason.BAD_KEY
        assert path.name not in str(caught.value)
    return str(caught.value)


def test_a_key_is_made_once(tmp_path: Path) -> None:
    """A second start would map the same people to others."""
    path = tmp_path / "keys" / "project.key"
    first, second = (load_or_create(path, "project") for _ in range(2))
    assert first.secret == second.secret
    assert (first.created, second.created, len(first.secret)) == (True, False, 32)
    assert first.secret.hex() not in repr(first)


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    """Every account of the machine could re-identify."""
    path = tmp_path / "keys" / "project.key"
    before = os.umask(0)
    try:
        load_or_create(path, "project")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [item.name for item in path.parent.iterdir()] == ["project.key"]


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    """Someone who tidies up would delete the only way back."""
    for kind, header in HEADERS.items():
        load_or_create(tmp_path / kind, kind)
        assert (tmp_path / kind).read_text().splitlines()[0] == header


def test_starting_at_once_gives_one_key(tmp_path: Path) -> None:
    """Workers that start together would each use a key of their own."""
    start = Barrier(8)

    def work(_: int) -> tuple[bytes, bool]:
        start.wait()
        key = load_or_create(tmp_path / "project.key", "project")
        return key.secret, key.created

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert len({secret for secret, _ in results}) == 1
    assert [created for _, created in results].count(True) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that may have been copied would be trusted."""
    path = tmp_path / "project.key"
    load_or_create(path, "project")
    path.chmod(mode)
    assert "0600" in _refused(path)


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "abc", "zz" * 32, "ab" * 31, "ab" * 33, "ab" * 32 + "\n" + "cd" * 32]
)
def test_what_is_not_a_key_is_refused(tmp_path: Path, text: str) -> None:
    """A cut or empty file would be used as a key that anyone can guess."""
    path = tmp_path / "project.key"
    path.write_text(text)
    path.chmod(0o600)
    _refused(path)


def test_the_key_that_seals_is_not_the_project_key(tmp_path: Path) -> None:
    """One secret mounted in both places would derive and seal: who derives could then open."""
    path = tmp_path / "vault.key"
    load_or_create(path, "vault")
    _refused(path, "project")


def test_a_bare_key_and_a_link_are_accepted(tmp_path: Path) -> None:
    """A secret that an orchestrator mounts, as a link and without our header, could not be used."""
    path = tmp_path / "mounted"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    link = tmp_path / "project.key"
    link.symlink_to(path)
    assert load_or_create(link, "project").secret == bytes.fromhex("ab" * 32)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """A folder in the key's place would end in a traceback with its path."""
    _refused(tmp_path)
    _refused(tmp_path / ("long" * 99))
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    _refused(tmp_path / "dangling")
