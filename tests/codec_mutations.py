"""Decode frames that were changed at random, in a process of its own: `python -m tests.codec_mutations COUNT [SEED]`.

It ends with status 0 where every frame was decoded or refused by code, and tells the seed of the one that was not. A
crash of the process is the one thing that it cannot tell but by its status; the last seed that it wrote is the one.
"""

from __future__ import annotations

import resource
import sys

import numpy as np

from farm.codecs import registry, uids, video
from farm.errors import BadInput
from farm.frames.codec import Options
from farm.frames.layout import Layout
from tests.suites.codec_suite import layout_of, picture

_MEMORY = 4 << 30
SYNTAXES = [
    row.uid
    for row in registry.table()
    if row.encoder and row.uid not in registry.native.LITTLE.decodes and not video.is_video(row.uid)
]


def frames() -> list[tuple[str, bytes, Layout]]:
    """Return healthy frames of every syntax, with the layout to decode them by."""
    made = []
    for syntax in SYNTAXES:
        codec = registry.encoder(syntax)
        claim = codec.encodes[syntax]
        for bits in {claim.bits[0], min(12, claim.bits[1]), min(16, claim.bits[1])}:
            for colours in ("MONOCHROME2", "RGB"):
                if colours not in claim.colours:
                    continue
                layout = layout_of(bits, (40, 33), colours, signed=claim.signed and bits == 12)
                encoded = codec.encode(picture(layout), layout, Options(syntax=syntax))
                made.append((syntax, encoded.data, encoded.changes.apply(layout)))
    return made


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """Return a frame with some bytes changed, cut out, doubled, or cut off; headers are hit as often as the rest."""
    changed = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        reach = min(len(changed), 120) if random.random() < 0.5 else len(changed)
        at = int(random.integers(0, max(1, reach)))
        kind = random.random()
        if kind < 0.6 and changed:
            changed[at % len(changed)] = int(random.integers(0, 256))
        elif kind < 0.75:
            del changed[at : at + int(random.integers(1, 30))]
        elif kind < 0.9:
            changed[at:at] = changed[at : at + int(random.integers(1, 30))]
        else:
            del changed[max(1, at) :]
    return bytes(changed)


def main() -> int:
    """Decode as many changed frames as are asked for; return the exit status."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    healthy, refused = frames(), 0
    for seed in range(first, first + count):
        random = np.random.default_rng(seed)
        syntax, data, layout = healthy[seed % len(healthy)]
        print(seed, uids.NAMES[syntax], file=sys.stderr, flush=True)
        try:
            samples = registry.decoder(syntax).decode(mutated(data, random), layout).samples
        except BadInput:
            refused += 1
            continue
        if samples.shape != layout.shape or samples.dtype != layout.dtype:
            print(f"seed {seed}: another shape or type")
            return 1
    print(f"{count} decoded or refused, {refused} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
