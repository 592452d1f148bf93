"""Ctrl-C while the database hangs: it is there, takes connections, and answers nothing.

`farm scp` is held to the same in test_scp_cli.py. What goes on later does so without a worker here, as what was lost or
came twice shows in the ledger.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from fix_cli import Cli
from fix_farm import Opener, make_instances
from fix_harvest import Harvests
from fix_pacs import Described, Study, write_list
from fix_scripted import Scripted
from fix_stack import hanging

from farm.cli.statuses import Status
from farm.deid.keys import ProjectKey
from farm.registry import Vault, load_or_create
from farm.sources import FolderSource
from scheduler import campaign
from scheduler.campaign import Desk
from scheduler.patience import Haste

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from pydicom.dataset import Dataset

    from farm.embedded import Stack
    from farm.settings import Settings

pytestmark = pytest.mark.servers


def _haste(stop: threading.Event, _seconds: float) -> Haste:
    return Haste(stop, 0.2)


@dataclass(kw_only=True)
class Trap:
    """Stops the database once, in the middle of a command, and presses Ctrl-C."""

    settings: Settings
    postgres: int
    cli: Cli
    has_sprung: bool = False
    _hanging: ExitStack = field(default_factory=ExitStack)

    def spring(self) -> None:
        """Do it, in whatever thread."""
        if not self.has_sprung:
            self.has_sprung = True
            self._hanging.enter_context(hanging(self.postgres))
            os.kill(os.getpid(), signal.SIGINT)

    def catches(self, *command: str | Path) -> Desk:
        """Expect that the command ends, and says in one line why; return a desk to look at what is there then."""
        with self._hanging:
            said = self.cli(*command)
        assert self.has_sprung
        assert said.status == Status.AWAY
        [line] = [line for line in said.err.splitlines() if line.startswith("farm: ")]
        assert line.startswith("farm: database-away: The database does not answer.")
        key = ProjectKey(load_or_create(self.settings.project_key_path, "project").secret)
        vault = Vault(load_or_create(self.settings.vault_key_path, "vault").secret)
        return Desk(settings=self.settings, key=key, vault=vault)


@pytest.fixture
def trap(apart: Settings, servers: Stack, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """Return what stops the database; commands have little patience then."""
    monkeypatch.setenv("FARM_LEDGER_PATIENCE_SECONDS", "1")
    monkeypatch.setattr(campaign, "Haste", _haste)
    assert servers.postgres_pid is not None
    return Trap(settings=apart, postgres=servers.postgres_pid, cli=cli)


def test_ctrl_c_ends_a_run_while_the_database_hangs(
    trap: Trap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost otherwise: a run that only `kill -9` ends, of which nobody knows whether that loses anything."""
    source, out = tmp_path / "in", tmp_path / "out"
    make_instances(source, 3)
    head = FolderSource.head

    def sprung(found: FolderSource, locator: bytes) -> bytes:
        trap.spring()
        return head(found, locator)

    monkeypatch.setattr(FolderSource, "head", sprung)
    desk = trap.catches("run", source, out, "--recipe", "basic")
    with closing(Opener(desk, source, out)) as opener:
        again = opener()
        assert not again.run.is_new
        assert (again.progress().total, again.progress().found) == (3, 3)


def test_ctrl_c_ends_a_harvest_while_the_database_hangs(trap: Trap, tmp_path: Path) -> None:
    """Lost otherwise: the harvest of months, which can neither be ended in order nor known to be whole."""
    studies = [Study(number=number, accession=f"A{number}", sizes=(2,)) for number in (1, 2)]
    header, rows = "row_id,study_instance_uid", [f"{study.number},{study.uid}" for study in studies]
    facts = {"retrieve": "get", "associations": 1}

    def sprung(asked: Dataset) -> bool:
        if asked.QueryRetrieveLevel != "STUDY":  # a study is being fetched
            trap.spring()
        return False

    with Scripted(studies=studies, refuses=sprung).running() as pacs:
        described = Described(port=pacs.port, title="SCRIPTED", facts=facts).write(tmp_path / "pacs.toml")
        wanted = write_list(tmp_path / "list.csv", rows, header)
        command = ("harvest", "--list", wanted, "--pacs", "PACS", "--pacs-file", described, "--recipe", "basic")
        desk = trap.catches(*command, "--out", tmp_path / "out")
        harvests = Harvests(desk=desk, folder=tmp_path)
        again = harvests(harvests.pacs(pacs.port, **facts), rows, header=header)
    assert (again.harvest_id, again.complete, again.verdicts()) == (1, True, {"1": "complete", "2": "complete"})
    assert again.arrivals == 4
