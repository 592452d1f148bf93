"""Harvests in the ledger: rows, studies, leases, what is missing, and what it costs when there are many."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from fix_ledger import Bench, open_run

from farm.database import connect, load_queries
from farm.errors import BadRecipe, Reason, Unavailable
from farm.ledger.harvest_values import Harvest, Keyed, ListRow, RowResult, TakenStudy
from farm.ledger.harvests import Harvests
from farm.ledger.ledger import Ledger
from scheduler.harvest.export import Result, write
from scheduler.harvest.lists import Wanted, read
from scheduler.harvest.verdicts import Ending, Listed, StudyFacts, judge_row, judge_study, together

if TYPE_CHECKING:
    import psycopg

QUERIES = load_queries("farm.ledger", "harvests.sql")


def key(number: int) -> bytes:
    """Return the key of a study or an instance."""
    return b"key %d" % number


def keyed(*numbers: int) -> list[Keyed]:
    """Return studies or instances by their numbers."""
    return [Keyed(key=key(number), sealed=b"sealed %d" % number) for number in numbers]


@dataclass(frozen=True, slots=True)
class Field:
    """A harvest of one run, and shorthands for what most tests do with it."""

    bench: Bench
    harvests: Harvests
    id: int

    def open(self, *, pacs: str = "PACS", list_key: bytes = b"list", priority: int = 0) -> Harvest:
        """Open a harvest of the run."""
        facts = {"pacs": pacs, "list_key": list_key, "priority": priority}
        return self.harvests.open(run_id=self.bench.run_id, sealed=b"header", **facts)  # type: ignore[arg-type]

    def add(self, *rows: int) -> int:
        """Add rows to the list, and end it."""
        added = self.harvests.add_rows(self.id, [ListRow(row=row, sealed=b"row %d" % row) for row in rows])
        self.harvests.listed(self.id)
        return added

    def found(self, *studies: int) -> None:
        """Add a row for each study, and resolve it to that."""
        self.add(*studies)
        for study in studies:
            self.harvests.resolved(self.id, study, studies=keyed(study))

    def take(self, seconds: float = 60, pacs: str = "PACS") -> TakenStudy:
        """Lease the next study."""
        study = self.harvests.take_study(pacs, "worker", seconds)
        assert study is not None
        return study

    def arrive(self, *instances: int, run_id: int | None = None) -> None:
        """Let instances arrive in a run."""
        for number in instances:
            self.bench.conn.execute(
                "INSERT INTO ledger.arrivals (run_id, instance_key, instance_id, study_key)"
                " VALUES (%s, %s, %s, 'study') ON CONFLICT DO NOTHING",
                [run_id or self.bench.run_id, key(number), number],
            )

    def waiting(self) -> list[int]:
        """Return the rows that are to be asked for now."""
        return [one.row for one in self.harvests.rows_to_resolve(self.id, 10)]

    def missing(self, study: TakenStudy) -> list[bytes]:
        """Return the keys of what is missing of a study."""
        return [one.key for one in self.harvests.missing(study)]

    def check(self) -> None:
        """Check the tallies against the rows that they count."""
        progress = self.harvests.progress(self.id)
        for table, told in (("rows", progress.rows), ("studies", progress.studies)):
            counted = self.bench.conn.execute(
                f"SELECT coalesce(verdict, 'found'), count(*) FROM ledger.harvest_{table}"  # noqa: S608 - two names
                " WHERE harvest_id = %s GROUP BY 1",
                [self.id],
            ).fetchall()
            assert told == dict(counted)


@pytest.fixture
def field(bench: Bench) -> Field:
    """Return an empty harvest."""
    harvests = Harvests(bench.conn)
    opened = harvests.open(run_id=bench.run_id, pacs="PACS", list_key=b"list", sealed=b"header")
    return Field(bench, harvests, opened.id)


def test_a_list_on_its_way(field: Field) -> None:
    """Lost otherwise: the parts would each be right, and not fit together."""
    text = "accession_number,ward\nA1,north\nA2,south\nA?,east\nA4,west\n"
    header, listed = read(io.StringIO(text))
    rows = [
        ListRow(row=one.row, sealed=one.packed(), verdict="bad-row" if one.wrong else "pending", reason=one.wrong)
        for one in listed
    ]
    field.harvests.add_rows(field.id, rows)
    field.harvests.listed(field.id)
    pacs = {"A1": {10: [1, 2]}, "A2": {20: [3, 4], 21: [5]}, "A4": {40: [6]}}
    for one in field.harvests.rows_to_resolve(field.id, 10):
        row = one.row
        found = pacs[Wanted.unpacked(one.sealed).accession]
        verdict = judge_row(StudyFacts(query=Ending.SUCCESS, matches=len(found)))
        field.harvests.resolved(field.id, row, studies=keyed(*found) if verdict is None else (), verdict=verdict)
    lists = {key(study): numbers for studies in pacs.values() for study, numbers in studies.items()}
    field.arrive(1, 6)
    while study := field.harvests.take_study("PACS", "worker", 60):
        field.harvests.expect(study, keyed(*lists[study.study_key]))
        expected = frozenset(field.harvests.expected(study.harvest_id, study.study_key))
        arrived = frozenset(field.harvests.arrived(study.run_id, sorted(expected)))
        facts = StudyFacts(before=Listed(keys=expected), retrieve=Ending.SUCCESS, arrived=arrived)
        field.harvests.end_study(study, judge_study(facts).verdict)
    assert field.harvests.finish(field.id)
    out = io.StringIO()
    assert write(out, header, (_result(field, row) for row in field.harvests.results(field.id))) == 4
    assert out.getvalue().splitlines() == [
        "accession_number,ward,verdict,expected,arrived,missing,missing_uids,reason",
        "A1,north,short,2,1,1,sealed 2,",
        "A2,south,ambiguous,,,0,,",
        "A?,east,bad-row,,,0,,accession_number holds a wildcard or a backslash",
        "A4,west,complete,1,1,0,,",
    ]
    field.check()


def _result(field: Field, row: RowResult) -> Result:
    """Return what the result says of a row."""
    missing = [one for study in row.studies for one in field.harvests.missing_of(field.id, study.study_key)]
    counts = [study.expected for study in row.studies]
    return Result(
        carried=Wanted.unpacked(row.sealed).carried,
        verdict=together([*([row.verdict] if row.verdict else []), *(study.verdict for study in row.studies)]),
        expected=sum(count for count in counts if count) if counts and None not in counts else None,
        missing=[one.sealed.decode() for one in missing],
        reason=row.reason or "",
    )


def test_every_query_has_a_name_of_its_own() -> None:
    """Lost otherwise: one query would silently stand for another."""
    assert len(QUERIES) > 20
    assert all(text.strip() for text in QUERIES.values())


def test_the_same_list_is_the_same_harvest(field: Field) -> None:
    """Lost otherwise: a command that is given again would fetch all there is again."""
    assert field.open().id == field.id
    assert field.open(priority=9).priority == 0
    others = {field.open(pacs="OTHER").id, field.open(list_key=b"other").id, field.id}
    assert len(others) == 3
    assert {one.id for one in field.harvests.harvests()} == others
    opened = field.harvests.harvest(field.id)
    assert (opened.pacs, opened.sealed, opened.state, opened.listed_at) == ("PACS", b"header", "active", None)
    with pytest.raises(BadRecipe) as caught:
        field.harvests.harvest(999)
    assert caught.value.reason is Reason.BAD_OPTION


def test_rows_added_again_stay_as_they_are(field: Field) -> None:
    """Lost otherwise: a restart in the middle of a list would double its rows, or forget what came of them."""
    assert field.add(1, 2) == 2
    field.harvests.resolved(field.id, 1, verdict="not-found")
    assert field.add(1, 2, 3) == 1
    assert field.waiting() == [2, 3]
    [first] = field.harvests.rows_to_resolve(field.id, 1)
    assert (first.harvest_id, first.list_key, first.row) == (field.id, b"list", 2)
    assert (first.sealed, first.attempts) == (b"row 2", 0)
    field.check()


def test_a_bad_row_is_never_asked_for(field: Field) -> None:
    """Lost otherwise: a row that cannot be used would be asked for, or not stand in the result."""
    bad = ListRow(row=1, sealed=b"bad", verdict="bad-row", reason="from is not a day")
    field.harvests.add_rows(field.id, [bad])
    assert field.waiting() == []
    assert field.harvests.first_in_line("PACS") is None
    assert field.harvests.retry(field.id) == 0
    [row] = field.harvests.results(field.id)
    assert (row.verdict, row.reason, row.sealed) == ("bad-row", "from is not a day", b"bad")
    field.check()


def test_rows_and_studies_many_to_many(field: Field) -> None:
    """Lost otherwise: a study that two rows name would be fetched twice, or be told to one of them only."""
    field.add(1, 2, 3)
    assert field.harvests.resolved(field.id, 1, studies=keyed(7)) == 1
    assert field.harvests.resolved(field.id, 2, studies=keyed(7, 8, 8), verdict="unverified") == 1
    assert field.harvests.resolved(field.id, 2, studies=keyed(9)) == 0
    assert field.harvests.resolved(field.id, 3, verdict="ambiguous", reason="two studies") == 0
    field.check()
    assert [field.take().study_key for _ in range(2)] == [key(7), key(8)]
    assert field.harvests.take_study("PACS", "worker", 60) is None
    rows = list(field.harvests.results(field.id))
    assert [[study.study_key for study in row.studies] for row in rows] == [[key(7)], [key(7), key(8)], []]
    assert [(row.verdict, row.reason) for row in rows] == [
        (None, None),
        ("unverified", None),
        ("ambiguous", "two studies"),
    ]


def test_missing_is_what_is_expected_and_did_not_arrive(field: Field) -> None:
    """Lost otherwise: a study would be called complete, or all of it be fetched again."""
    field.found(1)
    study = field.take()
    assert (study.expected, study.attempts, study.run_id) == (None, 1, field.bench.run_id)
    field.harvests.expect(study, keyed(10, 11, 12))
    field.arrive(11, 99)
    field.arrive(12, run_id=open_run(field.bench.ledger, source_key=b"o" * 16))
    assert field.missing(study) == [key(10), key(12)]
    assert field.harvests.missing(study)[0].sealed == b"sealed 10"
    assert field.harvests.arrived(field.bench.run_id, [key(10), key(11), key(99)]) == {key(11), key(99)}


def test_the_newest_list_is_expected(field: Field) -> None:
    """Lost otherwise: an instance that the PACS no longer has would be missing for ever."""
    field.found(1)
    study = field.take()
    field.harvests.expect(study, keyed(10, 11))
    field.harvests.expect(study, keyed(11, 12, 12))
    assert field.harvests.expected(field.id, key(1)) == {key(11), key(12)}
    assert field.missing(study) == [key(11), key(12)]
    assert field.harvests.give_back(study)
    assert field.take().expected == 2


def test_a_resume_asks_only_for_what_is_missing(field: Field) -> None:
    """Lost otherwise: each new attempt would burden the PACS with what is here already."""
    field.found(1)
    study = field.take()
    field.harvests.expect(study, keyed(10, 11))
    field.arrive(10)
    field.harvests.end_study(study, "short", "lost")
    assert field.harvests.retry(field.id) == 1
    again = field.take()
    assert (again.attempts, again.expected, again.sealed) == (1, 2, b"sealed 1")
    assert field.missing(again) == [key(11)]
    field.check()


def test_retry_has_what_came_damaged_fetched_again(field: Field) -> None:
    """Lost otherwise: an instance that was cut off on its way stays in quarantine, though the PACS has it whole."""
    field.found(1, 2)
    for first in (10, 20):
        study = field.take()
        field.harvests.expect(study, keyed(first, first + 1))
        field.arrive(first, first + 1)
        field.harvests.end_study(study, "complete")
    for number, reason in ((11, "truncated"), (20, "no-subject"), (21, None)):
        field.bench.conn.execute(
            "INSERT INTO ledger.outcomes (run_id, instance_id, state, reason, attempts) VALUES (%s, %s, %s, %s, 1)",
            [field.bench.run_id, number, "quarantined" if reason else "done", reason],
        )
    assert field.harvests.finish(field.id)
    assert field.harvests.retry(field.id, ["short"]) == 0
    assert field.harvests.retry(field.id) == 1
    study = field.take()
    assert (study.study_key, field.missing(study)) == (key(1), [key(11)])
    field.check()
    field.harvests.give_back(study)
    assert field.harvests.retry(field.id) == 0


def test_retry_frees_what_it_names(field: Field) -> None:
    """Lost otherwise: what is complete would be fetched again, or what failed never."""
    field.add(1, 2, 3, 4)
    for study in (1, 2, 3):
        field.harvests.resolved(field.id, study, studies=keyed(study))
    field.harvests.resolved(field.id, 4, verdict="refused")
    for verdict in ("complete", "short", "offline"):
        field.harvests.end_study(field.take(), verdict)
    assert field.harvests.finish(field.id)
    assert field.harvests.retry(field.id, ["changed"]) == 0
    assert field.harvests.harvest(field.id).state == "complete"
    assert field.harvests.retry(field.id, ["offline", "refused"]) == 2
    assert field.harvests.harvest(field.id).state == "active"
    assert field.waiting() == [4]
    assert field.take().study_key == key(3)
    field.check()
    assert field.harvests.retry(field.id) == 1
    assert field.harvests.progress(field.id).studies == {"complete": 1, "pending": 2}
    field.check()


def test_a_dead_lease_does_nothing(field: Field) -> None:
    """Lost otherwise: two workers would write the verdict of one study, the slower one the last."""
    field.found(1)
    old = field.take(seconds=0)
    assert field.harvests.reap() == 1
    new = field.take()
    assert (new.attempts, new.token > old.token) == (2, True)
    assert not field.harvests.renew(old, 60)
    assert not field.harvests.give_back(old)
    for work in (lambda: field.harvests.end_study(old, "complete"), lambda: field.harvests.expect(old, keyed(1))):
        with pytest.raises(Unavailable) as caught:
            work()
        assert caught.value.reason is Reason.LEASE_LOST
    assert field.harvests.expected(field.id, key(1)) == set()
    assert field.harvests.renew(new, 60)
    assert field.harvests.reap() == 0
    field.harvests.end_study(new, "complete")
    field.check()


def test_what_is_given_back_waits(field: Field) -> None:
    """Lost otherwise: a PACS that is away would be asked again at once, and again, or the study given up for it."""
    field.found(1, 2)
    first = field.take()
    assert field.harvests.give_back(first, 3600, counts=False)
    second = field.take()
    assert second.study_key == key(2)
    assert field.harvests.give_back(second)
    assert field.take().attempts == 2
    assert field.harvests.take_study("PACS", "worker", 60) is None
    field.bench.conn.execute("UPDATE ledger.harvest_studies SET not_before = now() WHERE state = 'found'")
    assert (field.take().study_key, first.attempts) == (key(1), 1)


def test_the_first_in_line(field: Field) -> None:
    """Lost otherwise: an urgent list would wait for a long one, or a paused one go on."""
    urgent = field.open(list_key=b"urgent", priority=5).id
    other = field.open(pacs="OTHER", list_key=b"other", priority=9).id
    for harvest in (field.id, urgent, other):
        rows = [ListRow(row=row, sealed=b"x") for row in range(5)]
        field.harvests.add_rows(harvest, rows)
        for row in range(5):
            field.harvests.resolved(harvest, row, studies=keyed(row))
    assert [(study.harvest_id, study.study_key) for study in (field.take(), field.take())] == [
        (urgent, key(0)),
        (urgent, key(1)),
    ]
    field.harvests.prioritise(field.id, 6)
    assert field.take().harvest_id == field.id
    field.harvests.pause(field.id)
    assert field.take().harvest_id == urgent
    field.harvests.resume(field.id)
    assert field.take().harvest_id == field.id
    assert field.take(pacs="OTHER").harvest_id == other
    assert field.harvests.take_study("NONE", "worker", 60) is None


def test_a_row_that_failed_waits_behind_the_others(field: Field) -> None:
    """Lost otherwise: a PACS in trouble would be asked for one row over and over, and the others never."""
    field.add(1, 2, 3)
    for row in field.harvests.rows_to_resolve(field.id, 2):
        field.harvests.defer_row(row, 0 if row.row == 1 else 3600)
        field.harvests.defer_row(row, 3600)  # the same failure, noted twice as after a lost connection
    assert field.waiting() == [3, 1]
    assert [one.attempts for one in field.harvests.rows_to_resolve(field.id, 10)] == [0, 1]
    [_, late] = field.harvests.rows_to_resolve(field.id, 10)
    field.harvests.defer_row(late, 3600, counts=False)
    assert field.waiting() == [3]
    field.harvests.resolved(field.id, 3, verdict="refused")
    assert field.harvests.first_in_line("PACS") is None
    assert not field.harvests.finish(field.id)
    assert field.harvests.retry(field.id) == 1
    field.bench.conn.execute("UPDATE ledger.harvest_rows SET not_before = now()")
    assert {one.row: one.attempts for one in field.harvests.rows_to_resolve(field.id, 10)} == {1: 1, 2: 1, 3: 0}
    field.check()


def test_whose_turn_it_is(field: Field) -> None:
    """Lost otherwise: the rows of an urgent list would wait for a long one, or those of a paused one be asked for."""
    field.add(1)
    urgent = field.open(list_key=b"urgent", priority=5).id
    other = field.open(pacs="OTHER", list_key=b"other", priority=9).id
    turn = field.harvests.first_in_line
    assert turn("PACS") == field.id
    for harvest in (urgent, other):
        field.harvests.add_rows(harvest, [ListRow(row=1, sealed=b"x")])
    assert (turn("PACS"), turn("OTHER"), turn("NONE")) == (urgent, other, None)
    field.harvests.pause(urgent)
    assert turn("PACS") == field.id
    field.harvests.resume(urgent)
    field.harvests.resolved(urgent, 1, studies=keyed(1))
    assert turn("PACS") == urgent
    taken = field.take()
    assert taken.harvest_id == urgent
    assert turn("PACS") == field.id
    field.harvests.give_back(taken)
    assert turn("PACS") == urgent
    field.harvests.prioritise(field.id, 6)
    assert turn("PACS") == field.id


def test_workers_never_get_one_study_twice(field: Field, database: str) -> None:
    """Lost otherwise: two workers would fetch one study at the same time."""
    field.found(*range(60))

    def work(worker: int) -> list[bytes]:
        taken = []
        with connect(database) as conn:
            harvests = Harvests(conn)
            while study := harvests.take_study("PACS", str(worker), 60):
                taken.append(study.study_key)
                harvests.end_study(study, "complete")
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = [one for some in pool.map(work, range(4)) for one in some]
    assert sorted(taken) == sorted(key(number) for number in range(60))
    field.check()


def test_a_harvest_is_complete_when_all_has_a_verdict(field: Field) -> None:
    """Lost otherwise: a harvest would be called complete with rows or studies left, or never."""
    field.harvests.add_rows(field.id, [ListRow(row=1, sealed=b"x")])
    field.harvests.resolved(field.id, 1, verdict="not-found")
    assert not field.harvests.finish(field.id)
    field.add(1, 2)
    assert not field.harvests.finish(field.id)
    field.harvests.resolved(field.id, 2, studies=keyed(2))
    assert not field.harvests.finish(field.id)
    study = field.take()
    assert not field.harvests.finish(field.id)
    field.harvests.end_study(study, "complete")
    field.harvests.pause(field.id)
    assert not field.harvests.finish(field.id)
    field.harvests.resume(field.id)
    assert field.harvests.finish(field.id)
    assert field.harvests.finish(field.id)
    field.harvests.pause(field.id)
    assert field.harvests.harvest(field.id).state == "complete"
    progress = field.harvests.progress(field.id)
    assert (progress.rows, progress.studies) == ({"not-found": 1, "found": 1}, {"complete": 1})


def test_results_come_in_pages(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: the result of a long list would miss the rows at the seams, or be held whole."""
    monkeypatch.setattr("farm.ledger.harvests._PAGE", 2)
    field.found(*range(5))
    field.harvests.end_study(field.take(), "short", "half")
    rows = list(field.harvests.results(field.id))
    assert [row.row for row in rows] == list(range(5))
    assert [len(row.studies) for row in rows] == [1] * 5
    told = rows[0].studies[0]
    assert (told.verdict, told.reason, told.expected, told.sealed) == ("short", "half", None, b"sealed 0")


