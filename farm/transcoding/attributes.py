"""The attributes that follow the frames: what they say of the samples, and that something was lost.

PS3.3 C.7.6.1.1.5 asks of an image that was compressed lossily, once and for ever: Lossy Image Compression 01, and in
(0028,2112) and (0028,2114) a value for each time. Since the pixels are others from then on, Image Type says DERIVED
(C.7.6.1.1.2) and the instance has a new UID (C.12.4.1).
"""

from __future__ import annotations

from collections.abc import Mapping

from farm.frames import layout as layouts
from farm.frames.codec import Changes
from farm.frames.work import Work
from farm.transcoding import timing
from farm.transcoding.plan import COSINE, MAY_LOSE, VIDEO

IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE = 0x00080008, 0x00080016, 0x00080018
ICON = 0x00880200
"""Icon Image Sequence, which may be absent (PS3.3 C.7.6.1)."""
LOSSY, RATIO, METHOD = 0x00282110, 0x00282112, 0x00282114
OFFSETS, LENGTHS = 0x7FE00001, 0x7FE00002
LAYOUT = frozenset(
    {
        layouts.SAMPLES,
        layouts.PHOTOMETRIC,
        layouts.PLANAR,
        layouts.FRAMES,
        layouts.ROWS,
        layouts.COLUMNS,
        layouts.ALLOCATED,
        layouts.STORED,
        layouts.HIGH_BIT,
        layouts.SIGN,
    }
)
WANTED = LAYOUT | timing.TAGS | {IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE, LOSSY, RATIO, METHOD, ICON, OFFSETS, LENGTHS}
VRS = {
    IMAGE_TYPE: "CS",
    SOP_INSTANCE: "UI",
    layouts.PHOTOMETRIC: "CS",
    **dict.fromkeys((layouts.PLANAR, layouts.ALLOCATED, layouts.STORED, layouts.HIGH_BIT), "US"),
    LOSSY: "CS",
    RATIO: "DS",
    METHOD: "CS",
    OFFSETS: "OV",
    LENGTHS: "OV",
    **timing.VRS,
}
INSERTED = tuple(sorted(VRS.keys() - timing.REPLACED))
"""What may have to be said that was not said before."""
_METHODS = {  # PS3.3 C.7.6.1.1.5.1
    **dict.fromkeys(COSINE, b"ISO_10918_1"),
    **{uid: b"ISO_13818_2" for uid in VIDEO if uid.split(".")[7] in {"100", "101"}},
    **{uid: b"ISO_14496_10" for uid in VIDEO if uid.split(".")[7] in {"102", "103", "104", "105", "106"}},
    **{uid: b"ISO_23008_2" for uid in VIDEO if uid.split(".")[7] in {"107", "108"}},
}
_MAY_HAVE_LOST = {"1.2.840.10008.1.2.4.112": b"ISO_18181_1"}
"""Of these no bitstream tells; they lost something unless they say that they did not."""
_NUMBERS = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{n}".encode() for n in ("30", "66.4", "66.7", "66.8", "77.1.5.6", "81.1", "82.1", "481.2")
)
"""Parametric Map; Segmentation, also as a label and a height map; coordinates of wide field ophthalmic photography;
Ophthalmic Thickness Map; Corneal Topography Map; RT Dose."""
_TEXT = 16  # characters of a DS


def lossy(syntax: str, values: Mapping[int, bytes]) -> bool:
    """Tell whether something of an instance's pixels was lost already, by its syntax or by what it says."""
    said = values.get(LOSSY, b"").strip(b"\0 ")
    return syntax in COSINE or syntax in VIDEO or said == b"01" or (syntax in MAY_LOSE and said != b"00")


def numbers(sop_class: bytes) -> bool:
    """Tell whether the values of a SOP class's pixels are labels or quantities, which no error may touch."""
    return sop_class.strip(b"\0 ") in _NUMBERS


def said(values: Mapping[int, bytes], work: Work, changes: Changes) -> dict[int, bytes | None]:
    """Return the new values of attributes, None for one that goes; what stays as it is, is not among them.

    `values` are those of the instance, `changes` what came of the work on its frames.
    """
    after = changes.apply(work.job.layout)
    numbers: dict[int, int | None] = {
        layouts.ALLOCATED: after.bits_allocated,
        layouts.STORED: after.bits_stored,
        layouts.HIGH_BIT: after.high_bit,
        layouts.PLANAR: after.planar if after.samples > 1 else None,
    }
    new: dict[int, bytes | None] = {
        tag: None if number is None else number.to_bytes(2, "little") for tag, number in numbers.items()
    }
    new[layouts.PHOTOMETRIC] = after.photometric.encode()
    new |= _losses(values, work, changes)
    if work.job.options is not None and work.job.options.syntax in VIDEO:
        new |= timing.filmed(values, work.job.options.rate)
    return {tag: value for tag, value in new.items() if _differs(values.get(tag), value)}


def derived(values: Mapping[int, bytes], instance: str) -> dict[int, bytes | None]:
    """Return what says that the pixels are others than those that were acquired, and a new instance."""
    rest = values.get(IMAGE_TYPE, b"ORIGINAL\\PRIMARY").strip(b"\0 ").split(b"\\")[1:] or [b"PRIMARY"]
    return {IMAGE_TYPE: b"\\".join([b"DERIVED", *rest]), SOP_INSTANCE: instance.encode()}


def _losses(values: Mapping[int, bytes], work: Work, changes: Changes) -> dict[int, bytes | None]:
    """Return what has to be said of losses: those that the source came with, then those of this time.

    What it tells of its own is left as it stands, but for what it leaves out.
    """
    told = values.get(LOSSY, b"").strip(b"\0 ")
    ratio, method = (values.get(tag, b"").strip(b"\0 ") if told == b"01" else b"" for tag in (RATIO, METHOD))
    lost = _method(work.job.source, told, changes)
    if lost:
        method = method or lost
        ratio = ratio or (b"" if b"\\" in method else _ratio(_came_at(work)))
    if changes.lossy_method is not None:
        ratio = b"\\".join(filter(None, (ratio, _ratio(changes.lossy_ratio or 1))))
        method = b"\\".join(filter(None, (method, changes.lossy_method.encode())))
    elif not lost:
        return {}
    said: dict[int, bytes | None] = {tag: value for tag, value in ((RATIO, ratio), (METHOD, method)) if value}
    return said | {LOSSY: b"01"}


def _method(source: str, told: bytes, changes: Changes) -> bytes:
    """Return how the source lost something, as its frames or its transfer syntax say; nothing where it did not."""
    if changes.lost:
        return changes.lost.encode()
    return _METHODS.get(source, b"") or (_MAY_HAVE_LOST.get(source, b"") if told != b"00" else b"")


def _came_at(work: Work) -> float:
    """Return how many times smaller the frames came than their samples are."""
    return work.job.layout.size * work.job.count / max(1, sum(map(len, work.frames)))


def _ratio(ratio: float) -> bytes:
    """Return a ratio as a DS: to a hundredth, or to two digits where that would be nothing."""
    return f"{ratio:{'.2f' if ratio >= 0.1 else '.2g'}}"[:_TEXT].encode()


def _differs(old: bytes | None, new: bytes | None) -> bool:
    return (old is None) != (new is None) or (old or b"").strip(b" ") != (new or b"").strip(b" ")
