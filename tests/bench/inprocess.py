"""What `farm deid` does for each instance, as a contender: read, process with both digests, write by the new name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from blake3 import blake3

from farm.deid.keys import ProjectKey
from farm.pipeline import KeyedMapping, Product, draft, finished, process
from farm.recipe.recipe import Recipe, preset

_MOST_BUFFERS = 1000


def deidentify(name: str = "basic", *, gated: bool = True) -> Callable[[Sequence[Path], Path], None]:
    """Return the work on a folder, with a preset and a fixed key; `gated`: the release gate looks at each output."""
    recipe = preset(name)
    mapping = KeyedMapping(ProjectKey(bytes(range(32))))
    one = process if gated else _ungated

    def work(sources: Sequence[Path], folder: Path) -> None:
        for source in sources:
            product = one(_read(source), recipe, mapping)
            _write(folder / product.report.path, product.segments)

    return work


def _ungated(data: bytes, recipe: Recipe, mapping: KeyedMapping) -> Product:
    """Return what `process` does, but for the release gate, which no setting switches off."""
    return finished(draft(data, recipe, mapping), blake3(data).hexdigest())


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _write(path: Path, segments: Sequence[bytes | memoryview]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o644)
    try:
        for start in range(0, len(segments), _MOST_BUFFERS):
            os.writev(descriptor, segments[start : start + _MOST_BUFFERS])
    finally:
        os.close(descriptor)
