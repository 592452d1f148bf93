"""`--failed`: which instances `farm deid`, `transcode` and `store` have not done, and why."""

from __future__ import annotations

import os
import signal
import socket
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import poisoned
import pytest
from fix_cli import ended
from fix_farm import CT, changed, make_instances
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import CTImageStorage, MRImageStorage
from pynetdicom_servers import pynetdicom_serving

from farm.cli import pool
from farm.cli.failed import failures
from farm.cli.statuses import Status
from farm.errors import BadRecipe, Reason, Unavailable
from farm.host import pile
from tests.generate import ct, encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fix_cli import Cli, Starter


def told(path: Path) -> dict[str, str]:
    """Return what the file says: reasons by path."""
    return dict(line.split("\t") for line in path.read_text("utf-8", "surrogateescape").splitlines())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a source of which three instances can be done and three cannot, one below a nasty name."""
    source = tmp_path / "in"
    instances = make_instances(source / "a", 3)
    (source / "b").mkdir()
    (source / "b" / "other").write_bytes(changed(instances[1].read_bytes()))
    (source / "notes.txt").write_text("not DICOM")
    Path(os.fsdecode(os.fsencode(source) + b"/\xe9\n\t\\1.dcm")).write_bytes(CT.read_bytes()[:2000])
    return source


def test_deid_names_what_it_quarantines(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Lost otherwise: three of a million cannot be found, let alone mended."""
    failed = tmp_path / "failed.tsv"
    said = cli("deid", mixed, tmp_path / "out", "--failed", failed, "-j", "1", "--json")
    assert said.status == Status.DONE, said.err
    nasty = os.fsdecode(os.fsencode(mixed) + rb"/") + "\udce9\\x0a\\x09\\x5c1.dcm"
    found = told(failed)
    [other] = [path for path, reason in found.items() if reason == "conflict"]
    assert other in {str(mixed / "a" / "00001.dcm"), str(mixed / "b" / "other")}
    assert found == {str(mixed / "notes.txt"): "not-dicom", nasty: "truncated", other: "conflict"}
    assert stat.S_IMODE(failed.stat().st_mode) == 0o600


