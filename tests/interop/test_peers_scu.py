"""The client against the peers that the field has: Orthanc, DCMTK and pynetdicom, as they are shipped."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pydicom.data
import pytest
from fix_peers import Certificates, Peers, Running

from farm.dicom import syntaxes
from farm.errors import BadInput, Reason, Unavailable
from farm.net import query, sending, services, tls
from farm.net.client import Client, Peer, Timeouts, connect, getting, service
from farm.net.query import Level
from farm.net.services import PATIENT_ROOT_FIND, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, Status
from farm.net.storing import Arriving
from tests import generate

pytestmark = pytest.mark.interop
SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
COUNT = 6
STUDIES = 3
ASKED = {query.LEVEL: "STUDY", query.STUDY_UID: "", query.PATIENT_ID: ""}


class Kept:
    """A receiver that keeps what it gets in memory, and its own sink."""

    def __init__(self, status: int = Status.SUCCESS) -> None:
        self.status = status
        self.instances: dict[str, tuple[Arriving, bytes]] = {}
        self.abandoned = 0

    def begin(self, arriving: Arriving) -> KeptSink:
        """Return a sink that keeps the data set."""
        return KeptSink(self, arriving)


class KeptSink:
    """One data set."""

    def __init__(self, kept: Kept, arriving: Arriving) -> None:
        self._kept, self._arriving, self._data = kept, arriving, bytearray()

    def write(self, data: memoryview) -> None:
        """Keep a fragment."""
        self._data += data

    async def end(self) -> int:
        """Keep the whole, and give the status that the test wants."""
        await asyncio.sleep(0)
        self._kept.instances[self._arriving.sop_instance] = self._arriving, bytes(self._data)
        return self._kept.status

    def abandon(self) -> None:
        """Count it."""
        self._kept.abandoned += 1


def encoded(number: int) -> bytes:
    """Return a small CT; every `STUDIES`-th is of the same study."""
    made = generate.ct(number % STUDIES, number, side=16, elements=40)
    return generate.encode(made)


@pytest.fixture(scope="module")
def instances() -> list[bytes]:
    """Return a few instances of a few studies."""
    return [encoded(number) for number in range(COUNT)]


def described(instances: list[bytes]) -> tuple[set[str], dict[str, bytes]]:
    """Return the studies of instances, and their data sets by SOP Instance UID."""
    read = [pydicom.dcmread(io.BytesIO(data)) for data in instances]
    found = [sending.read(data) for data in instances]
    return {one.StudyInstanceUID for one in read}, {one.sop_instance: bytes(one.data[one.start :]) for one in found}


async def fill(peer: Peer, instances: list[bytes]) -> None:
    """Send instances, each of which has to be taken."""
    kinds = [
        sending.Kind(sop_class=one.sop_class, transfer_syntax=one.transfer_syntax)
        for one in map(sending.read, instances)
    ]
    (contexts,) = sending.storing(kinds)
    async with connect(peer, contexts) as association:
        for instance in instances:
            assert (await association.store(instance)).status == Status.SUCCESS


@pytest.fixture(params=["orthanc", "dcmqrscp"])
def archive(request: pytest.FixtureRequest, peers: Peers, target: Running, instances: list[bytes]) -> Running:
    """Return an archive that has the instances, and knows where to move them to."""
    destinations = {"TARGET": target.port}
    made = (
        peers.orthanc(destinations=destinations)
        if request.param == "orthanc"
        else peers.dcmqrscp(destinations=destinations)
    )
    asyncio.run(fill(made.peer(), instances))
    return made


@pytest.fixture
def target(peers: Peers) -> Running:
    """Return a storage SCP."""
    return peers.storescp(title="TARGET")


def test_verification(archive: Running) -> None:
    """Lost otherwise: nobody could see whether a peer is there at all."""

    async def verify() -> int:
        async with connect(archive.peer()) as association:
            return await association.echo()

    assert asyncio.run(verify()) == Status.SUCCESS


def test_find_returns_every_study_and_the_status(archive: Running, instances: list[bytes]) -> None:
    """Lost otherwise: studies would be missing from a harvest."""

    async def find() -> tuple[list[query.Identifier], int | None]:
        async with connect(archive.peer(), service(STUDY_ROOT_FIND)) as association:
            finds = association.find(STUDY_ROOT_FIND, ASKED)
            return [match async for match in finds], finds.status

    matches, status = asyncio.run(find())
    assert {match[query.STUDY_UID] for match in matches} == described(instances)[0]
    assert len(matches) == STUDIES
    assert all(match[query.PATIENT_ID] for match in matches)
    assert status == Status.SUCCESS


def test_a_query_that_is_left_early_disturbs_nothing_after_it(archive: Running) -> None:
    """Lost otherwise: the rest of its answers would be taken for those of the next query."""

    async def find() -> tuple[list[int | None], int, int]:
        async with connect(archive.peer(), service(STUDY_ROOT_FIND, services.VERIFICATION)) as association:
            limited = association.find(STUDY_ROOT_FIND, ASKED, limit=1)
            few = len([match async for match in limited])
            left = association.find(STUDY_ROOT_FIND, ASKED)
            async for _ in left:
                break
            assert await association.echo() == Status.SUCCESS
            async with association.find(STUDY_ROOT_FIND, ASKED) as closed:
                await anext(closed)
            every = len([match async for match in association.find(STUDY_ROOT_FIND, ASKED)])
            return [limited.status, left.status, closed.status], few, every

    statuses, few, every = asyncio.run(find())
    assert set(statuses) <= {Status.SUCCESS, Status.CANCELLED}
    assert (few, every) == (1, STUDIES)


def test_get_brings_every_instance_and_the_counts(archive: Running, instances: list[bytes]) -> None:
    """Lost otherwise: a harvest would be short, or would not know that it is."""
    studies, sent = described(instances)
    kept = Kept()

    async def get() -> list[tuple[int | None, int | None, int | None]]:
        ended = []
        async with connect(
            archive.peer(), getting(STUDY_ROOT_GET, [sending.read(instances[0]).sop_class])
        ) as association:
            for uid in sorted(studies):
                retrieval = association.get(STUDY_ROOT_GET, Level.STUDY, {query.STUDY_UID: uid}, kept)
                async for progress in retrieval:
                    assert progress.completed is not None
                ended.append((retrieval.status, retrieval.progress.completed, retrieval.progress.failed))
        return ended

    assert asyncio.run(get()) == [(Status.SUCCESS, COUNT // STUDIES, 0)] * STUDIES
    assert kept.instances.keys() == sent.keys()
    assert not kept.abandoned
    for uid, (arriving, data) in kept.instances.items():
        assert arriving.transfer_syntax == syntaxes.EXPLICIT_LITTLE
        assert elements(data) == elements(sent[uid])


def elements(data: bytes) -> list[tuple[int, Any]]:
    """Return the elements of an explicit data set; archives may write its lengths otherwise."""
    found = pydicom.dcmread(io.BytesIO(b"\0" * 128 + b"DICM" + data), force=True)
    return [(int(element.tag), element.value) for element in found if element.tag.element]


def test_a_refused_instance_is_counted_as_failed(archive: Running, instances: list[bytes]) -> None:
    """Lost otherwise: what the disk could not hold would count as retrieved."""
    uid = min(described(instances)[0])
    kept = Kept(Status.OUT_OF_RESOURCES)

    async def get() -> tuple[int | None, int | None]:
        async with connect(
            archive.peer(), getting(STUDY_ROOT_GET, [sending.read(instances[0]).sop_class])
        ) as association:
            retrieval = association.get(STUDY_ROOT_GET, Level.STUDY, {query.STUDY_UID: uid}, kept)
            await retrieval.complete()
            return retrieval.status, retrieval.progress.completed

    status, completed = asyncio.run(get())
    assert status != Status.SUCCESS
    assert not completed


def test_a_retrieval_that_is_left_early_disturbs_nothing_after_it(archive: Running, instances: list[bytes]) -> None:
    """Lost otherwise: a pause would have to break the association, and what is on its way with it."""
    studies, sent = described(instances)
    kept = Kept()

    async def get() -> int | None:
        classes = [sending.read(instances[0]).sop_class]
        proposals = (*getting(STUDY_ROOT_GET, classes), *service(services.VERIFICATION))
        async with connect(archive.peer(), proposals) as association:
            left = association.get(STUDY_ROOT_GET, Level.STUDY, {query.STUDY_UID: min(studies)}, kept)
            async for _ in left:
                break
            assert await association.echo() == Status.SUCCESS
            for uid in studies:
                again = association.get(STUDY_ROOT_GET, Level.STUDY, {query.STUDY_UID: uid}, kept)
                assert await again.complete() == Status.SUCCESS
            return left.status

    assert asyncio.run(get()) in {Status.SUCCESS, Status.CANCELLED}
    assert kept.instances.keys() == sent.keys()


def test_move_sends_to_the_destination(archive: Running, target: Running, instances: list[bytes]) -> None:
    """Lost otherwise: archives that refuse C-GET could not be harvested."""
    studies, sent = described(instances)

    async def move() -> list[tuple[int | None, int | None]]:
        ended = []
        async with connect(archive.peer(), service(STUDY_ROOT_MOVE)) as association:
            for uid in sorted(studies):
                retrieval = association.move(STUDY_ROOT_MOVE, Level.STUDY, {query.STUDY_UID: uid}, target.title)
                await retrieval.complete()
                ended.append((retrieval.status, retrieval.progress.completed))
        return ended

    assert asyncio.run(move()) == [(Status.SUCCESS, COUNT // STUDIES)] * STUDIES
    assert {sending.read(path).sop_instance for path in target.folder.iterdir()} == sent.keys()


def test_move_to_a_stranger_is_a_status(archive: Running, instances: list[bytes]) -> None:
    """Lost otherwise: a wrong title would look like a fault of the network."""
    uid = min(described(instances)[0])

    async def move() -> int:
        async with connect(archive.peer(), service(STUDY_ROOT_MOVE)) as association:
            return await association.move(STUDY_ROOT_MOVE, Level.STUDY, {query.STUDY_UID: uid}, "NOBODY").complete()

    assert asyncio.run(move()) >= Status.OUT_OF_RESOURCES


def storable() -> Iterator[Path]:
    """Yield what pydicom's own tests read, as far as it is an instance."""
    for path in sorted(SHIPPED.rglob("*.dcm")):
        try:
            sending.kind_of(path)
        except BadInput:
            continue
        yield path


