"""The shared fixtures give each test servers of its own making."""

from __future__ import annotations

import psycopg
import pytest
from kombu.connection import Connection

pytestmark = pytest.mark.servers


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_database_of_its_own(database: str, turn: int) -> None:
    """Lost: the independence of tests, if one could see what another wrote."""
    with psycopg.connect(database) as connection:
        connection.execute("CREATE TABLE mine (turn int)")
        connection.execute("INSERT INTO mine VALUES (%s)", [turn])


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_broker_of_its_own(broker: str, turn: int) -> None:
    """Lost: the independence of tests, if one could consume what another published."""
    with Connection(broker) as connection, connection.SimpleQueue("mine") as queue:
        with pytest.raises(queue.Empty):
            queue.get(block=False)
        queue.put({"turn": turn})
        assert queue.get(timeout=5).payload == {"turn": turn}
        queue.put({"turn": turn})
