from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from suites.store_suite import OWNER, PATH, StoreSuite, digest, published, synced
from suites.volumes import mounted

from farm.errors import BadRecipe, Reason, Unavailable
from farm.stores import LocalStore, local

if TYPE_CHECKING:
    from collections.abc import Callable


def opened(root: Path) -> LocalStore:
    """Give a store opened for `OWNER`."""
    store = LocalStore(root)
    store.open(OWNER)
    return store


def temps(root: Path) -> list[Path]:
    """Return what is staged in a destination."""
    return list((root / ".farm" / "tmp").iterdir())


def visible(root: Path) -> list[Path]:
    """Return the files that a reader of the destination sees."""
    return [path for path in root.rglob("*") if path.is_file() and ".farm" not in path.parts]


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    gc.collect()  # what another test left in a reference cycle must not close in the middle of this one
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked


class TestLocalStore(StoreSuite):
    """A local folder keeps what every store promises."""

    @pytest.fixture
    def fresh(self, tmp_path: Path) -> LocalStore:
        """Give an unopened store in a folder that does not exist yet."""
        return LocalStore(tmp_path / "new" / "lake")


class Calls:
    """The system calls that decide durability, in order, each really made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.made: list[tuple[str, str]] = []
        self._root = str(root)
        for name in ("writev", "fsync", "link", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name)))

    def _recorded(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def made(target: int | str, *rest: Any, **named: Any) -> object:
            path = str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else os.fspath(target)
            last = os.fspath(rest[0]) if name == "link" else path
            self.made.append((name, last.removeprefix(self._root + "/").replace(self._root, "")))
            return call(target, *rest, **named)

        return made


def test_order_of_write_fsync_link_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: after a power cut a name could stand on missing bytes, or a released instance could have no name."""
    store = opened(tmp_path)
    calls = Calls(monkeypatch, tmp_path)
    staged = [store.stage(f"S1/A/{number}.dcm", [b"abc"]) for number in range(2)]
    store.sync(staged)
    assert all(map(store.release, staged))
    store.settle(item.path for item in staged)
    first, second = (item.temp.removeprefix(f"{tmp_path}/") for item in staged)
    assert calls.made == [
        ("writev", first),
        ("writev", second),
        ("fsync", first),
        ("fsync", second),
        ("link", "S1/A/0.dcm"),
        ("mkdir", "S1"),
        ("mkdir", "S1/A"),
        ("link", "S1/A/0.dcm"),
        ("unlink", first),
        ("link", "S1/A/1.dcm"),
        ("unlink", second),
        ("fsync", "S1/A"),
        ("fsync", "S1"),
        ("fsync", ""),
    ]


