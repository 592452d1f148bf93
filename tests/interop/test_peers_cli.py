"""The commands that speak to a peer, against DCMTK's archive and storage SCP."""

from __future__ import annotations

import csv
import io
import json
import stat
from pathlib import Path

import numpy as np
import pydicom
import pytest
from fix_cli import Cli
from fix_peers import Certificates, Peers, Running, free_port
from pydicom.data import get_testdata_file

from farm.cli.statuses import Status
from farm.net import sending
from tests import generate

pytestmark = pytest.mark.interop
COUNT = 6


def called(running: Running) -> str:
    """Return a peer as the command line names it."""
    return f"{running.title}@127.0.0.1:{running.port}"


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Return a folder of instances of two studies, and a file that is none."""
    folder = tmp_path / "scans" / "deeper"
    folder.mkdir(parents=True)
    for number in range(COUNT):
        made = generate.ct(number % 2, number, side=16, elements=40)
        (folder / f"{number}").write_bytes(generate.encode(made))
    (folder / "notes.txt").write_text("not an instance, but long enough to be looked at")
    return folder.parent


def test_instances_go_to_an_archive_and_come_back(cli: Cli, peers: Peers, scans: Path, tmp_path: Path) -> None:
    """Lost otherwise: the commands would not fit together, or would change instances."""
    target = peers.storescp(title="TARGET")
    archive = peers.dcmqrscp(destinations={"TARGET": target.port})
    peer = called(archive)
    assert cli("echo", peer).status == Status.DONE
    # One association: dcmqrscp names what it receives alike in processes that receive at once, and loses some of it.
    sent = cli("store", peer, scans, "--recursive", "--json")
    assert sent.status == Status.QUARANTINED
    told = {"sent": COUNT, "failed": 1, "waiting": 0, "decoded": 0, "trouble": None}
    assert sent.json == told | {"outcomes": {"0x0000": COUNT, "not-dicom": 1}}
    found = cli("find", peer, "-k", "StudyInstanceUID", "-k", "PatientID", "--csv")
    rows = list(csv.DictReader(io.StringIO(found.out)))
    assert [list(row) for row in rows] == [["StudyInstanceUID", "PatientID"]] * 2
    into = tmp_path / "back"
    got = cli("get", peer, "--into", into, "-k", f"PatientID={rows[0]['PatientID']}")
    assert (got.status, len(list(into.iterdir()))) == (Status.DONE, COUNT // 2)
    uid = rows[1]["StudyInstanceUID"]
    got = cli("get", peer, "--into", into, "-k", f"StudyInstanceUID={uid}", "--json")
    assert got.json == {"completed": COUNT // 2, "failed": 0, "status": 0}
    moved = cli("move", peer, "--to", "TARGET", "-k", "PatientID=*", "--json")
    assert moved.json == {"entities": 2, "completed": COUNT, "failed": 0, "status": 0}
    assert len(list(target.folder.iterdir())) == COUNT


def test_what_comes_is_for_its_owner_alone_and_named_by_nothing_of_it(
    cli: Cli, peers: Peers, scans: Path, tmp_path: Path
) -> None:
    """Lost otherwise: originals would lie open, or tell whose they are by their names."""
    archive = peers.dcmqrscp()
    cli("store", called(archive), scans, "-r")
    into = tmp_path / "back"
    cli("get", called(archive), "--into", into, "-k", "PatientID=*")
    kept = {path: sending.read(path).sop_instance for path in into.iterdir()}
    original = {sending.read(path).sop_instance for path in scans.rglob("*") if path.is_file() and not path.suffix}
    assert set(kept.values()) == original
    for path, uid in kept.items():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert uid not in path.name
        number, digest = path.stem.split("-")
        assert (len(number), len(digest)) == (6, 16)


def test_what_a_peer_does_not_take_is_decoded(cli: Cli, peers: Peers) -> None:
    """Lost otherwise: a peer without codecs could be given nothing of a lake of compressed instances."""
    names = ("MR_small_jp2klossless.dcm", "SC_rgb_rle.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm")
    sources = [Path(str(get_testdata_file(name))) for name in names]
    target = peers.storescp("+x=")  # takes native transfer syntaxes alone, as it is by default
    said = cli("store", called(target), *sources, "--json")
    assert said.status == Status.DONE
    told = {"sent": 4, "failed": 0, "waiting": 0, "decoded": 4, "outcomes": {"0x0000": 4}, "trouble": None}
    assert json.loads(said.out) == told
    received = {found.SOPInstanceUID: found for found in map(pydicom.dcmread, target.folder.iterdir())}
    for source in sources:
        before = pydicom.dcmread(source)
        found = received[before.SOPInstanceUID]
        assert not found.file_meta.TransferSyntaxUID.is_compressed
        assert np.array_equal(found.pixel_array, before.pixel_array)
    refused = cli("store", called(target), sources[0], "--as-stored")
    assert refused.status == Status.AWAY
    assert "accepts no presentation context" in refused.err


def test_a_folder_is_entered_on_request_alone(cli: Cli, peers: Peers, scans: Path) -> None:
    """Lost otherwise: a slip of the hand would send an archive away."""
    target = peers.storescp()
    assert cli("store", called(target), scans).status == Status.USAGE
    assert not list(target.folder.iterdir())


@pytest.mark.parametrize("command", [("echo",), ("find",), ("get", "--into", "x", "-k", "PatientID=1")])
def test_a_peer_that_is_away_is_one_line(cli: Cli, command: tuple[str, ...]) -> None:
    """Lost otherwise: a script could not tell a peer that is away from an empty answer."""
    said = cli(command[0], f"NOBODY@127.0.0.1:{free_port()}", *command[1:])
    assert said.status == Status.AWAY
    assert said.out == ""
    assert said.err.startswith("farm: peer-away: ")
    assert said.err.count("\n") == 1


def test_a_peer_that_refuses_says_so(cli: Cli, peers: Peers) -> None:
    """Lost otherwise: a service that the peer does not have would look like a network that is down."""
    said = cli("find", called(peers.storescp()))
    assert said.status == Status.AWAY
    assert "peer-refused" in said.err


def test_a_peer_is_named_in_full(cli: Cli) -> None:
    """Lost otherwise: a missing port would be guessed."""
    assert cli("echo", "ORTHANC@localhost").status == Status.USAGE
    assert cli("find", "A@localhost:104", "-k", "NoSuchKeyword=1").status == Status.USAGE


def test_what_goes_beyond_the_baseline_is_asked_for(cli: Cli, peers: Peers, tmp_path: Path) -> None:
    """Lost otherwise: a query would find less than it was asked for, and nobody would know."""
    archive = called(peers.dcmqrscp())
    for command in (("find", archive), ("get", archive, "--into", tmp_path), ("move", archive, "--to", "ANY")):
        key = ("-k", "PatientName=DOE")
        assert cli(*command, *key).status == Status.DONE
        said = cli(*command, *key, "--fuzzy")
        assert (said.status, "does not grant" in said.err) == (Status.AWAY, True)
    assert (
        cli("get", archive, "--into", tmp_path, *key, "--transfer-syntax", "1.2.840.113619.5.2").status == Status.DONE
    )
    assert cli("get", archive, "--into", tmp_path, *key, "--transfer-syntax", "GE").status == Status.USAGE
    assert cli("echo", archive, "--confirm-user").status == Status.USAGE


def test_tls_by_options(cli: Cli, peers: Peers, certificates: Certificates) -> None:
    """Lost otherwise: TLS could be had from Python alone."""
    server = certificates.server
    target = peers.storescp("+tls", str(server.key), str(server.certificate), "+cf", str(certificates.authority))
    mine = ("--tls-cert", certificates.client.certificate, "--tls-key", certificates.client.key or "")
    assert cli("echo", called(target), "--tls-ca", certificates.authority, *mine).status == Status.DONE
    assert cli("echo", called(target), "--no-tls-verify", *mine).status == Status.DONE
    assert cli("echo", called(target), "--tls-ca", certificates.authority).status == Status.AWAY
