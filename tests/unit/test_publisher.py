from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import Reason, Unavailable
from farm.ledger import Parcel
from farm.queue import Publisher, make_app
from farm.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(60)
def test_without_a_broker_publishing_fails_at_once(tmp_path: Path) -> None:
    """The loop that publishes is the one that starts a dead broker again; waiting for it would be waiting for ever."""
    publisher = Publisher(make_app(f"redis+socket://{tmp_path}/none.sock", Settings(home=tmp_path)))
    with pytest.raises(Unavailable) as caught:
        publisher.publish([Parcel(run_id=1, generation=1, ids=(1,), route="cpu")])
    publisher.close()
    assert caught.value.reason is Reason.BROKER_AWAY
    assert str(tmp_path) not in str(caught.value)
