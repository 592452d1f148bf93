"""`farm scp`, the program: what peers send ends in the output folder, and what goes wrong loses nothing."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from fix_celery import until
from fix_cli import ended
from fix_farm import CT as SAMPLE
from fix_farm import visible
from fix_peers import free_port
from fix_scp import CT, Peer, instance, sent
from fix_stack import hanging
from inboxes import inbox
from psycopg import sql

from farm.cli.statuses import Status
from farm.database import connect
from farm.dicom import part10
from farm.dicom.elements import EXPLICIT
from farm.dicom.syntaxes import TransferSyntax
from farm.embedded import Stack
from farm.ledger import Ledger
from farm.net.services import Status as Dimse
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS
from farm.settings import Settings

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from fix_cli import Cli, Said, Starter

    from farm.ledger import Progress

pytestmark = pytest.mark.servers


@dataclass(frozen=True, kw_only=True)
class Scp:
    """The program, listening."""

    program: subprocess.Popen[str]
    port: int
    settings: Settings

    @property
    def receivers(self) -> list[psutil.Process]:
        """Return the receiving processes."""
        return [child for child in psutil.Process(self.program.pid).children() if _receives(child)]

    def progress(self) -> Progress:
        """Return how the run stands."""
        with connect(self.settings.database_url) as connection:
            return Ledger(connection).progress(1)

    def until_done(self, count: int) -> None:
        """Wait until so many instances are at their end."""
        until(lambda: self.progress().ended == count, "the instances")

    def stopped(self) -> Said:
        """End it as a person does; return what it said."""
        self.program.send_signal(signal.SIGINT)
        return ended(self.program)


def _receives(process: psutil.Process) -> bool:
    try:
        return "scheduler.ingest.port" in process.cmdline()
    except psutil.NoSuchProcess:  # or it waits to be buried
        return False


@pytest.fixture
def scp(start: Starter, farm: Cli, settings: Settings, tmp_path: Path) -> Scp:  # noqa: ARG001 - the environment
    """Return the program with one receiving process."""
    return listening(start, settings, tmp_path / "out")


def listening(start: Starter, settings: Settings, out: Path, *options: str) -> Scp:
    """Start the program on a free port and wait until it listens."""
    given = ("--recipe", "basic", "--host", "127.0.0.1", "--json", *options)
    program = start("scp", "--port", "0", "--out", out, *given)
    assert program.stderr is not None
    found = until(lambda: re.search(r"port (\d+)\.", program.stderr.readline()), "the port")  # type: ignore[union-attr]
    return Scp(program=program, port=int(found[1]), settings=settings)


def test_what_is_sent_ends_in_the_output_folder(scp: Scp, farm: Cli, tmp_path: Path) -> None:
    """The way of a user: receive, look, end, and nothing identifying is ever said, logged or shown."""
    assert asyncio.run(sent(scp.port, [1, 2, 2, 3])) == [SUCCESS] * 4
    scp.until_done(4)
    titles = [" ".join(process.cmdline()) for process in [psutil.Process(scp.program.pid), *scp.receivers]]
    said = scp.stopped()
    assert said.status == Status.DONE, said.err
    assert (said.json["done"], said.json["skipped"], said.json["waiting"]) == (3, 1, 0)
    assert said.json["state"] == "complete"  # until somebody receives again
    assert len(visible(tmp_path / "out")) == 3
    status = farm("status", "1", "--json")
    assert status.status == Status.DONE
    assert status.json["studies"]["open"] + status.json["studies"]["closed"] > 0
    assert status.json["kind"] == "scp"
    log = (scp.settings.home / "logs" / "scp.log").read_text()
    for words in (log, said.out, said.err, status.out, *titles, *rows(scp.settings)):
        for mark in ("CompressedSamples", "1CT1", instance(1)[0][:-5]):
            assert mark not in words
            assert mark.encode().hex() not in words


def rows(settings: Settings) -> Iterator[str]:
    """Yield every table of ledger and registry as text."""
    with connect(settings.database_url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('ledger', 'registry')"
        ).fetchall()
        assert len(tables) > 4
        for names in tables:
            text = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*names))
            yield "\n".join(row for (row,) in connection.execute(text))


def test_the_same_command_goes_on(scp: Scp, start: Starter, tmp_path: Path) -> None:
    """What was acknowledged and is not done would wait for ever, or be received into another run."""
    assert asyncio.run(sent(scp.port, range(8))) == [SUCCESS] * 8
    first = scp.stopped()
    assert first.status == Status.DONE
    assert first.json["total"] == 8
    again = listening(start, scp.settings, tmp_path / "out")
    assert asyncio.run(sent(again.port, [100])) == [SUCCESS]
    again.until_done(9)
    second = again.stopped()
    assert (second.json["run"], second.json["done"]) == (first.json["run"], 9)
    assert len(visible(tmp_path / "out")) == 9


def test_ctrl_c_ends_it_while_a_peer_goes_on_sending(scp: Scp) -> None:
    """Whoever stops a busy receiver would wait for as long as its peers like."""

    async def send_on(port: int) -> None:
        async with await Peer.associated(port) as peer:
            for number in range(90_000):
                assert await peer.store(*instance(number)) == SUCCESS
                if number == 20:
                    scp.program.send_signal(signal.SIGINT)

    with pytest.raises((AssertionError, OSError)):
        asyncio.run(send_on(scp.port))
    said = ended(scp.program)
    assert said.status == Status.DONE
    assert said.json["total"] >= 20


@contextmanager
def _halted(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    yield
    process.resume()


def test_processes_share_the_port(start: Starter, farm: Cli, settings: Settings, tmp_path: Path) -> None:  # noqa: ARG001
    """One process would take all associations, or the death of one be the end of all."""
    scp = listening(start, settings, tmp_path / "out", "--processes", "2")
    one, two = until(lambda: scp.receivers if len(scp.receivers) == 2 else None, "both processes")
    assert asyncio.run(sent(scp.port, [0])) == [SUCCESS]
    for number, other in enumerate((one, two), start=1):
        with _halted(other):
            assert asyncio.run(sent(scp.port, [number])) == [SUCCESS]
    one.kill()
    assert asyncio.run(sent(scp.port, [3])) == [SUCCESS]
    until(lambda: len([process for process in scp.receivers if process.pid != one.pid]) == 2, "its successor")
    assert scp.stopped().json["total"] == 4


def test_only_what_is_asked_for_is_let_in(start: Starter, farm: Cli, settings: Settings, tmp_path: Path) -> None:  # noqa: ARG001
    """Options that are not heeded are the worst: a site relies on them."""
    scp = listening(start, settings, tmp_path / "out", "--only", "Modality=MR", "--allow", "PEER")
    assert asyncio.run(sent(scp.port, [0])) == [Dimse.NOT_AUTHORIZED]

    async def stranger() -> None:
        async with await Peer.associated(scp.port, calling="STRANGER"):
            pytest.fail("it was let in")

    with pytest.raises(AssertionError):
        asyncio.run(stranger())
    said = scp.stopped()
    assert (said.status, said.json["total"]) == (Status.DONE, 0)


def test_users_and_private_syntaxes_are_a_matter_of_options(
    start: Starter,
    farm: Cli,
    settings: Settings,
    tmp_path: Path,
) -> None:
    """Who is not named would be let in, and a modality's own instances would be refused without a way to take them."""
    users, passcode, private = tmp_path / "users", tmp_path / "passcode", tmp_path / "private.dcm"
    users.write_text("research:staple\n")
    passcode.write_text("staple\n")
    for path in (users, passcode):
        path.chmod(0o600)
    uid, body = instance(1)
    syntax = TransferSyntax(uid="1.2.840.113619.5.2")
    private.write_bytes(part10.header(syntax, CT.encode(), uid.encode()) + body)
    scp = listening(start, settings, tmp_path / "out", "--users", str(users), "--transfer-syntax", syntax.uid)
    peer, who = f"FARM@127.0.0.1:{scp.port}", ("--user", "research", "--passcode-file", passcode)
    assert farm("echo", peer, *who, "--confirm-user", "--json").json == {"peer": "FARM", "status": 0}
    for stranger in ((), ("--user", "research"), ("--user", "nobody", "--passcode-file", passcode)):
        said = farm("echo", peer, *stranger)
        assert (said.status, "peer-refused" in said.err) == (Status.AWAY, True)
    assert farm("store", peer, private, *who, "--json").json["outcomes"] == {"0x0000": 1}
    scp.until_done(1)
    said = scp.stopped()
    assert (said.json["quarantined"], said.json["done"]) == (1, 0)
    assert "unknown-syntax" in farm("quarantine", "list", "1").out
    assert "staple" not in said.err + (settings.home / "logs" / "scp.log").read_text()


