from __future__ import annotations

import errno
import gc
import mmap
import os
import socket
import traceback
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from suites.volumes import mounted

from farm.errors import BadInput, BadRecipe, FarmError, Reason, Unavailable
from farm.sources import Counters, Entry, FolderSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 1000


def crawled(root: Path) -> tuple[dict[bytes, Entry], dict[str, int]]:
    """Return what a crawl finds, and the counts that are not zero."""
    counters = Counters()
    found = {entry.locator: entry for entry in FolderSource(root).crawl(counters)}
    return found, {name: count for name, count in counters.to_dict().items() if count}


def written(path: Path, content: bytes) -> Entry:
    """Write a file and return the entry that a crawl of its folder gives for it."""
    path.write_bytes(content)
    status = path.stat()
    return Entry(locator=os.fsencode(path.name), size=status.st_size, mtime_ns=status.st_mtime_ns)


def content_of(source: FolderSource, entry: Entry, limit: int = LIMIT) -> bytes:
    """Read an instance."""
    with source.read(entry.locator, size=entry.size, mtime_ns=entry.mtime_ns, limit=limit) as data:
        return bytes(data)


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    gc.collect()  # what another test left in a reference cycle must not close in the middle of this one
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run the block as somebody to whom permissions apply."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_every_regular_file_is_found_and_all_else_counted(tmp_path: Path) -> None:
    """Lost: an instance could be missing from a run without anybody knowing."""
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    entries = {b"top": written(tmp_path / "top", b"1"), b"a/b/c/deep": written(deep / "deep", b"22")}
    (tmp_path / "a" / ".hidden").touch()
    (tmp_path / ".farm").mkdir()
    (tmp_path / ".farm" / "destination.json").touch()
    (tmp_path / "empty").mkdir()
    (deep / "link").symlink_to(tmp_path / "top")
    (deep / "broken").symlink_to("nowhere")
    (deep / "loop").symlink_to(tmp_path)
    os.mkfifo(deep / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(deep / "socket"))
        found, counts = crawled(tmp_path)
    assert set(found) == {b"top", b"a/b/c/deep", b"a/.hidden"}
    assert (found[b"top"].size, found[b"a/b/c/deep"].size) == (1, 2)
    assert found[b"a/b/c/deep"].mtime_ns == entries[b"a/b/c/deep"].mtime_ns
    assert counts == {"files": 3, "folders": 5, "symlinks": 3, "special": 2, "farm_folders": 1}


def test_symlinks_that_form_a_ring_end(tmp_path: Path) -> None:
    """Lost: a ring of links would keep the crawl going for ever, or copy foreign trees into the run."""
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "self").symlink_to("self")
    assert crawled(tmp_path) == ({}, {"folders": 1, "symlinks": 3})


def test_a_folder_that_contains_itself_is_entered_once(tmp_path: Path) -> None:
    """Lost: a bind mount of a parent would list every instance again and again."""
    (tmp_path / "file").touch()
    with mounted(tmp_path / "again", "--bind", str(tmp_path)):
        found, counts = crawled(tmp_path)
    assert set(found) == {b"file"}
    assert counts == {"files": 1, "folders": 1, "loops": 1}


def test_folders_too_deep_are_counted(tmp_path: Path) -> None:
    """Lost: a pathological tree would use up the descriptors and end the crawl."""
    before, below = descriptors(), tmp_path
    for _ in range(200):
        below /= "d"
    below.mkdir(parents=True)
    (below / "file").touch()
    assert crawled(tmp_path) == ({}, {"folders": 128, "loops": 1})
    assert descriptors() == before


def test_what_may_not_be_looked_at_is_counted(tmp_path: Path) -> None:
    """Lost: one locked folder would end the crawl, or hide what it holds."""
    tmp_path.chmod(0o755)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0)
    entry = written(tmp_path / "secret", b"abc")
    (tmp_path / "secret").chmod(0)
    for parent in list(tmp_path.parents)[:4]:
        if parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o755)
    with unprivileged():
        found, counts = crawled(tmp_path)
        with pytest.raises(BadInput) as caught:
            content_of(FolderSource(tmp_path), entry)
    assert set(found) == {b"secret"}
    assert counts == {"files": 1, "folders": 1, "unreadable": 1}
    assert caught.value.reason is Reason.SOURCE_GONE