def test_folders_made_by_another_worker_are_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: an instance could vanish with a parent folder that another, killed worker made and never synced."""
    published(opened(tmp_path), "S1/A/0.dcm", b"abc")
    store = opened(tmp_path)
    calls = Calls(monkeypatch, tmp_path)
    store.settle(["S1/A/0.dcm"])
    store.settle(["S1/A/0.dcm"])
    assert [path for _, path in calls.made] == ["S1/A", "S1", "", "S1/A"]


@given(segments=st.lists(st.binary(max_size=9), max_size=12), cuts=st.lists(st.integers(0, 20), min_size=1))
def test_partial_writes_lose_nothing(segments: list[bytes], cuts: list[int]) -> None:
    """Lost: a write that the kernel cut short (2 GiB, a signal on NFS) would drop or repeat bytes."""
    end = os.memfd_create("out")
    short = iter(cuts)

    def cut_short(target: int, batch: list[bytes]) -> int:
        return os.write(target, b"".join(batch)[: next(short, 0)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", cut_short)
        size = local._write(end, segments)
    expected = b"".join(segments)
    assert size == len(expected)
    assert os.pread(end, 1000, 0) == expected
    os.close(end)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """Lost: a full destination would leave cut instances, or be taken for a fault of the instance."""
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=256k", "none") as root:
        store = opened(root)
        before = descriptors()
        for parts in ([b"x" * 300_000], [b"x" * 1000] * 3000):
            with pytest.raises(Unavailable) as caught:
                store.stage(PATH, parts)
            assert caught.value.reason is Reason.NO_SPACE
            assert (temps(root), visible(root), descriptors()) == ([], [], before)
        published(store, PATH, b"x" * 100_000)


def test_a_disk_without_inodes_keeps_what_is_staged(tmp_path: Path) -> None:
    """Lost: a release that fails half way would leave a name, or lose the staged instance before the retry."""
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "nr_inodes=8", "none") as root:
        store = opened(root)
        staged = synced(store, PATH, b"abc")
        with pytest.raises(Unavailable) as caught:
            store.release(staged)
        assert caught.value.reason is Reason.NO_SPACE
        assert visible(root) == []
        store.discard(staged)
        assert temps(root) == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.EIO, Reason.STORAGE_ERROR), (errno.ENOSPC, Reason.NO_SPACE), (errno.EDQUOT, Reason.NO_SPACE)],
)
def test_a_failed_fsync_discards_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: Reason
) -> None:
    """Lost: the kernel reports a lost write once; a second fsync would call bytes durable that never were."""
    store = opened(tmp_path)
    before = descriptors()
    staged = [store.stage(f"{number}.dcm", [b"abc"]) for number in range(3)]
    real, answers = os.fsync, iter([None, OSError(code, "no", str(tmp_path)), None])

    def failing(fd: int) -> None:
        answer = next(answers)
        if answer is not None:
            raise answer
        real(fd)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(Unavailable) as caught:
        store.sync(staged)
    assert caught.value.reason is reason
    assert str(tmp_path) not in "".join(traceback.format_exception(caught.value))
    assert (temps(tmp_path), descriptors()) == ([], before)
    for item in staged:
        with pytest.raises(Unavailable):
            store.release(item)


def test_the_number_of_open_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a large parcel would run out of descriptors, and for ever be given back."""
    monkeypatch.setattr(local, "_MOST_OPEN", 4)
    store = opened(tmp_path)
    before = descriptors()
    staged = [store.stage(f"{number}.dcm", [b"abc"]) for number in range(20)]
    assert descriptors() == before + 4
    store.sync(staged)
    assert descriptors() == before
    assert all(map(store.release, staged))


def test_of_many_releases_one_wins(tmp_path: Path) -> None:
    """Lost: two workers with one output path could both believe that it is theirs."""
    stores = [opened(tmp_path) for _ in range(8)]
    contents = [bytes([number]) * 5000 for number in range(8)]
    staged = [synced(store, PATH, content) for store, content in zip(stores, contents, strict=True)]
    barrier, won = threading.Barrier(8), [False] * 8

    def race(number: int) -> None:
        barrier.wait()
        won[number] = stores[number].release(staged[number])

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
    assert (tmp_path / PATH).read_bytes() == contents[won.index(True)]


def test_a_link_whose_answer_was_lost_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: on NFS an instance would take its own output for an orphan and publish it twice."""
    store = opened(tmp_path)
    staged = synced(store, "a.dcm", b"abc")
    real = os.link

    def answer_lost(temp: str, final: str) -> None:
        real(temp, final)
        raise FileExistsError(errno.EEXIST, "exists", final)

    monkeypatch.setattr(os, "link", answer_lost)
    assert store.release(staged)
    assert temps(tmp_path) == []


def test_a_destination_that_went_away_is_not_made_anew(tmp_path: Path) -> None:
    """Lost: outputs would land below the mount point, out of sight, and count as done."""
    root = tmp_path / "lake"
    store = opened(root)
    staged = synced(store, PATH, b"abc")
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    with pytest.raises(Unavailable):
        store.release(staged)
    with pytest.raises(Unavailable):
        store.stage(PATH, [b"abc"])
    with pytest.raises(Unavailable):
        store.sweep(0)
    assert list(root.iterdir()) == []


def test_what_is_no_regular_file_has_no_digest_and_can_be_set_aside(tmp_path: Path) -> None:
    """Lost: a folder, link, socket or FIFO at an output's name would hang the worker or block the instance."""
    store = opened(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket"))
        for number, name in enumerate(("folder", "link", "fifo", "socket"), 1):
            assert store.digest_of(name) == ""
            assert not store.release(synced(store, name, b"abc"))
            store.set_aside(name)
            assert store.digest_of(name) is None
            assert len(list((tmp_path / ".farm" / "orphans").iterdir())) == number


def test_modes(tmp_path: Path) -> None:
    """Lost: an unnamed instance could be read by others, or a released one could not."""
    mask = os.umask(0o027)
    try:
        published(opened(tmp_path), PATH, b"abc")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / PATH).stat().st_mode) == 0o640
    for name in ("", "tmp", "orphans"):
        assert stat.S_IMODE((tmp_path / ".farm" / name).stat().st_mode) == 0o700


