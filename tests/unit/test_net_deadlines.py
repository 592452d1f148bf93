"""When an association has to end, by a clock that the test turns."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.net.deadlines import Deadlines, Watch

DEADLINES = Deadlines(request=10, pdu=30, idle=60, least_rate=100, answer=40, longest=1000)
_GAPS = st.lists(st.tuples(st.floats(0.001, 59), st.integers(1, 200), st.booleans(), st.booleans()), max_size=400)


def _watch(deadlines: Deadlines = DEADLINES) -> Watch:
    watch = Watch(deadlines, 0)
    watch.accepted(0)
    return watch


@given(_GAPS)
def test_no_message_lags_behind_the_least_rate_by_more_than_the_idle_time(
    gaps: list[tuple[float, int, bool, bool]],
) -> None:
    """PDUs of two bytes, each in time, would keep a message and its association for ever."""
    watch, now, begun, came = _watch(), 0.0, None, 0
    for gap, size, in_pdu, begins in gaps:
        now += gap
        if watch.end <= now:
            break
        begun = now if begun is None else begun
        came += size
        watch.came(now, size, in_pdu=in_pdu, begins=begins)
        assert watch.end <= begun + 60 + came / 100 + 1e-6
        assert watch.end <= now + 60


@given(st.lists(st.tuples(st.floats(0.001, 59), st.integers(6000, 200_000)), max_size=100))
def test_who_keeps_the_rate_is_not_ended(gaps: list[tuple[float, int]]) -> None:
    """A large instance over a slow line would never arrive."""
    watch, now = _watch(Deadlines(idle=60, least_rate=100, longest=0)), 0.0
    for gap, size in gaps:
        now += gap
        assert now < watch.end
        watch.came(now, size, in_pdu=False, begins=True)


def test_without_a_least_rate_any_will_do() -> None:
    """0 means none; it would be read as one that nobody keeps."""
    watch = _watch(Deadlines(idle=60, least_rate=0, longest=0))
    for now in range(0, 10_000, 50):
        assert now < watch.end
        watch.came(now, 1, in_pdu=False, begins=True)
    assert watch.over == inf


def test_each_message_has_its_own_time() -> None:
    """An association that has brought many instances would be ended for its age."""
    watch = _watch()
    for now in range(0, 900, 50):
        watch.came(now, 1, in_pdu=False, begins=True)
        assert watch.end == now + 60
        watch.rests(now + 1)
        assert watch.end == now + 61


def test_while_the_peer_waits_for_us_only_our_own_time_counts() -> None:
    """A slow ledger would cost the association; one that never answers would keep it for ever."""
    watch = _watch()
    watch.came(10, 1, in_pdu=False, begins=True)
    watch.answers(20)
    assert watch.end == 60
    watch.rests(59)
    assert watch.end == 119


@pytest.mark.parametrize("now", [1000, 1010, 1059])
def test_an_association_ends_some_day(now: float) -> None:
    """A peer that sends a C-ECHO now and then would hold its place for ever."""
    watch = _watch()
    assert watch.over == 1000
    watch.rests(now)
    watch.came(now, 1 << 30, in_pdu=False, begins=True)
    assert watch.end == 1060


def test_nothing_puts_off_the_close() -> None:
    """A peer that goes on sending would keep the transport open after the end of its association."""
    watch = _watch()
    watch.closing(5)
    watch.closing(9)
    watch.rests(10)
    watch.came(11, 1, in_pdu=False, begins=True)
    assert watch.end == 15
