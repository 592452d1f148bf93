"""What people see: results on standard output, everything else on standard error.

Colours and moving bars appear on a terminal alone. Log lines go through the console of the progress bar, so that
neither writes over the other, and only the farm's own loggers may write: a library's message can carry a value.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Literal

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

_WIDE = 1_000_000
"""Columns where no terminal tells its own width: lines for a program to read are neither folded nor cut."""
_GAP = 2
"""Columns of the screen between two of a table."""
_LEAST = 10
"""Columns of the screen in which a text that is folded can still be read."""
_OURS = ("farm", "scheduler", "workers")


def tell(line: str, style: str = "") -> None:
    """Write a line of the result to standard output."""
    Console(highlight=False).print(Text(line, style=style), soft_wrap=True)


def tell_rows(head: Sequence[str], values: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> None:
    """Write rows under a heading (none if it is empty) to standard output, the columns `right` aligned to the right."""
    cells = [tuple(map(_cell, row)) for row in values]
    console = Console(highlight=False)
    whole = _whole(head, cells, console.width) if console.is_terminal else frozenset()
    table = Table(box=None, pad_edge=False, show_header=any(head), header_style="bold")
    for at, title in enumerate(head):
        # A value too wide for the screen is folded: a UID that was cut is worth nothing.
        justify: Literal["left", "right"] = "right" if at in tuple(right) else "left"
        table.add_column(title, justify=justify, overflow="fold", no_wrap=at in whole)
    for row in cells:
        table.add_row(*map(Text, row))
    if console.is_terminal:
        console.print(table)
        return
    plain = Console(highlight=False, width=_WIDE)
    with plain.capture() as captured:
        plain.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _whole(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> frozenset[int]:
    """Return the columns that need not be folded: all but the widest, if that has room enough beside them then."""
    widths = [max(map(cell_len, column)) for column in zip(head, *rows, strict=False)]
    widest = max(range(len(widths)), key=widths.__getitem__)
    rest = sum(widths) - widths[widest] + _GAP * (len(widths) - 1)
    return frozenset(range(len(widths))) - {widest} if width - rest >= _LEAST else frozenset()


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


def minute(moment: datetime) -> str:
    """Return a time as the clock on the wall shows it here."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


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
