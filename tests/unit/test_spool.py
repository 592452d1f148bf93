from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import Reason, Unavailable
from scheduler.ingest import Spell, Spool
from scheduler.ingest import spool as module

LIMIT = module._HELD_BYTES


def names(spool: Spool) -> set[str]:
    """Return what lies in the folder."""
    return {path.name for path in spool.root.iterdir()}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Return a spool."""
    return Spool(tmp_path / "deep" / "spool")


def test_nobody_else_may_enter(spool: Spool) -> None:
    """What arrived is identified: another user of the host could read names and pictures."""
    spooled = spool.begin(b"header")
    spooled.finish()
    assert stat.S_IMODE(spool.root.stat().st_mode) == 0o700
    assert stat.S_IMODE((spool.root / spooled.name).stat().st_mode) == 0o600


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    """A folder that somebody made beforehand would stay open to all."""
    tmp_path.chmod(0o755)
    assert stat.S_IMODE(Spool(tmp_path).root.stat().st_mode) == 0o700
    Spool(tmp_path / "spools" / "run")
    assert stat.S_IMODE((tmp_path / "spools").stat().st_mode) == 0o700


def test_a_file_has_its_name_only_when_it_is_whole(spool: Spool) -> None:
    """Half an instance would look like a whole one after a crash."""
    spooled = spool.begin(b"header")
    spooled.write(bytes(LIMIT))
    assert names(spool) == {spooled.name + ".part"}
    whole = spooled.finish()
    spool.settle()
    assert names(spool) == {spooled.name} == {whole.name}
    status = (spool.root / whole.name).stat()
    assert (whole.size, whole.mtime_ns) == (status.st_size, status.st_mtime_ns) == (LIMIT + 6, status.st_mtime_ns)


@given(st.lists(st.binary(max_size=40)), st.integers(0, 100), st.integers(1, 20), st.booleans())
def test_what_was_given_is_in_the_file(parts: list[bytes], held: int, writes: int, durable: bool) -> None:  # noqa: FBT001
    """Bytes would be lost or doubled where memory ends and the file begins, or where a write comes short."""
    write = os.write
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        spool = Spool(Path(folder))
        patch.setattr(module, "_HELD_BYTES", held)
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:writes]))
        spooled = spool.begin(b"header")
        for part in parts:
            spooled.write(memoryview(bytearray(part)))
        whole = spooled.finish(durable=durable)
        assert (spool.root / whole.name).read_bytes() == b"header" + b"".join(parts)


def test_a_fragment_may_be_reused_at_once(spool: Spool) -> None:
    """The server's buffer is used again for the next fragment: a view that is kept would change."""
    spooled = spool.begin(b"")
    buffer = bytearray(b"first")
    spooled.write(memoryview(buffer))
    buffer[:] = b"later"
    assert (spool.root / spooled.finish().name).read_bytes() == b"first"


@pytest.mark.parametrize("size", [0, 10, LIMIT + 1])
def test_discarding_leaves_nothing(spool: Spool, size: int) -> None:
    """Associations that break off would fill the spool."""
    spooled = spool.begin(b"header")
    spooled.write(bytes(size))
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    spooled.discard()
    spooled.discard()
    assert names(spool) == set()
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors - (size > LIMIT)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "close", "rename"])
def test_a_failing_disk_is_told_and_leaves_nothing(
    spool: Spool, call: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path would reach the log in an OSError, or a torn file would stay and be taken for whole."""
    spooled = spool.begin(b"header")
    real = getattr(os, call)

    def failing(*arguments: object, **named: object) -> None:
        if call == "close":
            real(*arguments, **named)
        raise OSError(code, "told", str(spool.root))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(Unavailable) as caught:
            spooled.finish()
    spooled.discard()
    assert caught.value.reason is (Reason.NO_SPACE if code == errno.ENOSPC else Reason.STORAGE_ERROR)
    assert str(spool.root) not in str(caught.value)
    assert names(spool) == set()


def test_leftovers_are_removed_and_known_ones_are_not(spool: Spool) -> None:
    """A crash would leave identified instances for ever, or a start would remove what was acknowledged."""
    known, unknown = (spool.begin(b"x").finish().name for _ in range(2))
    torn = spool.begin(b"x")
    torn.write(bytes(LIMIT))
    (spool.root / "foreign.dcm").write_bytes(b"")
    assert spool.leftovers(iter([known, "0" * 32])) == 2
    assert names(spool) == {known, "foreign.dcm"}
    assert unknown not in names(spool)


def test_nothing_is_removed_beside_another_process(spool: Spool) -> None:
    """A second listener that starts would remove what the first has not yet written to the ledger."""
    other = Spool(spool.root)
    name = other.begin(b"x").finish().name
    assert spool.leftovers([]) == 0
    assert names(spool) == {name}
    other.close()
    assert spool.leftovers([]) == 1
    late = Spool(spool.root)  # the lock is shared again
    assert late.leftovers([]) == 0


def test_a_spool_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    """The command line would end in a traceback with the path in it."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable) as caught:
        Spool(tmp_path / "file" / "spool")
    assert caught.value.reason is Reason.STORAGE_ERROR


def test_removing_what_is_gone_is_no_error(spool: Spool) -> None:
    """A file that somebody removed by hand would end the sweep."""
    name = spool.begin(b"x").finish().name
    spool.remove(["0" * 32, name])
    assert names(spool) == set()


def test_a_spell_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk at 700 instances a second would fill the log as well."""
    spell = Spell()
    with caplog.at_level("INFO", "scheduler"):
        spell.over()
        for reason in (Reason.NO_SPACE, Reason.NO_SPACE, Reason.DATABASE_AWAY):
            spell.met(reason)
        spell.over()
        spell.over()
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "no-space" in caplog.text