def test_a_folder_of_many_files_takes_flat_memory(tmp_path: Path) -> None:
    """Lost: a flat archive of millions of files would be held as a list, and the crawl killed for memory."""
    for number in range(20_000):
        os.mknod(tmp_path / f"{number:08d}")
    counters = Counters()
    tracemalloc.start()
    try:
        for _ in FolderSource(tmp_path).crawl(counters):
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert counters.files == 20_000
    assert peak < 100_000


def test_a_crawl_that_is_dropped_holds_nothing(tmp_path: Path) -> None:
    """Lost: a stopped run would leak a descriptor for each level it was in."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    before = descriptors()
    crawl = FolderSource(tmp_path).crawl(Counters())
    next(crawl)
    assert descriptors() > before
    del crawl
    assert descriptors() == before


def test_one_file_is_a_source(tmp_path: Path) -> None:
    """Lost: `farm run FILE DST` would find nothing, or read something else."""
    (tmp_path / "other").touch()
    entry = written(tmp_path / "one", b"abc")
    (tmp_path / "link").symlink_to("one")
    for root in (tmp_path / "one", tmp_path / "link"):
        found, counts = crawled(root)
        assert (found, counts) == ({b"one": entry}, {"files": 1})
        assert content_of(FolderSource(root), entry) == b"abc"
        assert FolderSource(root).head(b"one", 2) == b"ab"


def test_a_link_to_a_folder_may_be_given_as_the_source(tmp_path: Path) -> None:
    """Lost: a mount reached through a link, which is common, could not be used."""
    (tmp_path / "real").mkdir()
    entry = written(tmp_path / "real" / "one", b"abc")
    (tmp_path / "link").symlink_to("real")
    assert crawled(tmp_path / "link")[0] == {b"one": entry}


def test_names_are_bytes(tmp_path: Path) -> None:
    """Lost: a name that is not UTF-8, as old archives have them, would end the crawl."""
    name = b"M\xfcller\n.dcm"
    with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:  # noqa: PTH123 - pathlib takes no bytes
        file.write(b"abc")
    found, _ = crawled(tmp_path)
    assert set(found) == {name}
    assert content_of(FolderSource(tmp_path), found[name]) == b"abc"


@pytest.mark.parametrize("kind", ["missing", "fifo", "locked"])
def test_what_is_no_source_is_refused(tmp_path: Path, kind: str) -> None:
    """Lost: a mistyped source would end as an empty, complete run."""
    root = tmp_path / "root"
    if kind == "fifo":
        os.mkfifo(root)
    elif kind == "locked":
        root.mkdir(mode=0)
    with unprivileged(), pytest.raises(BadRecipe) as caught:
        next(FolderSource(root).crawl(Counters()))
    assert caught.value.reason is Reason.BAD_SOURCE


def test_a_source_that_goes_away_stops_the_crawl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: with the file server away, the rest would count as unreadable and the crawl as complete."""
    (tmp_path / "a").mkdir()

    def stale(*_: object, **__: object) -> int:
        raise OSError(errno.ESTALE, "stale", str(tmp_path))

    crawl = FolderSource(tmp_path).crawl(Counters())
    real = os.open

    def second_fails(path: bytes | str, flags: int, **named: int) -> int:
        return stale() if named else real(path, flags)

    monkeypatch.setattr(os, "open", second_fails)
    with pytest.raises(Unavailable) as caught:
        list(crawl)
    assert str(tmp_path) not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("size", [0, 1, LIMIT, LIMIT + 1, 100_000])
def test_reading_gives_the_bytes(tmp_path: Path, size: int) -> None:
    """Lost: an instance just at the limit, or an empty one, would be read wrongly or not at all."""
    content = os.urandom(size)
    entry = written(tmp_path / "one", content)
    before = descriptors()
    source = FolderSource(tmp_path)
    with source.read(entry.locator, size=entry.size, mtime_ns=entry.mtime_ns, limit=LIMIT) as data:
        assert data[:] == content
        assert isinstance(data, bytes if size <= LIMIT else mmap.mmap)
        kept = memoryview(data)
    assert bytes(kept) == content
    assert source.head(entry.locator) == content[:65536]
    del data, kept
    assert descriptors() == before


