"""Which peers hold associations, in memory that the processes of one listener share.

Each process writes only its own row, a slot for each association with a hash of the peer, and reads all rows: no lock,
and whoever dies leaves a row that the parent wipes. Two processes may take the last place at the same moment; a cap may
so be passed by one for each process, and by no more.
"""

from __future__ import annotations

import mmap
from hashlib import blake2b


class Slots:
    """The table: `processes` rows of `each` slots; a descriptor of a memory file may be given to share it."""

    def __init__(self, fd: int, *, processes: int, each: int) -> None:
        """Map the table; -1: for this process and those that it forks."""
        self._each = each
        self._memory = mmap.mmap(fd, self.size(processes=processes, each=each))
        self._table = memoryview(self._memory).cast("Q")

    @staticmethod
    def size(*, processes: int, each: int) -> int:
        """Return how many bytes the table takes."""
        return processes * each * 8

    def take(self, row: int, peer: str, most: int) -> int | None:
        """Take a slot of the row for a peer; None where it holds `most` already, or the row is full."""
        mark = int.from_bytes(blake2b(peer.encode(), digest_size=8).digest(), "little") or 1
        table = self._table.tolist()
        first = row * self._each
        if most and table.count(mark) >= most:
            return None
        try:
            slot = table.index(0, first, first + self._each)
        except ValueError:
            return None
        self._table[slot] = mark
        return slot

    def give_back(self, slot: int) -> None:
        """Free a slot."""
        self._table[slot] = 0

    def wipe(self, row: int) -> None:
        """Free all slots of a row, its process having died."""
        first = row * self._each
        self._table[first : first + self._each] = memoryview(bytes(8 * self._each)).cast("Q")

    def taken(self) -> int:
        """Return how many associations there are."""
        return sum(1 for mark in self._table if mark)
