"""The account of a command's work: how many instances ended in which way, the same for `run`, `deid` and `status`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from farm.cli.screen import say, tell, tell_rows
from farm.errors import MEANING, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.ledger import Progress

_LEFT_OUT = {
    "symlinks": "links (never followed)",
    "special": "pipes, sockets or devices",
    "unreadable": "files or folders that cannot be read",
    "loops": "folders that contain themselves or lie too deep",
    "farm_folders": "working folders of a destination",
}
"""What a crawl leaves out, and how it is told; its other counters are totals."""

_AT_RISK = "passed with pixels that nobody has looked at: they may show names; do not release these yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Instances by their end. `waiting` have not ended; `left_out` never became instances."""

    total: int
    done: int
    quarantined: int
    skipped: int
    waiting: int
    pixels_at_risk: int
    output_bytes: int
    reasons: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, progress: Progress, counters: Mapping[str, int]) -> Account:
        """Return the account of a run."""
        return cls(
            total=progress.total,
            done=progress.done,
            quarantined=progress.quarantined,
            skipped=progress.skipped,
            waiting=progress.total - progress.ended,
            pixels_at_risk=progress.at_risk,
            output_bytes=progress.output_bytes,
            reasons=progress.reasons,
            left_out=left_out(counters),
        )

    def to_dict(self) -> dict[str, object]:
        """Return the account for programs."""
        return asdict(self)


def left_out(counters: Mapping[str, int]) -> dict[str, int]:
    """Return those of a crawl's counters that count what was left out, where there was any."""
    return {kind: counters[kind] for kind in _LEFT_OUT if counters.get(kind)}


def show(title: str, account: Account) -> None:
    """Print an account for people."""
    tell(title, "bold")
    ends = [("done", account.done), ("quarantined", account.quarantined), ("already there", account.skipped)]
    if account.waiting:
        ends.append(("waiting", account.waiting))
    tell_rows(("", ""), [(f"  {name}", count) for name, count in ends], right=(1,))
    reasons = sorted(account.reasons.items(), key=lambda item: (-item[1], item[0]))
    told = [(code, count, MEANING[Reason(code)]) for code, count in reasons if code != Reason.DUPLICATE]
    show_why("quarantined", told)
    if account.pixels_at_risk:
        tell(f"  {account.pixels_at_risk:,} of the done {_AT_RISK}.", "yellow")
    show_left_out(account.left_out)


def show_left_out(counts: Mapping[str, int]) -> None:
    """Print what never became an instance."""
    for kind, count in counts.items():
        tell(f"  left out: {count:,} {_LEFT_OUT[kind]}")


def say_if_empty(files: int, known: int = 0) -> None:
    """Say on standard error that a source holds no files: it may not be mounted. `known`: instances it had before."""
    if not files:
        before = f", and {known:,} instances are known of it" if known else ""
        say(f"farm: the source holds no files{before}")


def show_why(word: str, rows: Sequence[tuple[str, int, str]]) -> None:
    """Print why instances ended so: a code, how many, and what it means."""
    show_rows(f"{word} because", rows)


def show_rows(title: str, rows: Sequence[tuple[str, int, str]]) -> None:
    """Print words, how many there are of each, and what they mean."""
    if rows:
        tell(f"  {title}:")
        tell_rows(("", "", ""), [(f"    {word}", count, meaning) for word, count, meaning in rows], right=(1,))
