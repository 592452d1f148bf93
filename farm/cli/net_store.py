"""`farm store`: files and folders to a DICOM peer, over several associations."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.failed import failed_option, failures
from farm.cli.net_decoding import Decoding
from farm.cli.net_options import carry_out, peer_options
from farm.cli.options import json_option
from farm.cli.progress import Display, Standing
from farm.cli.statuses import Status, status_of
from farm.dicom.part10 import Limits
from farm.errors import BadInput, FarmError, Reason, Unavailable
from farm.host.making import host_of, limits_of
from farm.net import sending
from farm.net.client import connect
from farm.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from farm.cli.failed import Failures
    from farm.net.client import Client, Peer, Proposal, Stored

_SOURCE = click.Path(path_type=Path, exists=True)


@click.command()
@peer_options
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=_SOURCE)
@click.option("-r", "--recursive", is_flag=True, help="Go into folders; links are not followed.")
@click.option(
    "-j", "--associations", type=click.IntRange(1, 64), default=1, show_default=True, help="Associations at once."
)
@click.option("--as-stored", is_flag=True, help="Decode nothing: send only what the peer takes as it is.")
@failed_option
@json_option
def store(  # noqa: PLR0913 - one for each option
    *,
    peer: Peer,
    sources: tuple[Path, ...],
    recursive: bool,
    associations: int,
    as_stored: bool,
    failed: Path | None,
    as_json: bool,
) -> Status:
    """Send instances to a DICOM peer (C-STORE), as they are stored if it takes that, else decoded.

    If the peer goes away, what it had taken is told all the same, and --failed names the rest too.
    """
    with failures(failed) as which:
        tally = Tally(which)
        trouble = _carried_out(peer, _found(sources, recursive=recursive), associations, tally, as_stored=as_stored)
        tally.leave(trouble.reason.value if trouble else "interrupted")
    if as_json:
        screen.emit(tally.to_dict() | {"trouble": trouble and trouble.reason.value})
    else:
        _tell(tally)
    if trouble:
        screen.say(f"farm: {trouble}")
        return status_of(trouble)
    return Status.INTERRUPTED if tally.left else tally.status


def _carried_out(
    peer: Peer, paths: Iterator[Path], associations: int, tally: Tally, *, as_stored: bool
) -> FarmError | None:
    """Send them all; return what ended it early, if that was not the user."""
    groups = planned(paths, tally, decodes=not as_stored)
    with Display() as display, ExitStack() as hosts:
        tally.show = lambda: display.show(tally.standing)
        settings = load()
        tally.limits = limits = limits_of(settings)
        tally.decoding = None if as_stored else lambda: Decoding(hosts.enter_context(host_of(settings)), limits)
        try:
            carry_out(_send(peer, groups, associations, tally))
        except FarmError as error:
            return error
        except KeyboardInterrupt:
            return None
    return None


def _tell(tally: Tally) -> None:
    """Print what became of them."""
    screen.tell_rows(("outcome", "instances"), tally.outcomes.most_common(), right=[1])
    if tally.decoded:
        screen.say(f"{tally.decoded} of them were decoded, because the peer does not take them as they are stored.")
    if tally.left:
        screen.tell(f"{len(tally.left):,} of {tally.total:,} were not sent, or have no answer.", "bold")


class Tally:
    """What became of the instances: statuses of the peer (0x0000), or reason codes."""

    def __init__(self, which: Failures) -> None:
        """Take what notes those that have failed."""
        self._which = which
        self.left: dict[Path, None] = {}
        """Those that have no outcome yet."""
        self.outcomes: Counter[str] = Counter()
        self.sent = self.failed = self.total = 0
        self.show: Callable[[], None] = lambda: None
        self.decoding: Callable[[], Decoding] | None = None
        """Makes what decodes for an association; None: nothing is decoded."""
        self.decodings: list[Decoding] = []
        self.limits = Limits()
        """For what is inflated, deflated or decoded on the way."""

    def expect(self, path: Path) -> None:
        """Count one that is to be sent."""
        self.total += 1
        self.left[path] = None

    def add(self, path: Path, outcome: str, *, ok: bool) -> None:
        """Count one by its outcome."""
        self.left.pop(path, None)
        self.outcomes[outcome] += 1
        self.sent += ok
        self.failed += not ok
        if not ok:
            self._which.write([(str(path), outcome)])
        self.show()

    def stored(self, path: Path, stored: Stored) -> None:
        """Count one by what the peer has answered."""
        outcome = stored.error.reason.value if stored.error else f"0x{stored.status or 0:04X}"
        self.add(path, outcome, ok=stored.ok)

    def leave(self, why: str) -> None:
        """Note those that have no outcome."""
        self._which.write((str(path), why) for path in self.left)

    def to_dict(self) -> dict[str, object]:
        """Return what `--json` prints."""
        told = {"sent": self.sent, "failed": self.failed, "waiting": len(self.left), "decoded": self.decoded}
        return {**told, "outcomes": dict(self.outcomes)}

    @property
    def decoded(self) -> int:
        """Return how many were decoded."""
        return sum(decoding.count for decoding in self.decodings)

    @property
    def status(self) -> Status:
        """Return the exit status."""
        return Status.QUARANTINED if self.failed else Status.DONE

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


def planned(paths: Iterable[Path], tally: Tally, *, decodes: bool) -> list[Group]:
    """Look at each file's beginning; count what is no instance."""
    by_class: dict[str, list[Path]] = {}
    kinds: dict[sending.Kind, None] = {}
    for path in paths:
        tally.expect(path)
        try:
            kind = sending.kind_of(path)
        except BadInput as error:
            tally.add(path, error.reason.value, ok=False)
            continue
        kinds[kind] = None
        by_class.setdefault(kind.sop_class, []).append(path)
    groups = []
    for proposals in sending.storing(kinds, transcodes=decodes):
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
    decoding = tally.decoding() if tally.decoding else None
    tally.decodings += [decoding] if decoding else []
    while paths:
        try:
            async with connect(peer, proposals) as association:
                await _send_over(association, paths, tally, decoding)
        except _AbortedError as aborted:
            tally.add(aborted.path, Reason.PEER_ABORTED.value, ok=False)


async def _send_over(association: Client, paths: deque[Path], tally: Tally, decoding: Decoding | None) -> None:
    while paths:
        path = paths.popleft()
        try:
            tally.stored(path, await association.store(path, transcode=decoding, limits=tally.limits))
        except Unavailable as error:
            if error.reason is not Reason.PEER_ABORTED:
                raise
            raise _AbortedError(path) from None


class _AbortedError(Exception):
    """The peer aborted the association over this instance."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