def test_short_reads_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: on FUSE, or past 2 GiB, an instance would be cut and quarantined as truncated."""
    entry = written(tmp_path / "one", os.urandom(LIMIT))
    expected = (tmp_path / "one").read_bytes()
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 7)))
    assert content_of(FolderSource(tmp_path), entry) == expected


@pytest.mark.parametrize("change", ["grown", "shrunk", "touched", "replaced"])
def test_a_file_changed_since_it_was_found(tmp_path: Path, change: str) -> None:
    """Lost: the ledger would speak of one file and the output be made of another."""
    path = tmp_path / "one"
    entry = written(path, b"abc")
    if change == "touched":
        os.utime(path, ns=(0, entry.mtime_ns + 1))
    else:
        (tmp_path / "new").write_bytes({"grown": b"abcd", "shrunk": b"ab", "replaced": b"abcdef"}[change])
        (tmp_path / "new").replace(path)
    with pytest.raises(BadInput) as caught:
        content_of(FolderSource(tmp_path), entry)
    assert caught.value.reason is Reason.SOURCE_CHANGED


@pytest.mark.parametrize("change", ["append", "truncate", "rewrite"])
def test_a_file_changed_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """Lost: half of an old file and half of a new one could be released as an instance."""
    path = tmp_path / "one"
    entry = written(path, b"a" * LIMIT)
    os.utime(path, ns=(0, 1))
    real = os.read

    def meanwhile(fd: int, size: int) -> bytes:
        if change == "append":
            with path.open("ab") as file:
                file.write(b"b")
        elif change == "truncate":
            os.truncate(path, 10)
        else:
            path.write_bytes(b"b" * LIMIT)
        return real(fd, size)

    monkeypatch.setattr(os, "read", meanwhile)
    with pytest.raises(BadInput) as caught:
        content_of(FolderSource(tmp_path), Entry(locator=entry.locator, size=entry.size, mtime_ns=1))
    assert caught.value.reason is Reason.SOURCE_CHANGED


def test_a_mapped_file_changed_while_it_is_worked_on(tmp_path: Path) -> None:
    """Lost: what is mapped changes under the reader's eyes, and the output would be of two versions."""
    path = tmp_path / "one"
    written(path, b"a" * (LIMIT + 1))
    os.utime(path, ns=(0, 1))
    reading = FolderSource(tmp_path).read(b"one", size=LIMIT + 1, mtime_ns=1, limit=LIMIT)
    data = reading.__enter__()
    assert data[:1] == b"a"
    with path.open("r+b") as file:
        file.write(b"b")
    with pytest.raises(BadInput) as caught:
        reading.__exit__(None, None, None)
    assert caught.value.reason is Reason.SOURCE_CHANGED


@pytest.mark.parametrize("kind", ["missing", "folder", "link", "fifo", "below-a-file"])
def test_what_is_no_longer_a_file(tmp_path: Path, kind: str) -> None:
    """Lost: a link put in a file's place would be followed, and a FIFO would hang the worker."""
    entry = written(tmp_path / "target", b"abc")
    path, locator = tmp_path / "one", b"one"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("target")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "below-a-file":
        locator = b"target/one"
    source, before = FolderSource(tmp_path), descriptors()
    moved = Entry(locator=locator, size=entry.size, mtime_ns=entry.mtime_ns)
    for attempt in (lambda: content_of(source, moved), lambda: source.head(locator)):
        with pytest.raises(BadInput) as caught:
            attempt()
        assert caught.value.reason is Reason.SOURCE_GONE
        assert "target" not in "".join(traceback.format_exception(caught.value)[-1:])
    assert descriptors() == before


def test_a_source_that_is_away_is_no_fault_of_the_instance(tmp_path: Path) -> None:
    """Lost: with the source unmounted, every instance of the run would be quarantined."""
    root = tmp_path / "source"
    root.mkdir()
    entry = written(root / "one", b"abc")
    source = FolderSource(root)
    root.rename(tmp_path / "elsewhere")
    attempts = [lambda: content_of(source, entry), lambda: source.head(entry.locator)]
    for attempt in attempts:
        with pytest.raises(Unavailable):
            attempt()


@pytest.mark.parametrize(
    ("code", "kind"),
    [(errno.EIO, BadInput), (errno.ESTALE, Unavailable), (errno.EMFILE, Unavailable), (errno.ETIMEDOUT, Unavailable)],
)
@pytest.mark.parametrize("limit", [LIMIT, 0])
def test_blame_for_a_failed_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[FarmError], limit: int
) -> None:
    """Lost: a bad sector would be retried for ever, or a server's restart would quarantine what is sound."""
    entry = written(tmp_path / "one", b"abc")

    def failing(*_: object, **__: object) -> bytes:
        raise OSError(code, "no", str(tmp_path))

    monkeypatch.setattr(os, "read", failing)
    monkeypatch.setattr(mmap, "mmap", failing)
    with pytest.raises(kind) as caught:
        content_of(FolderSource(tmp_path), entry, limit)
    assert str(tmp_path) not in str(caught.value)
