"""The table of associations that the processes of a listener share."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.net.slots import Share, Slots

_EACH = 6
_PEERS = [(f"PEER{number}@10.0.0.{number % 2}", f"10.0.0.{number % 2}") for number in range(4)]
_STEPS = st.lists(
    st.tuples(st.just("take"), st.integers(0, 1), st.sampled_from(_PEERS))
    | st.tuples(st.just("give back"), st.integers(0, 40), st.none())
    | st.tuples(st.just("wipe"), st.integers(0, 1), st.none()),
    max_size=60,
)


@settings(deadline=None)
@given(_STEPS, st.integers(0, 4), st.integers(0, 6))
def test_nobody_ever_holds_more_than_their_share(
    steps: list[tuple[str, int, tuple[str, str] | None]], most: int, of_address: int
) -> None:
    """One peer could take all associations, or one address by many titles, or lose its share to what has long ended."""
    slots = Slots(-1, processes=2, each=_EACH)
    held: dict[int, tuple[int, tuple[str, str]]] = {}
    for what, number, peer in steps:
        if what == "take":
            assert peer is not None
            title, address = peer
            slot = slots.take(number, Share(title, most), Share(address, of_address))
            by_title = Counter(one for _, (one, _) in held.values())[title]
            by_address = Counter(one for _, (_, one) in held.values())[address]
            in_row = Counter(row for row, _ in held.values())[number]
            is_full = 0 < most <= by_title or 0 < of_address <= by_address
            assert (slot is None) == (in_row == _EACH or is_full)
            if slot is not None:
                assert slot not in held
                held[slot] = (number, peer)
        elif what == "give back" and held:
            slot = sorted(held)[number % len(held)]
            slots.give_back(slot)
            del held[slot]
        elif what == "wipe":
            slots.wipe(number)
            held = {slot: of for slot, of in held.items() if of[0] != number}
        assert slots.taken() == len(held)


def test_two_processes_see_each_other() -> None:
    """A peer would get its share once from each process of a listener."""
    fd = os.memfd_create("slots")
    os.ftruncate(fd, Slots.size(processes=2, each=3))
    first, second = Slots(fd, processes=2, each=3), Slots(fd, processes=2, each=3)
    os.close(fd)
    a, b, anywhere = Share("A", 2), Share("B", 2), Share("10.0.0.1", 3)
    assert first.take(0, a, anywhere) is not None
    assert second.take(1, a, anywhere) is not None
    assert first.take(0, a, anywhere) is None
    assert first.take(0, b, anywhere) is not None
    assert second.take(1, b, anywhere) is None
    second.wipe(0)
    assert (first.taken(), second.taken()) == (1, 1)
    assert first.take(0, a, anywhere) is not None
