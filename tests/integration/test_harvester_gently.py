"""How the harvester fetches: at which rate, with a full disk, from slow media, and from whom it takes what is moved."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fix_harvest import Harvests, harvests
from fix_pacs import Study, part10_of
from fix_peers import free_port
from fix_scp import CT, instance
from fix_scripted import Scripted, data_sets
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE

from farm.errors import Reason, Unavailable
from farm.ledger import Ledger, Studies
from farm.net.client import Peer, Proposal, connect
from farm.net.server import listen
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS, Arriving
from farm.net.tls import Identification, client_context
from farm.recipe.recipe import preset
from scheduler.campaign import open_run
from scheduler.harvest.pace import Clock
from scheduler.harvest.peers import Pacs, Tls
from scheduler.harvest.receiving import Receivers
from scheduler.harvest.senders import Senders

__all__ = ["harvests"]
pytestmark = pytest.mark.servers
ONE = Study(number=1, accession="A1", patient="P1", sizes=(3, 2))
FOREIGN = Study(number=99, patient="STRANGER", sizes=(1,))
WHOLE = [f"1,{ONE.uid},"]
RATE, BURST = 0.5, 4.0
NODE2 = "::1" if Path("/proc/net/if_inet6").exists() else "127.0.0.1"
"""Where another node of the PACS is; its first one is at an address of IPv4."""


def moving(harvests: Harvests, pacs: Scripted, **facts: object) -> tuple[Pacs, int]:
    """Describe a PACS that moves to us, and say to which port."""
    port = free_port()
    pacs.destinations["FARMMOVE"] = port
    return harvests.pacs(pacs.port, retrieve="move", move_destination="FARMMOVE", move_port=port, **facts), port


def told_by(harvests: Harvests, pacs: Scripted, how: str, **facts: object) -> Pacs:
    """Describe a PACS that is asked by C-GET or by C-MOVE."""
    return moving(harvests, pacs, **facts)[0] if how == "move" else harvests.pacs(pacs.port, retrieve="get", **facts)


# Rate.


class Waited:
    """A clock that goes on by what is waited for, and notes when the PACS sent which instance."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 23, tzinfo=UTC)
        self.sent: list[datetime] = []
        self.clock = Clock(now=lambda: self.at, pause=self._pause, longest=60.0)

    async def _pause(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)

    def law(self, most: float) -> bool:
        """Tell whether never more was sent than the rate and so many at once."""
        return all(
            count <= RATE * (then - first).total_seconds() + most + 1e-6
            for at, first in enumerate(self.sent)
            for count, then in enumerate(self.sent[at:], 1)
        )


class Noting(Scripted):
    """A PACS that notes when it sends."""

    waited: Waited

    def _get(self, event: Any) -> Iterator[Any]:
        return self._noted(super()._get(event))

    def _move(self, event: Any) -> Iterator[Any]:
        return self._noted(super()._move(event))

    def _noted(self, answers: Iterator[Any]) -> Iterator[Any]:
        for answer in answers:
            if isinstance(answer, tuple) and answer[0] == 0xFF00:
                self.waited.sent.append(self.waited.at)
            yield answer


@pytest.mark.parametrize("how", ["get", "move"])
@pytest.mark.parametrize(
    ("refuses", "most", "verdict"),
    [
        pytest.param(lambda _: False, BURST, "complete", id="listed"),
        # What is not known before it comes pays afterwards: the first one sees to the second.
        pytest.param(lambda asked: asked.QueryRetrieveLevel == "IMAGE", BURST + 1, "unverified", id="unlisted"),
    ],
)
def test_a_study_larger_than_the_burst_comes_at_the_rate(
    harvests: Harvests, how: str, refuses: Any, most: float, verdict: str
) -> None:
    """If it fails, a PACS that may be asked for one instance in two seconds sends a study of 10,000 in one go."""
    study = Study(number=8, sizes=(7, 5), side=2)
    pacs = Noting(studies=[study], refuses=refuses)
    pacs.waited = Waited()
    with pacs.running():
        described = told_by(harvests, pacs, how, rate=RATE, burst=BURST, associations=1)
        said = harvests(described, [f"1,{study.uid},"], clock=pacs.waited.clock)
    assert said.verdicts() == {"1": verdict}
    assert (len(pacs.waited.sent), said.arrivals) == (study.count, study.count)
    assert pacs.waited.law(most)


