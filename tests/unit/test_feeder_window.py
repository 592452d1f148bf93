from __future__ import annotations

from farm.errors import Reason
from scheduler.feeder import Window
from scheduler.patience import Patience


def test_window_starts_small() -> None:
    """Before anything was drained little waits in the broker; else a lost broker would cost much."""
    assert Window(seconds=20, most=20_000).room(0.0, 0) == 32


def test_window_follows_the_measured_drain() -> None:
    """A fast farm must never run dry between two looks: 20 seconds of its drain may wait."""
    window = Window(seconds=20, most=20_000)
    window.published(32)
    assert window.room(0.0, 32) == 0
    assert window.room(2.0, 12) == 20 * 10 - 12


def test_window_is_bounded() -> None:
    """However fast the drain, the broker's memory is bounded."""
    window = Window(seconds=20, most=100)
    window.published(10_000)
    window.room(0.0, 10_000)
    assert window.room(1.0, 0) == 100


def test_window_shrinks_when_the_workers_stand_still() -> None:
    """When nothing is drained any more, no more than the start may wait, or all of it is published again and again."""
    window = Window(seconds=20, most=20_000)
    window.published(1000)
    window.room(0.0, 1000)
    assert window.room(1.0, 500) > 0
    assert window.room(12.0, 500) == 0


def test_patience_ends_when_something_stays_away() -> None:
    """A command in the foreground must end when the disk is full, not wait for ever."""
    patience = Patience(10)
    assert not patience.over(0.0, 5, Reason.NO_SPACE)
    assert not patience.over(1.0, 5, Reason.NO_SPACE)
    assert patience.over(11.0, 5, Reason.NO_SPACE)


def test_headway_renews_patience() -> None:
    """A farm that finishes instances in spite of some trouble must not be given up."""
    patience = Patience(10)
    for second in range(100):
        assert not patience.over(float(second), second, Reason.STORAGE_ERROR)


def test_no_trouble_needs_no_patience() -> None:
    """One instance may take longer than patience lasts, if nothing is away."""
    patience = Patience(10)
    assert not any(patience.over(float(second), 5, None) for second in range(100))


def test_patience_lasts_while_the_ledger_is_away() -> None:
    """An unknown count is no headway: with the database away for good the command ends."""
    patience = Patience(10)
    assert not patience.over(0.0, None, Reason.DATABASE_AWAY)
    assert patience.over(10.0, None, Reason.DATABASE_AWAY)
