"""What becomes of an instance, gathered frame by frame."""

from __future__ import annotations

from farm.errors import BadInput, Reason
from farm.frames.codec import Changes
from farm.frames.work import Result, WhyNot
from farm.host.bench import Done
from farm.host.pile import Pile
from farm.transcoding.frames import Worked, together


class Gathered:
    """The results of one instance, until one of its frames cannot be done."""

    def __init__(self, spill_dir: str | None) -> None:
        """Take the folder for what is too large for memory."""
        self._pile = Pile(spill_dir)
        self._changes: list[Changes] = []
        self._kinds: dict[Changes, Changes] = {}
        self._codecs: dict[str, None] = {}
        self._handed_back = False
        self._why_not: WhyNot | None = None
        self._error: BadInput | None = None

    @property
    def has_failed(self) -> bool:
        """Tell whether a frame could not be done, so that no other needs to be."""
        return self._error is not None

    @property
    def count(self) -> int:
        """Return how many results these are."""
        return len(self._changes)

    @property
    def reason(self) -> Reason | None:
        """Why the instance cannot be done; None: nothing speaks against it."""
        return None if self._error is None else self._error.reason

    def fail(self, error: BadInput) -> None:
        """Say why the instance cannot be done; what was gathered is let go."""
        self._error = self._error or error
        self._pile.close()

    def add(self, done: Done, worked: Worked) -> None:
        """Take what became of the next frame."""
        self._pile.add(worked.data)
        self._changes.append(self._kinds.setdefault(worked.changes, worked.changes))
        self._codecs[done.codec] = None
        self._handed_back |= done.handed_back
        self._why_not = self._why_not or done.why_not

    def result(self) -> Result | BadInput:
        """Return what became of the instance; nothing can be added then."""
        try:
            changes = together(self._changes)
        except BadInput as error:
            self.fail(error)
        if self._error is not None:
            return self._error
        codec = ", ".join(self._codecs)
        return Result(
            streams=self._pile.streams(),
            changes=changes,
            codec=codec,
            handed_back=self._handed_back,
            why_not=self._why_not,
        )
