"""`farm`: finds the subcommand, and turns whatever ends it into one line and an exit status.

Subcommands are entry points (group `farm.commands`) and are loaded only when they are called, so `farm --help` does not
import a database driver. An error of the farm is one line on standard error. Of any other exception only its class and
its place in the code are told, because its text may carry a value or a path. With `--json` what ended the command is
one object on standard output too, in place of the one that it would have printed.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import click

from farm import __version__
from farm.cli.statuses import MEANING, Status, status_of
from farm.errors import FarmError, Reason, place_of
from farm.settings import strangers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.metadata import EntryPoint

# What `farm --help` says of the commands that ship with the farm, in the order in which a newcomer meets them.
SUMMARIES = {
    "demo": "De-identify real instances, to see the farm at work.",
    "run": "De-identify a folder through the farm; go on where it was left.",
    "scp": "Receive instances by C-STORE and de-identify them.",
    "harvest": "Fetch the studies of a list from a PACS, and prove them complete.",
    "deid": "De-identify a file or a folder without any server.",
    "transcode": "Write a file or a folder in another transfer syntax; does not de-identify.",
    "status": "Show the runs, or how one stands.",
    "quarantine": "List what is quarantined, look at it, or try it again.",
    "verify": "Read a run's outputs again, and say what is not as it was released.",
    "manifest": "Write a run's manifest: one row for each instance.",
    "codecs": "Show which transfer syntaxes are read and written, and by what.",
    "recipe": "Show, explain, compare and import recipes.",
    "subjects": "Import, list or export which pseudonym stands for whom.",
    "lookup": "Tell what a pseudonym or a new UID was before.",
    "echo": "Verify that a DICOM peer answers.",
    "find": "Query a DICOM peer.",
    "get": "Retrieve instances from a DICOM peer, as they are.",
    "move": "Have a DICOM peer send instances elsewhere.",
    "store": "Send instances to a DICOM peer.",
    "up": "Keep the farm on: servers, worker and Flower.",
    "down": "Stop what `farm up --background` has started.",
}


class Commands(click.Group):
    """Subcommands by entry point, loaded when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names: those that ship with the farm in their order, then others."""
        found = _entry_points()
        return [name for name in SUMMARIES if name in found] + sorted(found.keys() - SUMMARIES.keys())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load a subcommand."""
        found = _entry_points().get(cmd_name)
        command = _loaded(found) if found else None
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands and the exit statuses, loading none that ships with the farm."""
        rows = [(name, SUMMARIES.get(name) or self._summary(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        with formatter.section("Exit statuses"):
            formatter.write_dl([(str(status.value), MEANING[status]) for status in Status])

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return command.get_short_help_str(limit=100) if command else ""


def _loaded(found: EntryPoint) -> object:
    """Import a subcommand; what is imported stays, so nobody looks through it for garbage: a sixth of the start."""
    gc.disable()
    try:
        return found.load()
    finally:
        gc.freeze()
        gc.enable()


def _entry_points() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group="farm.commands")}


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Take DICOM from folders, modalities and PACS, de-identify it to PS3.15, and account for every instance.",
    epilog="Settings are environment variables (FARM_HOME, FARM_WORKERS, ...): see the README.",
)
@click.version_option(__version__, prog_name="farm", message="%(prog)s %(version)s")
def cli() -> None:
    """Lead to the subcommands."""


def main() -> None:
    """Run the command line and end the process."""
    sys.exit(status(sys.argv[1:]))


def status(arguments: Sequence[str]) -> int:
    """Run a command line; return its exit status, whatever happens."""
    for name, nearest in strangers().items():
        tell(f"{name} is no setting of the farm{f': did you mean {nearest}?' if nearest else ''}")
    try:
        ended = cli.main(args=list(arguments), prog_name="farm", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        return Status.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; a flush at exit must not complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.FAULT
    except Exception as error:  # noqa: BLE001 - its text may carry a value
        return _failed(error, as_json="--json" in arguments)
    return ended if isinstance(ended, int) else Status.DONE


def _failed(error: Exception, *, as_json: bool) -> Status:
    """Tell what has ended a command; return its exit status."""
    status, reason, message = Status.FAULT, Reason.INTERNAL_ERROR, place_of(error)
    if isinstance(error, click.ClickException):
        error.show()
        status, reason, message = Status.USAGE, Reason.BAD_OPTION, error.format_message()
    elif isinstance(error, FarmError):
        status, reason, message = status_of(error), error.reason, str(error).partition(": ")[2]
    if status is not Status.USAGE:
        tell(f"{reason.value}: {message}")
    if as_json:
        click.echo(json.dumps({"error": {"reason": reason.value, "message": message, "status": status.value}}))
    return status


def tell(line: str) -> None:
    """Write a line to standard error."""
    click.echo(f"farm: {line}", err=True)


if __name__ == "__main__":
    main()
