"""The server against the peers that the field has, as they are shipped: DCMTK, Orthanc and pynetdicom."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from fix_celery import until
from fix_farm import make_instances
from fix_peers import Certificates, Peers, free_port, need
from fix_scp import MemoryReceiver, serving
from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel

from farm.dicom import part10
from farm.net import commitment
from farm.net.admission import Rule
from farm.net.server import Port, listen
from farm.net.services import STORAGE_COMMITMENT_INSTANCE, is_storage
from farm.net.tls import client_context, server_context

pytestmark = pytest.mark.interop

SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
_EXPLICIT = "1.2.840.10008.1.2.1"


def data_sets(paths: list[Path]) -> dict[str, tuple[str, bytes]]:
    """Return what files hold: transfer syntax and encoded data set by SOP Instance UID."""
    found = {}
    for path in paths:
        parsed = part10.parse(path.read_bytes())
        found[parsed.sop_instance.decode()] = (parsed.syntax.uid, bytes(parsed.data[parsed.start :]))
    return found


def received(receiver: MemoryReceiver) -> dict[str, tuple[str, bytes]]:
    """Return what has arrived, likewise."""
    return {arriving.sop_instance: (arriving.transfer_syntax, data) for arriving, data in receiver.kept}


def met(work: Callable[[int], object], **changes: object) -> MemoryReceiver:
    """Serve while a peer does its work with the port; return what arrived."""

    async def scenario() -> MemoryReceiver:
        receiver = MemoryReceiver()
        async with serving(receiver, **changes) as running:  # type: ignore[arg-type]
            await asyncio.to_thread(work, running.port)
            await running.emptied()
        assert receiver.abandoned == []
        return receiver

    return asyncio.run(scenario())


def program(name: str, *arguments: str | Path) -> None:
    """Run one of DCMTK's programs; it must be content."""
    said = subprocess.run([need(name), *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Failed" not in said.stderr


@pytest.fixture
def instances(tmp_path: Path) -> list[Path]:
    """Return a few CTs."""
    return make_instances(tmp_path / "instances", 6, first=10_000)


def test_echoscu() -> None:
    """The first thing that a site tries would fail."""
    met(lambda port: program("echoscu", "-aec", "FARM", "127.0.0.1", str(port)))


@pytest.mark.parametrize("options", [(), ("-pdu", "4096"), ("-pdu", "131072")])
def test_storescu(instances: list[Path], options: tuple[str, ...]) -> None:
    """DCMTK is inside of half of the modalities: each byte has to arrive as it was sent."""
    folder = instances[0].parent
    receiver = met(lambda port: program("storescu", "+sd", *options, "127.0.0.1", str(port), folder))
    sent = data_sets(instances)
    assert received(receiver).keys() == sent.keys()
    for uid, (syntax, data) in received(receiver).items():
        assert syntax == _EXPLICIT
        assert comparable(data) == comparable(sent[uid][1])


def comparable(data: bytes) -> pydicom.Dataset:
    """Return a data set as pydicom reads it, without group lengths, which DCMTK writes anew."""
    read = pydicom.dcmread(io.BytesIO(data), force=True)
    return pydicom.Dataset({tag: element for tag, element in read.items() if tag.element and tag != 0xFFFCFFFC})


def test_dcmsend(instances: list[Path]) -> None:
    """It proposes a context for each class and syntax that its files have."""
    receiver = met(lambda port: program("dcmsend", "127.0.0.1", str(port), *instances))
    assert received(receiver).keys() == data_sets(instances).keys()


SYNTAXES = (
    "CT_small.dcm",
    "JPEG2000.dcm",
    "JPEG-lossy.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
)
"""Instances in syntaxes that only a context of their own can carry."""


def test_every_syntax_arrives_as_sent() -> None:
    """What is decompressed or turned round on its way is another instance, and lossy ones are lost for good."""
    paths = [SHIPPED / name for name in SYNTAXES]

    def send(port: int) -> None:
        for path in paths:
            dataset = pydicom.dcmread(path)
            entity = AE()
            entity.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
            association = entity.associate("127.0.0.1", port)
            assert association.is_established
            assert association.send_c_store(path).Status == 0
            association.release()

    arrived = {arriving.transfer_syntax: data for arriving, data in met(send).kept}
    assert arrived == dict(data for path in paths for data in data_sets([path]).values())


def test_pynetdicom_with_many_contexts(instances: list[Path]) -> None:
    """A SCU that proposes all that there is must get what it needs: 128 contexts is the most."""

    def send(port: int) -> None:
        entity = AE()
        known = [uid for uid in pydicom.uid.UID_dictionary if is_storage(uid)][:127]
        for uid in {*known, "1.2.840.10008.5.1.4.1.1.2"}:
            entity.add_requested_context(UID(uid), [_EXPLICIT, "1.2.840.10008.1.2"])
        association = entity.associate("127.0.0.1", port)
        assert association.is_established
        for path in instances:
            assert association.send_c_store(path).Status == 0
        association.release()

    assert received(met(send)) == data_sets(instances)


_REPORT_ANSWERED = struct.pack("<HHLH", 0, 0x0100, 2, 0x8100)  # (0000,0100) Command Field: N-EVENT-REPORT-RSP


class _Shelf:
    """Holds everything but one instance."""

    async def holds(self, instances: tuple[tuple[str, str], ...]) -> list[bool]:
        """Tell of each."""
        return [not uid.endswith(".9") for _, uid in instances]


def test_pynetdicom_asks_for_commitment() -> None:
    """A peer that cannot read the report keeps its instances for ever."""
    reports: list[Any] = []
    answered: list[bytes] = []  # pynetdicom breaks when it is told to release before its answers are on their way

    def reported(event: Any) -> tuple[int, None]:
        reports.append((event.request.EventTypeID, event.event_information))
        return 0, None

    def sent(event: Any) -> None:
        answered.extend(pdu for pdu in [event.pdu.encode()] if _REPORT_ANSWERED in pdu)

    def ask(port: int) -> None:
        entity = AE()
        entity.add_requested_context(StorageCommitmentPushModel)
        handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, reported), (evt.EVT_PDU_SENT, sent)]
        association = entity.associate("127.0.0.1", port, evt_handlers=handlers)
        assert association.is_established
        for uids in (("1.2.8",), ("1.2.8", "1.2.9")):
            asked = pydicom.Dataset()
            asked.TransactionUID = "1.2.3"
            asked.ReferencedSOPSequence = [_referenced(uid) for uid in uids]
            status, _ = association.send_n_action(
                asked, commitment.REQUEST_COMMITMENT, StorageCommitmentPushModel, STORAGE_COMMITMENT_INSTANCE
            )
            assert status.Status == 0
        until(lambda: len(answered) == 2, "the reports")
        association.release()

    met(ask, keeper=_Shelf())
    assert [kind for kind, _ in reports] == [1, 2]
    assert [item.ReferencedSOPInstanceUID for item in reports[1][1].FailedSOPSequence] == ["1.2.9"]
    assert [item.ReferencedSOPInstanceUID for item in reports[1][1].ReferencedSOPSequence] == ["1.2.8"]