def test_queries_come_at_their_rate(harvests: Harvests) -> None:
    """If it fails, a list of 10,000 rows asks a PACS as many times as fast as it answers, in its busiest hour."""
    studies = [Study(number=number, sizes=(1, 1), side=2) for number in range(1, 5)]
    waited = Waited()
    pacs = Scripted(studies=studies, counts=False, refuses=lambda _: waited.sent.append(waited.at) is not None)
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", query_rate=RATE, associations=1)
        said = harvests(described, [f"{one.number},{one.uid}," for one in studies], clock=waited.clock)
    assert set(said.verdicts().values()) == {"complete"}
    assert len(waited.sent) == len(pacs.asked) >= 5 * len(studies)  # of rows as well as of studies
    assert waited.law(1)


def test_a_row_that_waits_for_its_query_beyond_the_window_waits_for_the_next(harvests: Harvests) -> None:
    """If it fails, what was to be asked by night is asked in the morning, one query behind the other."""
    studies = [Study(number=number, sizes=(1,), side=2) for number in range(1, 5)]
    waited, over = Waited(), threading.Event()

    async def pause(seconds: float) -> None:
        waited.at += timedelta(seconds=seconds)
        if waited.at.hour == 12:
            over.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    pacs = Scripted(studies=studies, refuses=lambda _: waited.sent.append(waited.at) is not None)
    clock = replace(waited.clock, pause=pause, longest=3600.0)
    with pacs.running():
        facts = {"retrieve": "get", "query_rate": 0.03, "associations": 1, "windows": ["00:00-00:01"]}
        rows = [f"{one.number},{one.uid}," for one in studies]
        said = harvests(harvests.pacs(pacs.port, **facts), rows, clock=clock, until=over)
    assert set(said.verdicts().values()) == {"pending"}
    assert len(waited.sent) == 2
    assert all((one.hour, one.minute) == (0, 0) for one in waited.sent)


def test_a_pacs_that_retrieves_studies_only_gives_a_large_one_at_the_rate(harvests: Harvests) -> None:
    """If it fails, a rate makes a PACS without IMAGE level retrievals refuse every study above the burst."""
    study = Study(number=8, sizes=(7, 5), side=2)

    class Coarse(Noting):
        def _get(self, event: Any) -> Iterator[Any]:
            if event.identifier.QueryRetrieveLevel != "STUDY":
                return iter([1, (0xA900, None)])
            return super()._get(event)

    pacs = Coarse(studies=[study])
    pacs.waited = Waited()
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", rate=RATE, burst=BURST, associations=1)
        said = harvests(described, [f"1,{study.uid},"], clock=pacs.waited.clock)
    assert said.verdicts() == {"1": "complete"}
    assert pacs.waited.law(BURST + 1)


def test_a_window_that_closes_ends_a_study_between_its_parts(harvests: Harvests) -> None:
    """If it fails, a study of hours goes on far into the day, or what came of it is asked for once more."""
    study = Study(number=8, sizes=(7, 5), side=2)
    pacs = Noting(studies=[study])
    pacs.waited = waited = Waited()
    over = threading.Event()

    async def pause(seconds: float) -> None:
        waited.at += timedelta(seconds=seconds)
        if waited.at > midday:
            over.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    midday = waited.at + timedelta(hours=12)
    clock = Clock(now=lambda: waited.at, pause=pause, longest=3600.0)
    facts = {"retrieve": "get", "rate": RATE, "burst": BURST, "associations": 1}
    waited.at += timedelta(seconds=50)  # ten more in the window
    with pacs.running():
        row = [f"1,{study.uid},"]
        said = harvests(harvests.pacs(pacs.port, windows=["00:00-00:01"], **facts), row, clock=clock, until=over)
        assert said.verdicts() == {"1": "pending"}
        assert 0 < said.arrivals < study.count
        again = harvests(harvests.pacs(pacs.port, **facts, attempts=1), row, clock=waited.clock)
    assert again.verdicts() == {"1": "complete"}
    assert len(waited.sent) == study.count


