"""`farm verify --requeue`: outputs that were lost or damaged are made again, and nothing else is touched."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from fix_farm import make_instances

from farm.cli.differences import FATES, Difference, Fate, Kind, Notes
from farm.cli.statuses import Status
from farm.cli.verify_batch import Tally
from farm.cli.verify_told import Ended, tell
from farm.database import connect
from workers.handler import Handler

if TYPE_CHECKING:
    from pathlib import Path

    from fix_cli import Cli
    from fix_farm import Opened, Opener

pytestmark = pytest.mark.servers
_MOVES = {"attempts", "finished_at"}


def _work(run: Opened) -> None:
    with closing(Handler(run.settings)) as handler:
        for parcel in run.feed():
            handler.handle(parcel.generation)
    run.ledger().finish(run.run.id)


def _rows(run: Opened) -> list[dict[str, object]]:
    return [{name: row[name] for name in row if name not in _MOVES} for row in run.ledger().manifest(run.run.id)]


def test_what_is_lost_or_damaged_is_made_again(farm: Cli, opened: Opener, source: Path) -> None:
    """Lost otherwise: an output that a disk or a person has spoilt, for good; or its last trace, by the repair."""
    digests = {blake3(path.read_bytes()).hexdigest(): path for path in make_instances(source, 6)}
    run = opened()
    _work(run)
    rows, progress = _rows(run), run.progress()
    sources = [digests[str(row["input_digest"])] for row in rows]
    paths = [run.destination / str(row["path"]) for row in rows]
    before = [path.read_bytes() for path in paths]
    paths[0].unlink()
    for path in paths[1:5]:
        path.write_bytes(path.read_bytes()[:-9] + b"Doe^Jane!")
    paths[2].unlink()
    paths[2].mkdir()
    sources[3].unlink()
    sources[4].write_bytes(sources[4].read_bytes() + b"\0\0")

    said = farm("verify", "1", "--requeue", "--json", "-j", "1")
    assert said.status == Status.QUARANTINED, said.err
    assert said.json["fates"] == {"requeued": 3, "source-gone": 1, "source-changed": 1, "as-released": 0}
    fates = {one["path"]: one["fate"] for one in said.json["differences"]}
    assert fates == dict(
        zip((str(row["path"]) for row in rows), [*["requeued"] * 3, "source-gone", "source-changed"], strict=False)
    )
    orphans = list((run.destination / ".farm" / "orphans").iterdir())
    assert sorted(path.read_bytes()[-9:] for path in orphans if path.is_file()) == [b"Doe^Jane!"]
    assert len(orphans) == 2
    assert [path.exists() for path in paths] == [False] * 3 + [True] * 3
    with connect(run.settings.database_url) as connection:
        noted = connection.execute("SELECT fields FROM registry.audit WHERE action = 'outputs requeued'").fetchall()
    assert noted == [({"run": 1, "outputs": 3},)]
    assert run.progress().done == 3
    assert farm("status", "1", "--json").json["waiting"] == 3
    assert "Doe" not in said.out + said.err + json.dumps(noted)

    _work(run)
    assert [path.read_bytes() for path in paths] == [
        *before[:3],
        *[b[:-9] + b"Doe^Jane!" for b in before[3:5]],
        before[5],
    ]
    assert (_rows(run), run.progress()) == (rows, progress)


def test_it_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: nobody knows that the same command has to be given again, or what has become of the rest."""
    tally = Tally()
    tally.count([Difference(kind=Kind.MISSING, path="S/1.dcm", instance=1)])
    ended = Ended(tally=tally, total=2, left_out={}, fates=Counter({Fate.REQUEUED: 1}), again="give it again")
    with Notes() as notes:
        notes.add([replace(tally.differences[0], fate=Fate.REQUEUED)])
        tell(1, ended, notes)
    *_, made, line, last = capsys.readouterr().out.splitlines()
    assert made.split(maxsplit=2) == ["requeued", "1", FATES[Fate.REQUEUED]]
    assert (line, last) == ("missing: 1 S/1.dcm (requeued)", "1 are to be made again: give it again.")
