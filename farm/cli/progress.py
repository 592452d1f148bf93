"""How far a command is: a bar on a terminal, a plain line now and then anywhere else, if it says anything new.

The time that is left is told only when it can be known: once the source is counted, from the rate of the last half
minute. Before that the line says how many were found so far.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from farm.cli import screen

if TYPE_CHECKING:
    from types import TracebackType

    from farm.ledger import Progress as RunProgress

_WINDOW = 30.0
"""Seconds over which the rate is measured."""
_EVERY = 10.0
"""Seconds between two plain lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the work is; `counted`: the whole source has been seen, so `total` is final.

    `word` is what is told of those that are `quarantined`, `note` what else there is to say.
    """

    total: int
    counted: bool
    done: int
    quarantined: int
    skipped: int
    word: str = "quarantined"
    note: str = ""

    @classmethod
    def of(cls, progress: RunProgress, *, endless: bool = False, note: str = "") -> Standing:
        """Return how a run stands; `endless`: its instances come as long as somebody sends them."""
        return cls(
            total=progress.total,
            counted=not endless and progress.state != "crawling",
            done=progress.done,
            quarantined=progress.quarantined,
            skipped=progress.skipped,
            note=note,
        )

    @property
    def ended(self) -> int:
        """Return how many instances are at their end."""
        return self.done + self.quarantined + self.skipped

    def words(self) -> list[str]:
        """Return how far that is."""
        found = "" if self.counted else " found so far"
        refused = [f"{self.quarantined:,} {self.word}"] if self.quarantined else []
        return [f"{self.ended:,} of {self.total:,}{found}", f"{self.done:,} done", *refused]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """How far the work on a single instance is, in frames."""

    total: int
    ended: int
    counted: ClassVar[bool] = True
    note: ClassVar[str] = ""

    def words(self) -> list[str]:
        """Return how far that is."""
        return [f"{self.ended:,} of {self.total:,} frames"]


class Meter:
    """The rate of the last half minute; the caller brings the clock."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now: float, ended: int) -> None:
        """Note how many were at their end at this time."""
        self._seen.append((now, ended))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()

    @property
    def rate(self) -> float:
        """Return instances per second."""
        (since, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - since) if now > since else 0.0


def line(standing: Standing | Frames, rate: float) -> str:
    """Return how far the work is, in words."""
    parts = standing.words()
    if rate > 0:
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if standing.counted and standing.ended < standing.total:
            parts.append(f"about {_time((standing.total - standing.ended) / rate)} left")
    if standing.note:
        parts.append(standing.note)
    return ", ".join(parts)


def _time(seconds: float) -> str:
    """Return a time as coarsely as it is known."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{max(1.0, seconds):.0f} s"


class Display:
    """Shows standings as they come; a context manager, because a bar has to leave the terminal in order."""

    def __init__(self) -> None:
        self._meter = Meter()
        self._bar: Progress | None = None
        self._said = time.monotonic()
        self._last = ""
        if screen.words.is_terminal:
            columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=screen.words, transient=True)
            self._task = self._bar.add_task("starting", total=None)

    @property
    def moves(self) -> bool:
        """Tell whether it is a bar on a terminal."""
        return self._bar is not None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, standing: Standing | Frames) -> None:
        """Take the newest standing, and show it if it is time to."""
        now = time.monotonic()
        self._meter.add(now, standing.ended)
        if self._bar:
            total = standing.total if standing.counted else None
            words = line(standing, self._meter.rate)
            self._bar.update(self._task, completed=standing.ended, total=total, description=words)
        elif now - self._said >= _EVERY:
            self._said = now
            words = line(standing, self._meter.rate)
            if words != self._last:  # who waits for a night would fill a log
                screen.say(words)
            self._last = words
