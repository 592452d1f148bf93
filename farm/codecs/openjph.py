"""Frames of HTJ2K through OpenJPH by a binding of its own (`ojph`, for Python 3.12 and newer), where there is one.

It writes a frame in half to two thirds of the time that imagecodecs takes, because it is handed lines and told the
precision, so nothing is converted on the way. The library wants the components of a pixel line by line, which is what
its transform of colours works on; the binding knows images of one component only in that order, so a frame of three
is handed over as one of three times the rows. Where there is no binding, all is left to imagecodecs.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import numpy as np

from farm.frames.layout import Layout, Samples

FOUND = find_spec("ojph") is not None


@cache
def version() -> str:
    """Return what to say of the binding's version; nothing where there is none."""
    return f", ojph {metadata.version('ojph')}" if FOUND else ""


def encoded(samples: Samples, layout: Layout, levels: int) -> bytes:
    """Return a reversible code stream in RPCL order with tile-part lengths, its samples halved `levels` times.

    Of RGB the colours are those of the reversible transform (T.800 annex G.2).
    """
    bindings: Any = import_module("ojph.ojph_bindings")
    out, stream = bindings.MemOutfile(), bindings.Codestream()
    out.open(samples.nbytes, False)  # noqa: FBT003 - C++ has no names
    size = stream.access_siz()
    size.set_image_extent(bindings.Point(layout.columns, layout.rows))
    size.set_num_components(layout.samples)
    for component in range(layout.samples):
        size.set_component(component, bindings.Point(1, 1), layout.bits_stored, layout.signed)
    coding = stream.access_cod()
    coding.set_progression_order("RPCL")
    coding.set_reversible(True)
    coding.set_color_transform(layout.photometric == "RGB")
    coding.set_num_decomposition(levels)
    stream.set_planar(False)
    stream.set_tilepart_divisions(False, False)  # noqa: FBT003 - likewise
    stream.request_tlm_marker(True)  # noqa: FBT003 - likewise
    stream.write_headers(out, None, 0)
    stream.push_all_components(_lines(samples), 1, "HW")
    stream.flush()
    data = bytes(out.get_data())
    stream.close()
    out.close()
    return data


def _lines(samples: Samples) -> Samples:
    """Return the rows of a frame, of each its components one by one; the binding takes only what it could write to."""
    if samples.ndim == 3:
        samples = samples.transpose(0, 2, 1).reshape(-1, samples.shape[1])
    return np.require(samples, requirements=["C", "W"])
