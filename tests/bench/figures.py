"""Samples, their medians, and tables of them.

CPU time is the figure to compare: the wall clock of a shared machine is only for orientation. A ratio is one of medians
over rounds in which all contenders took turns, so a slow spell falls on all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one contender used for one folder: CPU and wall seconds for `count` instances."""

    cpu: float
    wall: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Medians over the rounds, in milliseconds per instance."""

    cpu_ms: float
    wall_ms: float
    spread: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Figure:
        """Return the medians of the samples, and the range of their CPU times as a part of the median."""
        cpu = [sample.cpu / sample.count * 1e3 for sample in samples]
        wall = median(sample.wall / sample.count * 1e3 for sample in samples)
        return cls(cpu_ms=median(cpu), wall_ms=wall, spread=(max(cpu) - min(cpu)) / (median(cpu) or 1))

    def to_dict(self) -> dict[str, float]:
        """Return the figure for machines."""
        return {
            "cpu_ms": round(self.cpu_ms, 4),
            "wall_ms": round(self.wall_ms, 4),
            "per_second": round(1e3 / self.wall_ms, 1),
            "spread": round(self.spread, 3),
        }


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a text table, first column to the left, the others to the right; nothing where there are no rows."""
    if not rows:
        return ""
    full = [row for row in (head, *rows) if len(row) == len(head)]
    widths = [max(len(row[place]) for row in full) for place in range(len(head))]
    widths[0] = max(len(row[0]) for row in (head, *rows))
    lines = [title, _line(head, widths), "  ".join("-" * width for width in widths)]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    if len(cells) < len(widths):  # a name and the reason why there are no figures
        return f"{first:<{widths[0]}}  {'  '.join(others)}"
    return "  ".join(
        [f"{first:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))]
    )


def verdict(value: float, limit: float, *, at_least: bool) -> str:
    """Return the limit and whether the value keeps it."""
    met = value >= limit if at_least else value <= limit
    return f"{'>=' if at_least else '<='} {limit:g} {'ok' if met else 'NO'}"