def test_who_has_hung_up_is_told_what_is_safe_even_after_a_kill(
    start: Starter,
    farm: Cli,  # noqa: ARG001 - the environment
    settings: Settings,
    tmp_path: Path,
) -> None:
    """A modality that asks and hangs up would keep its instances for ever, should a crash come before the report."""

    async def scenario(port: int) -> None:
        uid, body = instance(1)
        modality = await Peer.associated(port, calling="MODALITY")
        assert await modality.store(uid, body) == SUCCESS
        reference = EXPLICIT.element(0x00081150, "UI", CT.encode()) + EXPLICIT.element(0x00081155, "UI", uid.encode())
        asked = EXPLICIT.element(0x00081195, "UI", b"1.2.99") + EXPLICIT.sequence(0x00081199, reference)
        assert (await modality.commit(asked)).status == SUCCESS
        await modality.release()

    def is_owed() -> bool:
        with connect(settings.database_url) as connection:
            return connection.execute("SELECT attempts, expires_at FROM ledger.reports").fetchall() == [(1, None)]

    nobody = ("--report-to", f"MODALITY@127.0.0.1:{free_port()}")
    killed = listening(start, settings, tmp_path / "out", *nobody)
    asyncio.run(scenario(killed.port))
    until(is_owed, "an attempt in vain")
    _kill(killed)
    with inbox() as told:
        scp = listening(start, settings, tmp_path / "out", "--report-to", f"MODALITY@127.0.0.1:{told.port}")
        until(lambda: told.reports, "the report")
        assert scp.stopped().status == Status.DONE
    assert [(event_type, data.TransactionUID) for event_type, data in told.reports] == [(1, "1.2.99")]


