"""`farm harvest` as people use it: to its end, killed, twice at once, held back, and asked for again."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from fix_cli import Cli, Starter, ended
from fix_farm import Opener, visible
from fix_pacs import Described, Study, write_list
from fix_peers import free_port
from fix_scripted import Scripted

from farm.database import connect
from farm.ledger.harvest_values import Keyed, ListRow
from farm.settings import Settings
from scheduler.campaign import Desk

pytestmark = pytest.mark.servers
PAUSED = "Harvest 1 is paused: `farm harvest resume 1` lets it go on.\n"
CANCELLED = "Harvest 1 is cancelled: nothing more is fetched for it.\n"
STUDIES = [Study(number=number, accession=f"A{number}", sizes=(2,)) for number in range(1, 9)]


class Command:
    """The command, its list and its PACS."""

    def __init__(self, folder: Path, pacs: Scripted, name: str = "list", **facts: object) -> None:
        described = Described(port=pacs.port, title="SCRIPTED", facts={"retrieve": "get"} | facts)
        self.pacs_file = described.write(folder / "pacs.toml")
        self.folder, self.name = folder, name
        self.rows(STUDIES)

    def rows(self, studies: list[Study]) -> None:
        """Want these studies, and one that is not there."""
        rows = [f"{study.number},{study.uid},,=note" for study in studies]
        header = "row_id,study_instance_uid,accession_number,note"
        write_list(self.folder / f"{self.name}.csv", [*rows, "none,1.2.3,,"], header)

    @property
    def words(self) -> list[str]:
        """Return the command."""
        found = ["harvest", "--list", f"{self.name}.csv", "--pacs", "PACS", "--pacs-file", "pacs.toml"]
        found = [str(self.folder / one) if one.endswith((".csv", ".toml")) else one for one in found]
        return [*found, "--out", str(self.folder / f"out-{self.name}"), "--recipe", "basic", "--json"]


def told(text: str) -> dict[str, dict[str, str]]:
    """Return a result by its rows."""
    return {row["row_id"]: row for row in csv.DictReader(io.StringIO(text))}


def until(condition: Callable[[], object]) -> None:
    """Wait for what another process does."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it does not come to that")


def arrivals(settings: Settings) -> int:
    """Return how many instances the ledger has."""
    with connect(settings.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM ledger.arrivals").fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def underway(
    start: Starter, settings: Settings, folder: Path, **facts: float
) -> Iterator[tuple[Scripted, Command, subprocess.Popen[str]]]:
    """Have a harvest begin, so slowly that an order finds it in the middle of its list."""
    with Scripted(studies=STUDIES).running() as pacs:
        command = Command(folder, pacs, **{"associations": 1, "rate": 10.0, "burst": 2.0} | facts)
        program = start(*command.words)
        until(lambda: arrivals(settings) >= 2)
        yield pacs, command, program


def test_a_list_comes_to_its_end_and_is_exported(farm: Cli, tmp_path: Path) -> None:
    """If it fails, the command does not do what its help says."""
    with Scripted(studies=STUDIES[:3]).running() as pacs:
        command = Command(tmp_path, pacs)
        command.rows(STUDIES[:3])
        said = farm(*command.words, "--result", tmp_path / "result.csv")
        assert said.status == 0, said.err
        assert said.json["complete"]
        assert said.json["done"] == 6
        assert len(visible(tmp_path / "out-list")) == 6
        rows = told((tmp_path / "result.csv").read_text())
        assert (tmp_path / "result.csv").stat().st_mode & 0o777 == 0o600
        assert {row: one["verdict"] for row, one in rows.items()} == {
            "1": "complete",
            "2": "complete",
            "3": "complete",
            "none": "not-found",
        }
        assert rows["1"]["note"] == "'=note"
        assert (rows["1"]["expected"], rows["1"]["arrived"], rows["1"]["missing"]) == ("2", "2", "0")
        assert told(farm("harvest", "export", "1", "--out", "-").out).keys() == rows.keys()
        [listed] = farm("harvest", "list", "--json").json["harvests"]
        assert listed["verdicts"] == {"not-found": 1, "complete": 3}
        assert said.json["opens_at"] is None
        written = farm("harvest", "export", "1", "--out", tmp_path / "again.csv", "--json")
        assert written.json == {"harvest": 1, "rows": 4}
        assert farm("harvest", "export", "1", "--out", "-", "--json").status == 2
        ordered = farm("harvest", "priority", "1", "5", "--json")
        assert ordered.json == {"harvest": 1, "state": "complete", "priority": 5}
        [listed] = farm("harvest", "list", "--json").json["harvests"]
        assert (listed["priority"], listed["state"]) == (5, "complete")
        pacs.sent.clear()
        assert farm("harvest", "retry", "1", "--json").json["asked_again"] == 1
        assert farm(*command.words).status == 0
        assert not pacs.sent
        for uid in (STUDIES[0].uid, "1.2.3"):
            assert uid not in said.err + said.out


