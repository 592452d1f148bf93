"""A faulty wire between the farm and an archive, whichever of them has called: nothing is said that is not so.

By default some faults are met once, somewhere; with HARVEST_FAULTS=full all of them at every place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from fix_harvest import Harvests, Outcome, harvests
from fix_pacs import Study, faulty, fill
from fix_peers import Peers, Running, free_port

__all__ = ["harvests"]
pytestmark = [pytest.mark.interop, pytest.mark.servers, pytest.mark.timeout(120)]
STUDIES = [Study(number=number, accession=f"A{number}", side=64) for number in (1, 2, 3)]
ROWS = [f"{study.number},{study.uid}," for study in STUDIES]
TOTAL = sum(study.count for study in STUDIES)
FAULTS = {
    "delay": ("delay=20",),
    "rate": ("rate=200000",),
    "chop": ("chop=100",),
    "cut-rst": ("cut=1500:rst", "p=0.6"),
    "cut-fin": ("cut=9000:fin", "p=0.6"),
    "cutpdu-rst": ("cutpdu=4:rst", "p=0.6"),
    "cutpdu-fin": ("cutpdu=6:fin", "p=0.6"),
    "cutpdu-half": ("cutpdu=7:half", "p=0.6"),
    "stall": ("stall=1400", "p=0.5"),
    "abortpdu": ("abortpdu=5", "p=0.6"),
    "flip-early": ("flip=900", "p=0.6"),
    "flip-late": ("flip=6100", "p=0.6"),
    "drop_rsp": ("drop_rsp=3", "p=0.5"),
    "rspdelay": ("rspdelay=100",),
    "always": ("cutpdu=8:rst",),
}
PLACES = [
    ("orthanc", "get", "ours"),
    ("dcmqrscp", "move", "theirs"),
    ("orthanc", "move", "theirs"),
    ("dcmqrscp", "get", "ours"),
    ("orthanc", "move", "ours"),
    ("dcmqrscp", "move", "ours"),
]
"""Which archive, how it is asked, and on whose associations the fault is."""
QUICK = {"chop", "cut-rst", "cutpdu-half", "abortpdu", "flip-late", "always"}
IS_FULL = os.environ.get("HARVEST_FAULTS") == "full"
CASES = [
    pytest.param(fault, *place, id=f"{fault}-{'-'.join(place)}")
    for at, fault in enumerate(FAULTS)
    for number, place in enumerate(PLACES)
    if IS_FULL or (fault in QUICK and number == at % len(PLACES))
]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive with the studies, which moves for FARMMOVE to a port."""

    running: Running
    port: int


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Archive]]:
    """Return the archives, which nothing changes."""
    peers = Peers(tmp_path_factory.mktemp("archives"))
    found = {}
    for which in ("orthanc", "dcmqrscp"):
        port = free_port()
        running = getattr(peers, which)(destinations={"FARMMOVE": port})
        fill(running, STUDIES)
        found[which] = Archive(running=running, port=port)
    yield found
    peers.close()


@pytest.mark.parametrize(("fault", "which", "how", "whose"), CASES)
def test_what_is_said_is_so(  # noqa: PLR0913, PLR0917 - the place of the fault
    harvests: Harvests, archives: dict[str, Archive], fault: str, which: str, how: str, whose: str
) -> None:
    """If it fails, a bad network makes a study complete that is not, or everything is fetched twice."""
    archive = archives[which]
    facts: dict[str, object] = {"retrieve": how, "timeout_s": 0.8, "settle_s": 0.8, "backoff_s": 0.05, "attempts": 2}
    with ExitStack() as stack:
        port, move_port = archive.running.port, archive.port
        if whose == "ours":
            port = stack.enter_context(faulty(port, *FAULTS[fault]))
        else:
            move_port = free_port()
            stack.enter_context(faulty(move_port, *FAULTS[fault], listen=archive.port))
        moves = {"move_destination": "FARMMOVE", "move_port": move_port} if how == "move" else {}
        said = harvests(harvests.pacs(port, archive.running.title, **facts, **moves), ROWS)
        there = check(harvests, said)
    if moves:
        moves["move_port"] = archive.port
    facts |= {"timeout_s": 5.0, "settle_s": 5.0}
    again = harvests(harvests.pacs(archive.running.port, archive.running.title, **facts, **moves), ROWS, retry=True)
    assert set(again.verdicts().values()) == {"complete"}
    assert again.complete
    assert again.arrivals - said.arrivals == again.came
    assert again.came == TOTAL - there


def check(harvests: Harvests, said: Outcome) -> int:
    """Hold what was said against what stands in the ledger; return how many instances do that were wanted."""
    there = 0
    for study in STUDIES:
        arrived = {uid for uid in study.instances if uid in harvests.arrived(study.instances)}
        there += len(arrived)
        result = said.rows[str(study.number)]
        missing = set(study.instances) - arrived
        assert set(result.missing) <= missing
        if result.verdict == "complete":
            assert not missing
            assert result.expected == study.count
        if result.verdict.startswith("short"):
            assert set(result.missing) == missing
            assert result.verdict == f"short by {len(missing)}"
        if result.verdict in {"refused", "not-found"}:
            assert not arrived
        if result.verdict == "pending":
            assert said.error is not None
            assert not said.complete
    return there
