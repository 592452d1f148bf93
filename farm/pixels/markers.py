"""Compressed frames without what their streams carry beside the samples: EXIF, JUMBF, comments, boxes, trailing bytes.

A codec's stream is a small file of its own. A camera writes its owner into APP1, an editor its user into APP11, a tool
its command line into COM; the profile sees none of it, because to DICOM the stream is one value (PS3.5 A.4). Nothing of
it is needed: what a decoder wants are the segments that define the coding, so those are kept by an allow-list, and the
entropy-coded data are handed on byte for byte. No sample can change.

* JPEG and JPEG-LS: segments that define the coding, and tables that a scan goes by (`farm.pixels.jpeg`).
* JPEG 2000 and HTJ2K (T.800 annex A): segments of the main header are cut; those in a tile-part's header are blanked
  instead, because Psot, TLM and PLT count its bytes. A JP2 file (annex I) yields its code stream: a bare one is what
  PS3.5 A.4.4 asks for.
* JPEG XL (ISO/IEC 18181-2): a bare code stream has no such place; of a container the boxes of the code stream stay.

RLE, Deflated Image Frame and Encapsulated Uncompressed end where they have given their samples (`farm.pixels.sized`). A
video is one stream for all frames, and has rules of its own (`farm.pixels.video_streams`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from farm.pixels import jpeg, jpeg2000, sized
from farm.pixels.segments import bad, boxes, even, joined

Family: TypeAlias = Literal["jpeg", "jpeg-ls", "j2k", "jxl", "rle", "deflated", "uncompressed"]
_UID = "1.2.840.10008.1.2.4."
_FAMILIES: dict[str, Family] = {
    "1.2.840.10008.1.2.5": "rle",
    "1.2.840.10008.1.2.8.1": "deflated",
    "1.2.840.10008.1.2.1.98": "uncompressed",
    **dict.fromkeys((f"{_UID}{n}" for n in (*range(50, 67), 70)), "jpeg"),
    **dict.fromkeys((f"{_UID}{n}" for n in (80, 81)), "jpeg-ls"),
    **dict.fromkeys((f"{_UID}{n}" for n in (90, 91, 92, 93, 201, 202, 203)), "j2k"),
    **dict.fromkeys((f"{_UID}{n}" for n in (110, 111, 112)), "jxl"),
}

_JXL_MAGIC = b"\0\0\0\x0cJXL \r\n\x87\n"
_JXL_OPENS = _JXL_MAGIC + b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
_JXL_KEPT = frozenset({b"jxlc", b"jxlp"})
_JXL_LEVEL = b"jxll"  # one byte


def family_of(syntax: str) -> Family | None:
    """Return the family of a transfer syntax whose frames can be stripped; None: there is nothing to strip by."""
    return _FAMILIES.get(syntax)


def stripped(frame: bytes, family: Family, size: int = 0) -> bytes:
    """Return one whole compressed frame without what is not needed to decode it, at even length.

    `size` is what a stream that does not say its end has to yield: the bytes of a native frame, and of RLE those of one
    segment. The same object comes back where nothing had to go. Raises `BadInput` where the frame is not a stream of
    its family.
    """
    if family in _SIZED:
        return _SIZED[family](frame, size)
    return _STRIPPERS[family](frame)


# JPEG XL.


def _jxl(frame: bytes) -> bytes:
    """Keep the boxes of the code stream; a bare code stream is handed back."""
    if frame[:2] == b"\xff\x0a":
        return joined(frame, [], 0, len(frame))
    if frame[:12] != _JXL_MAGIC:
        raise bad()
    kept = [
        (len(body) + 8).to_bytes(4, "big") + kind + body
        for kind, body in boxes(frame)
        if kind in _JXL_KEPT or (kind == _JXL_LEVEL and len(body) == 1)
    ]
    new = even(b"".join([_JXL_OPENS, *kept]))
    return frame if new == frame else new


_STRIPPERS: dict[Family, Callable[[bytes], bytes]] = {
    "jpeg": jpeg.stripped,
    "jpeg-ls": jpeg.stripped,
    "j2k": jpeg2000.stripped,
    "jxl": _jxl,
}
_SIZED: dict[Family, Callable[[bytes, int], bytes]] = {
    "rle": sized.run_lengths,
    "deflated": sized.deflated,
    "uncompressed": sized.uncompressed,
}
