"""Write-once output: the port, the local file system, and a store in memory for tests."""

from farm.stores.local import LocalStore
from farm.stores.memory import MemoryStore
from farm.stores.store import Segment, Staged, Store

__all__ = ["LocalStore", "MemoryStore", "Segment", "Staged", "Store"]
