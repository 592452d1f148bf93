"""A folder that mirrors a source: a store's promises, for names that are not the farm's."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from suites.store_suite import OWNER, digest, published, synced
from suites.volumes import mounted

from farm.errors import BadRecipe, Reason, Unavailable
from farm.stores import LocalStore, Mirror

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    """Return the mirror in a folder that was not there before."""
    mirror = Mirror(tmp_path / "new" / "mirror")
    mirror.make()
    return mirror


@pytest.mark.parametrize("name", ["a b/Doe^Jane (1).v2", ".hidden/-x", os.fsdecode(b"\xe9\n/\xff"), "x" * 255])
def test_any_name(mirror: Mirror, tmp_path: Path, name: str) -> None:
    """Lost: an instance whose name is no new UID could not be written, or would be written elsewhere."""
    published(mirror, name, b"abc")
    assert (tmp_path / "new" / "mirror" / name).read_bytes() == b"abc"
    assert mirror.digest_of(name) == digest(b"abc")
    assert not mirror.release(synced(mirror, name, b"other"))
    assert mirror.digest_of(name) == digest(b"abc")


def test_a_file_in_the_way(mirror: Mirror, tmp_path: Path) -> None:
    """Lost: one file where a folder should be would stop the whole command, as if the disk had failed."""
    root = tmp_path / "new" / "mirror"
    (root / "file").touch()
    (root / "nowhere").symlink_to("gone")
    (root / "folder").mkdir()
    for name in ("file/a", "file/b/c", "nowhere/a", "folder"):
        staged = synced(mirror, name, b"abc")
        assert not mirror.release(staged)
        assert mirror.digest_of(name) in {"", None}
        mirror.discard(staged)
    assert not list((root / ".farm" / "tmp").iterdir())


def test_nothing_of_the_farm_stays(mirror: Mirror, tmp_path: Path) -> None:
    """Lost: a user's folder would keep a folder of ours; or one command's end would end another's work."""
    root = tmp_path / "new" / "mirror"
    staged = synced(mirror, "a", b"abc")
    Mirror(root).tidy()
    assert mirror.release(staged)
    Mirror(root).tidy()
    assert [path.name for path in root.iterdir()] == ["a"]
    published(mirror, "b", b"abc")
    mirror.tidy()
    assert sorted(path.name for path in root.iterdir()) == ["a", "b"]
    root.rename(tmp_path / "away")
    with pytest.raises(Unavailable) as caught:
        mirror.stage("c", [b"abc"])
    assert caught.value.reason is Reason.STORAGE_ERROR
    assert not root.exists()


def test_no_place_among_what_is_de_identified(tmp_path: Path) -> None:
    """Lost: instances with their names in them would lie in a folder that everybody takes for clean."""
    LocalStore(tmp_path / "lake").open(OWNER)
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    for name in ("lake", "lake/more/below", "link/more"):
        with pytest.raises(BadRecipe) as caught:
            Mirror(tmp_path / name).make()
        assert caught.value.reason is Reason.BAD_DESTINATION
    assert [path.name for path in (tmp_path / "lake").iterdir()] == [".farm"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EROFS, errno.ENOTSUP])
def test_a_folder_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Lost: that the file system has no hard links would show at the first instance, as a disk that is away."""

    def refused(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "hardlink_to", refused)
    with pytest.raises(BadRecipe) as caught:
        Mirror(tmp_path / "out").make()
    assert caught.value.reason is Reason.BAD_DESTINATION
    assert not list((tmp_path / "out" / ".farm" / "tmp").iterdir())


@pytest.mark.parametrize("act", [Mirror.make, lambda mirror: mirror.stage("a", [bytes(1 << 20)])])
def test_a_full_disk(tmp_path: Path, act: Callable[[Mirror], object]) -> None:
    """Lost: what comes right when there is room again would be told as a wrong order."""
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=16k,nr_inodes=8", "none") as volume:
        mirror = Mirror(volume)
        if act is not Mirror.make:
            mirror.make()
        else:
            for number in range(8):
                try:
                    (volume / str(number)).touch()
                except OSError:
                    break
        with pytest.raises(Unavailable) as caught:
            act(mirror)
        assert caught.value.reason is Reason.NO_SPACE