def test_every_kind_of_instance_arrives_byte_for_byte(target: Running) -> None:
    """Lost otherwise: sending would change instances, or leave some kinds behind."""
    files = list(storable())
    kinds = {path: sending.kind_of(path) for path in files}
    equal: list[Path] = []

    async def send(association: Client, path: Path) -> None:
        stored = await association.store(path)
        if stored.error is not None:
            assert stored.error.reason is Reason.BAD_STRUCTURE  # of odd length, and no data set
            return
        assert stored.status == Status.SUCCESS
        assert stored.transfer_syntax == kinds[path].transfer_syntax
        (received,) = target.folder.iterdir()
        assert data_set(received) == data_set(path)
        received.unlink()
        equal.append(path)

    async def send_all() -> None:
        for contexts in sending.storing(kinds.values()):
            classes = {proposal.sop_class for proposal in contexts}
            async with connect(target.peer(), contexts) as association:
                for path in (path for path in files if kinds[path].sop_class in classes):
                    await send(association, path)

    asyncio.run(send_all())
    assert len(equal) > len(files) * 0.95
    assert len({kinds[path].transfer_syntax for path in equal}) >= 10


def data_set(path: Path) -> bytes:
    """Return the bytes behind File Meta Information; a deflated data set may be padded."""
    found = sending.read(path)
    data = bytes(found.data[found.start :])
    return data + b"\0" * (len(data) % 2)


