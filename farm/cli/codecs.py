"""`farm codecs`: what reads and writes the pixels of each transfer syntax."""

from __future__ import annotations

from dataclasses import asdict

import click

from farm.cli import screen
from farm.cli.options import json_option
from farm.codecs import nvjpeg2000, registry, uids
from farm.codecs.nvlibrary import LIBRARY
from farm.codecs.registry import Row
from scheduler.devices import Devices, look

HEAD = ("syntax", "name", "decode", "encode", "device", "writes")


@click.command()
@json_option
def codecs(*, as_json: bool) -> None:
    """Show which transfer syntaxes are read and written, and by what."""
    devices = look()
    rows, others = registry.table(), on_devices(devices)
    versions = {codec.library: codec.version for codec in registry.CODECS if codec.version}
    if as_json:
        told = {"codecs": [asdict(row) for row in others], "devices": [asdict(one) for one in devices.found]}
        screen.emit({"codecs": [asdict(row) for row in rows], "libraries": versions, "gpu": told})
        return
    rows += others
    screen.tell_rows(HEAD, map(cells, rows))
    for why in dict.fromkeys(row.why for row in rows if row.why):
        screen.say(f"{', '.join(row.uid for row in rows if row.why == why)}: {why}")
    screen.say(", ".join(f"{library} {version}" for library, version in versions.items()))
    for device in devices.found:
        screen.say(f"gpu {device.index}: {device.name}, {device.memory_bytes >> 20} MiB")


def on_devices(devices: Devices) -> list[Row]:
    """Return what a device of this machine reads and writes; where there is none, that nothing does, and why."""
    library, why = (LIBRARY, "") if devices.found else ("", f"no device: {devices.why_not}")
    return [
        Row(
            uid=uid,
            name=uids.NAMES[uid],
            decoder=library,
            encoder=library,
            device="gpu",
            claim=claim if library else None,
            why=why,
        )
        for uid, claim in nvjpeg2000.CLAIMS.items()
    ]


def cells(row: Row) -> tuple[str, ...]:
    """Return a row as it is shown, here and in the README."""
    return (row.uid, row.name, row.decoder or "no", row.encoder or "no", row.device, _written(row))


def _written(row: Row) -> str:
    if row.claim is None:
        return ""
    least, most = row.claim.bits
    parts = (
        f"{least} to {most} bits",
        ", signed too" if row.claim.signed else "",
        f"; {row.claim.allocated} or more allocated" if row.claim.allocated > 1 else "",
        "" if row.claim.lossless else "; lossy",
    )
    return "".join(parts)