MANY = 100_000
FILL = """
    INSERT INTO ledger.harvest_rows (harvest_id, row, sealed, verdict, not_before)
    SELECT %(id)s, n, 'x', CASE n %% 3 WHEN 0 THEN NULL WHEN 1 THEN 'pending' ELSE 'refused' END,
        CASE WHEN n < %(many)s - 9 THEN now() + interval '1 hour' ELSE '-infinity' END
    FROM generate_series(2, %(many)s) AS n;
    INSERT INTO ledger.harvest_studies (harvest_id, row, study_key, sealed, state, verdict, not_before)
    SELECT %(id)s, n, convert_to(n::text, 'UTF8'), 'x', CASE n %% 3 WHEN 0 THEN 'ended' ELSE 'found' END,
        CASE WHEN n %% 3 > 0 THEN 'pending' WHEN n %% 999 = 0 THEN 'short' ELSE 'complete' END,
        CASE n %% 3 WHEN 1 THEN now() + interval '1 hour' ELSE '-infinity' END
    FROM generate_series(1, %(many)s) AS n;
    UPDATE ledger.harvest_studies
    SET state = 'fetching', token = 1, worker = 'w', expires_at = now() + interval '1 hour'
    WHERE harvest_id = %(id)s AND study_key = '7';
    INSERT INTO ledger.harvest_wants (harvest_id, row, study_key)
    SELECT %(id)s, n, convert_to(n::text, 'UTF8') FROM generate_series(1, %(many)s) AS n;
    INSERT INTO ledger.harvest_instances (harvest_id, study_key, instance_key, sealed)
    SELECT %(id)s, convert_to((n / 10)::text, 'UTF8'), convert_to('i' || n, 'UTF8'), 'x'
    FROM generate_series(1, %(many)s) AS n;
    INSERT INTO ledger.arrivals (run_id, instance_key, instance_id, study_key)
    SELECT %(run)s, convert_to('i' || n, 'UTF8'), n, 'x' FROM generate_series(1, %(many)s, 2) AS n
"""


