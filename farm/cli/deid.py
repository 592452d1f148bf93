"""`farm deid`: a file or a folder through the same pipeline in a pool of processes, without any server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.account import Account, show
from farm.cli.carrying import STALE, Ended, carry_out, is_exact
from farm.cli.deid_batch import AT_RISK, Order
from farm.cli.failed import failed_option
from farm.cli.keys import make_keys
from farm.cli.options import (
    PLACE,
    jobs_option,
    json_option,
    project_option,
    recipe_option,
    settings_with,
    strict_option,
)
from farm.cli.recipe_files import chosen_recipe
from farm.errors import Reason
from farm.stores import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.cli.statuses import Status


@click.command()
@click.argument("source", metavar="SRC", type=PLACE)
@click.argument("destination", metavar="DST", type=PLACE)
@jobs_option
@recipe_option
@project_option
@strict_option
@failed_option
@json_option
def deid(  # noqa: PLR0913 - one for each option
    *,
    source: Path,
    destination: Path,
    jobs: int | None,
    recipe: str,
    project: str | None,
    strict: bool,
    failed: Path | None,
    as_json: bool,
) -> Status:
    """De-identify the folder SRC into the folder DST, or the file SRC into the folder or the .dcm file DST.

    No server is started and no ledger kept. What is in DST already is left as it is. The keys are those of `farm run`,
    so both give the same pseudonyms and UIDs.
    """
    order = Order(
        settings=settings_with(workers=jobs, project=project),
        source=source,
        destination=destination,
        exact=is_exact(source, destination),
        recipe=chosen_recipe(recipe),
    )
    ended = carry_out(order, _opened(order), failed=failed)
    if as_json:
        screen.emit(_facts(ended))
    else:
        _tell(ended, order)
    if ended.trouble:
        screen.say(f"farm: {ended.trouble}")
    return ended.status(strict=strict or source.is_file())


@contextmanager
def _opened(order: Order) -> Iterator[None]:
    """Make the key and the destination where they are missing."""
    make_keys(order.settings, "project")
    if not order.exact:
        store = LocalStore(order.destination)
        store.open(order.owner())
        store.sweep(STALE)
    yield


def _account(ended: Ended) -> Account:
    """Return the account of the command."""
    tally = ended.tally
    reasons = {reason.value: count for reason, count in tally.quarantined.items()}
    if tally.skipped:
        reasons[Reason.DUPLICATE.value] = tally.skipped
    return Account(
        total=ended.found,
        done=tally.done,
        quarantined=tally.quarantined.total(),
        skipped=tally.skipped,
        waiting=ended.found - tally.ended,
        pixels_at_risk=tally.told[AT_RISK],
        output_bytes=tally.output_bytes,
        reasons=reasons,
        left_out=ended.left_out,
    )


def _facts(ended: Ended) -> dict[str, object]:
    """Return what `--json` prints."""
    facts = {"interrupted": ended.interrupted, "trouble": ended.trouble and ended.trouble.reason.value}
    return facts | _account(ended).to_dict()


def _tell(ended: Ended, order: Order) -> None:
    """Print how it ended."""
    title = ended.title("There was nothing to do: what can be de-identified is there already.")
    show(title, _account(ended))
    facts = [("Output", screen.shown(order.destination)), ("Key", screen.shown(order.settings.project_key_path))]
    screen.tell_rows(("", ""), facts)
