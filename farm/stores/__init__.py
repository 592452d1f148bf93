"""Write-once output: the port, the local file system (under new names or the source's), and a store in memory."""

from farm.stores.local import LocalStore
from farm.stores.memory import MemoryStore
from farm.stores.mirror import Mirror
from farm.stores.store import Owner, Segment, Staged, Store

__all__ = ["LocalStore", "MemoryStore", "Mirror", "Owner", "Segment", "Staged", "Store"]
