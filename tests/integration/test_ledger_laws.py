"""The ledger against a model of itself: any order of calls, from any worker, living or dead."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from fix_ledger import Bench, done, found, open_run
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from farm.errors import Reason, Unavailable
from farm.ledger import Brought, Failed, GivenBack, Outcome, Quarantined, Skipped

if TYPE_CHECKING:
    from farm.ledger import Found, Parcel

MAX_ATTEMPTS = 3
FATES = ("done", "quarantined", "skipped", "failed", "given back")


@dataclass
class Model:
    """What the ledger should hold: instance -> state and attempts, generation -> its instances."""

    state: dict[int, str] = field(default_factory=dict)
    attempts: Counter[int] = field(default_factory=Counter)
    parcels: dict[int, tuple[int, ...]] = field(default_factory=dict)
    leased: set[int] = field(default_factory=set)
    dead: list[int] = field(default_factory=list)

    def fail(self, instance: int) -> None:
        """Count an attempt that failed."""
        self.attempts[instance] += 1
        self.state[instance] = "quarantined" if self.attempts[instance] >= MAX_ATTEMPTS else "found"

    def end(self, generation: int) -> tuple[int, ...]:
        """Let a parcel be no more."""
        self.leased.discard(generation)
        self.dead.append(generation)
        return self.parcels.pop(generation)


def outcome(instance: int, fate: str) -> Outcome:
    """Return an outcome of this fate."""
    match fate:
        case "done":
            return done(instance)
        case "quarantined":
            return Quarantined(id=instance, reason=Reason.TRUNCATED)
        case "skipped":
            return Skipped(id=instance, reason=Reason.DUPLICATE)
        case "failed":
            return Failed(id=instance, reason=Reason.INTERNAL_ERROR)
        case _:
            return GivenBack(id=instance, trouble=Reason.NO_SPACE)


class LedgerMachine(RuleBasedStateMachine):
    """Every rule is something that a scheduler, a worker or an accident does."""

    def __init__(self, bench: Bench, number: int) -> None:
        super().__init__()
        run_id = open_run(bench.ledger, source_key=number.to_bytes(16, "big"))
        self.bench = replace(bench, run_id=run_id)
        self.ledger = bench.ledger
        self.model = Model()
        self.staged = 0
        self.written: Counter[int] = Counter()
        self.fed = True

    @rule(count=st.integers(1, 8))
    def stage(self, count: int) -> None:
        """Find new instances, and one that was found before."""
        entries = [self._found(number) for number in range(max(0, self.staged - 1), self.staged + count)]
        assert self.ledger.stage(self.bench.run_id, entries) == Brought(new=count)
        self.staged += count
        known = self.bench.states()
        self.model.state |= dict.fromkeys(known.keys() - self.model.state.keys(), "found")

    def _found(self, number: int) -> Found:
        return found(number, mtime_ns=self.written[number])

    @precondition(lambda self: self.staged)
    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        """Write to a source and find it again: what is not done and not on its way begins anew, with what is there."""
        number = data.draw(st.integers(0, self.staged - 1))
        entry = replace(self._found(number), mtime_ns=self.written[number] + 1)
        instance, _ = self._known(entry)
        brought = self.ledger.stage(self.bench.run_id, [entry])
        match self.model.state[instance]:
            case "done":
                assert brought == Brought(new=0, done=(entry.locator_key,))
            case "queued" | "leased":
                assert brought == Brought(new=0, busy=(entry.locator_key,))
            case state:
                assert brought == Brought(new=0, again=int(state != "found"))
                self.written[number] += 1
                self.model.attempts[instance] = 0
                self.model.state[instance] = "found"
        assert self._known(entry) == (instance, self.written[number])

    def _known(self, entry: Found) -> tuple[int, int]:
        [(instance, mtime_ns)] = self.bench.conn.execute(
            "SELECT id, mtime_ns FROM ledger.instances WHERE run_id = %s AND locator_key = %s",
            [self.bench.run_id, entry.locator_key],
        ).fetchall()
        return instance, mtime_ns

    @rule(instances=st.integers(1, 4), messages=st.integers(1, 3))
    def feed(self, instances: int, messages: int) -> None:
        """Pack what may be fed; what has failed before travels alone."""
        parcels = self.ledger.feed(self.bench.run_id, max_messages=messages, max_instances=instances, max_bytes=1 << 30)
        waiting = [instance for instance, state in self.model.state.items() if state == "found"]
        assert bool(parcels) == bool(waiting and self.fed)
        assert len(parcels) <= messages
        for parcel in parcels:
            assert len(parcel.ids) <= (1 if any(self.model.attempts[i] for i in parcel.ids) else instances)
            assert all(self.model.state[instance] == "found" for instance in parcel.ids)
            self._queue(parcel)

    def _queue(self, parcel: Parcel) -> None:
        assert parcel.generation not in self.model.parcels
        assert parcel.generation not in self.model.dead
        self.model.parcels[parcel.generation] = parcel.ids
        self.model.state |= dict.fromkeys(parcel.ids, "queued")

    @precondition(lambda self: self.model.parcels)
    @rule(data=st.data())
    def lease(self, data: st.DataObject) -> None:
        """Let a message arrive, perhaps a second time."""
        generation = data.draw(st.sampled_from(sorted(self.model.parcels)))
        lease = self.ledger.lease(generation, "worker", 60)
        if generation in self.model.leased:
            assert lease is None
            return
        assert lease is not None
        assert tuple(row.id for row in lease.rows) == self.model.parcels[generation]
        assert all(row.attempts == self.model.attempts[row.id] for row in lease.rows)
        self.model.leased.add(generation)
        self.model.state |= dict.fromkeys(self.model.parcels[generation], "leased")

    @precondition(lambda self: self.model.leased)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """Let a worker come to the end of its parcel."""
        generation = data.draw(st.sampled_from(sorted(self.model.leased)))
        fates = [(instance, data.draw(st.sampled_from(FATES))) for instance in self.model.parcels[generation]]
        self.ledger.commit(generation, [outcome(*fate) for fate in fates])
        self.model.end(generation)
        for instance, fate in fates:
            if fate == "failed":
                self.model.fail(instance)
            elif fate == "given back":
                self.model.state[instance] = "found"
            else:
                self.model.attempts[instance] += 1
                self.model.state[instance] = fate

    @precondition(lambda self: self.model.dead)
    @rule(data=st.data())
    def come_back_from_the_dead(self, data: st.DataObject) -> None:
        """Try everything with a parcel that is no more."""
        generation = data.draw(st.sampled_from(self.model.dead))
        assert self.ledger.lease(generation, "worker", 60) is None
        assert not self.ledger.renew(generation, 60)
        assert self.ledger.abandon(generation, "worker", Reason.WORKER_LOST) == 0
        with pytest.raises(Unavailable):
            self.ledger.claim(generation, [(1, "path", "00")])
        with pytest.raises(Unavailable):
            self.ledger.commit(generation, [done(1)])

    @precondition(lambda self: self.model.leased)
    @rule(data=st.data(), by_reaper=st.booleans())
    def lose_a_worker(self, data: st.DataObject, by_reaper: bool) -> None:  # noqa: FBT001  Hypothesis names it
        """Kill a worker's process; its parent tells, or the lease expires."""
        generation = data.draw(st.sampled_from(sorted(self.model.leased)))
        size = len(self.model.parcels[generation])
        if by_reaper:
            self.bench.expire(generation)
            assert self.ledger.reap() == size
        else:
            assert self.ledger.abandon(generation, "worker", Reason.TIME_LIMIT) == size
        for instance in self.model.end(generation):
            self.model.fail(instance)

    @rule()
    def republish(self) -> None:
        """Lose the messages: what was queued is queued under new numbers."""
        queued = self.model.parcels.keys() - self.model.leased
        parcels = self.ledger.republish(self.bench.run_id, 0)
        assert sorted(p.ids for p in parcels) == sorted(self.model.end(generation) for generation in queued)
        for parcel in parcels:
            self._queue(parcel)

    @rule()
    def recall(self) -> None:
        """Drain, or start after a crash."""
        queued = [self.model.end(generation) for generation in self.model.parcels.keys() - self.model.leased]
        back = [instance for ids in queued for instance in ids]
        assert self.ledger.recall(self.bench.run_id) == len(back)
        self.model.state |= dict.fromkeys(back, "found")

    @rule()
    def retry(self) -> None:
        """Let quarantined instances try again."""
        back = [instance for instance, state in self.model.state.items() if state == "quarantined"]
        assert self.ledger.retry(self.bench.run_id) == len(back)
        for instance in back:
            self.model.attempts[instance] = 0
            self.model.state[instance] = "found"

    @rule()
    def pause_or_resume(self) -> None:
        """Stop the feeding, or start it again."""
        if self.fed:
            self.ledger.pause(self.bench.run_id)
            for generation in self.model.parcels.keys() - self.model.leased:
                self.model.state |= dict.fromkeys(self.model.end(generation), "found")
        else:
            self.ledger.resume(self.bench.run_id)
        self.fed = not self.fed

    @invariant()
    def stands_in_one_place(self) -> None:
        """Find each instance where the model says, and nowhere else."""
        assert self.bench.states() == self.model.state

    @invariant()
    def counts_agree(self) -> None:
        """Find the counts that counting would give."""
        progress = self.ledger.progress(self.bench.run_id)
        counts = Counter(self.model.state.values())
        assert {state: getattr(progress, state) for state in counts} == dict(counts)
        assert progress.total == len(self.model.state)
        reasons = self.bench.conn.execute(
            "SELECT reason, count(*) FROM ledger.outcomes WHERE run_id = %s AND state <> 'done' GROUP BY reason",
            [self.bench.run_id],
        ).fetchall()
        assert progress.reasons == dict(reasons)


def test_any_order_of_calls(bench: Bench) -> None:
    """An instance could be lost, be worked on twice, or be tried for ever."""
    numbers = iter(range(1, 1 << 30))
    run_state_machine_as_test(
        lambda: LedgerMachine(bench, next(numbers)),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
