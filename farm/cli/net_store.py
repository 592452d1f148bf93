"""`farm store`: files and folders to a DICOM peer, over several associations."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.net_options import carry_out, peer_options
from farm.cli.options import json_option
from farm.cli.progress import Display, Standing
from farm.cli.statuses import Status
from farm.errors import BadInput, Reason, Unavailable
from farm.net import sending
from farm.net.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from farm.net.client import Client, Peer, Proposal, Stored

_SOURCE = click.Path(path_type=Path, exists=True)


@click.command()
@peer_options
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=_SOURCE)
@click.option("-r", "--recursive", is_flag=True, help="Go into folders; links are not followed.")
@click.option(
    "-j", "--associations", type=click.IntRange(1, 64), default=1, show_default=True, help="Associations at once."
)
@json_option
def store(*, peer: Peer, sources: tuple[Path, ...], recursive: bool, associations: int, as_json: bool) -> Status:
    """Send instances to a DICOM peer (C-STORE), as they are stored if it takes that."""
    tally = Tally()
    groups = planned(_found(sources, recursive=recursive), tally)
    with Display() as display:
        tally.show = lambda: display.show(tally.standing)
        carry_out(_send(peer, groups, associations, tally))
    if as_json:
        screen.emit({"sent": tally.sent, "failed": tally.failed, "outcomes": dict(tally.outcomes)})
    else:
        screen.tell_rows(("outcome", "instances"), tally.outcomes.most_common(), right=[1])
    return Status.QUARANTINED if tally.failed else Status.DONE


class Tally:
    """What became of the instances: statuses of the peer (0x0000), or reason codes."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.sent = self.failed = self.total = 0
        self.show: Callable[[], None] = lambda: None

    def add(self, outcome: str, *, ok: bool) -> None:
        """Count one."""
        self.outcomes[outcome] += 1
        self.sent += ok
        self.failed += not ok
        self.show()

    def stored(self, stored: Stored) -> None:
        """Count one by its outcome."""
        outcome = stored.error.reason.value if stored.error else f"0x{stored.status or 0:04X}"
        self.add(outcome, ok=stored.ok)

    @property
    def standing(self) -> Standing:
        """Return how far the work is."""
        return Standing(total=self.total, counted=True, done=self.sent + self.failed, quarantined=0, skipped=0)


def _found(sources: Iterable[Path], *, recursive: bool) -> Iterator[Path]:
    for source in sources:
        if not source.is_dir():
            yield source
        elif not recursive:
            raise click.UsageError("A source is a folder: say --recursive to go into it.")
        else:
            for folder, _, names in os.walk(source):
                yield from (path for path in (Path(folder, name) for name in sorted(names)) if not path.is_symlink())


Group = tuple[tuple["Proposal", ...], deque[Path]]
"""What to propose for an association, and the instances that go by it."""


def planned(paths: Iterable[Path], tally: Tally) -> list[Group]:
    """Look at each file's beginning; count what is no instance."""
    by_class: dict[str, list[Path]] = {}
    kinds: dict[sending.Kind, None] = {}
    for path in paths:
        tally.total += 1
        try:
            kind = sending.kind_of(path)
        except BadInput as error:
            tally.add(error.reason.value, ok=False)
            continue
        kinds[kind] = None
        by_class.setdefault(kind.sop_class, []).append(path)
    groups = []
    for proposals in sending.storing(kinds):
        classes = dict.fromkeys(proposal.sop_class for proposal in proposals)
        groups.append((proposals, deque(path for uid in classes for path in by_class.pop(uid, ()))))
    return groups


async def _send(peer: Peer, groups: list[Group], associations: int, tally: Tally) -> None:
    for proposals, paths in groups:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(associations, len(paths))):
                tasks.create_task(_drain(peer, proposals, paths, tally))


async def _drain(peer: Peer, proposals: tuple[Proposal, ...], paths: deque[Path], tally: Tally) -> None:
    """Send until nothing is left; an instance on which the peer aborts has failed, and the next ones go by another."""
    while paths:
        try:
            async with connect(peer, proposals) as association:
                await _send_over(association, paths, tally)
        except Unavailable as error:
            if error.reason is not Reason.PEER_ABORTED or "sent" not in error.fields:
                raise
            tally.add(error.reason.value, ok=False)


async def _send_over(association: Client, paths: deque[Path], tally: Tally) -> None:
    while paths:
        path = paths.popleft()
        try:
            tally.stored(await association.store(path))
        except Unavailable as error:
            raise Unavailable(error.reason, error.hint, **{**error.fields, "sent": 1}) from None
