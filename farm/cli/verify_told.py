"""How `farm verify` tells what it has found, to people and to programs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import account, screen
from farm.cli.differences import FATES, MEANING, Difference, Fate, Kind
from farm.cli.statuses import Status, status_of

if TYPE_CHECKING:
    from farm.cli.differences import Notes
    from farm.cli.verify_batch import Tally
    from farm.errors import FarmError

_SHOWN = 1000
_UNSEEN = (
    "staged in .farm/tmp: a worker has them in hand, or left them when it was killed; a later run removes those",
    "set aside in .farm/orphans: they had the name of an output, and no run has released them",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the work ended; `total` is what the run has released, `files` what the destination holds."""

    tally: Tally
    total: int
    files: int = 0
    unseen: tuple[int, int] = (0, 0)
    """What is staged in the destination, and its orphans."""
    left_out: dict[str, int]
    trouble: FarmError | None = None
    interrupted: bool = False
    fates: Counter[Fate] | None = None
    """How many of the outputs that differ are made again, or why not; None: that was not asked for."""
    again: str = ""
    """What makes them, in words."""

    @property
    def status(self) -> Status:
        """Return the exit status."""
        if self.trouble:
            return status_of(self.trouble)
        if self.interrupted:
            return Status.INTERRUPTED
        return Status.QUARANTINED if self.tally.kinds.total() else Status.DONE

    def to_dict(self) -> dict[str, object]:
        """Return what `--json` prints, but for the differences themselves."""
        tally, trouble = self.tally, self.trouble
        facts: dict[str, object] = {"interrupted": self.interrupted, "trouble": trouble and trouble.reason.value}
        facts |= {"total": self.total, "sound": tally.sound, "different": tally.different}
        facts |= {
            "waiting": max(0, self.total - tally.ended),
            "decoded": tally.decoded,
            "not_decoded": tally.not_decoded,
        }
        facts |= {"read_bytes": tally.read_bytes, "files": self.files}
        facts |= dict(zip(("staged", "orphans"), self.unseen, strict=True))
        facts |= {"left_out": self.left_out, "kinds": {kind.value: tally.kinds[kind] for kind in Kind}}
        fates = self.fates
        return facts | ({} if fates is None else {"fates": {fate.value: fates[fate] for fate in Fate}})


def emit(run_id: int, ended: Ended, notes: Notes) -> None:
    """Print one JSON object, difference by difference."""
    click.echo(json.dumps({"run": run_id} | ended.to_dict())[:-1] + ', "differences": [', nl=False)
    for at, difference in enumerate(notes):
        click.echo(f"{', ' if at else ''}{json.dumps(asdict(difference))}", nl=False)
    click.echo("]}")


def tell(run_id: int, ended: Ended, notes: Notes) -> None:
    """Print how the outputs are."""
    tally = ended.tally
    screen.tell(_title(run_id, ended), "bold")
    ends = [("sound", tally.sound), ("different", tally.different)]
    if waiting := max(0, ended.total - tally.ended):
        ends.append(("waiting", waiting))
    ends += [("decoded", tally.decoded), ("not decoded", tally.not_decoded), ("files", ended.files)]
    screen.tell_rows(("", ""), [(f"  {name}", count) for name, count in ends], right=(1,))
    if tally.not_decoded:
        screen.tell("  not decoded: no codec that is installed reads their transfer syntax")
    for count, what in zip(ended.unseen, _UNSEEN, strict=True):
        if count:
            screen.tell(f"  {count:,} {what}")
    account.show_left_out(ended.left_out)
    account.show_why(
        "different", [(kind.value, tally.kinds[kind], MEANING[kind]) for kind in Kind if tally.kinds[kind]]
    )
    fates = ended.fates or Counter()
    account.show_rows("what becomes of them", [(fate.value, fates[fate], FATES[fate]) for fate in Fate if fates[fate]])
    for difference in islice(notes, _SHOWN):
        screen.tell(_line(difference))
    if (more := tally.kinds.total() - _SHOWN) > 0:
        screen.tell(f"... and {more:,} more: --json has them all.")
    if fates[Fate.REQUEUED]:
        screen.tell(f"{fates[Fate.REQUEUED]:,} are to be made again: {ended.again}.")


def _title(run_id: int, ended: Ended) -> str:
    if ended.trouble or ended.interrupted:
        return "Not everything was looked at. The same command begins again."
    if ended.tally.kinds.total():
        return f"Not everything is as run {run_id} has released it."
    return f"Everything is as run {run_id} has released it."


def _line(difference: Difference) -> str:
    """Return a difference as a line of its own: a path is longer than a terminal is wide."""
    number = "" if difference.instance is None else f"{difference.instance} "
    said = ", ".join(word.value for word in (difference.reason, difference.fate) if word)
    why = f" ({said})" if said else ""
    return f"{difference.kind.value}: {number}{screen.shown(Path(difference.path))}{why}"