@pytest.mark.parametrize("stored", [syntaxes.IMPLICIT_LITTLE, syntaxes.EXPLICIT_LITTLE, syntaxes.DEFLATED_LITTLE])
def test_an_instance_is_rewritten_for_a_peer_that_takes_implicit_vr_alone(peers: Peers, stored: str) -> None:
    """Lost otherwise: old archives would refuse what the farm holds in other native syntaxes."""
    old = peers.dcmqrscp("+xi")
    whole = generate.ct(0, 0, side=16, elements=200)
    instance = generate.encode(whole, syntax=pydicom.uid.UID(stored))
    kept = Kept()

    async def there_and_back() -> None:
        found = sending.read(instance)
        (contexts,) = sending.storing([sending.Kind(sop_class=found.sop_class, transfer_syntax=stored)])
        async with connect(old.peer(), contexts) as association:
            result = await association.store(instance)
            assert (result.status, result.transfer_syntax) == (Status.SUCCESS, syntaxes.IMPLICIT_LITTLE)
        async with connect(old.peer(), getting(STUDY_ROOT_GET, [found.sop_class])) as association:
            asked = {query.STUDY_UID: str(whole.StudyInstanceUID)}
            assert not await association.get(STUDY_ROOT_GET, Level.STUDY, asked, kept).complete()

    asyncio.run(there_and_back())
    ((_, data),) = kept.instances.values()
    back = pydicom.dcmread(io.BytesIO(data), force=True)
    assert back.PixelData == whole.PixelData
    assert {element.tag for element in back if not element.tag.is_private} == {
        element.tag for element in whole if not element.tag.is_private
    }


