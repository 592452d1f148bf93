"""`farm get`: instances from a DICOM peer into a folder, as they are."""

from __future__ import annotations

import asyncio
import os
import tempfile
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click
from blake3 import blake3

from farm.cli import screen
from farm.cli.net_options import (
    beyond_options,
    carry_out,
    ended,
    keys_option,
    level_option,
    peer_options,
    transfer_syntaxes_option,
)
from farm.cli.options import PLACE, json_option
from farm.cli.progress import Display, Standing
from farm.cli.statuses import Status
from farm.dicom import part10, syntaxes
from farm.dicom.syntaxes import TransferSyntax
from farm.errors import BadRecipe, Reason, guarded, symbol_of, unavailable
from farm.net import discovery, services
from farm.net.client import connect, getting, service
from farm.net.query import Level
from farm.net.services import PATIENT_ROOT_GET, STUDY_ROOT_GET

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.net.client import Beyond, Client, Peer
    from farm.net.query import Identifier
    from farm.net.storing import Arriving


class Folder:
    """A receiver that keeps instances under a running number and the beginning of their digest, for its owner alone."""

    def __init__(self, into: Path, kept: Callable[[int], None]) -> None:
        """Make the folder if it is not there; `kept` is told after each instance how many there are."""
        try:
            into.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BadRecipe(Reason.BAD_DESTINATION, errno=symbol_of(error)) from None
        self.into = into
        self.count = 0
        self._numbers = count(1)
        self._kept = kept

    def begin(self, arriving: Arriving) -> _File:
        """Begin one instance; its final name is known at its end."""
        return _File(self, arriving)

    def name(self, digest: str) -> Path:
        """Return the final name of the next instance."""
        return self.into / f"{next(self._numbers):06d}-{digest}.dcm"

    def keep(self) -> None:
        """Count one that is kept."""
        self.count += 1
        self._kept(self.count)


class _File:
    """One instance on its way into a folder."""

    def __init__(self, folder: Folder, arriving: Arriving) -> None:
        syntax = syntaxes.find(arriving.transfer_syntax) or TransferSyntax(uid=arriving.transfer_syntax)
        header = part10.header(syntax, arriving.sop_class.encode(), arriving.sop_instance.encode())
        self._folder = folder
        self._digest = blake3()
        with guarded():
            descriptor, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder.into)  # 0600
        self._file, self._path = os.fdopen(descriptor, "wb"), Path(name)
        self._write(header)

    def write(self, data: memoryview) -> None:
        """Write a fragment."""
        self._digest.update(data)
        self._write(data)

    async def end(self) -> int:
        """Make it durable, and give it its name; a name that is taken is this very instance's, by its digest."""
        await asyncio.to_thread(self._finish)
        self._folder.keep()
        return services.Status.SUCCESS

    def abandon(self) -> None:
        """Remove what is there of it."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _finish(self) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(self._folder.name(self._digest.hexdigest(8)))
        except OSError as error:
            self.abandon()
            raise unavailable(error) from None

    def _write(self, data: bytes | memoryview) -> None:
        with guarded():
            self._file.write(data)


@click.command()
@peer_options
@click.option("--into", metavar="DIR", type=PLACE, required=True, help="The folder for the instances.")
@level_option
@keys_option
@beyond_options
@transfer_syntaxes_option("Take instances in this private transfer syntax too; repeat.")
@json_option
def get(  # noqa: PLR0913 - one for each option
    *,
    peer: Peer,
    into: Path,
    level: Level,
    keys: Identifier,
    beyond: Beyond,
    syntaxes: tuple[str, ...],
    as_json: bool,
) -> Status:
    """Retrieve instances from a DICOM peer into a folder (C-GET).

    The instances are NOT de-identified: they are the peer's originals, readable by you alone (mode 0600). Where the
    keys are not the unique ones of the level, a query comes first, and each match is retrieved.
    """
    if not any(keys.values()):
        raise click.UsageError("Name what to retrieve by a key with a value.")
    with Display() as display:
        folder = Folder(into, lambda kept: display.show(_standing(kept)))
        asked = _Asked(level=level, keys=keys, beyond=beyond, syntaxes=syntaxes)
        failed, worst = carry_out(_retrieved(peer, folder, asked))
    if as_json:
        screen.emit({"completed": folder.count, "failed": failed, "status": worst})
    else:
        screen.tell(f"{folder.count:,} instances were retrieved, {failed:,} failed.")
    status = ended(worst)
    return Status.QUARANTINED if failed else status


def _standing(kept: int) -> Standing:
    return Standing(total=kept, counted=False, done=kept, quarantined=0, skipped=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is to be retrieved, and how."""

    level: Level
    keys: Identifier = field(repr=False)
    beyond: Beyond
    syntaxes: tuple[str, ...]


async def _retrieved(peer: Peer, folder: Folder, asked: _Asked) -> tuple[int, int]:
    """Retrieve each entity that the keys describe; return how many instances failed, and the worst status."""
    level, beyond = asked.level, asked.beyond
    async with connect(peer, service(discovery.find_model(level), beyond=beyond)) as association:
        targets = await discovery.targets(association, level, asked.keys, relational=beyond.relational)
        classes: set[str] = set()
        for target in targets:
            classes |= await discovery.sop_classes(association, level, target)
    model = PATIENT_ROOT_GET if level is Level.PATIENT else STUDY_ROOT_GET
    failed, worst = 0, int(services.Status.SUCCESS)
    if targets:
        proposals = getting(model, sorted(classes) or None, private=asked.syntaxes, beyond=beyond)
        async with connect(peer, proposals) as association:
            for target in targets:
                count_failed, status = await _one(association, model, level, target, folder)
                failed, worst = failed + count_failed, max(worst, status)
    return failed, worst


async def _one(association: Client, model: str, level: Level, target: Identifier, folder: Folder) -> tuple[int, int]:
    retrieval = association.get(model, level, target, folder)
    status = await retrieval.complete()
    return retrieval.progress.failed or 0, status
