"""Which peers hold associations, in memory that the processes of one listener share.

Each process writes only its own row, a slot for each association with hashes of the peer and of its address, and reads
all rows: no lock, and whoever dies leaves a row that the parent wipes. Two processes may take the last place at the
same moment; a cap may so be passed by one for each process, and by no more.
"""

from __future__ import annotations

import mmap
from hashlib import blake2b
from typing import NamedTuple


class Share(NamedTuple):
    """Whom associations are counted for, and how many there may be at most; 0: any."""

    holder: str
    most: int

    @property
    def mark(self) -> int:
        """Return what stands for the holder in the table: never nothing."""
        return int.from_bytes(blake2b(self.holder.encode(), digest_size=8).digest(), "little") or 1


class Slots:
    """The table: `processes` rows of `each` slots; a descriptor of a memory file may be given to share it."""

    def __init__(self, fd: int, *, processes: int, each: int) -> None:
        """Map the table; -1: for this process and those that it forks."""
        self._each = each
        self._memory = mmap.mmap(fd, self.size(processes=processes, each=each))
        half = processes * each * 8
        self._peers = memoryview(self._memory)[:half].cast("Q")
        self._addresses = memoryview(self._memory)[half:].cast("Q")

    @staticmethod
    def size(*, processes: int, each: int) -> int:
        """Return how many bytes the table takes."""
        return processes * each * 8 * 2

    def take(self, row: int, peer: Share, address: Share) -> int | None:
        """Take a slot of the row; None where the peer or its address holds all that it may, or the row is full."""
        if self._is_full(self._peers, peer) or self.is_full(address):
            return None
        first = row * self._each
        try:
            slot = self._peers.tolist().index(0, first, first + self._each)
        except ValueError:
            return None
        self._addresses[slot] = address.mark
        self._peers[slot] = peer.mark
        return slot

    def is_full(self, address: Share) -> bool:
        """Tell whether an address holds all that it may."""
        return self._is_full(self._addresses, address)

    @staticmethod
    def _is_full(table: memoryview, share: Share) -> bool:
        return bool(share.most) and table.tolist().count(share.mark) >= share.most

    def give_back(self, slot: int) -> None:
        """Free a slot."""
        self._peers[slot] = self._addresses[slot] = 0

    def wipe(self, row: int) -> None:
        """Free all slots of a row, its process having died."""
        first = row * self._each
        for table in (self._peers, self._addresses):
            table[first : first + self._each] = memoryview(bytes(8 * self._each)).cast("Q")

    def taken(self) -> int:
        """Return how many associations there are."""
        return sum(1 for mark in self._peers if mark)
