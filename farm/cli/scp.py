"""`farm scp`: instances that peers send by C-STORE, through the farm as they come."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import account, screen
from farm.cli.interrupt import draining
from farm.cli.keys import make_keys
from farm.cli.net_options import transfer_syntaxes_option
from farm.cli.options import PLACE, json_option, project_option, recipe_option, settings_with
from farm.cli.progress import Display, Standing
from farm.cli.recipe_files import chosen_recipe
from farm.cli.statuses import Status
from scheduler.ingest.order import PortOrder
from scheduler.ingest.service import run_scp

if TYPE_CHECKING:
    from scheduler.campaign import Summary

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def _pairs(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = [text.partition("=") for text in given]
    if not all(equals for _, equals, _ in pairs):
        raise click.BadParameter("write it as KEYWORD=VALUE")
    return tuple((keyword, value) for keyword, _, value in pairs)


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Port to listen on; 0: any free one.")
@click.option("--out", "destination", metavar="DIR", type=PLACE, required=True, help="Output folder.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Address to listen on.")  # noqa: S104 - peers are elsewhere
@click.option(
    "--ae-title", "titles", multiple=True, metavar="TITLE", help="Called title to answer to; repeat.  [default: any]"
)
@click.option(
    "--allow",
    "peers",
    multiple=True,
    metavar="PEER",
    help="AETITLE[@ADDRESS[/BITS]][#SHA256]; repeat.  [default: anybody]",
)
@click.option(
    "--only", multiple=True, callback=_pairs, metavar="KEYWORD=VALUE", help="Refuse others before their pixels; repeat."
)
@click.option("--private", is_flag=True, help="Take SOP classes that the standard does not know.")
@transfer_syntaxes_option("Take this private transfer syntax too; repeat.")
@click.option(
    "--users", type=_FILE, metavar="FILE", help="Who may come: NAME or NAME:PASSCODE a line.  [default: anybody]"
)
@click.option(
    "--report-to",
    "report_to",
    multiple=True,
    metavar="AET@HOST:PORT",
    help="Where a peer that hangs up gets its report on storage commitment; repeat.",
)
@click.option("--processes", type=click.IntRange(min=1), help="Receiving processes.  [default: half the processors]")
@click.option(
    "--max-associations", type=click.IntRange(min=0), default=64, show_default=True, help="Of one peer; 0: any."
)
@click.option(
    "--max-per-address",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    help="Associations of one address, whatever their titles; 0: any.",
)
@click.option(
    "--max-connections", type=click.IntRange(min=1), default=512, show_default=True, help="Of each receiving process."
)
@click.option(
    "--max-pdu", type=click.IntRange(4096, 1 << 20), default=131_072, show_default=True, help="Largest PDU, in bytes."
)
@click.option(
    "--idle",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="An idle association ends.",
)
@click.option(
    "--least-rate",
    type=click.IntRange(min=0),
    default=1024,
    show_default=True,
    metavar="BYTES",
    help="A second; an instance that lags behind it by the idle time ends its association. 0: any.",
)
@click.option(
    "--longest",
    type=click.IntRange(min=0),
    default=86_400,
    show_default=True,
    metavar="SECONDS",
    help="Of an association; then it ends between two requests. 0: any.",
)
@click.option("--tls-cert", type=_FILE, help="PEM file of this side's certificate: listen by TLS.")
@click.option("--tls-key", type=_FILE, help="PEM file of its key, if it is another.")
@click.option("--tls-ca", type=_FILE, help="PEM file of the authorities whose client certificates are required.")
@recipe_option
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
@project_option
@json_option
def scp(  # noqa: PLR0913 - one for each option
    *,
    port: int,
    destination: Path,
    host: str,
    titles: tuple[str, ...],
    peers: tuple[str, ...],
    only: tuple[tuple[str, str], ...],
    private: bool,
    syntaxes: tuple[str, ...],
    users: Path | None,
    report_to: tuple[str, ...],
    processes: int | None,
    max_associations: int,
    max_per_address: int,
    max_connections: int,
    max_pdu: int,
    idle: int,
    least_rate: int,
    longest: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    recipe: str,
    workers: int | None,
    project: str | None,
    as_json: bool,
) -> Status:
    """Receive instances by C-STORE and de-identify them into a folder, until Ctrl-C.

    Success is answered once an instance is on the disk and in the ledger, so that it cannot be lost any more. What is
    not done when the command ends goes on with the same command. Storage commitment is answered too.
    """
    settings = settings_with(workers=workers, project=project)
    order = PortOrder(
        processes=processes or max(1, (os.cpu_count() or 2) // 2),
        ae_titles=titles,
        peers=peers,
        only=only,
        private=private,
        syntaxes=syntaxes,
        users=_absolute(users),
        report_to=report_to,
        max_pdu=max_pdu,
        max_associations=max_associations,
        max_per_address=max_per_address,
        max_connections=max_connections,
        idle_seconds=idle,
        least_rate=least_rate,
        longest_seconds=longest,
        certificate=_absolute(tls_cert),
        key=_absolute(tls_key),
        authority=_absolute(tls_ca),
    )
    chosen = chosen_recipe(recipe)
    make_keys(settings, "project", "vault")
    screen.show_log("WARNING")

    def on_listening(taken: int) -> None:
        screen.say(f"Receiving on port {taken}. Ctrl-C ends it.")

    with Display() as display, draining() as stop:
        summary = run_scp(
            settings,
            destination,
            chosen,
            order,
            (host, port),
            on_listening=on_listening,
            on_progress=lambda progress: display.show(Standing.of(progress, endless=True)),
            stop=stop,
        )
    if as_json:
        screen.emit(_facts(summary))
    else:
        _tell(summary, destination)
    return Status.AWAY if summary.trouble else Status.DONE


def _absolute(path: Path | None) -> str:
    return str(path.absolute()) if path else ""


def _facts(summary: Summary) -> dict[str, object]:
    trouble = summary.trouble
    facts = {"run": summary.run_id, "state": summary.progress.state, "trouble": trouble and trouble.value}
    return facts | account.Account.of(summary.progress, {}).to_dict()


def _tell(summary: Summary, destination: Path) -> None:
    waiting = summary.progress.total - summary.progress.ended
    title = f"Run {summary.run_id} has stopped receiving."
    account.show(
        title + (" The same command goes on with what waits." if waiting else ""),
        account.Account.of(summary.progress, {}),
    )
    facts = [("Output", screen.shown(destination)), ("Look at", f"farm status {summary.run_id}")]
    screen.tell_rows(("", ""), facts)