def _kill(scp: Scp) -> None:
    """Kill the program and all of its processes at once, as an outage does."""
    family = [psutil.Process(scp.program.pid), *psutil.Process(scp.program.pid).children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=30)


def test_a_port_that_is_taken_is_said(scp: Scp, farm: Cli, tmp_path: Path) -> None:
    """A second receiver would seem to run, and nobody reach it."""
    said = farm("scp", "--port", str(scp.port), "--host", "127.0.0.1", "--out", tmp_path / "other", "--recipe", "basic")
    assert said.status == Status.ORDER
    assert "port" in said.err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--allow", "A title that is too long"),
        ("--only", "Modlity=CT"),
        ("--allow", "X@300.1.1.1"),
        ("--report-to", "CT1@10.0.0.7"),
        ("--users", str(SAMPLE)),  # which others may read
    ],
)
def test_an_order_that_cannot_be_carried_out_starts_nothing(
    farm: Cli, home: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    """Receiving processes would start, die and start again, and say why only in a log."""
    said = farm("scp", "--port", "0", "--host", "127.0.0.1", "--out", tmp_path / "out", *wrong)
    assert said.status == Status.ORDER
    assert "Receiving" not in said.err
    assert not (home / "spool").exists()


@pytest.fixture
def struck(
    start: Starter, apart: Settings, servers: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Scp, int]:
    """Return the program, which has received an instance and is impatient, and the pid of its database."""
    monkeypatch.setenv("FARM_LEDGER_PATIENCE_SECONDS", "1")
    scp = listening(start, apart, tmp_path / "out")
    assert asyncio.run(sent(scp.port, [0])) == [SUCCESS]
    assert servers.postgres_pid is not None
    return scp, servers.postgres_pid


def test_a_database_that_hangs_is_told_and_waited_for(
    struck: tuple[Scp, int],
) -> None:
    """A peer would wait as long as the database does not answer, and give up in its own way."""
    scp, pid = struck
    with hanging(pid):
        assert asyncio.run(sent(scp.port, [1, 1])) == [OUT_OF_RESOURCES] * 2
    until(lambda: asyncio.run(sent(scp.port, [1])) == [SUCCESS], "the database")
    until(lambda: scp.progress().done == 2, "the instances")
    assert scp.stopped().json["done"] == 2


def test_ctrl_c_ends_it_while_the_database_hangs(struck: tuple[Scp, int], tmp_path: Path) -> None:
    """Only `kill -9` would end a receiver whose database hangs, and nobody know whether that loses anything."""
    scp, pid = struck
    scp.until_done(1)
    with hanging(pid):
        assert asyncio.run(sent(scp.port, [1])) == [OUT_OF_RESOURCES]
        said = scp.stopped()
    assert said.status == Status.AWAY
    lines = [line for line in said.err.splitlines() if "database-away" in line]
    assert lines[-1].startswith("farm: database-away: The database does not answer.")
    assert "Traceback" not in said.err
    assert scp.progress().done == len(visible(tmp_path / "out")) == 1


def test_a_database_that_dies_is_told_and_waited_for(struck: tuple[Scp, int], home: Path) -> None:
    """A peer would be told of success for what no ledger knows, or the receiver end with its database."""
    scp, pid = struck
    os.kill(pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid), "its end")
    assert asyncio.run(sent(scp.port, [1])) == [OUT_OF_RESOURCES]
    Stack(Settings(home=home)).start()
    until(lambda: asyncio.run(sent(scp.port, [1])) == [SUCCESS], "the database")
    until(lambda: scp.progress().done == 2, "the instances")
    assert scp.stopped().json["done"] == 2
