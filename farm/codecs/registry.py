"""The codecs that ship, in order of preference, and why there is none for the other transfer syntaxes.

The first codec that reads or writes a syntax is the one that does. Frames are given to it one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from farm.codecs import deflated, htj2k, jpeg, jpeg2000, jpeg_lossless, jpeg_ls, jpegxl, native, rle, uids, video
from farm.dicom import syntaxes
from farm.errors import BadInput, Reason
from farm.frames.codec import Claim, Codec

CODECS: Final[tuple[Codec, ...]] = (
    native.LITTLE,
    native.BIG,
    native.ENCAPSULATED,
    deflated.CODEC,
    rle.CODEC,
    jpeg.CODEC,
    jpeg_lossless.CODEC,
    jpeg_ls.CODEC,
    jpeg2000.CODEC,
    htj2k.CODEC,  # OpenJPH: three times as fast as OpenJPEG, where it is exact
    htj2k.READS_LOSSY,  # reads what htj2k.CODEC writes, and does not let values run over
    jpegxl.CODEC,
    jpegxl.READS_LOSSY,  # a step over the bounds is no doubt there
    jpegxl.RECOMPRESSED,
    *video.FAMILIES,  # all frames in one stream; without PyAV they read and write nothing
)

_HIERARCHICAL = "retired, and no library reads it"
_REMOTE = "the pixels are not in the instance"
_UID = "1.2.840.10008.1.2.4."
_ABSENT: Final[dict[str, str]] = {
    uids.J2K_PART2_LOSSLESS: "no library reads the transforms between components of part 2",
    uids.J2K_PART2: "no library reads the transforms between components of part 2",
    **dict.fromkeys((f"{_UID}{n}" for n in (52, 54, 56, *range(58, 67))), _HIERARCHICAL),
    **dict.fromkeys((f"{_UID}{n}" for n in (94, 95, 204, 205)), _REMOTE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A transfer syntax and what reads and writes it; empty: nothing does."""

    uid: str
    name: str
    decoder: str
    encoder: str
    device: str
    claim: Claim | None
    """What can be written."""
    why: str = ""
    """Why nothing reads it."""


def decoder(uid: str) -> Codec:
    """Return the codec that reads a transfer syntax; raise `BadInput` where there is none."""
    return _found((codec for codec in CODECS if uid in codec.decodes), uid)


def encoder(uid: str) -> Codec:
    """Return the codec that writes a transfer syntax; raise `BadInput` where there is none."""
    return _found((codec for codec in CODECS if uid in codec.encodes), uid)


def why_not(uid: str) -> str:
    """Return why no codec reads a transfer syntax; empty where one does."""
    if any(uid in codec.decodes for codec in CODECS):
        return ""
    if video.is_video(uid):
        return video.why_not(uid)
    return _ABSENT.get(uid, "the transfer syntax is not known" if syntaxes.find(uid) is None else _HIERARCHICAL)


def table() -> list[Row]:
    """Return every transfer syntax that a codec reads or writes, in the order of the codecs, and those of video."""
    frames = (uid for codec in CODECS for uid in (*codec.decodes, *codec.encodes) if not video.is_video(uid))
    return [_row(uid) for uid in dict.fromkeys((*frames, *video.SYNTAXES))]


def _row(uid: str) -> Row:
    reads = next((codec for codec in CODECS if uid in codec.decodes), None)
    writes = next((codec for codec in CODECS if uid in codec.encodes), None)
    return Row(
        uid=uid,
        name=video.SYNTAXES[uid].name if video.is_video(uid) else uids.NAMES[uid],
        decoder=reads.library if reads else "",
        encoder=writes.library if writes else "",
        device=(reads or native.LITTLE).device,
        claim=writes.encodes[uid] if writes else None,
        why=why_not(uid),
    )


def _found(codecs: Iterator[Codec], uid: str) -> Codec:
    codec = next(codecs, None)
    if codec is None:
        raise BadInput(Reason.CODEC_ABSENT, why_not(uid))
    return codec
