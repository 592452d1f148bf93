"""Several commands that bring instances into one run: each ends when its own work is done, and none ends another's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from fix_cli import ended
from fix_farm import visible
from fix_pacs import Study
from fix_scp import sent
from fix_scripted import Scripted
from test_harvest_cli import Command, arrivals, until
from test_scp_cli import listening

from farm.database import connect
from farm.ledger import Ledger
from farm.net.storing import SUCCESS

if TYPE_CHECKING:
    from pathlib import Path

    from fix_cli import Cli, Starter

    from farm.settings import Settings

pytestmark = pytest.mark.servers
STUDIES = [Study(number=number, accession=f"A{number}", sizes=(2,)) for number in range(1, 9)]


def state(settings: Settings) -> str:
    """Return the state of the run."""
    with connect(settings.database_url) as connection:
        return Ledger(connection).run(1).state


def test_a_receiver_goes_on_when_a_harvest_into_its_folder_ends(
    farm: Cli, start: Starter, settings: Settings, tmp_path: Path
) -> None:
    """Lost otherwise: a modality's night, since the receiver ended with the first list."""
    del farm
    out = tmp_path / "out-list"
    scp = listening(start, settings, out)
    assert asyncio.run(sent(scp.port, [1])) == [SUCCESS]
    with Scripted(studies=STUDIES[:2]).running() as pacs:
        command = Command(tmp_path, pacs)
        command.rows(STUDIES[:2])
        said = ended(start(*command.words))
        assert said.status == 0, said.err
        assert said.json["complete"]
        assert said.json["done"] == 5
        assert len(visible(out)) == 5
        assert state(settings) == "crawling"
    assert asyncio.run(sent(scp.port, [2])) == [SUCCESS]
    scp.until_done(6)
    assert scp.program.poll() is None
    assert scp.stopped().json["done"] == 6


def test_two_receivers_into_one_folder_end_each_for_itself(
    farm: Cli, start: Starter, settings: Settings, tmp_path: Path
) -> None:
    """Lost otherwise: what is sent to one port, once somebody has closed the other."""
    del farm
    first, second = (listening(start, settings, tmp_path / "out") for _ in range(2))
    assert asyncio.run(sent(second.port, [1])) == [SUCCESS]
    assert second.stopped().status == 0
    first.until_done(1)
    assert first.program.poll() is None
    assert asyncio.run(sent(first.port, [2])) == [SUCCESS]
    first.until_done(2)
    assert state(settings) == "crawling"
    assert first.stopped().json["done"] == 2


def test_two_harvests_into_one_folder_end_each_with_its_own_list(
    farm: Cli, start: Starter, settings: Settings, tmp_path: Path
) -> None:
    """Lost otherwise: rows of the longer list, left pending with no reason when the shorter one was done."""
    del farm
    with Scripted(studies=STUDIES).running() as pacs:
        long, short = (Command(tmp_path, pacs, name, rate=2.0, burst=2.0) for name in ("long", "short"))
        short.rows(STUDIES[:1])
        words = [str(tmp_path / "out-one") if "/out-" in word else word for word in short.words]
        first = start(*[str(tmp_path / "out-one") if "/out-" in word else word for word in long.words])
        until(lambda: arrivals(settings) >= 2)
        second = ended(start(*words, "--priority", "5"))
        assert second.status == 0, second.err
        assert second.json["studies"] == {"complete": 1}
        said = ended(first)
    assert said.status == 0, said.err
    assert said.json["studies"] == {"complete": len(STUDIES)}
    assert said.json["done"] == 2 * len(STUDIES)
    assert state(settings) == "complete"
