from __future__ import annotations

import pytest
from suites.store_suite import StoreSuite

from farm.stores import MemoryStore


class TestMemoryStore(StoreSuite):
    """The store that other tests use keeps what the real one promises."""

    @pytest.fixture
    def fresh(self) -> MemoryStore:
        """Give an unopened store."""
        return MemoryStore()
