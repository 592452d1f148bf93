"""What `farm transcode` does with instances: another transfer syntax, and nothing else."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from blake3 import blake3

from farm.cli.batch import Batch, FolderOrder
from farm.cli.tally import Made
from farm.dicom import part10
from farm.frames.work import carried_out
from farm.stores import Mirror
from farm.transcoding import instance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.dicom.elements import Data
    from farm.sources import Entry
    from farm.stores import Segment
    from farm.transcoding.targets import Wanted

LOSSY = "lossy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(FolderOrder):
    """A source that is to be transcoded."""

    wanted: Wanted

    def begun(self, threads: int = 0) -> Batch:
        """Return the work of a process."""
        return Transcoding(self, threads)


class Transcoding(Batch):
    """Transcodes instances, in a process whose codecs have one of their own."""

    def __init__(self, order: Order, threads: int = 0) -> None:
        """Take an order that is opened, and threads for the codecs."""
        super().__init__(order.settings, order.source, Mirror(order.destination), threads)
        self._wanted = order.wanted

    def processed(self, entry: Entry, data: Data) -> tuple[Sequence[Segment], Made]:
        """Return the instance in the transfer syntax, or as it is where a rule says so."""
        opened = instance.opened(data, self._wanted, self.limits)
        result = carried_out(opened.work, self.transcoder) if opened.work else None
        done = instance.finished(opened, result, partial(part10.deflated, joined=self.limits.joined))
        digest = blake3()
        for segment in done.segments:
            digest.update(segment)
        made = Made(
            path=os.fsdecode(entry.locator),
            digest=digest.hexdigest(),
            input_bytes=entry.size,
            output_bytes=sum(map(len, done.segments)),
            told=(done.action, done.why, *([LOSSY] if opened.ready.loses else [])),
        )
        return done.segments, made
