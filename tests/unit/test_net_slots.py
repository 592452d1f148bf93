"""The table of associations that the processes of a listener share."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from farm.net.slots import Slots

_EACH = 6
_PEERS = [f"PEER{number}@10.0.0.{number}" for number in range(4)]
_STEPS = st.lists(
    st.tuples(st.just("take"), st.integers(0, 1), st.sampled_from(_PEERS))
    | st.tuples(st.just("give back"), st.integers(0, 40), st.none())
    | st.tuples(st.just("wipe"), st.integers(0, 1), st.none()),
    max_size=60,
)


@settings(deadline=None)
@given(_STEPS, st.integers(0, 4))
def test_no_peer_ever_holds_more_than_its_share(steps: list[tuple[str, int, str | None]], most: int) -> None:
    """One peer could take all associations, or lose its share to what has long ended."""
    slots = Slots(-1, processes=2, each=_EACH)
    held: dict[int, tuple[int, str]] = {}
    for what, number, peer in steps:
        if what == "take":
            assert peer is not None
            slot = slots.take(number, peer, most)
            of_peer = Counter(name for _, name in held.values())[peer]
            in_row = Counter(row for row, _ in held.values())[number]
            assert (slot is None) == (in_row == _EACH or (most > 0 and of_peer >= most))
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
    assert first.take(0, "A", 2) is not None
    assert second.take(1, "A", 2) is not None
    assert first.take(0, "A", 2) is None
    assert first.take(0, "B", 2) is not None
    second.wipe(0)
    assert (first.taken(), second.taken()) == (1, 1)
    assert first.take(0, "A", 2) is not None
