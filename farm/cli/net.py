"""`farm echo`, `farm find` and `farm move`: what is asked of a DICOM peer and brings no instance here.

Values go to standard output and nowhere else.
"""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.net_options import beyond_options, carry_out, ended, keys_option, level_option, name_of, peer_options
from farm.cli.options import json_option
from farm.cli.statuses import Status
from farm.net import discovery, query, services
from farm.net.client import connect, service
from farm.net.query import Level
from farm.net.services import PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.net.client import Beyond, Peer
    from farm.net.query import Identifier

_SHOWN = {
    Level.PATIENT: ("PatientID", "PatientName", "PatientBirthDate"),
    Level.STUDY: ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber", "ModalitiesInStudy"),
    Level.SERIES: ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription"),
    Level.IMAGE: ("SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}
"""What is asked for where no key without a value says what is wanted."""


@click.command()
@peer_options
@json_option
def echo(*, peer: Peer, as_json: bool) -> Status:
    """Verify that a DICOM peer answers (C-ECHO)."""

    async def verify() -> int:
        async with connect(peer) as association:
            return await association.echo()

    answer = carry_out(verify())
    status = ended(answer)
    if as_json:
        screen.emit({"peer": peer.ae_title, "status": answer})
    elif status is Status.DONE:
        screen.tell(f"{peer.ae_title} answers.")
    return status


@click.command()
@peer_options
@level_option
@keys_option
@beyond_options
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N matches.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@json_option
def find(  # noqa: PLR0913 - one for each option
    *,
    peer: Peer,
    level: Level,
    keys: Identifier,
    beyond: Beyond,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> Status:
    """Query a DICOM peer (C-FIND).

    A key without a value is returned. Without any, the usual attributes of the level are.
    """
    asked = dict.fromkeys(discovery.UNIQUE[level], "")
    if all(keys.values()):
        asked |= dict.fromkeys(map(query.tag_of, _SHOWN[level]), "")
    asked |= keys

    async def matches() -> tuple[list[Identifier], int | None]:
        model = discovery.find_model(level)
        async with connect(peer, service(model, beyond=beyond)) as association:
            finds = association.find(model, {**asked, query.LEVEL: level.value}, limit=limit)
            return [match async for match in finds], finds.status

    found, status = carry_out(matches())
    _show(found, list(asked), status=status, as_csv=as_csv, as_json=as_json)
    return ended(status)


def _show(found: Iterable[Identifier], tags: list[int], *, status: int | None, as_csv: bool, as_json: bool) -> None:
    names = [name_of(tag) for tag in tags]
    rows = [[match.get(tag, "") for tag in tags] for match in found]
    if as_json:
        screen.emit({"status": status, "matches": [dict(zip(names, row, strict=True)) for row in rows]})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
    elif rows:
        screen.tell_rows(names, rows)
    else:
        screen.say("No match.")


@click.command()
@peer_options
@click.option("--to", "destination", metavar="AET", required=True, help="Where to: a title that the peer knows.")
@level_option
@keys_option
@beyond_options
@json_option
def move(  # noqa: PLR0913 - one for each option
    *, peer: Peer, destination: str, level: Level, keys: Identifier, beyond: Beyond, as_json: bool
) -> Status:
    """Have a DICOM peer send instances to an application entity (C-MOVE).

    Where the keys are not the unique ones of the level, a query comes first, and each match is moved.
    """
    if not any(keys.values()):
        raise click.UsageError("Name what to move by a key with a value.")

    async def moved() -> list[tuple[int, int, int]]:
        model = PATIENT_ROOT_MOVE if level is Level.PATIENT else STUDY_ROOT_MOVE
        done = []
        async with connect(peer, service(model, discovery.find_model(level), beyond=beyond)) as association:
            for target in await discovery.targets(association, level, keys, relational=beyond.relational):
                retrieval = association.move(model, level, target, destination)
                status = await retrieval.complete()
                progress = retrieval.progress
                done.append((status, progress.completed or 0, progress.failed or 0))
        return done

    done = carry_out(moved())
    completed, failed = sum(one[1] for one in done), sum(one[2] for one in done)
    worst = max((one[0] for one in done), default=services.Status.SUCCESS)
    if as_json:
        screen.emit({"entities": len(done), "completed": completed, "failed": failed, "status": worst})
    else:
        screen.tell(f"{len(done):,} found: {completed:,} instances were moved, {failed:,} failed.")
    status = ended(worst)
    return Status.QUARANTINED if failed else status
