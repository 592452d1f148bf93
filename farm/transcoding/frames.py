"""What is done to a single frame, and to all of an instance in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Rewriter
from farm.frames.encapsulated import Frame
from farm.frames.work import Job, Result, Work
from farm.transcoding.steps import Finder, Worked, blanked, digest, finished
from farm.transcoding.video import holds_video, video_worked

__all__ = ["Finder", "Inline", "Worked", "blanked", "codec_of", "digest", "together", "worked"]


def worked(frame: Frame, job: Job, decoder: Finder, encoder: Finder) -> Worked:
    """Do to one frame what a job says; raise `BadInput` where it cannot be done or its proof fails."""
    rewriter = None
    if job.options is not None and not job.blank:
        rewriter = rewriter_of(job.source, job.options.syntax, decoder, encoder)
    if rewriter is not None:
        return _rewritten(frame, job, rewriter)
    return finished(decoder(job.source).decode(frame, job.layout), job, decoder, encoder)


@lru_cache(maxsize=256)  # asked for every frame, and a protocol is slow to look for
def rewriter_of(source: str, target: str, decoder: Finder, encoder: Finder) -> Rewriter | None:
    """Return the codec that turns the bitstreams of one syntax into those of another, if there is one."""
    try:
        codecs = (decoder(source), encoder(target))
    except BadInput:  # no codec
        return None
    return next((codec for codec in codecs if isinstance(codec, Rewriter) and (source, target) in codec.rewrites), None)


def _rewritten(frame: Frame, job: Job, rewriter: Rewriter) -> Worked:
    """Rewrite the bitstream of a frame, and prove that every byte comes back."""
    source, target = job.source, job.options.syntax if job.options else ""
    data = rewriter.rewrite(frame, source, target)
    if job.prove and rewriter.rewrite(data, target, source).rstrip(b"\0") != bytes(frame).rstrip(b"\0"):
        raise BadInput(Reason.PIXELS_DIFFER)
    return Worked(data=data, changes=Changes())


def together(changes: Sequence[Changes]) -> Changes:
    """Return the changes of all frames of an instance: the same of each, and the mean of the ratios.

    What was lost before, or is in doubt, of one frame is so of the instance. Raise `BadInput` where frames differ in
    what an attribute can say only once.
    """
    ratios = [one.lossy_ratio for one in changes if one.lossy_ratio is not None]
    ratio = len(ratios) / sum(1 / each for each in ratios) if ratios else None
    kinds = dict.fromkeys(changes)
    lost = next((one.lost for one in kinds if one.lost), None)
    doubt = next((one.doubt for one in kinds if one.doubt), None)
    alike = {
        replace(one, lossy_ratio=None if one.lossy_ratio is None else ratio, lost=lost, doubt=doubt) for one in kinds
    }
    if len(alike) != 1:
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the frames are not of one kind")
    return alike.pop()


class Inline:
    """Carries jobs out in this process, frame by frame: for tests, and for those who trust their input."""

    batch = 1

    def __init__(self, decoder: Finder, encoder: Finder) -> None:
        """Take what finds codecs."""
        self._decoder, self._encoder = decoder, encoder

    def run(self, works: Sequence[Work]) -> list[Result | BadInput]:
        """Carry out each work."""
        results: list[Result | BadInput] = []
        for work in works:
            try:
                results.append(self._one(work))
            except BadInput as error:
                results.append(error)
        return results

    def _one(self, work: Work) -> Result:
        found = (self._decoder, self._encoder)
        video = holds_video(work.job, *found)
        done = list(video_worked(work, *found) if video else (worked(frame, work.job, *found) for frame in work.frames))
        return Result(
            streams=[one.data for one in done],
            changes=together([one.changes for one in done]),
            codec=codec_of(work.job, *found),
        )


def codec_of(job: Job, decoder: Finder, encoder: Finder) -> str:
    """Return what does a job: `OpenJPEG 2.5.4 to OpenJPH 0.26.3`."""
    used = [decoder(job.source), *([encoder(job.options.syntax)] if job.options else [])]
    names = dict.fromkeys(f"{codec.library} {codec.version}" for codec in used)
    return " to ".join(names)
