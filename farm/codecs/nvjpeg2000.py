"""JPEG 2000 and HTJ2K on a device, many frames at a time.

A J2K frame costs a processor core ten to twenty times what any other syntax does, so it is what a device is for. Frames
of several instances are decoded, blanked, encoded, decoded again and compared there; no samples cross to the host
between, but native frames go up and native results come down. What it makes is said in the same words as by the codecs
of the processor (`jpeg2000`, `htj2k`), and where it is lossless it is equal to the sample, though not to the byte.

Nobody has to trust the device. What it is asked for the first time is tried on a small picture (`nvtrial`), what it
writes is read back by its headers, and what is lossless is decoded again and compared. It reads code streams alone
whose style its trials cover, and the first of each style is read by the processor as well. Whatever it does not do, or
does not do right, is handed back (None), and the caller does it with the processor: a device may cost time, but no
instance.
Two things are not asked of it at all. HTJ2K with refinement passes it decodes to something else without any error, and
no header tells of those passes: so it reads HTJ2K of OpenJPH alone, which writes none. And three components without a
colour transform it might take for YCbCr.

Batches are cut so that what they need stays within a budget. One that fails all the same is halved, down to one frame.
After an error that is for good, as CUDA's often are, the device is lost to this process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farm.codecs import jpeg2000, uids
from farm.codecs.faults import PLAIN
from farm.codecs.nvbatch import NATIVE, Made, Piece, opened, work
from farm.codecs.nvlibrary import LIBRARY, Absent, Library, NvLibrary, devices
from farm.codecs.nvtrial import Trials
from farm.frames.codec import Claim
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout
from farm.frames.work import Job, WhyNot

_LOSSLESS = Claim(bits=(8, 16), signed=True, colours=PLAIN)
_LOSSY = Claim(bits=(8, 16), signed=True, colours=jpeg2000.LOSSY.colours, lossless=False)
CLAIMS = {
    uids.J2K_LOSSLESS: _LOSSLESS,
    uids.J2K: _LOSSY,
    uids.HTJ2K_LOSSLESS: _LOSSLESS,
    uids.HTJ2K_RPCL: _LOSSLESS,
    uids.HTJ2K: _LOSSY,
}
"""What is written, signed samples from 9 bits on; the same is read."""
_READ = (*(colours for colours in PLAIN if colours != "YBR_FULL"), *sorted(jpeg2000.TRANSFORMED))
_LEAST_SIDE = 32

_PLANES = 12
"""What a frame needs on the device, in sizes of its own: coefficients of 32 bits each way, and what is compared."""
_MOST = 256
"""Frames in a batch: more make no device faster, and the caller waits for an answer."""


def serves(job: Job) -> bool:
    """Tell whether a device does such work: wavelets on one side at least, and on the other wavelets or native."""
    layout, target = job.layout, job.options.syntax if job.options else ""
    bits = (9 if layout.signed else 8) <= layout.bits_stored <= 16 and layout.bits_allocated in {8, 16}
    if not bits or min(layout.rows, layout.columns) < _LEAST_SIDE or not {job.source, target} & CLAIMS.keys():
        return False
    reads = layout.photometric in (_READ if job.source in CLAIMS else PLAIN if job.source in NATIVE else ())
    return reads and (not target or target in NATIVE or (target in CLAIMS and _writes(target, layout)))


def _writes(target: str, layout: Layout) -> bool:
    colours = "RGB" if layout.photometric in jpeg2000.TRANSFORMED else layout.photometric
    return colours in CLAIMS[target].colours


def why_not() -> str:
    """Return why there is no device, in one line; empty where there is one. It makes a CUDA context."""
    try:
        devices()
    except Absent as absent:
        return str(absent)
    return ""


def cut(needs: Sequence[int], budget: int, most: int = _MOST) -> Iterator[slice]:
    """Yield slices of frames, in order and at most so many, that fit into a budget together; one always fits."""
    start, held = 0, 0
    for at, need in enumerate(needs):
        if at > start and (held + need > budget or at - start == most):
            yield slice(start, at)
            start, held = at, 0
        held += need
    if start < len(needs):
        yield slice(start, len(needs))


class Device:
    """One device, used by one thread."""

    def __init__(self, index: int, memory_bytes: int = 0, library: Library | None = None) -> None:
        """Open it, to use so much of its memory (0: half of it); raise `Absent` where that cannot be."""
        self._library = library or NvLibrary(index)
        self._budget = memory_bytes or self._library.memory_bytes // 2
        self._trials = Trials(self._tried)
        self.lost = False
        """It failed for good; all work is handed back from then on."""

    @property
    def name(self) -> str:
        """The device's."""
        return self._library.name

    @property
    def version(self) -> str:
        """The library's."""
        return self._library.version

    @property
    def codec(self) -> str:
        """What does the work, as a manifest names it."""
        return f"{LIBRARY} {self.version} on {self.name}"

    def run(self, units: Sequence[tuple[Frame, Job]]) -> list[Made | None]:
        """Return what became of each frame, in order; None: it is handed back."""
        pieces = [self._admitted(frame, job) for frame, job in units]
        able = [piece for piece in pieces if piece is not None]
        for part in cut([_need(piece) for piece in able], self._budget):
            self._work(able[part])
        return [None if piece is None else piece.made for piece in pieces]

    def why_not(self, frame: Frame, job: Job) -> WhyNot | None:
        """Return why a frame was handed back, where its trials tell."""
        piece = opened(frame, job) if serves(job) else None
        return None if piece is None else self._trials.why_not(piece)

    def _admitted(self, frame: Frame, job: Job) -> Piece | None:
        """Return a frame that the device may be given."""
        piece = opened(frame, job) if serves(job) and not self.lost else None
        if piece is None or _need(piece) > self._budget or not self._trials.passed(piece):
            return None
        return piece

    def _work(self, pieces: Sequence[Piece]) -> None:
        """Work a batch; where it fails, its halves."""
        if not self.lost and not self._worked(pieces) and len(pieces) > 1:
            middle = len(pieces) // 2
            self._work(pieces[:middle])
            self._work(pieces[middle:])

    def _worked(self, pieces: Sequence[Piece]) -> bool:
        """Work a batch; return whether it did not fail as a whole."""
        failed = False
        try:
            work(self._library, pieces)
        except Exception:  # noqa: BLE001 - the libraries' own classes; all that counts is that it did not work
            failed = True
        for piece in pieces:
            piece.array = None
            piece.made = None if failed else piece.made
        if failed:
            self._library.free()
            self.lost = not self._library.works()
        return not failed

    def _tried(self, frame: Frame, job: Job) -> Made | None:
        piece = opened(frame, job)
        if piece is None:
            return None
        self._work([piece])
        return piece.made


def _need(piece: Piece) -> int:
    return len(piece.frame) + piece.job.layout.size * _PLANES
