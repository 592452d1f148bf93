"""The attributes that follow the frames: what they say of the samples, and that something was lost.

PS3.3 C.7.6.1.1.5 asks of an image that was compressed lossily, once and for ever: Lossy Image Compression 01, and in
(0028,2112) and (0028,2114) a value for each time. Since the pixels are others from then on, Image Type says DERIVED
(C.7.6.1.1.2) and the instance has a new UID (C.12.4.1).
"""

from __future__ import annotations

from collections.abc import Mapping

from farm.frames import layout as layouts
from farm.frames.codec import Changes
from farm.frames.layout import Layout
from farm.transcoding.plan import COSINE, MAY_LOSE, VIDEO

IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE = 0x00080008, 0x00080016, 0x00080018
LOSSY, RATIO, METHOD = 0x00282110, 0x00282112, 0x00282114
OFFSETS, LENGTHS = 0x7FE00001, 0x7FE00002
RATES = frozenset({0x00082144, 0x00180040, 0x00181063})
"""Recommended Display Frame Rate, Cine Rate, Frame Time: how fast the frames of an image follow each other."""
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
WANTED = LAYOUT | RATES | {IMAGE_TYPE, SOP_CLASS, SOP_INSTANCE, LOSSY, RATIO, METHOD, OFFSETS, LENGTHS}
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
}
INSERTED = tuple(sorted(VRS))
"""What may have to be said that was not said before."""
_METHODS = {  # PS3.3 C.7.6.1.1.5.1
    **dict.fromkeys(COSINE, b"ISO_10918_1"),
    **{uid: b"ISO_13818_2" for uid in VIDEO if uid.split(".")[7] in {"100", "101"}},
    **{uid: b"ISO_14496_10" for uid in VIDEO if uid.split(".")[7] in {"102", "103", "104", "105", "106"}},
    **{uid: b"ISO_23008_2" for uid in VIDEO if uid.split(".")[7] in {"107", "108"}},
}
_TEXT = 16  # characters of a DS


def lossy(syntax: str, values: Mapping[int, bytes]) -> bool:
    """Tell whether something of an instance's pixels was lost already, by its syntax or by what it says."""
    said = values.get(LOSSY, b"").strip(b"\0 ")
    return syntax in COSINE or syntax in VIDEO or said == b"01" or (syntax in MAY_LOSE and said != b"00")


def rate(values: Mapping[int, bytes]) -> float | None:
    """Return the frames a second that a multi-frame image says it has (PS3.3 C.7.6.5); None where it says none."""
    for tag in sorted(RATES):
        try:
            number = float(values.get(tag, b"").strip(b"\0 "))
        except ValueError:
            continue
        if 0 < number < float("inf"):
            return 1000 / number if tag == max(RATES) else number
    return None


def said(values: Mapping[int, bytes], source: str, before: Layout, changes: Changes) -> dict[int, bytes | None]:
    """Return the new values of attributes, None for one that goes; what stays as it is, is not among them.

    `values` are those of the instance, `before` the layout that they gave.
    """
    after = changes.apply(before)
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
    new |= _losses(values, source, changes)
    return {tag: value for tag, value in new.items() if _differs(values.get(tag), value)}


def derived(values: Mapping[int, bytes], instance: str) -> dict[int, bytes | None]:
    """Return what says that the pixels are others than those that were acquired, and a new instance."""
    rest = values.get(IMAGE_TYPE, b"ORIGINAL\\PRIMARY").strip(b"\0 ").split(b"\\")[1:] or [b"PRIMARY"]
    return {IMAGE_TYPE: b"\\".join([b"DERIVED", *rest]), SOP_INSTANCE: instance.encode()}


def _losses(values: Mapping[int, bytes], source: str, changes: Changes) -> dict[int, bytes | None]:
    """Return what has to be said of losses: those of this time behind the earlier ones."""
    before = values.get(LOSSY, b"").strip(b"\0 ")
    if changes.lossy_method is None:
        if source not in _METHODS or before == b"01":
            return {}
        return {LOSSY: b"01", METHOD: values.get(METHOD, b"").strip(b"\0 ") or _METHODS[source]}
    ratio = f"{changes.lossy_ratio or 1:.2f}"[:_TEXT].encode()
    earlier = {tag: values.get(tag, b"").strip(b"\0 ") if before == b"01" else b"" for tag in (RATIO, METHOD)}
    now = {RATIO: ratio, METHOD: changes.lossy_method.encode()}
    both = {tag: b"\\".join([earlier[tag], value] if earlier[tag] else [value]) for tag, value in now.items()}
    return {LOSSY: b"01", **both}


def _differs(old: bytes | None, new: bytes | None) -> bool:
    return (old is None) != (new is None) or (old or b"").strip(b" ") != (new or b"").strip(b" ")