def test_a_pause_ends_a_study_between_its_parts(harvests: Harvests) -> None:
    """If it fails, whoever pauses a harvest waits for hours until the study in hand is there."""
    study = Study(number=8, sizes=(7, 5), side=2)
    pacs = Noting(studies=[study])
    pacs.waited, over = Waited(), threading.Event()
    began: list[datetime] = []

    def retrieval(_: object) -> None:
        with harvests.connection() as connection:
            connection.execute("UPDATE ledger.harvests SET state = 'paused'")
        began.append(pacs.waited.at)

    async def pause(seconds: float) -> None:
        await pacs.waited.clock.pause(seconds)
        if began and pacs.waited.at - began[0] > timedelta(minutes=1):  # the whole study takes less
            over.set()

    pacs.before_retrieval = retrieval
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", rate=RATE, burst=BURST, associations=1)
        clock = replace(pacs.waited.clock, pause=pause)
        said = harvests(described, [f"1,{study.uid},"], clock=clock, until=over)
    assert said.verdicts() == {"1": "pending"}
    assert said.arrivals == len(pacs.waited.sent) == int(BURST)


# Our own trouble.


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return what says whether the disk is full."""
    is_full, real = threading.Event(), os.fdatasync

    def sync(fd: int) -> None:
        if is_full.is_set():
            raise OSError(errno.ENOSPC, "no space")
        real(fd)

    monkeypatch.setattr("scheduler.ingest.spool.os.fdatasync", sync)
    return is_full


@pytest.mark.parametrize("how", ["get", "move"])
def test_a_full_disk_is_no_verdict_on_the_pacs(harvests: Harvests, full: threading.Event, how: str) -> None:
    """If it fails, a night without disk space turns every study of a list into one that the PACS has refused."""
    studies = [Study(number=50 + at, sizes=(3,)) for at in range(3)]
    rows = [f"{one.number},{one.uid}," for one in studies]
    full.set()
    with Scripted(studies=studies).running() as pacs:
        described = told_by(harvests, pacs, how, attempts=1)
        said = harvests(described, rows)
        assert isinstance(said.error, Unavailable)
        assert said.error.reason is Reason.NO_SPACE
        assert set(said.verdicts().values()) == {"pending"}
        assert (said.complete, said.arrivals) == (False, 0)
        full.clear()
        again = harvests(described, rows)
    assert set(again.verdicts().values()) == {"complete"}


def test_a_disk_that_has_space_again_is_used_at_once(harvests: Harvests, full: threading.Event) -> None:
    """If it fails, a disk that was full for a moment ends the harvest, or costs a study its only attempt."""
    full.set()
    pacs = Scripted(studies=[ONE])
    asked: list[object] = []

    def retrieval(what: object) -> None:
        asked.append(what)
        if len(asked) == 2:
            full.clear()

    pacs.before_retrieval = retrieval
    with pacs.running():
        said = harvests(harvests.pacs(pacs.port, retrieve="get", attempts=1), WHOLE)
    assert (said.verdicts(), said.error) == ({"1": "complete"}, None)
    assert len(asked) == 2


# Slow media.


@pytest.mark.parametrize(("availability", "verdict", "times"), [("NEARLINE", "complete", 2), ("OFFLINE", "offline", 1)])
def test_what_is_nearline_is_asked_for_again(harvests: Harvests, availability: str, verdict: str, times: int) -> None:
    """If it fails, a study that the first request has fetched from tape is given up before it is there."""
    pacs = Scripted(studies=[ONE], availability=availability, hides=set(ONE.instances))
    asked: list[object] = []

    def retrieval(what: object) -> None:
        if asked:
            pacs.hides.clear()
        asked.append(what)

    pacs.before_retrieval = retrieval
    with pacs.running():
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), WHOLE)
    assert said.verdicts() == {"1": verdict}
    assert len(asked) == times


# Who sends.


async def _brought(port: int, calling: str) -> int:
    peer = Peer(
        host=NODE2 if calling == "NODE2" else "127.0.0.1", port=port, ae_title="FARMMOVE", calling_ae_title=calling
    )
    proposal = Proposal(sop_class=MRImageStorage, transfer_syntaxes=(ExplicitVRLittleEndian,))
    try:
        async with connect(peer, [proposal]) as client:
            [status] = [(await client.store(data)).status for data in part10_of(FOREIGN).values()]
            return status or 0
    except Unavailable as error:
        return -1 if error.reason is Reason.PEER_REFUSED else -2


def _brought_for(port: int, originator: str, message_id: int) -> int:
    ae = AE("SCRIPTED")
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", port, ae_title="FARMMOVE")
    [one] = data_sets(FOREIGN).values()
    status = association.send_c_store(one, originator_aet=originator, originator_id=message_id)
    association.release()
    return int(status.Status)


@pytest.mark.parametrize(
    ("facts", "sender", "answer"),
    [
        pytest.param({}, "EVIL", -1, id="another title"),
        pytest.param({"move_from": ["SCRIPTED@10.0.0.0/8"]}, "SCRIPTED", -1, id="another address"),
        pytest.param({"move_from": [f"NODE2@{NODE2}", "SCRIPTED"]}, "NODE2", SUCCESS, id="named, by IPv6 if it can"),
        pytest.param({}, ("OTHER", 1), OUT_OF_RESOURCES, id="another originator"),
        pytest.param({}, ("FARM", 60_000), OUT_OF_RESOURCES, id="another request"),
    ],
)
def test_who_is_not_the_pacs_brings_nothing(harvests: Harvests, facts: Any, sender: Any, answer: int) -> None:
    """If it fails, whoever reaches the port puts what they like among the images of a study."""
    pacs = Scripted(studies=[ONE], refuses=lambda asked: asked.QueryRetrieveLevel == "IMAGE")
    described, port = moving(harvests, pacs, attempts=1, settle_s=2.0, **facts)
    answers: list[int] = []

    def inject(_: object) -> None:
        answers.append(asyncio.run(_brought(port, sender)) if isinstance(sender, str) else _brought_for(port, *sender))

    pacs.before_retrieval = inject
    with pacs.running():
        said = harvests(described, WHOLE)
    assert answers == [answer]
    assert harvests.arrived(FOREIGN.instances) == (set(FOREIGN.instances) if answer == SUCCESS else set())
    assert said.verdicts()["1"] in {"unverified", "refused"}
    if "move_from" not in facts:
        assert harvests.arrived(ONE.instances) == set(ONE.instances)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a certificate that is its own authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pacs")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = tmp_path / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


def test_a_pacs_with_tls_sends_by_tls(harvests: Harvests, certificate: Path) -> None:
    """If it fails, what is asked for behind TLS comes in the clear, from whoever speaks no TLS."""
    place = str(certificate)
    described = harvests.pacs(1, retrieve="move", move_destination="FARMMOVE")
    described = replace(described, tls=Tls(ca=place, certificate=place, key=place))
    secure = client_context(
        authority=certificate, identification=Identification(certificate=certificate, key=certificate)
    )

    async def scenario() -> list[int]:
        listening, stop = listen("127.0.0.1", 0), asyncio.Event()
        port = listening.getsockname()[1]
        receivers, senders = Receivers(harvests.desk), Senders(described)
        await senders.look_up()
        serving = asyncio.create_task(receivers.serve(listening, senders, stop))
        echoes = []
        for context in (secure, None):
            peer = Peer(host="127.0.0.1", port=port, ae_title="FARMMOVE", calling_ae_title="SCRIPTED", tls=context)
            try:
                async with connect(peer) as client:
                    echoes.append(await client.echo())
            except Unavailable:
                echoes.append(-1)
        stop.set()
        await serving
        return echoes

    assert asyncio.run(scenario()) == [SUCCESS, -1]


def test_studies_of_all_harvests_that_it_fetches_for_are_closed(harvests: Harvests) -> None:
    """If it fails, what one command fetches for the list of another stays open, and in the spool, for ever."""
    desk = replace(harvests.desk, settings=replace(harvests.desk.settings, study_quiet_seconds=0))
    run = open_run(desk, harvests.folder / "spool", harvests.folder / "out", preset("basic"))
    uid, body = instance(1)
    arriving = Arriving(
        sop_class=CT, sop_instance=uid, transfer_syntax=ExplicitVRLittleEndian, calling="A", called="B", address=""
    )

    async def scenario() -> int:
        sink = receivers.coming(run, [], whole=False).begin(arriving)
        sink.write(memoryview(body))
        ended = sink.end()
        return ended if isinstance(ended, int) else await ended

    receivers = Receivers(desk)
    try:
        assert asyncio.run(scenario()) == SUCCESS
        with harvests.connection() as connection:
            ledger = Ledger(connection)
            receivers.keep(ledger)
            assert ledger.studies(run.id) == Studies(open=0, closed=1)
    finally:
        receivers.close()
