"""`farm manifest`: one row for each instance of a run that has ended."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.options import json_option, settings_with
from farm.cli.tables import database, ledger_in
from farm.stores.manifest import write_jsonl
from farm.stores.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_WRITERS: dict[str, Callable[[Iterable[Mapping[str, object]], Path], int]] = {
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}


@click.command()
@click.argument("run_id", metavar="RUN", type=int)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    required=True,
    help="The file to write; `-`: standard output.",
)
@click.option("--format", "format_", type=click.Choice(list(_WRITERS)), help="[default: by the file's suffix]")
@json_option
def manifest(*, run_id: int, out: Path, format_: str | None, as_json: bool) -> None:
    """Write one row for each instance of the run RUN that has ended, as JSON Lines or Parquet."""
    printed = str(out) == "-"
    write = _WRITERS.get(format_ or ("jsonl" if printed else out.suffix.removeprefix(".").lower()))
    if write is None:
        raise click.UsageError(f"Name a file that ends in .{' or .'.join(_WRITERS)}, or give --format.")
    if printed and as_json:
        raise click.UsageError("--json prints on standard output too: name a file.")
    if not out.parent.is_dir():
        raise click.UsageError("The folder of --out does not exist.")
    settings = settings_with()
    with database(settings) as connection:
        ledger = ledger_in(connection, settings)
        ledger.run(run_id)
        if printed:
            _print(lambda path: write(ledger.manifest(run_id), path))
            return
        count = write(ledger.manifest(run_id), out)
    if as_json:
        screen.emit({"run": run_id, "rows": count})
    else:
        screen.tell(f"{count:,} rows in {screen.shown(out)}")


def _print(write: Callable[[Path], int]) -> None:
    """Print what is written to a file, all of it or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest"
        write(path)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
