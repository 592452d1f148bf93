"""Decodes, on their way to a peer, the instances that it takes in no compressed transfer syntax."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.dicom import part10, reencode
from farm.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from farm.frames.work import carried_out
from farm.transcoding import instance
from farm.transcoding.targets import Wanted

if TYPE_CHECKING:
    from farm.frames.work import Transcoder
    from farm.net.sending import Buffers, Instance

_WANTED = Wanted(syntax=EXPLICIT_LITTLE, refuse=True)


class Decoding:
    """What `farm.net.sending` asks for another transfer syntax; `count` tells how many instances were decoded."""

    def __init__(self, transcoder: Transcoder, limits: part10.Limits | None = None) -> None:
        """Take what decodes, and how large what it is given may become."""
        self._transcoder, self._limits = transcoder, limits or part10.Limits()
        self.count = 0

    def __call__(self, stored: Instance, accepted: tuple[str, ...]) -> tuple[str, Buffers] | None:
        """Return the data set in a native transfer syntax that is accepted; None where none is.

        Raise `BadInput` where the pixels cannot be decoded.
        """
        target = next((uid for uid in (EXPLICIT_LITTLE, IMPLICIT_LITTLE) if uid in accepted), None)
        if target is None:
            return None
        opened = instance.opened(stored.data, _WANTED, self._limits)
        if opened.work is None:
            return None
        result = carried_out(opened.work, self._transcoder)
        _, *data_set = instance.finished(opened, result, part10.deflated).segments
        self.count += 1
        if target == IMPLICIT_LITTLE:
            data_set = reencode.implicit(self._limits.joined(data_set), 0)
        return target, data_set