def test_a_pacs_that_is_away_ends_the_command_with_status_5(
    farm: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it fails, a script cannot tell that the same command has to be given again."""
    monkeypatch.setenv("FARM_PATIENCE_SECONDS", "1")
    pacs = Scripted(studies=STUDIES[:2])
    command = Command(tmp_path, pacs)
    assert farm(*command.words).status == 5
    with pacs.running():
        command = Command(tmp_path, pacs)
        assert farm(*command.words).json["complete"]


def test_a_run_is_complete_with_its_harvest(farm: Cli, desk: Desk, opened: Opener) -> None:
    """Lost otherwise: the rest of a list that was not fetched, when people delete what a complete run needs no more."""

    def stated() -> tuple[str, str]:
        return farm("status", "1", "--json").json["state"], farm("status", "1").out.split("\n")[0]

    run = opened().run
    with closing(desk.session()) as session:
        tables = session.call(lambda tables: tables)
        assert tables.ledger.finish(run.id)
        assert stated() == ("complete", "Run 1 is complete.")
        of_run = partial(tables.harvests.open, run_id=run.id, pacs="PACS", sealed=b"")
        one, other = of_run(list_key=b"1").id, of_run(list_key=b"2").id
        tables.harvests.add_rows(one, [ListRow(row=1, sealed=b"")])
        for harvest in (one, other):
            tables.harvests.listed(harvest)
        assert tables.harvests.finish(other)
        assert stated() == ("active", "Run 1 is interrupted.")
        assert "To go on: give its `farm harvest` again." in farm("status", "1").out
        assert farm("status").out.split("\n")[1].split()[:5] == ["1", "default", "harvest", "basic", "interrupted"]
        tables.harvests.pause(one)
        assert stated() == ("paused", "Run 1 is paused.")
        tables.harvests.cancel(one)
        assert stated() == ("complete", "Run 1 is complete.")  # the list that was right is done
        tables.harvests.resume(one)
        tables.harvests.resolved(one, 1, studies=[Keyed(key=b"study", sealed=b"")])
        study = tables.harvests.take_study("PACS", "worker", 60)
        assert study is not None
        assert stated() == ("active", "Run 1 is interrupted.")
        tables.harvests.end_study(study, "complete")
        assert tables.harvests.finish(one)
        assert stated() == ("complete", "Run 1 is complete.")


def test_a_killed_command_fetches_nothing_twice(farm: Cli, start: Starter, settings: Settings, tmp_path: Path) -> None:
    """If it fails, a crash in the third month begins the first month again, or waits for leases of the dead."""
    del farm
    with Scripted(studies=STUDIES).running() as pacs:
        command = Command(tmp_path, pacs, rate=8.0, burst=4.0)
        program = start(*command.words)
        until(lambda: arrivals(settings) >= 5)
        _kill(program.pid)
        program.communicate()
        there = arrivals(settings)
        pacs.sent.clear()
        command = Command(tmp_path, pacs)
        said = ended(start(*command.words))
    assert said.status == 0, said.err
    assert said.json["complete"]
    assert said.json["studies"] == {"complete": len(STUDIES)}
    assert set(pacs.sent.values()) == {1}
    assert sum(pacs.sent.values()) == 2 * len(STUDIES) - there
    assert len(visible(tmp_path / "out-list")) == 2 * len(STUDIES)


def _kill(pid: int) -> None:
    """Kill a program and what it has started, the servers of the tests not being among that."""
    family = [*psutil.Process(pid).children(recursive=True)]
    os.kill(pid, signal.SIGKILL)
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=30)


def test_two_commands_at_once_keep_to_the_pacs_cap(
    farm: Cli, start: Starter, settings: Settings, tmp_path: Path
) -> None:
    """If it fails, a second list doubles the load on a PACS."""
    del farm, settings
    port = free_port()
    with Scripted(studies=STUDIES, destinations={"FARMMOVE": port}).running() as pacs:
        facts = {"associations": 2, "retrieve": "move", "move_destination": "FARMMOVE", "move_port": port}
        commands = [Command(tmp_path, pacs, name, **facts) for name in ("one", "two")]
        commands[0].rows(STUDIES[:6])
        commands[1].rows(STUDIES[2:])
        programs = [start(*command.words) for command in commands]
        said = [ended(program) for program in programs]
    assert [one.status for one in said] == [0, 0], said[0].err + said[1].err
    assert [one.json["studies"] for one in said] == [{"complete": 6}, {"complete": 6}]
    assert pacs.most_open <= 2
    for name in ("one", "two"):
        assert len(visible(tmp_path / f"out-{name}")) == 12


def test_a_paused_harvest_fetches_nothing_until_it_is_resumed(
    farm: Cli, start: Starter, settings: Settings, tmp_path: Path
) -> None:
    """If it fails, nobody can take the load off a PACS without losing what was ordered."""
    with underway(start, settings, tmp_path, rate=20.0) as (pacs, _, program):
        assert farm("harvest", "pause", "1").status == 0
        until(lambda: not pacs.is_open)
        there = arrivals(settings)
        assert there < 2 * len(STUDIES)
        [listed] = farm("harvest", "list", "--json").json["harvests"]
        assert listed["state"] == "paused"
        assert arrivals(settings) == there
        assert farm("harvest", "resume", "1", "--json").json == {"harvest": 1, "state": "active"}
        said = ended(program)
    assert said.status == 0, said.err
    assert said.json["studies"] == {"complete": len(STUDIES)}


def test_a_paused_harvest_stays_paused_when_its_command_is_given_again(
    farm: Cli, start: Starter, settings: Settings, tmp_path: Path
) -> None:
    """Lost otherwise: the pause that a hospital asked for, by the next start of a service or tick of cron."""
    with underway(start, settings, tmp_path) as (pacs, command, program):
        assert farm("harvest", "pause", "PACS").out == PAUSED
        program.send_signal(signal.SIGINT)
        assert ended(program).status == 130
        there = arrivals(settings)
        pacs.sent.clear()
        again = farm(*command.words)
        assert (again.status, again.json["state"], again.json["complete"]) == (5, "paused", False)
        assert again.json["done"] == again.json["total"] == there
        assert PAUSED in farm(*command.words[:-1]).out
        assert not pacs.sent
        assert farm("harvest", "retry", "1").out.endswith(PAUSED)
        assert "goes on" in farm("harvest", "resume", tmp_path / "list.csv").out
        other = Command(tmp_path, pacs, "other")
        other.rows(STUDIES[:1])
        assert "Active too, and fetched from this PACS: 1.\n" in farm(*other.words).err
        assert farm(*command.words).status == 0
    said = farm("harvest", "pause", "1")
    assert (said.status, said.out) == (0, "Harvest 1 is complete: every row has its verdict.\n")


def test_what_is_cancelled_is_not_fetched_whatever_else_is(
    farm: Cli, start: Starter, settings: Settings, tmp_path: Path
) -> None:
    """Lost otherwise: the privacy of whom a wrong list named, when the right one is fetched from the same PACS."""
    with underway(start, settings, tmp_path, rate=4.0, burst=1.0) as (pacs, command, program):
        assert farm("harvest", "cancel", "1").out == CANCELLED
        said = ended(program)
        assert (said.status, said.json["state"]) == (4, "cancelled")
        assert farm(*command.words).status == 4
        assert farm("harvest", "pause", "1").out == CANCELLED
        pacs.sent.clear()
        wrong = (tmp_path / "list.csv").read_text()
        right = Command(tmp_path, pacs)
        right.rows(STUDIES[6:7])
        assert farm(*right.words).status == 0
        assert set(pacs.sent) <= set(STUDIES[6].instances)
        listed = farm("harvest", "list", "--json").json["harvests"]
        assert [one["state"] for one in listed] == ["complete", "cancelled"]
        numbers = ", ".join(str(one["harvest"]) for one in listed)
        assert set(told(farm("harvest", "export", tmp_path / "list.csv", "--out", "-").out)) == {"7", "none"}
        for ambiguous in ("PACS", "list.csv"):
            said = farm("harvest", "retry", ambiguous)
            assert (said.status, f"numbers {numbers}" in said.err) == (4, True)
        assert farm("harvest", "resume", "PACS").status == 0
        (tmp_path / "list.csv").write_text(wrong)
        assert farm(*command.words).status == 0
        assert len(visible(tmp_path / "out-list")) == 2 * len(STUDIES)


def test_a_harvest_that_is_not_there_is_said(farm: Cli) -> None:
    """Lost otherwise: an order that nobody carries out, and that says it was."""
    for order in ("pause", "resume", "cancel", "retry"):
        assert farm("harvest", order, "nobody").status == 4
        assert farm("harvest", order, "7").status == 4
