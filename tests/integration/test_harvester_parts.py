"""The harvester's parts: what is awaited of a C-MOVE, and what the ledger keeps of lists and leases."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from fix_farm import Opener

from farm.ledger.harvest_values import Keyed, ListRow
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS, Arriving
from scheduler.campaign import Desk
from scheduler.harvest.line import classes_of
from scheduler.harvest.receiving import Awaited

ARRIVING = Arriving(
    sop_class="1.2.840.10008.5.1.4.1.1.2",
    sop_instance="1.2.3",
    transfer_syntax="1.2.840.10008.1.2.1",
    calling="PACS",
    called="FARM",
    address="127.0.0.1",
)


class Answering:
    """A receiver whose sinks answer so."""

    def __init__(self, status: int) -> None:
        self._status = status

    def begin(self, arriving: Arriving) -> Answering:
        """Return itself as the sink."""
        del arriving
        return self

    def write(self, data: memoryview) -> None:
        """Take a fragment."""

    async def end(self) -> int:
        """Answer."""
        await asyncio.sleep(0)
        return self._status

    def abandon(self) -> None:
        """Leave nothing behind."""


def awaited(status: int, *keys: bytes) -> Awaited:
    """Return what awaits these."""
    return Awaited(1, Answering(status), keys, whole=True)


async def stored(one: Awaited, key: bytes) -> int:
    """Store an instance."""
    ending = one.begin(ARRIVING, key).end()
    return ending if isinstance(ending, int) else await ending


def test_what_is_awaited_has_settled_when_all_is_stored() -> None:
    """If it fails, each C-MOVE costs the whole time that a late one is given, or none waits."""

    async def run() -> None:
        one = awaited(SUCCESS, b"a", b"b")
        settled = asyncio.create_task(one.settled(60))
        for key in (b"a", b"b"):
            assert not settled.done()
            assert await stored(one, key) == SUCCESS
        await settled
        assert (one.left, one.came) == (set(), 2)

    asyncio.run(run())


def test_what_was_refused_or_broke_off_is_still_missing() -> None:
    """If it fails, an instance that could not be stored counts as one that has come."""

    async def run() -> None:
        one = awaited(OUT_OF_RESOURCES, b"a", b"b")
        assert await stored(one, b"a") == OUT_OF_RESOURCES
        sink = one.begin(ARRIVING, b"b")
        sink.abandon()
        sink.abandon()
        await one.settled(0)
        assert (one.left, one.came) == ({b"a", b"b"}, 0)

    asyncio.run(run())


def test_an_instance_on_its_way_is_waited_for() -> None:
    """If it fails, a large instance on a slow line is given up while it comes."""

    async def run() -> None:
        one = awaited(SUCCESS, b"a")
        sink = one.begin(ARRIVING, b"a")
        settled = asyncio.create_task(one.settled(0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not settled.done()
        ending = sink.end()
        assert not isinstance(ending, int)
        await ending
        await settled

    asyncio.run(run())


def test_where_a_class_is_not_told_the_common_ones_may_come() -> None:
    """If it fails, what a PACS lists without its SOP class cannot come by C-GET."""
    assert classes_of(["1.2.3", "1.2.3"]) == ["1.2.3"]
    found = classes_of(["1.2.3", ""])
    assert found[0] == "1.2.3"
    assert ARRIVING.sop_class in found


@pytest.mark.servers
def test_a_list_that_is_not_whole_takes_nothing_back_and_a_dead_process_frees_its_studies(
    desk: Desk, opened: Opener
) -> None:
    """If it fails, a capped answer hides what is missing, or a kill makes a study wait for its lease."""
    run = opened().run
    a, b, c = (Keyed(key=key, sealed=key) for key in (b"a", b"b", b"c"))
    with closing(desk.session()) as session:
        books = session.call(lambda tables: tables.harvests)
        harvest = books.open(run_id=run.id, pacs="PACS", list_key=b"k", sealed=b"")
        books.add_rows(harvest.id, [ListRow(row=1, sealed=b"")])
        books.listed(harvest.id)
        books.resolved(harvest.id, 1, studies=[Keyed(key=b"study", sealed=b"")])
        study = books.take_study("PACS", "dead", 60)
        assert study is not None
        books.expect(study, [a, b])
        books.expect(study, [c], whole=False)
        assert books.expected(harvest.id, b"study") == {b"a", b"b", b"c"}
        assert books.reclaim("OTHER") == 0
        assert books.reclaim("PACS") == 1
        assert not books.renew(study, 60)
        again = books.take_study("PACS", "alive", 60)
        assert again is not None
        assert (again.attempts, again.expected) == (1, 3)
        books.expect(again, [c])
        assert books.expected(harvest.id, b"study") == {b"c"}
