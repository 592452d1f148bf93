"""What every store promises; each store's tests inherit this suite."""

from __future__ import annotations

import mmap
from array import array
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from farm.errors import BadRecipe, Reason, Unavailable
from farm.stores import Owner

if TYPE_CHECKING:
    from farm.stores import Staged, Store

OWNER = Owner(project="p", recipe="r", key="k")
PATH = "S1/2.25.1/2.25.2/2.25.3.dcm"


def synced(store: Store, path: str, content: bytes) -> Staged:
    """Stage and sync one instance."""
    staged = store.stage(path, [content])
    store.sync([staged])
    return staged


def published(store: Store, path: str, content: bytes) -> None:
    """Take one instance through all steps."""
    assert store.release(synced(store, path, content))
    store.settle([path])


def digest(content: bytes) -> str:
    """Return the digest that the store should answer."""
    return blake3(content).hexdigest()


class StoreSuite:
    """Inherit it, and give the fixtures `fresh` (a store not yet opened) and `store` (one opened for `OWNER`)."""

    @pytest.fixture
    def store(self, fresh: Store) -> Store:
        """Open the store for `OWNER`."""
        fresh.open(OWNER)
        return fresh

    def test_nothing_is_visible_before_release(self, store: Store) -> None:
        """Lost: a reader could meet an instance that is half written or may vanish in a power cut."""
        staged = store.stage(PATH, [b"abc"])
        assert store.digest_of(PATH) is None
        store.sync([staged])
        assert store.digest_of(PATH) is None
        assert store.release(staged)
        assert store.digest_of(PATH) == digest(b"abc")

    def test_unsynced_is_never_released(self, store: Store) -> None:
        """Lost: a name could stand, after a power cut, on an empty file."""
        staged = store.stage(PATH, [b"abc"])
        with pytest.raises(RuntimeError):
            store.release(staged)
        assert store.digest_of(PATH) is None

    def test_a_taken_name_is_never_replaced(self, store: Store) -> None:
        """Lost: two attempts, or two instances, could overwrite each other's released output."""
        published(store, PATH, b"first")
        second = synced(store, PATH, b"second")
        assert not store.release(second)
        assert store.digest_of(PATH) == digest(b"first")

    def test_set_aside_frees_the_name_for_what_is_still_staged(self, store: Store) -> None:
        """Lost: a file that no row claims would block its instance for ever."""
        published(store, PATH, b"orphan")
        staged = synced(store, PATH, b"second")
        assert not store.release(staged)
        store.set_aside(PATH)
        assert store.digest_of(PATH) is None
        assert store.release(staged)
        assert store.digest_of(PATH) == digest(b"second")
        store.set_aside("S1/2.25.1/2.25.2/2.25.4.dcm")

    def test_all_segments_are_written_in_order(self, store: Store) -> None:
        """Lost: an output with more segments than one call takes, or empty ones, would be cut or shuffled."""
        mapped = mmap.mmap(-1, 8)
        mapped.write(b"mapped--")
        wide = memoryview(array("H", [1, 2, 3]))
        parts = [b"%05d" % number for number in range(2500)]
        staged = store.stage(PATH, [*parts, b"", memoryview(mapped)[:6], bytearray(b"x"), wide])
        expected = b"".join(parts) + b"mapped" + b"x" + wide.tobytes()
        assert staged.size == len(expected)
        store.sync([staged])
        store.release(staged)
        assert store.digest_of(PATH) == digest(expected)

    def test_an_instance_of_no_bytes(self, store: Store) -> None:
        """Lost: the border case would fail in the write loop or the digest."""
        published(store, PATH, b"")
        assert store.digest_of(PATH) == digest(b"")

    def test_what_was_discarded_is_gone(self, store: Store) -> None:
        """Lost: an instance that failed its check at the end of reading could still be released."""
        staged = synced(store, PATH, b"abc")
        store.discard(staged)
        store.discard(staged)
        with pytest.raises(Unavailable):
            store.release(staged)
        assert store.digest_of(PATH) is None

    def test_discard_after_release_leaves_the_output(self, store: Store) -> None:
        """Lost: a worker's clean-up would take back what the ledger counts as done."""
        staged = synced(store, PATH, b"abc")
        store.release(staged)
        store.discard(staged)
        assert store.digest_of(PATH) == digest(b"abc")

    @pytest.mark.parametrize(
        "path",
        ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", ".farm/x", "a/.b", "a b", "a\0b", "ä", "a\n", "x" * 201],
    )
    def test_a_path_that_could_lead_out_is_refused(self, store: Store, path: str) -> None:
        """Lost: a recipe's template could write outside the destination, or into the store's own folder."""
        with pytest.raises(BadRecipe) as caught:
            store.stage(path, [b"abc"])
        assert caught.value.reason is Reason.BAD_RECIPE
        assert store.sweep(-1) == 0

    def test_names_may_be_settled_again(self, store: Store) -> None:
        """Lost: an attempt that adopts what an earlier one released could not make it durable."""
        published(store, PATH, b"abc")
        published(store, "S1/2.25.1/2.25.2/2.25.9.dcm", b"def")
        published(store, "top.dcm", b"ghi")
        store.settle([PATH, PATH, "top.dcm"])
        store.settle([])

    def test_sweep_takes_what_is_staged_and_old_enough(self, store: Store) -> None:
        """Lost: killed workers would fill the destination with what nobody sees."""
        published(store, PATH, b"abc")
        synced(store, "other.dcm", b"def")
        assert store.sweep(-1) == 1
        assert store.sweep(-1) == 0
        assert store.digest_of(PATH) == digest(b"abc")

    def test_a_destination_belongs_to_one_owner(self, store: Store) -> None:
        """Lost: one folder could mix subjects of two projects, two ways of de-identifying, or two keys of a project."""
        store.open(OWNER)
        store.open(OWNER, create=False)
        for other in ({"project": "q"}, {"recipe": "s"}, {"key": "l"}):
            for create in (True, False):
                with pytest.raises(BadRecipe) as caught:
                    store.open(replace(OWNER, **other), create=create)
                assert caught.value.reason is Reason.BAD_DESTINATION

    def test_a_worker_does_not_begin_a_destination(self, fresh: Store) -> None:
        """Lost: with the destination unmounted, workers would fill the disk below the mount point."""
        with pytest.raises(Unavailable):
            fresh.open(OWNER, create=False)
