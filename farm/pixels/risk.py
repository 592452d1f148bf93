"""Which instances may show identifying text or a face in their pixels.

The kinds are those whose pixels come from a screen, a camera or a scanner of paper, where names are burned in by habit:
secondary capture, ultrasound, visible light, endoscopy, video. An attribute that admits it counts, whatever the kind;
Burned In Annotation NO alone is never believed (PS3.15 E.3.1 asks for the pixels themselves to be looked at).
"""

from __future__ import annotations

from functools import lru_cache

_CLASS = b"1.2.840.10008.5.1.4.1.1."
_KINDS: tuple[bytes, ...] = (
    b"7",  # Secondary Capture, single and multi-frame
    b"3",  # Ultrasound Multi-frame (3.1; retired: 3)
    b"6",  # Ultrasound (6.1; retired: 6; Enhanced US Volume: 6.2)
    b"77.1",  # Visible light, endoscopy, microscopy, photography, ophthalmic photography, video
    b"12.77",  # retired visible-light classes
)


@lru_cache(maxsize=1024)
def at_risk(sop_class: bytes, burned_in: bytes, recognizable: bytes) -> bool:
    """Tell from SOP class, Burned In Annotation and Recognizable Visual Features whether pixels are at risk."""
    if b"YES" in {burned_in.strip(b"\0 "), recognizable.strip(b"\0 ")}:
        return True
    kind = sop_class.strip(b"\0 ").removeprefix(_CLASS)
    return any(kind == known or kind.startswith(known + b".") for known in _KINDS)