def test_tls_with_certificates_on_both_sides(peers: Peers, certificates: Certificates, instances: list[bytes]) -> None:
    """Lost otherwise: instances would cross the hospital's network readable by all, or to whomever answers."""
    server = certificates.server
    options = ("+tls", str(server.key), str(server.certificate), "+cf", str(certificates.authority))
    target = peers.storescp(*options)
    client = tls.client_context(authority=certificates.authority, identification=certificates.client)
    asyncio.run(fill(target.peer(tls=client), instances))
    assert len(list(target.folder.iterdir())) == COUNT

    async def fails(peer: Peer) -> None:
        with pytest.raises(Unavailable) as raised:
            async with connect(peer) as association:
                await association.echo()
        assert raised.value.reason in {Reason.PEER_AWAY, Reason.PEER_ABORTED}

    plain = Timeouts(association=2)
    asyncio.run(fails(target.peer(tls=tls.client_context(authority=certificates.stranger.certificate))))
    asyncio.run(fails(target.peer(tls=tls.client_context(authority=certificates.authority))))
    asyncio.run(fails(target.peer(timeouts=plain)))


def test_a_title_that_the_archive_does_not_answer_to_is_refused(peers: Peers) -> None:
    """Lost otherwise: a wrong title would look like a peer that is away, and be tried again for ever."""
    running = peers.orthanc()

    async def call() -> None:
        wrong = Peer(host="127.0.0.1", port=running.port, ae_title="SOMEBODY")
        async with connect(wrong):
            pass

    with pytest.raises(Unavailable) as raised:
        asyncio.run(call())
    assert raised.value.reason is Reason.PEER_REFUSED
    assert raised.value.fields["result"] == 1


def test_a_peer_that_dies_in_the_middle_is_told(archive: Running, instances: list[bytes]) -> None:
    """Lost otherwise: a harvest would wait for an archive that is gone, or keep half an instance."""

    class Killing(Kept):
        def begin(self, arriving: Arriving) -> KeptSink:
            archive.kill()
            return super().begin(arriving)

    uid = min(described(instances)[0])

    async def get() -> None:
        proposals = getting(STUDY_ROOT_GET, [sending.read(instances[0]).sop_class])
        async with connect(archive.peer(), proposals) as association:
            await association.get(STUDY_ROOT_GET, Level.STUDY, {query.STUDY_UID: uid}, Killing()).complete()

    with pytest.raises(Unavailable) as raised:
        asyncio.run(get())
    assert raised.value.reason is Reason.PEER_ABORTED


def test_patient_names_of_another_script_are_found(peers: Peers, instances: list[bytes]) -> None:
    """Lost otherwise: a query by a name that is not ASCII would match nobody."""
    running = peers.orthanc()
    made = pydicom.dcmread(io.BytesIO(instances[0]))
    made.SpecificCharacterSet, made.PatientName = "ISO_IR 192", "Müller^Jürgen"

    async def find() -> list[query.Identifier]:
        await fill(running.peer(), [generate.encode(made)])
        async with connect(running.peer(), service(PATIENT_ROOT_FIND)) as association:
            asked = {query.LEVEL: "PATIENT", 0x00100010: "Müller^*"}
            return [match async for match in association.find(PATIENT_ROOT_FIND, asked)]

    (match,) = asyncio.run(find())
    assert match[0x00100010] == "Müller^Jürgen"