@pytest.fixture
def many(field: Field) -> Field:
    """Return a harvest of many rows, studies and instances: a third of the studies has ended, some are delayed."""
    field.add(1)
    values = {"id": field.id, "many": MANY, "run": field.bench.run_id}
    for statement in FILL.split(";"):
        field.bench.conn.execute(statement.encode(), values)
    return field


VALUES: dict[str, dict[str, Any]] = {
    "first_in_line": {"pacs": "PACS"},
    "rows_to_resolve": {"most": 10},
    "defer_row": {"row": 4, "attempts": 0, "delay": 60.0, "counts": True},
    "resolve": {"row": 4, "verdict": None, "reason": None, "keys": [b"new"], "seals": [b"x"]},
    "take_study": {"pacs": "PACS", "worker": "w", "seconds": 60},
    "renew": {"study_key": b"7", "token": 1, "seconds": 60},
    "hold": {"study_key": b"7", "token": 1, "expected": 1},
    "expect": {"study_key": b"7", "keys": [b"new"], "seals": [b"x"]},
    "forget": {"study_key": b"7", "keys": [b"i71"]},
    "expected": {"study_key": b"7"},
    "missing": {"study_key": b"7"},
    "arrived": {"run_id": 1, "keys": [b"i1", b"i2", b"none"]},
    "end_study": {"study_key": b"7", "token": 1, "verdict": "complete", "reason": None},
    "give_back": {"study_key": b"7", "token": 1, "delay": 0.0, "counts": True},
    "reap": {},
    "retry_studies": {"verdicts": ["short"]},
    "finish": {},
    "tallies": {},
    "results": {"after_row": 50_000, "most": 10},
    "result_studies": {"after_row": 50_000, "last_row": 50_010},
}
# This one has a hundred studies to free; every other statement is done with a few rows.
MOST_BUFFERS = {"retry_studies": 3000}


