"""Harvests from the archives that the field has: every verdict, caps, refusals, and one that dies in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from fix_harvest import Harvests, harvests
from fix_pacs import Study, faulty, fill
from fix_peers import Peers, Running, free_port, peers

from farm.errors import Reason

if TYPE_CHECKING:
    from scheduler.harvest.peers import Pacs

__all__ = ["harvests", "peers"]
pytestmark = [pytest.mark.interop, pytest.mark.servers]
STUDIES = [
    Study(number=1, accession="A1", patient="P1"),
    Study(number=2, accession="A2", patient="P1", date="20200301", sizes=(1, 4)),
    Study(number=3, accession="DOUBLE", patient="P2"),
    Study(number=4, accession="DOUBLE", patient="P2", date="20210101"),
    Study(number=5, accession="A5", patient="P3", sizes=(6,)),
]
HEADER = "n,study_instance_uid,accession_number,patient_id,from,to,note"
ROWS = [
    f"1,{STUDIES[0].uid},,,,,first",
    "2,1.2.3.4,,,,,=1+1",
    f"3,{STUDIES[0].uid},,,,,again",
    "4,,A1,,,,",
    "5,,DOUBLE,,,,",
    "6,,,P1,2020-02-01,2020-12-31,",
    "7,,,,,,",
    "8,,NONE,,,,",
    "9,,,P2,20200101,20190101,",
    "10,,A5,,,,",
]
VERDICTS = {
    "1": "complete",
    "2": "not-found",
    "3": "complete",
    "4": "complete",
    "5": "ambiguous",
    "6": "complete",
    "7": "bad-row",
    "8": "not-found",
    "9": "bad-row",
    "10": "complete",
}


def archive(peers: Peers, which: str, studies: list[Study], **settings: object) -> tuple[Running, int]:
    """Start an archive with studies; return it, and the port to which it moves for FARMMOVE."""
    port = free_port()
    peer = getattr(peers, which)(destinations={"FARMMOVE": port}, **settings)
    fill(peer, studies)
    return peer, port


def described(harvests: Harvests, peer: Running, port: int, how: str, **facts: object) -> Pacs:
    """Return how it is spoken to."""
    if how != "get":
        facts |= {"move_destination": "FARMMOVE", "move_port": port}
    return harvests.pacs(peer.port, peer.title, retrieve=how, **facts)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Running, int]]]:
    """Return an archive of each kind with the studies, which nothing changes."""
    started = Peers(tmp_path_factory.mktemp("filled"))
    yield {which: archive(started, which, STUDIES) for which in ("orthanc", "dcmqrscp")}
    started.close()


@pytest.mark.parametrize("how", ["get", "move"])
@pytest.mark.parametrize("which", ["orthanc", "dcmqrscp"])
def test_every_row_gets_the_verdict_that_is_true(
    harvests: Harvests, filled: dict[str, tuple[Running, int]], which: str, how: str
) -> None:
    """If it fails, what people are told of an archive in the field is not so."""
    peer, port = filled[which]
    said = harvests(described(harvests, peer, port, how), ROWS, header=HEADER)
    assert said.complete
    assert said.error is None
    assert said.verdicts() == VERDICTS
    wanted = sum(study.count for study in (STUDIES[0], STUDIES[1], STUDIES[4]))
    assert said.arrivals == said.came == wanted
    assert [result.expected for result in said.rows.values()] == [5, None, 5, 5, None, 5, None, None, None, 6]
    again = harvests(described(harvests, peer, port, how), ROWS, header=HEADER, retry=True)
    assert again.verdicts() == VERDICTS
    assert again.came == 0


def test_an_archive_that_caps_its_answers_gives_all_studies(harvests: Harvests, peers: Peers) -> None:
    """If it fails, a range of dates brings as many studies as the archive likes to answer, and is called complete."""
    studies = [
        Study(number=100 + at, patient="P9", date=f"2020{1 + at % 12:02d}{1 + at:02d}", sizes=(1,)) for at in range(14)
    ]
    studies += [Study(number=200 + at, patient="P9", date="20200404", time=f"{8 + at:02d}1500") for at in range(5)]
    peer, port = archive(peers, "orthanc", studies, LimitFindResults=3)
    said = harvests(described(harvests, peer, port, "get"), ["1,P9,2020-01-01,"], header="n,patient_id,from,to")
    assert said.verdicts() == {"1": "complete"}
    assert said.arrivals == said.rows["1"].expected == sum(study.count for study in studies)


def test_an_archive_that_refuses_c_get_is_asked_by_c_move(harvests: Harvests, peers: Peers) -> None:
    """If it fails, an archive that aborts on C-GET is given up, though it moves."""
    rows = [f"{study.number},{study.uid}," for study in STUDIES]
    port = free_port()
    known = {"AET": "FARM", "Host": "127.0.0.1", "Port": port, "AllowGet": False, "AllowMove": True, "AllowFind": True}
    target = known | {"AET": "FARMMOVE"}
    peer = peers.orthanc(DicomModalities={"farm": known, "farmmove": target})
    fill(peer, STUDIES)
    said = harvests(described(harvests, peer, port, "auto"), rows)
    assert set(said.verdicts().values()) == {"complete"}
    assert said.came == said.arrivals == sum(study.count for study in STUDIES)


@pytest.mark.parametrize("which", ["orthanc", "dcmqrscp"])
def test_an_unknown_destination_is_refused(
    harvests: Harvests, filled: dict[str, tuple[Running, int]], which: str
) -> None:
    """If it fails, an archive that does not know our title keeps the harvest waiting, or is thought to have moved."""
    peer, port = filled[which]
    pacs = harvests.pacs(peer.port, peer.title, retrieve="move", move_destination="STRANGER", move_port=port)
    said = harvests(pacs, [f"1,{STUDIES[0].uid},"])
    assert said.verdicts() == {"1": "refused"}
    assert said.arrivals == 0
    assert set(said.rows["1"].missing) == set(STUDIES[0].instances)


def test_an_archive_that_dies_in_the_middle_is_gone_on_with(harvests: Harvests, peers: Peers) -> None:
    """If it fails, a crash of the archive costs verdicts, or everything is fetched again."""
    studies = [Study(number=number, sizes=(10,), side=64) for number in range(1, 7)]
    rows = [f"{study.number},{study.uid}," for study in studies]
    peer, port = archive(peers, "orthanc", studies)
    with faulty(peer.port, "rate=400000") as slow:
        pacs = harvests.pacs(slow, peer.title, retrieve="get")
        killer = threading.Thread(target=_kill_after, args=(harvests, peer))
        killer.start()
        said = harvests(pacs, rows)
        killer.join()
    assert said.error is not None
    assert said.error.reason in {Reason.PEER_AWAY, Reason.PEER_ABORTED}
    assert not said.complete
    assert 0 < said.arrivals < 60
    for row, result in said.rows.items():
        if result.verdict == "complete":
            assert result.expected == 10, row
    again = peers._start(peer.process.args, peer.port, peer.title, peer.folder)  # type: ignore[arg-type]
    del port
    later = harvests(harvests.pacs(again.port, again.title, retrieve="get"), rows)
    assert set(later.verdicts().values()) == {"complete"}
    assert later.arrivals == 60
    assert later.came == 60 - said.arrivals


def _kill_after(harvests: Harvests, peer: Running) -> None:
    """Kill the archive once something has arrived."""
    with harvests.connection() as connection:
        for _ in range(2000):
            row = connection.execute("SELECT count(*) FROM ledger.arrivals").fetchone()
            if row is not None and row[0] >= 15:
                break
            time.sleep(0.01)  # what arrives tells nobody outside
    peer.kill()
