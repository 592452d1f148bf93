"""`farm codecs`: what reads and writes the pixels of each transfer syntax."""

from __future__ import annotations

from dataclasses import asdict

import click

from farm.cli import screen
from farm.cli.options import json_option
from farm.codecs import registry
from farm.codecs.registry import Row

HEAD = ("syntax", "name", "decode", "encode", "device", "writes")


@click.command()
@json_option
def codecs(*, as_json: bool) -> None:
    """Show which transfer syntaxes are read and written, and by what."""
    rows = registry.table()
    versions = {codec.library: codec.version for codec in registry.CODECS}
    if as_json:
        screen.emit({"codecs": [asdict(row) for row in rows], "libraries": versions})
        return
    screen.tell_rows(HEAD, map(cells, rows))
    screen.say(", ".join(f"{library} {version}" for library, version in versions.items()))


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as it is shown, here and in the README."""
    return (row.uid, row.name, row.decoder or "no", row.encoder or "no", row.device, _written(row))


def _written(row: Row) -> str:
    if row.claim is None:
        return ""
    least, most = row.claim.bits
    return (
        f"{least} to {most} bits{', signed too' if row.claim.signed else ''}{'' if row.claim.lossless else '; lossy'}"
    )