def test_transcode_names_what_it_refuses(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Lost otherwise: `refused` is a count; what has another content under its name in DST is as hard to find."""
    out, failed = tmp_path / "out", tmp_path / "failed.tsv"
    (out / "a").mkdir(parents=True)
    (out / "a" / "00000.dcm").write_bytes(b"another")
    said = cli("transcode", mixed, out, "--to", "native", "--failed", failed)
    assert said.status == Status.DONE, said.err
    assert sorted(told(failed).values()) == ["conflict", "not-dicom", "truncated"]
    assert told(failed)[str(mixed / "a" / "00000.dcm")] == "conflict"


def test_a_single_file_is_named_too(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Lost otherwise: a loop over files could not keep its list this way."""
    failed = tmp_path / "failed.tsv"
    said = cli("deid", mixed / "notes.txt", tmp_path / "out.dcm", "--failed", failed)
    assert said.status == Status.QUARANTINED
    assert told(failed) == {str(mixed / "notes.txt"): "not-dicom"}


def test_what_kills_its_process_is_named(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: the instance that takes processes down is the very one to look at."""
    deadly = make_instances(tmp_path / "in", 3)[1].rename(tmp_path / "in" / "deadly.dcm")
    failed = tmp_path / "failed.tsv"
    monkeypatch.setattr(pool, "serve", poisoned.poisoned)
    said = cli("deid", tmp_path / "in", tmp_path / "out", "--failed", failed, "--json")
    assert said.json["done"] == 2
    assert told(failed) == {str(deadly): "worker-lost"}


def test_an_earlier_list_stays(cli: Cli, mixed: Path, tmp_path: Path) -> None:
    """Lost otherwise: a file of the user's, or the list that was not worked off yet; and nothing is done before."""
    failed = tmp_path / "failed.tsv"
    failed.write_text("mine")
    said = cli("deid", mixed, tmp_path / "out", "--failed", failed)
    assert said.status == Status.ORDER
    assert failed.read_text() == "mine"
    assert str(failed) not in said.err


def test_a_full_disk_ends_the_work(tmp_path: Path) -> None:
    """Lost otherwise: a list that is short would pass for all of it."""
    with failures(tmp_path / "failed.tsv") as which:
        which._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115 - stands for a disk that is full
        with pytest.raises(Unavailable) as full, which._file:
            which.write([("path", "truncated")])
    assert full.value.reason is Reason.NO_SPACE
    with pytest.raises(BadRecipe), failures(tmp_path / "no" / "folder"):
        pass


@contextmanager
def dying(after: int) -> Iterator[str]:
    """Serve storage, until the machine is gone after so many instances; yield the peer's name."""
    came = 0

    def stored(event: Any) -> int:
        nonlocal came
        came += 1
        if came > after:
            server.server_close()  # nobody gets through any more
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        return 0x0000

    ae = AE("DYING")
    ae.add_supported_context(CTImageStorage, ExplicitVRLittleEndian)
    with pynetdicom_serving(ae, [(evt.EVT_C_STORE, stored)]) as server:
        yield f"DYING@127.0.0.1:{server.server_address[1]}"


def test_store_says_what_had_arrived_when_the_peer_dies(cli: Cli, tmp_path: Path) -> None:
    """Lost otherwise: 68 of 100 have arrived, and all that is said is that the connection is gone."""
    failed = tmp_path / "failed.tsv"
    sources = make_instances(tmp_path / "in", 6, first=10001)  # UIDs that pynetdicom takes
    (tmp_path / "in" / "notes.txt").write_text("not DICOM")
    with dying(after=2) as peer:
        said = cli("store", peer, tmp_path / "in", "-r", "--failed", failed, "--json")
    assert said.status == Status.AWAY
    assert said.err.startswith("farm: peer-")
    assert (said.json["sent"], said.json["failed"] + said.json["waiting"]) == (2, 5)
    found = told(failed)
    assert found.keys() == {str(path) for path in [*sources[2:], tmp_path / "in" / "notes.txt"]}
    assert set(found.values()) <= {"not-dicom", "peer-aborted", "peer-away"}


def test_store_keeps_what_it_makes_where_the_settings_say(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost otherwise: large instances would be inflated and decoded in memory, or a full disk pass for their fault."""
    deflated, packed = tmp_path / "deflated.dcm", Path(str(get_testdata_file("MR_small_RLE.dcm")))
    deflated.write_bytes(encode(ct(0, 0, side=16), syntax=DeflatedExplicitVRLittleEndian))
    came: dict[str, bytes] = {}

    def stored(event: Any) -> int:
        came[event.dataset.Modality] = event.dataset.PixelData
        return 0x0000

    ae = AE("PLAIN")
    for sop_class in (CTImageStorage, MRImageStorage):
        ae.add_supported_context(sop_class, ImplicitVRLittleEndian)
    monkeypatch.setattr(pile, "_KEPT", 0)
    with pynetdicom_serving(ae, [(evt.EVT_C_STORE, stored)]) as server:
        command = ("store", f"PLAIN@127.0.0.1:{server.server_address[1]}", deflated, packed, "--json")
        monkeypatch.setenv("FARM_SPILL_DIR", str(tmp_path / "not" / "there"))
        said = cli(*command)
        assert (said.status, said.json["trouble"], came) == (Status.AWAY, "storage-error", {})
        assert str(tmp_path) not in said.err
        monkeypatch.setenv("FARM_SPILL_DIR", str(tmp_path / "spill"))
        said = cli(*command)
    assert (said.status, said.json["sent"], said.json["decoded"]) == (Status.DONE, 2, 1)
    assert came == {
        one.Modality: one.PixelData for one in (dcmread(deflated), dcmread(packed.with_name("MR_small.dcm")))
    }


def test_store_to_nobody_tells_people_too(cli: Cli, tmp_path: Path) -> None:
    """Lost otherwise: without `--json` one would not know that nothing has arrived."""
    [source] = make_instances(tmp_path / "in", 1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said = cli("store", f"NOBODY@127.0.0.1:{port}", source)
    assert said.status == Status.AWAY
    assert "1 of 1 were not sent, or have no answer." in said.out
    assert "farm: peer-away" in said.err


def test_ctrl_c_tells_what_was_sent(start: Starter, tmp_path: Path) -> None:
    """Lost otherwise: who stops a long transfer starts it again from the beginning."""
    [source] = make_instances(tmp_path / "in", 1)
    failed = tmp_path / "failed.tsv"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        program = start("store", f"SILENT@127.0.0.1:{port}", source, "--failed", failed, "--json")
        with silent.accept()[0] as held:
            held.recv(1)
            program.send_signal(signal.SIGINT)
            said = ended(program)
    assert said.status == Status.INTERRUPTED
    assert said.json["waiting"] == 1
    assert told(failed) == {str(source): "interrupted"}
