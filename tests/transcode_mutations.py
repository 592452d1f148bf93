"""Transcode instances that were changed at random, in their own process: `python -m tests.transcode_mutations COUNT`.

It ends with status 0 where every instance was transcoded or refused by code, and what was transcoded can be opened
again. A crash of the process is the one thing that it cannot tell but by its status; the last seed that it wrote is the
one. The tests' folder has to be on the path; a second number is the first seed.
"""

from __future__ import annotations

import resource
import sys
import warnings
from collections.abc import Callable

import numpy as np
import trees

from farm.dicom.part10 import Limits
from farm.errors import BadInput
from farm.transcoding import instance
from farm.transcoding.targets import TARGETS
from tests import images
from tests.codec_mutations import mutated
from tests.images import BYTE, COLOUR, GREY, Image

_MEMORY = 4 << 30
WANTED = ("native", "deflated", "rle", "htj2k-lossless", "jpeg-ls-lossless", "jpeg-xl-jpeg", "jpeg-baseline", "j2k")
_LIMITS = Limits(inflated_bytes=1 << 24)


def healthy() -> list[bytes]:
    """Return instances of every kind: native in four ways, compressed, with tables, items, overlays and without."""
    single = images.replace(BYTE, bits_allocated=1, bits_stored=1, high_bit=0, rows=5, columns=3)
    found = [
        Image(layout=layout, frames=images.noise(layout, 2), name=name).file(*extra())
        for layout in (GREY, COLOUR, single)
        for name in ("explicit", "implicit", "big", "deflated")
    ]
    for name in (*images.LOSSLESS[2:], *images.LOSSY):
        layout = (
            images.replace(BYTE, bits_allocated=16, bits_stored=12, high_bit=11) if name == "jpeg-extended" else BYTE
        )
        streams, after = images.coded(name, layout, images.slope(layout, 2))
        found.append(images.encapsulated(TARGETS[name], after, streams, *extra(), count=2))
    return found


def extra() -> list[trees.Element]:
    """Return elements that are looked at, and some to pass over."""
    return [
        trees.text(0x00080008, b"ORIGINAL\\PRIMARY"),
        trees.text(0x00282110, b"00"),
        trees.sequence(0x00400275, [trees.text(0x00280106, b"\1\0", "US")], undefined=True),
        trees.text(0x60000102, b"\0\0", "US"),
        trees.text(0x7FE00001, bytes(16), "OV"),
    ]


def changed(data: bytes, random: np.random.Generator) -> bytes:
    """Return a file with its data set changed; now and then an element's length or value alone."""
    start = 144 + int.from_bytes(data[140:144], "little")
    start -= 20 if random.random() < 0.1 else 0
    body = data[start:]
    pick: list[Callable[[], bytes]] = [
        lambda: mutated(body, random),
        lambda: _valued(body, random),
        lambda: body[: int(random.integers(0, len(body)))],
    ]
    return data[:start] + pick[int(random.choice(3, p=[0.4, 0.5, 0.1]))]()


def _valued(body: bytes, random: np.random.Generator) -> bytes:
    """Return a data set with another number in one of the attributes that describe the pixels."""
    tag = int(random.choice([2, 4, 6, 8, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103]))
    for mark in (bytes((0x28, 0, tag & 0xFF, tag >> 8)), bytes((0, 0x28, tag >> 8, tag & 0xFF))):
        at = body.find(mark)
        if at >= 0:
            value = int(random.choice([0, 1, 2, 3, 7, 8, 15, 16, 17, 32, 64, 255, 0x3130, 0xFFFF])).to_bytes(
                2, "little"
            )
            return body[: at + 8] + value + body[at + 10 :]
    return mutated(body, random)


def main() -> int:
    """Transcode as many changed instances as are asked for; return the exit status."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("error")
    sources, refused = healthy(), 0
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        data = changed(sources[seed % len(sources)], random)
        name = str(random.choice(WANTED))
        print(seed, name, file=sys.stderr, flush=True)
        try:
            made = images.to(data, name, again=bool(random.integers(2)))
        except BadInput:
            refused += 1
            continue
        again = instance.opened(made, images.wanted(""), _LIMITS)
        if not again.source.syntax.uid or (made[:132] != bytes(128) + b"DICM" and made != data):
            print(f"seed {seed}: an output that is none")
            return 1
    print(f"{count} transcoded or refused, {refused} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
