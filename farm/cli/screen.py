"""What people see: results on standard output, everything else on standard error.

Colours and moving bars appear on a terminal alone. Log lines go through the console of the progress bar, so that
neither writes over the other, and only the farm's own loggers may write: a library's message can carry a value.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_WIDE = 1_000_000
"""Columns where no terminal tells its own width: lines for a program to read are neither folded nor cut."""
_OURS = ("farm", "scheduler", "workers")


def tell(line: str, style: str = "") -> None:
    """Write a line of the result to standard output."""
    Console(highlight=False).print(Text(line, style=style), soft_wrap=True)


def tell_rows(head: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> None:
    """Write rows under a heading (none if it is empty) to standard output, the columns `right` aligned to the right."""
    table = Table(box=None, pad_edge=False, show_header=any(head), header_style="bold")
    for at, title in enumerate(head):
        # A value too wide for the screen is folded: a UID that was cut is worth nothing.
        table.add_column(title, justify="right" if at in tuple(right) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    plain = Console(highlight=False, width=_WIDE)
    with plain.capture() as captured:
        plain.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


words = Console(stderr=True, highlight=False)
"""The console of standard error."""


def say(line: str) -> None:
    """Write a line for people to standard error."""
    words.print(Text(line), soft_wrap=True)


def emit(value: Mapping[str, object]) -> None:
    """Write one JSON object to standard output."""
    click.echo(json.dumps(value))


def shown(path: Path) -> str:
    """Return a path, as the user gave it, in characters that any terminal takes."""
    return click.format_filename(path)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


class _ToWords(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line; never its traceback."""
        words.print(Text(f"{record.levelname.lower()}: {record.getMessage()}", style="dim"), soft_wrap=True)


def show_log(level: str) -> None:
    """Let the farm's own loggers write to standard error from this level on, and no others."""
    logging.getLogger().addHandler(logging.NullHandler())
    handler = _ToWords()
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]
        logger.propagate = False
