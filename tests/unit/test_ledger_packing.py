"""Packing: nothing lost, nothing twice, no limit passed."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from farm.ledger.packing import Limits, Waiter, pack

WAITERS = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from(["cpu", "gpu"]), st.sampled_from([0, 0, 0, 1])), max_size=40
).map(
    lambda rows: [
        Waiter(ctid=f"(0,{at})", id=at, size=size, route=route, attempts=attempts)
        for at, (size, route, attempts) in enumerate(rows)
    ]
)


@given(WAITERS, st.integers(1, 10), st.integers(1, 8), st.integers(1, 100))
def test_packing(waiters: list[Waiter], messages: int, instances: int, size: int) -> None:
    """A parcel would outgrow a worker's memory, skip an instance, or send one that failed with others."""
    parcels = pack(waiters, Limits(messages=messages, instances=instances, size=size))
    flat = [waiter for parcel in parcels for waiter in parcel]
    assert flat == waiters[: len(flat)]
    assert len(parcels) <= messages
    assert len(parcels) == messages or len(flat) == len(waiters)
    for parcel in parcels:
        assert 1 <= len(parcel) <= instances
        assert len(parcel) == 1 or sum(waiter.size for waiter in parcel) <= size
        assert len({waiter.route for waiter in parcel}) == 1
        assert len(parcel) == 1 or not any(waiter.attempts for waiter in parcel)


@given(WAITERS)
def test_no_parcel_is_needlessly_small(waiters: list[Waiter]) -> None:
    """Messages would cost more than the work in them."""
    limits = Limits(messages=1000, instances=4, size=100)
    for first, second in pairwise(pack(waiters, limits)):
        assert (
            len(first) == limits.instances
            or sum(waiter.size for waiter in first) + second[0].size > limits.size
            or first[0].route != second[0].route
            or any(waiter.attempts for waiter in (*first, second[0]))
        )