def test_sweep_leaves_what_is_young(tmp_path: Path) -> None:
    """Lost: one worker's clean-up would take away what another is writing."""
    store = opened(tmp_path)
    old, young = synced(store, "old.dcm", b"abc"), synced(store, "young.dcm", b"abc")
    os.utime(old.temp, (1, 1))
    assert store.sweep(600) == 1
    assert store.release(young)


def test_a_killed_writer_leaves_nothing_visible(tmp_path: Path) -> None:
    """Lost: kill -9 in the middle of writing could leave half an instance under its name."""
    script = (
        "import pathlib, signal, sys; from farm.stores import LocalStore, Owner\n"
        "store = LocalStore(pathlib.Path(sys.argv[1])); store.open(Owner(project='p', recipe='r', key='k'))\n"
        "store.stage('a.dcm', [b'abc'] * 5000); print('staged', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"staged\n"
        writer.send_signal(signal.SIGKILL)
    assert visible(tmp_path) == []
    store = opened(tmp_path)
    assert store.sweep(-1) == 1
    published(store, "a.dcm", b"abc")
    assert store.digest_of("a.dcm") == digest(b"abc")


@pytest.mark.parametrize("name", [".farm", "lost+found"])
def test_an_empty_folder_may_hold_what_does_not_count(tmp_path: Path, name: str) -> None:
    """Lost: a fresh volume, or a first run that was killed, would need cleaning by hand."""
    (tmp_path / name).mkdir()
    opened(tmp_path)


def test_a_folder_of_other_content_is_refused(tmp_path: Path) -> None:
    """Lost: a slip of the keyboard would mix outputs into somebody's own files."""
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(BadRecipe) as caught:
        opened(tmp_path)
    assert caught.value.reason is Reason.BAD_DESTINATION
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_as_destination_is_refused(tmp_path: Path) -> None:
    """Lost: a wrong order would be retried for ever instead of being named."""
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadRecipe) as caught:
            opened(root)
        assert caught.value.reason is Reason.BAD_DESTINATION


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"format": 1, "project": "p", "recipe": "r"}'])
def test_a_mark_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    """Lost: a damaged mark, or one of a later version, would be taken for no mark and written over."""
    opened(tmp_path)
    (tmp_path / ".farm" / "destination.json").write_bytes(content)
    with pytest.raises(BadRecipe) as caught:
        opened(tmp_path)
    assert caught.value.reason is Reason.BAD_DESTINATION


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EROFS])
def test_a_file_system_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Lost: on a stick without hard links every single instance would fail, and be retried for ever."""

    def refusing(*_: object, **__: object) -> None:
        raise OSError(code, "no", str(tmp_path))

    monkeypatch.setattr(os, "link", refusing)
    with pytest.raises(BadRecipe) as caught:
        opened(tmp_path)
    assert caught.value.reason is Reason.BAD_DESTINATION
    assert str(tmp_path) not in "".join(traceback.format_exception(caught.value))


def test_of_two_first_runs_one_wins(tmp_path: Path) -> None:
    """Lost: two runs begun at once could both take the folder, and mix in it."""
    barrier, answers = threading.Barrier(2), list[str]()

    def begin(project: str) -> None:
        store = LocalStore(tmp_path / "lake")
        barrier.wait()
        try:
            store.open(replace(OWNER, project=project))
        except BadRecipe as error:
            answers.append(error.reason)
        else:
            answers.append(project)

    threads = [threading.Thread(target=begin, args=(project,)) for project in ("p", "q")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Reason.BAD_DESTINATION in answers
    assert {"p", "q"} & set(answers)
    assert len(answers) == 2
