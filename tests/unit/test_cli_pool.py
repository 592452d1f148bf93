"""How long a batch of the pool may take."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from farm.cli.pool import seconds_for
from farm.settings import Settings

_SETTINGS = Settings(home=Path("home"), task_seconds=300, parcel_bytes=64 << 20)


@given(size=st.integers(0, 1 << 50))
def test_a_large_instance_has_more_time(size: int) -> None:
    """Lost: a multi-frame instance of many gigabytes would be ended three times while all goes well."""
    seconds = seconds_for(size, _SETTINGS)
    assert seconds >= 300
    assert (seconds == 300) == (size <= 64 << 20)
    assert seconds_for(2 * size, _SETTINGS) >= seconds
    assert seconds_for(10 * 64 << 20, _SETTINGS) == 3000
