"""JPEG 2000 on a device against all cores of this machine: `python -m tests.bench.gpu [--json FILE] [--quick]`.

The same frames go both ways, by the same jobs, proof included, from bitstream to bitstream: what a device would save in
a farm, and not what it could do if nothing had to be brought to it. MB/s are of samples as they are stored. Without a
device the processor's figures are printed, and why there are no others.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from farm.codecs import nvjpeg2000, registry, uids
from farm.codecs.nvjpeg2000 import Device
from farm.dicom.syntaxes import EXPLICIT_LITTLE
from farm.frames.codec import Options
from farm.frames.layout import Layout
from farm.frames.work import Job
from farm.transcoding.frames import worked
from tests.suites.codec_suite import layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farm.frames.layout import Samples

SETS = {
    "CT 512x512 12 bits": layout_of(12, (512, 512), "MONOCHROME2"),
    "MR 256x256 12 bits": layout_of(12, (256, 256), "MONOCHROME2"),
    "DX 2500x2048 14 bits": layout_of(14, (2500, 2048), "MONOCHROME2"),
    "MG 4096x3328 12 bits": layout_of(12, (4096, 3328), "MONOCHROME2"),
    "US 480x640 RGB": layout_of(8, (480, 640), "RGB"),
}
WORKS = {
    "decode J2K": (uids.J2K_LOSSLESS, EXPLICIT_LITTLE),
    "encode J2K": (EXPLICIT_LITTLE, uids.J2K_LOSSLESS),
    "encode HTJ2K": (EXPLICIT_LITTLE, uids.HTJ2K_RPCL),
    "J2K to HTJ2K": (uids.J2K_LOSSLESS, uids.HTJ2K_RPCL),
}
BATCHES = (1, 8, 32, 128)
_MOST_BYTES = 1 << 30
_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement; `batch` 0 is all cores of the processor."""

    set: str
    work: str
    batch: int
    megabytes_per_second: float
    handed_back: int = 0


def scene(layout: Layout, seed: int) -> Samples:
    """Return a frame that compresses as images of that kind do: fields of many sizes, and noise."""
    random, field = np.random.default_rng(seed), np.zeros((layout.rows, layout.columns), np.float32)
    for octave in range(2, 9):
        grid = random.normal(size=(2**octave + 1, 2**octave + 1)).astype(np.float32) / 2 ** (octave * 0.9)
        down, across = (np.linspace(0, 2**octave - 1e-3, side, dtype=np.float32) for side in field.shape)
        row, column = down.astype(int), across.astype(int)
        left, top = (across - column)[None], (down - row)[:, None]
        upper = grid[row][:, column] * (1 - left) + grid[row][:, column + 1] * left
        lower = grid[row + 1][:, column] * (1 - left) + grid[row + 1][:, column + 1] * left
        field += upper * (1 - top) + lower * top
    high = layout.bounds[1]
    field = (field - field.min()) / np.ptp(field) * high * 0.8 + high * 0.05
    planes = [field * part + random.normal(size=field.shape) * max(1, high / 512) for part in (1, 0.9, 0.7)]
    values = np.stack(planes, -1) if layout.samples > 1 else planes[0]
    samples: Samples = np.clip(values, 0, high).astype(layout.dtype)
    return samples


def job_of(layout: Layout, work: str) -> tuple[bytes, Job]:
    """Return a frame and what is to be done with it."""
    source, target = WORKS[work]
    encoded = registry.encoder(source).encode(scene(layout, 1), layout, Options(syntax=source))
    return encoded.data, Job(source=source, layout=encoded.changes.apply(layout), options=Options(syntax=target))


def rate(layout: Layout, frames: int, work: Callable[[], object]) -> float:
    """Return megabytes a second, the best of some rounds; the first is not counted."""
    work()
    best, until = float("inf"), time.perf_counter() + _SECONDS
    while time.perf_counter() < until or best == float("inf"):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return round(frames * layout.size / 1e6 / best, 1)


def on_processor(name: str, work: str) -> Figure:
    """Measure all cores, each with frames of its own; imagecodecs frees the interpreter."""
    frame, job = job_of(SETS[name], work)
    cores = os.cpu_count() or 1
    count = cores * (1 if SETS[name].size > 4 << 20 else 4)

    def one(_: int) -> object:
        return worked(frame, job, registry.decoder, registry.encoder)

    with ThreadPoolExecutor(cores) as pool:
        speed = rate(SETS[name], count, lambda: list(pool.map(one, range(count))))
    return Figure(set=name, work=work, batch=0, megabytes_per_second=speed)


def on_device(device: Device, name: str, work: str, batch: int) -> Figure:
    """Measure batches on a device."""
    frame, job = job_of(SETS[name], work)
    units = [(frame, job)] * batch
    back = sum(made is None for made in device.run(units))
    speed = rate(SETS[name], batch, lambda: device.run(units))
    return Figure(set=name, work=work, batch=batch, megabytes_per_second=speed, handed_back=back)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures for people: a line for each kind of image and work."""
    batches = sorted({figure.batch for figure in figures})
    lines = [f"{'':34}" + "".join(f"{f'batch {batch}' if batch else 'all cores':>12}" for batch in batches)]
    for name in SETS:
        for work in WORKS:
            row = {one.batch: one for one in figures if (one.set, one.work) == (name, work)}
            cells = (_cell(row[batch]) if batch in row else "" for batch in batches)
            if row:
                lines.append(f"{name:20} {work:13}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def _cell(figure: Figure) -> str:
    return f"{figure.megabytes_per_second:.0f}{'!' if figure.handed_back else ''}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="small images and two batch sizes")
    options = parser.parse_args()
    names = [name for name, layout in SETS.items() if not options.quick or layout.size < 1 << 20]
    why = nvjpeg2000.why_not()
    device = None if why else Device(0)
    figures = [on_processor(name, work) for name in names for work in WORKS]
    for name in names if device else ():
        for batch in BATCHES[::2] if options.quick else BATCHES:
            if device and batch * SETS[name].size <= _MOST_BYTES:
                figures += [on_device(device, name, work, batch) for work in WORKS]
    cores = f"{os.cpu_count()} cores, {registry.decoder(uids.J2K).library} {registry.decoder(uids.J2K).version}"
    print(f"MB/s of samples; {device.codec if device else f'no device: {why}'}; {cores}; !: handed back")
    print(table(figures))
    if options.json:
        told = {"device": device.codec if device else None, "why_not": why, "processor": cores}
        options.json.write_text(json.dumps(told | {"figures": [asdict(one) for one in figures]}, indent=1))


if __name__ == "__main__":
    main()
