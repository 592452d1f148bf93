"""The ways of several instances to their staging, side by side, so that their frames are transcoded at once.

Each way is a generator that yields the work on its instance's frames, if there is any, and returns what was prepared.
What ends one of them early ends no other; what is away (`Unavailable`) or wrong with the order (`BadRecipe`) ends all.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farm.deid.gate import HeldBack
from farm.errors import BadInput, BadRecipe, Reason, Unavailable, place_of
from farm.ledger import Failed, Quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from farm.frames.work import Result, Transcoder, Work
    from farm.ledger import Outcome
    from workers.release import Prepared

log = logging.getLogger(__name__)


class Way:
    """The way of one instance: `prepared` or `outcome` when it has ended, `work` while it waits for a result."""

    def __init__(self, number: int, steps: Generator[Work, Result, Prepared]) -> None:
        """Take the instance's number in the ledger, and its way."""
        self.id = number
        self.work: Work | None = None
        self.prepared: Prepared | None = None
        self.outcome: Outcome | None = None
        self._steps = steps

    @property
    def ended(self) -> bool:
        """Tell whether it has."""
        return self.prepared is not None or self.outcome is not None

    def begin(self) -> None:
        """Go as far as the work on frames."""
        self._go(lambda: next(self._steps))

    def go_on(self, result: Result | BadInput) -> None:
        """Go on with what came of the work."""
        self.work = None
        self._go(lambda: self._steps.throw(result) if isinstance(result, BadInput) else self._steps.send(result))

    def close(self) -> None:
        """Leave the way where it is; nothing stays staged."""
        self._steps.close()

    def _go(self, step: Callable[[], Work]) -> None:
        try:
            self.work = step()
        except StopIteration as end:
            self.prepared = end.value
        except BadInput as error:
            self.outcome = _quarantined(self.id, error)
        except (Unavailable, BadRecipe):
            raise
        except Exception as error:  # noqa: BLE001 - any fault of ours must cost one instance, not the parcel
            log.error("instance %d: %s", self.id, place_of(error))  # noqa: TRY400 - the text may carry a value
            self.outcome = Failed(id=self.id, reason=Reason.INTERNAL_ERROR)


def _quarantined(number: int, error: BadInput) -> Quarantined:
    """Return the outcome of an instance that cannot be processed, with what the release gate found."""
    if isinstance(error, HeldBack):
        return Quarantined(id=number, reason=error.reason, findings=error.told(), seal=error.seal)
    return Quarantined(id=number, reason=error.reason)


def go(ways: Sequence[Way], transcoder: Transcoder) -> None:
    """Bring every way to its end; raise what ends all of them."""
    for way in ways:
        way.begin()
    waiting = [(way, way.work) for way in ways if way.work is not None]
    if not waiting:
        return
    for (way, _), result in zip(waiting, transcoder.run([work for _, work in waiting]), strict=True):
        way.go_on(result)
