"""Decode videos that were changed at random, in a process of its own: `python -m tests.video_mutations COUNT [SEED]`.

It ends with status 0 where every stream was decoded to frames of its layout or refused by code.
"""

from __future__ import annotations

import resource
import sys

import numpy as np

from farm.errors import BadInput
from tests.codec_mutations import mutated
from tests.videos import AVC, HEVC, HEVC_10, MPEG2, decoded, encoded, remuxed

_MEMORY, _FRAMES = 4 << 30, 6


def main() -> int:
    """Decode as many changed streams as are asked for; return the exit status."""
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    healthy = [(uid, *encoded(uid, _FRAMES)) for uid in (MPEG2, AVC, HEVC, HEVC_10)]
    for uid in (AVC, HEVC):
        data, layout = encoded(uid, _FRAMES)
        healthy.append((uid, remuxed(data, "mov", "mpegts"), layout))
    refused = 0
    for seed in range(first, first + count):
        uid, data, layout = healthy[seed % len(healthy)]
        print(seed, uid, file=sys.stderr, flush=True)
        try:
            frames = decoded(uid, mutated(data, np.random.default_rng(seed)), layout, _FRAMES)
        except BadInput:
            refused += 1
            continue
        if len(frames) != _FRAMES or any((one.shape, one.dtype) != (layout.shape, layout.dtype) for one in frames):
            print(f"seed {seed}: other frames")
            return 1
    print(f"{count} decoded or refused, {refused} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