def _referenced(uid: str) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", uid
    return item


def test_orthanc_stores_to_us(peers: Peers, instances: list[Path]) -> None:
    """The PACS of most research sites pushes by its own client."""
    http = free_port()
    listener = listen("127.0.0.1", 0)
    orthanc = peers.orthanc(
        destinations={"LAKE": listener.getsockname()[1]},
        HttpServerEnabled=True,
        HttpPort=http,
        RemoteAccessAllowed=False,
        AuthenticationEnabled=False,
    )
    program("storescu", "+sd", "-aec", orthanc.title, "127.0.0.1", str(orthanc.port), instances[0].parent)

    def push(_port: int) -> None:
        base = f"http://127.0.0.1:{http}"
        held = json.loads(urllib.request.urlopen(f"{base}/instances", timeout=30).read())  # noqa: S310 - our own
        order = urllib.request.Request(  # noqa: S310 - likewise
            f"{base}/modalities/lake/store", data=json.dumps({"Resources": held, "Synchronous": True}).encode()
        )
        with urllib.request.urlopen(order, timeout=60) as answer:  # noqa: S310 - likewise
            assert json.loads(answer.read())["FailedInstancesCount"] == 0

    arrived = received(met(push, port=Port(listener=listener)))
    assert arrived.keys() == data_sets(instances).keys()


@pytest.mark.parametrize("peer", ["storescu", "pynetdicom"])
def test_tls(peer: str, certificates: Certificates, instances: list[Path]) -> None:
    """A site that asks for TLS has modalities of other makers, and their certificates are bound to titles."""
    own, client = certificates.server, certificates.client
    tls = server_context(identification=own, authority=certificates.authority)
    print_ = x509.load_pem_x509_certificate(client.certificate.read_bytes()).fingerprint(SHA256()).hex()

    def storescu(port: int) -> None:
        given = ("+tls", client.key, client.certificate, "+cf", certificates.authority)
        program("storescu", *given, "-aet", "CT1", "127.0.0.1", str(port), *instances)

    def pynetdicom(port: int) -> None:
        context = client_context(authority=certificates.authority, identification=client)
        entity = AE("CT1")
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2", _EXPLICIT)
        association = entity.associate("127.0.0.1", port, tls_args=(context, None))
        assert association.is_established
        for path in instances:
            assert association.send_c_store(path).Status == 0
        association.release()

    port = Port(listener=listen("127.0.0.1", 0), tls=tls)
    work = storescu if peer == "storescu" else pynetdicom
    receiver = met(work, port=port, rules=(Rule.parse(f"CT1#{print_}"),))
    assert received(receiver).keys() == data_sets(instances).keys()