def test_no_statement_grows_with_the_harvest(many: Field) -> None:
    """Lost otherwise: a list of a million studies would slow down to a halt: each step would read or sort them all.

    As the tables are after a crawl's first minutes, without statistics, and as they are later, with them.
    """
    conn = many.bench.conn
    for has_statistics, mode in product((False, True), ("force_custom_plan", "force_generic_plan")):
        if has_statistics:
            conn.execute("ANALYZE")
        conn.execute(f"SET plan_cache_mode = {mode}".encode())
        for name, values in VALUES.items():
            plan = explained(conn, name, {"harvest_id": many.id} | values)
            touched = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            assert '"Seq Scan"' not in json.dumps(plan), name
            assert touched < MOST_BUFFERS.get(name, 150), (name, mode, touched)


def explained(conn: psycopg.Connection, name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Run a query, take it back, and return its plan with the buffers that it touched."""
    with conn.transaction(force_rollback=True):
        row = conn.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + QUERIES[name], values).fetchone()
    assert row
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def test_a_server_that_is_away_says_so(database: str, field: Field) -> None:
    """Lost otherwise: a restart of Postgres would end a harvest that goes on for months."""
    conn = connect(database)
    field.bench.conn.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
    with pytest.raises(Unavailable) as caught:
        Harvests(conn).harvests()
    assert caught.value.reason is Reason.DATABASE_AWAY
    conn.close()


def test_a_harvest_and_a_ledger_share_a_connection(field: Field) -> None:
    """Lost otherwise: two queries of one name would be one prepared statement."""
    assert Ledger(field.bench.conn).run(field.bench.run_id).id == field.bench.run_id
    assert field.harvests.harvest(field.id).run_id == field.bench.run_id
