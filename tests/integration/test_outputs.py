"""The ledger's outputs: every one is read once, and whose a name in a destination is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fix_ledger import Bench, digest, done, open_run, report

from farm.errors import Reason
from farm.ledger import Done, Quarantined, outputs
from farm.ledger.outputs import Output, Outputs

if TYPE_CHECKING:
    from farm.ledger import Lease

pytestmark = pytest.mark.servers


def _path(number: int) -> bytes:
    return report(number).path.encode()


def _claimed(bench: Bench, lease: Lease) -> list[int]:
    ids = [row.id for row in lease.rows]
    claims = bench.ledger.claim(lease.token, [(at, report(at).path, digest("x")) for at in ids])
    assert all(claim.mine for claim in claims.values())
    return ids


def _unclaimed(bench: Bench, *names: bytes) -> set[bytes]:
    return set(Outputs(bench.conn).unclaimed(bench.ledger.run(bench.run_id).destination_id, names))


def test_pages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: outputs at the border of a page would be read twice or never, and those of other ends at all."""
    monkeypatch.setattr(outputs, "_PAGE", 2)
    bench.stage(*range(7))
    lease = bench.leased()
    ids = [row.id for row in lease.rows]
    broken = {ids[1], ids[2]}
    bench.ledger.commit(
        lease.token, [Quarantined(id=at, reason=Reason.TRUNCATED) if at in broken else done(at) for at in ids]
    )
    found = list(Outputs(bench.conn).of(bench.run_id))
    assert [output.id for output in found] == sorted(set(ids) - broken)
    assert found[0] == Output(
        id=ids[0],
        path=report(ids[0]).path,
        size=900,
        digest=digest(f"out {ids[0]}"),
        instance=f"2.25.{ids[0]}",
        syntax="1.2.840.10008.1.2.1",
    )
    assert list(Outputs(bench.conn).of(bench.run_id + 1)) == []


def test_whose_a_name_is(bench: Bench) -> None:
    """Lost: what a worker is just releasing would be called a stray, or what a lost attempt has left would not."""
    bench.stage(1, 2, 3)
    lease = bench.leased()
    first, second, third = _claimed(bench, lease)
    names = [_path(number) for number in (first, second, third)]
    assert _unclaimed(bench, *names, b"stray", b"\xff") == {b"stray", b"\xff"}
    bench.ledger.commit(
        lease.token,
        [
            done(first),
            Quarantined(id=second, reason=Reason.TRUNCATED),
            Done(id=third, report=report(third, path="S/1/2/elsewhere.dcm")),
        ],
    )
    assert _unclaimed(bench, *names) == {names[1], names[2]}
    assert _unclaimed(bench) == set()


def test_another_run_of_the_destination(bench: Bench) -> None:
    """Lost: with two sources in one destination, each run would call the other's outputs strays."""
    bench.stage(1)
    lease = bench.leased()
    [first] = _claimed(bench, lease)
    bench.ledger.commit(lease.token, [done(first)])
    other = open_run(bench.ledger, source_key=b"t" * 16)
    assert _unclaimed(Bench(bench.conn, bench.ledger, other), _path(first)) == set()
    elsewhere = open_run(bench.ledger, destination_key=b"e" * 16)
    assert _unclaimed(Bench(bench.conn, bench.ledger, elsewhere), _path(first)) == {_path(first)}


def test_put_back(bench: Bench) -> None:
    """Lost: what is made again would count twice, wait in a run that has ended, or take another's row with it."""
    bench.stage(1, 2, 3)
    lease = bench.leased()
    first, second, third = _claimed(bench, lease)
    at_risk = Done(id=first, report=report(first, pixels_at_risk=True))
    bench.ledger.commit(lease.token, [at_risk, done(second), Quarantined(id=third, reason=Reason.TRUNCATED)])
    bench.ledger.crawled(bench.run_id, {})
    assert bench.ledger.finish(bench.run_id)
    found = Outputs(bench.conn)
    with found.held(bench.run_id, [first, third]) as origins:
        assert [(one.id, one.path, one.output_digest) for one in origins] == [
            (first, report(first).path, digest(f"out {first}"))
        ]
        assert found.requeue(bench.run_id, [first, third]) == 1
    assert bench.states() == {first: "found", second: "done", third: "quarantined"}
    progress = bench.ledger.progress(bench.run_id)
    assert (progress.state, progress.found, progress.done, progress.at_risk) == ("active", 1, 1, 0)
    assert progress.output_bytes == report(second).output_bytes
    with found.held(bench.run_id, [first]) as origins:
        assert origins == []
    [again] = bench.leased().rows
    assert (again.id, again.attempts) == (first, 0)
