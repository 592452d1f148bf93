"""`farm transcode`: a file or a folder into another transfer syntax, in a pool of processes, without any server.

Nothing is de-identified, and no word of the summary suggests it: instances that cannot be transcoded are *refused*, not
quarantined.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from farm.cli import account, screen
from farm.cli.carrying import STALE, Ended, carry_out, is_exact
from farm.cli.coding_options import check_written, how_options, options_of, syntax_option
from farm.cli.failed import failed_option
from farm.cli.options import PLACE, jobs_option, json_option, settings_with
from farm.cli.transcode_batch import LOSSY, Order
from farm.errors import MEANING, Reason
from farm.stores import Mirror
from farm.stores.mirror import refuse_projects
from farm.transcoding.plan import RULES, Action
from farm.transcoding.targets import TARGETS, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.cli.statuses import Status

_MEANING = MEANING | {Reason.CONFLICT: "Something else has its name in the destination already."}
_ACTIONS = ((Action.ENCODE, "encoded"), (Action.REWRITE, "rewritten"), (Action.COPY, "copied"))


@click.command(epilog=f"Names of transfer syntaxes: {', '.join(TARGETS)}.")
@click.argument("source", metavar="SRC", type=PLACE)
@click.argument("destination", metavar="DST", type=PLACE)
@syntax_option
@jobs_option
@how_options
@click.option("--again", is_flag=True, help="Code lossily what was lossy already, and take video apart.")
@click.option("--refuse", is_flag=True, help="Refuse what cannot be had in the transfer syntax, instead of copying it.")
@click.option("--no-proof", is_flag=True, help="Do not decode again, and compare, what was encoded.")
@click.option("--strict", is_flag=True, help="End with status 3 if anything is refused.")
@failed_option
@json_option
def transcode(  # noqa: PLR0913 - one for each option
    *,
    source: Path,
    destination: Path,
    syntax: str,
    jobs: int | None,
    again: bool,
    refuse: bool,
    no_proof: bool,
    strict: bool,
    failed: Path | None,
    as_json: bool,
    **how: float | None,
) -> Status:
    """Write the instances of the folder or file SRC to DST in another transfer syntax.

    This does not de-identify: whatever SRC shows of a patient, DST shows too, names of files and folders included.

    DST gets the relative paths and names of SRC; where SRC is a file, DST is a folder, or the name of a .dcm file. What
    is in DST already is left as it is. What is lossless is proved, frame by frame. What cannot be had in the transfer
    syntax, or was lossy already and would lose more, is copied in its own; what is not a sound instance is refused.

    A lossy copy gets a SOP Instance UID of its own: references to it, as in reports, still name the original.
    """
    wanted = Wanted(syntax=syntax, options=options_of(syntax, how), again=again, refuse=refuse, prove=not no_proof)
    order = Order(
        settings=settings_with(workers=jobs),
        source=source,
        destination=destination,
        exact=is_exact(source, destination),
        wanted=wanted,
    )
    check_written(syntax)
    ended = carry_out(order, _opened(order), failed=failed, word="refused")
    if as_json:
        screen.emit(_facts(ended, syntax))
    else:
        _tell(ended, order)
    if ended.trouble:
        screen.say(f"farm: {ended.trouble}")
    return ended.status(strict=strict or source.is_file())


@contextmanager
def _opened(order: Order) -> Iterator[None]:
    """Make the destination where it is missing, and leave nothing of the farm's own in it."""
    if order.exact:
        refuse_projects(order.destination)
        yield
        return
    mirror = Mirror(order.destination)
    mirror.make()
    mirror.sweep(STALE)
    try:
        yield
    finally:
        mirror.tidy()


def _facts(ended: Ended, syntax: str) -> dict[str, object]:
    """Return what `--json` prints."""
    tally, trouble = ended.tally, ended.trouble
    facts: dict[str, object] = {"interrupted": ended.interrupted, "trouble": trouble and trouble.reason.value}
    facts |= {"syntax": syntax, "total": ended.found, "done": tally.done}
    facts |= {name: tally.told[action] for action, name in _ACTIONS}
    facts |= {"refused": tally.quarantined.total(), "skipped": tally.skipped, "waiting": ended.found - tally.ended}
    facts |= {"lossy": tally.told[LOSSY], "input_bytes": tally.input_bytes, "output_bytes": tally.output_bytes}
    facts |= {"ratio": _ratio(ended), "rules": dict(_rules(ended))}
    facts |= {"reasons": {reason.value: count for reason, count in tally.quarantined.items()}}
    return facts | {"left_out": ended.left_out}


def _tell(ended: Ended, order: Order) -> None:
    """Print how it ended."""
    tally = ended.tally
    screen.tell(ended.title("There was nothing to do: what can be transcoded is there already."), "bold")
    ends = [(name, tally.told[action]) for action, name in _ACTIONS]
    ends += [("refused", tally.quarantined.total()), ("already there", tally.skipped)]
    if waiting := ended.found - tally.ended:
        ends.append(("waiting", waiting))
    screen.tell_rows(("", ""), [(f"  {name}", count) for name, count in ends], right=(1,))
    copied = {rule.why for rule in RULES if rule.action is Action.COPY}
    account.show_why("copied", [("", count, why) for why, count in _rules(ended) if why in copied])
    refused = [(reason.value, count, _MEANING[reason]) for reason, count in tally.quarantined.most_common()]
    account.show_why("refused", refused)
    if tally.told[LOSSY]:
        screen.tell(f"  {tally.told[LOSSY]:,} lost something, and got new SOP Instance UIDs.", "yellow")
    account.show_left_out(ended.left_out)
    sizes = f"{_megabytes(tally.input_bytes)} in, {_megabytes(tally.output_bytes)} out"
    ratio = _ratio(ended)
    facts = [("Size", f"{sizes}, {ratio:.2f} to 1" if ratio else sizes), ("Output", screen.shown(order.destination))]
    screen.tell_rows(("", ""), facts)


def _rules(ended: Ended) -> list[tuple[str, int]]:
    """Return the rules by which instances were dealt with, in the order of the table, and how many by each."""
    told = ended.tally.told
    return [(rule.why, told[rule.why]) for rule in RULES if told[rule.why]]


def _ratio(ended: Ended) -> float | None:
    """Return how many times smaller the outputs are than their sources."""
    tally = ended.tally
    return round(tally.input_bytes / tally.output_bytes, 3) if tally.output_bytes else None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
