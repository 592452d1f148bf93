"""How a run and a command are told to stand: in a word, in a line, and no oftener than there is something new."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from farm.cli import progress
from farm.cli.account import Account
from farm.cli.harvest_window import Opening
from farm.cli.progress import Display, line
from farm.cli.progress import Standing as Shown
from farm.cli.runs import Standing
from farm.cli.screen import tell_rows
from farm.ledger import Progress, Run
from scheduler.harvest.windows import Windows

_NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday


def _standing(  # noqa: PLR0913 - all that is told of a run
    state: str,
    kind: str | None,
    *,
    waiting: int = 0,
    moving: bool = False,
    attended: bool = False,
    harvest: str | None = None,
) -> str:
    sealed = dict.fromkeys(("destination_key", "destination_sealed", "source_key", "source_sealed"), b"")
    facts = {"id": 1, "project_id": 1, "destination_id": 1, "recipe_digest": "", "recipe_json": "{}", "trouble": None}
    times = {"created_at": _NOW, "crawled_at": None, "finished_at": None, "counters": {}}
    run = Run(state=state, **sealed, **facts, **times)  # type: ignore[arg-type]
    ends = dict.fromkeys(("done", "quarantined", "skipped", "pixels_at_risk", "output_bytes"), 0)
    account = Account(total=waiting, waiting=waiting, **ends)
    facts = {"attended": attended, "moving": moving, "harvest": harvest}
    return Standing(run=run, project="", kind=kind, account=account, **facts).state  # type: ignore[arg-type]


def test_what_a_run_is_said_to_be() -> None:
    """Lost otherwise: what nobody is at would look as if it were at work, and people wait for it."""
    assert _standing("crawling", "scp", attended=True) == "receiving"
    assert _standing("crawling", "folder", attended=True, waiting=3, moving=True) == "crawling"
    assert _standing("crawling", "folder") == "interrupted"  # its source was not seen to the end
    assert _standing("crawling", "scp") == "idle"
    assert _standing("crawling", "scp", waiting=1) == "interrupted"
    assert _standing("active", "harvest") == "idle"
    assert _standing("active", "folder", waiting=2) == "waiting"
    assert _standing("active", "folder", waiting=2, moving=True) == "active"
    assert _standing("stopped", "folder", waiting=2) == "stopped"
    assert _standing("crawling", "harvest", harvest="active", attended=True) == "harvesting"
    assert _standing("crawling", "harvest", harvest="active") == "interrupted"  # by `kill -9`
    assert _standing("active", "harvest", harvest="paused") == "paused"
    assert _standing("active", "harvest", harvest="paused", waiting=1) == "waiting"


def test_a_narrow_screen_folds_the_widest_column_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost otherwise: a table of eight columns, each of them in pieces of five letters."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    tell_rows(("reason", "meaning", "count"), [("truncated", "The data set ends inside an element.", 12)], right=(2,))
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.split() for line in out.splitlines()] == [
        ["reason", "meaning", "count"],
        ["truncated", "The", "data", "set", "ends", "12"],
        ["inside", "an", "element."],
    ]


def test_when_a_window_opens() -> None:
    """Lost otherwise: `0 of 0` all day, and nobody knows whether that is right."""
    times = iter([_NOW, _NOW + timedelta(hours=8), _NOW + timedelta(hours=18)])
    opening = Opening(Windows.parse(["19:00-06:00"], UTC), lambda: next(times))
    assert opening.at() == _NOW + timedelta(hours=7)
    assert not opening.words()
    local = (_NOW + timedelta(hours=31)).astimezone()
    assert opening.words() == f"the window opens {local:%a %Y-%m-%d %H:%M %Z}"
    assert Opening(Windows.parse([], UTC)).at() is None


def test_a_log_gets_no_line_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: what has been told, among ten thousand lines of a night in which nothing came."""
    said: list[str] = []
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    monkeypatch.setattr(progress.screen, "say", said.append)
    waits = Shown(total=0, counted=False, done=0, quarantined=0, skipped=0, note="the window opens at seven")
    comes = Shown.of(
        Progress(
            run_id=1,
            state="crawling",
            trouble=None,
            total=1,
            found=1,
            queued=0,
            leased=0,
            done=0,
            quarantined=0,
            skipped=0,
            at_risk=0,
            output_bytes=0,
        )
    )
    with Display() as display:
        for standing in (waits, waits, comes, comes):
            display.show(standing)
    assert said == [line(waits, 0), line(comes, 0)]
    assert said[0] == "0 of 0 found so far, 0 done, the window opens at seven"
