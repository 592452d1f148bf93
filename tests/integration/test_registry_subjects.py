"""Mappings that only the registry knows: the first writer is right, for every worker, and nothing shows who is who."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from importlib import resources
from typing import TYPE_CHECKING

import farmside
import psycopg
import pytest
import racers
import trees
from fix_ledger import PROJECT_KEY, VAULT_KEY, mapped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.database import connect, migrate
from farm.deid.dates import Strategy
from farm.deid.keys import ProjectKey
from farm.deid.mapping import KeyedMapping, Mapped, MappedSubject, Needs, TableMapping
from farm.deid.scheme import Pseudonyms, Scheme, Uids
from farm.deid.subjects import canonical, pseudonym
from farm.errors import BadInput, BadRecipe, Reason
from farm.pipeline import needs as asked
from farm.pipeline import process
from farm.registry import Registry, Vault
from farm.registry.crosswalk import read

if TYPE_CHECKING:
    from collections.abc import Iterator
ROOT = "1.2.826.0.1.3680043.10.999"
RECORDED = Scheme(uids=Uids.RECORDED)
NUMBERS = Scheme(pseudonyms=Pseudonyms.NUMBER, prefix="PRJ-")
CROSSWALK = Scheme(pseudonyms=Pseudonyms.CROSSWALK, dates=Strategy.CROSSWALK)
RANDOM = Scheme(dates=Strategy.RANDOM, lowest=-100, highest=100)
ANCHOR = Scheme(dates=Strategy.ANCHOR, anchor="20000101")
RACED_UIDS = int(os.environ.get("RACED_UIDS", "2000"))
ATTACKED_IDS = int(os.environ.get("ATTACKED_IDS", "100000"))  # of the million that six digits make


def person(number: int) -> str:
    """Return a subject as the core writes it."""
    return canonical(b"CLINIC", b"%06d" % number)


def needs(*uids: str, subject: str = "", date: str = "") -> Needs:
    """Return what an instance asks for."""
    return Needs(uids=tuple(uid.encode() for uid in uids), subject=subject or person(4711), study_date=date.encode())


def dump(conn: psycopg.Connection) -> bytes:
    """Return every byte of the registry's tables."""
    tables = conn.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'registry'")
    held = b""
    for (table,) in tables.fetchall():
        with conn.cursor().copy(f"COPY registry.{table} TO STDOUT (FORMAT BINARY)") as copy:
            held += b"".join(bytes(block) for block in copy)
    return held


@pytest.fixture
def other(database: str, vault: Vault) -> Iterator[Registry]:
    """Return the registry of another worker."""
    with connect(database) as conn:
        yield Registry(conn, vault, PROJECT_KEY)


def test_sixteen_processes_agree(database: str, registry: Registry) -> None:
    """Lost otherwise: a study would fall apart over workers, or two instances or two people become one."""
    scheme = Scheme(uids=Uids.RECORDED, root=ROOT, pseudonyms=Pseudonyms.NUMBER, dates=Strategy.RANDOM)
    project = registry.open_project("trial", scheme=scheme)
    track = racers.Track(
        database=database,
        project_secret=PROJECT_KEY.secret,
        vault_secret=VAULT_KEY,
        project=project,
        scheme=scheme,
        count=RACED_UIDS,
    )
    answers = racers.race(racers.recorded, [(track, seed) for seed in range(racers.PROCESSES)])
    uids = answers[0][0]
    assert len(uids) == RACED_UIDS == len(set(uids.values()))
    assert all(one == uids for one, _ in answers)
    subjects = set().union(*(some for _, some in answers))
    assert len(subjects) == racers.PEOPLE
    assert len({name for _, name, _ in subjects}) == len({who for who, _, _ in subjects}) == racers.PEOPLE
    assert all(re.fullmatch(r"PRJ-\d{6}", name) and shift for _, name, shift in subjects)


# Recorded UIDs.


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 12), max_size=5)), max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_original_has_one_new_uid(registry: Registry, other: Registry, asked: list[tuple[bool, list[int]]]) -> None:
    """Lost otherwise: what one worker remembers and another one reads would differ, and references break."""
    project = registry.open_project("law", scheme=RECORDED)
    known: dict[str, bytes] = {}
    for first, numbers in asked:
        uids = [f"1.2.3.{number}" for number in numbers]
        table = (registry if first else other).resolve(project, RECORDED, [needs(*uids)])
        for uid in uids:
            assert known.setdefault(uid, table.uid(uid.encode())) == table.uid(uid.encode())
    assert len(set(known.values())) == len(known)


@pytest.mark.parametrize("root", ["2.25", ROOT])
def test_a_recorded_uid_is_random_and_leads_back(registry: Registry, root: str) -> None:
    """Lost otherwise: whoever has the project key could compute what was meant to be drawn, or nobody finds back."""
    scheme = Scheme(uids=Uids.RECORDED, root=root)
    project = registry.open_project("trial", scheme=scheme)
    original = b"1.2.3.\xe9"  # what is no UID is replaced like one
    new = registry.resolve(project, scheme, [needs(), Needs(uids=(original,), subject="x")]).uid(original).decode()
    assert re.fullmatch(re.escape(root) + r"\.[1-9][0-9]{0,38}", new)
    assert len(new) <= 64
    second = registry.open_project("second", scheme=scheme)
    again = registry.resolve(second, scheme, [Needs(uids=(original,), subject="x")]).uid(original).decode()
    assert again != new
    assert registry.original_uid(project, new, actor="ada", why="recall") == original.decode("latin-1")
    for guess in (again, "2.25", "2.25.x", "1.2.3." + new.rpartition(".")[2], "2.25." + "9" * 39, ROOT + ".007"):
        assert registry.original_uid(project, guess, actor="ada", why="guess") is None


def test_what_was_drawn_is_on_the_disk_first(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """Lost otherwise: a crash of the server would forget a UID that stands in the data lake, and draw another."""
    project = registry.open_project("trial", scheme=RECORDED)
    ledger_connection.execute("SET synchronous_commit = off")
    with ledger_connection.transaction():
        registry.resolve(project, RECORDED, [needs("1.2.3")])
        assert ledger_connection.execute("SHOW synchronous_commit").fetchall() == [("on",)]


def test_a_parcel_is_one_round_trip(registry: Registry, other: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a parcel of 64 instances would ask 300 times; and a study's UIDs again with each of them."""
    scheme = Scheme(uids=Uids.RECORDED, pseudonyms=Pseudonyms.NUMBER, dates=Strategy.RANDOM)
    project = registry.open_project("trial", scheme=scheme)
    parcel = [needs("1.2.3", f"1.2.3.{at}", subject=person(at % 3)) for at in range(64)]
    other.resolve(project, scheme, parcel[:10])
    registry._root(project)
    said: list[str] = []
    rows = registry._db.rows
    monkeypatch.setattr(registry._db, "rows", lambda name, values=None: said.append(name) or rows(name, values))
    table = registry.resolve(project, scheme, parcel)
    registry.resolve(project, scheme, parcel)
    uids = tuple((uid.decode(), table.uid(uid).decode()) for need in parcel for uid in need.uids)
    registry.record(project, [Mapped(uids=uids, subject=table.subject(person(0)))])
    assert said == ["resolve"]


@pytest.mark.parametrize("query", ["resolve", "uids_now", "subjects_now"])
def test_rows_are_looked_up_by_their_key(registry: Registry, ledger_connection: psycopg.Connection, query: str) -> None:
    """Lost otherwise: a plan made while the tables are empty would read a whole project for each parcel."""
    values: dict[str, object] = {"project_id": registry.open_project("trial"), "may_add": True, "prefix": "P"}
    values |= {name: [b"k" * 16] for name in ("uid_keys", "news", "uid_seals", "subject_keys", "subject_seals")}
    values |= {"pseudonyms": [""], "shifts": [b""]}
    ledger_connection.execute("SET plan_cache_mode = force_generic_plan")
    lines = ledger_connection.execute("EXPLAIN " + registry._db._queries[query], values).fetchall()
    conditions = [line.strip() for (line,) in lines if "Index Cond: " in line and "(id =" not in line]
    assert conditions
    assert all(re.search(r"project_id = .* AND \(key = ", condition) for condition in conditions)


def test_a_uid_written_as_a_subject_is_told_from_it(registry: Registry) -> None:
    """Lost otherwise: one file with a UID that is none would fail its whole parcel, by a fault of the farm's own."""
    scheme = Scheme(uids=Uids.RECORDED, pseudonyms=Pseudonyms.NUMBER)
    project, odd = registry.open_project("trial", scheme=scheme), person(4711)
    table = registry.resolve(project, scheme, [needs("1.2.3", odd, subject=odd)])
    assert table.uid(odd.encode()).startswith(b"2.25.")
    assert table.subject(odd).pseudonym == "PRJ-000001"


def test_an_instance_comes_out_by_the_table(registry: Registry) -> None:
    """Lost otherwise: what the survey asked for would not be what the work asks for, or not reach the output."""
    scheme = Scheme(uids=Uids.RECORDED, root=ROOT, pseudonyms=Pseudonyms.NUMBER)
    project = registry.open_project("trial", scheme=scheme)
    data = trees.file([*trees.identity(), trees.text(0x00081155, b"1.2.77\\1.2.840.10008.1.2")])
    table = registry.resolve(project, scheme, [asked(data, farmside.BASIC)])
    report = process(data, farmside.BASIC, table).report
    assert report.subject == "PRJ-000001"
    assert report.study.startswith(f"{ROOT}.")
    assert ("1.2.77", table.uid(b"1.2.77").decode()) in report.mapped.uids
    registry.record(project, [report.mapped])
    assert registry.original_uid(project, report.instance, actor="ada", why="recall") == "1.2.3.4"
    assert registry.original_subject(project, report.subject, actor="ada", why="recall") == canonical(b"", b"PID 0815")


def test_a_file_that_changed_after_the_survey_is_refused() -> None:
    """Lost otherwise: an attempt at it would count as the farm's own fault, three times."""
    table = TableMapping({}, {}, shifts=False)
    for ask in (lambda: table.uid(b"1.2.3"), lambda: table.subject("x")):
        with pytest.raises(BadInput) as caught:
            ask()
        assert caught.value.reason is Reason.SOURCE_CHANGED


# Numbers.


def test_a_number_is_never_given_twice(
    registry: Registry, other: Registry, ledger_connection: psycopg.Connection
) -> None:
    """Lost otherwise: a subject who left the project would hand their number, and their data, to another."""
    project = registry.open_project("trial", scheme=NUMBERS)

    def ask(worker: Registry, *who: int) -> list[str]:
        table = worker.resolve(project, NUMBERS, [needs(subject=person(one)) for one in who])
        return [table.subject(person(one)).pseudonym for one in who]

    assert sorted(ask(registry, 1, 2)) == ["PRJ-000001", "PRJ-000002"]
    assert ask(other, 3) == ["PRJ-000003"]
    assert ask(other, 1, 2) == ask(registry, 1, 2)
    ledger_connection.execute("DELETE FROM registry.subjects WHERE pseudonym = 'PRJ-000003'")
    assert ask(registry, 4) == ["PRJ-000004"]
    ledger_connection.execute("UPDATE registry.projects SET last_number = 999998")
    assert sorted(ask(registry, 5, 6, 7)) == ["PRJ-1000000", "PRJ-1000001", "PRJ-999999"]
    shift = other.resolve(project, NUMBERS, [needs(subject=person(5))]).subject(person(5)).date_shift_days
    assert shift == KeyedMapping(PROJECT_KEY).subject(person(5)).date_shift_days


def test_a_number_that_is_taken_stops_the_run(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """Lost otherwise: the parcel would wait for ever, or two people become one."""
    project = registry.open_project("trial", scheme=NUMBERS)
    registry.resolve(project, NUMBERS, [needs(subject=person(1))])
    ledger_connection.execute("UPDATE registry.projects SET last_number = 0")
    with pytest.raises(BadRecipe) as caught:
        registry.resolve(project, NUMBERS, [needs(subject=person(2))])
    assert caught.value.reason is Reason.MAPPING_MISMATCH


# Date shifts.


def test_a_random_shift_is_drawn_once(registry: Registry, other: Registry) -> None:
    """Lost otherwise: intervals between a subject's studies would be lost."""
    project = registry.open_project("trial", scheme=RANDOM)
    people = [needs(subject=person(number)) for number in range(50)]
    first, second = (worker.resolve(project, RANDOM, people) for worker in (registry, other))
    shifts = [first.subject(need.subject).date_shift_days for need in people]
    assert shifts == [second.subject(need.subject).date_shift_days for need in people]
    assert all(0 < abs(shift) <= 100 for shift in shifts)
    assert len(set(shifts)) > 10
    assert first.subject(person(1)).pseudonym == pseudonym(PROJECT_KEY, person(1))


def test_the_first_study_falls_on_the_anchor(registry: Registry, other: Registry) -> None:
    """Lost otherwise: a later study would move a subject's dates once more."""
    project = registry.open_project("trial", scheme=ANCHOR)
    parcel = [needs(date=date) for date in ("20100503", "20100501", "nonsense", "")]
    assert registry.resolve(project, ANCHOR, parcel).subject(person(4711)).date_shift_days == -3773
    for worker in (registry, other):
        earlier = worker.resolve(project, ANCHOR, [needs(date="19990101")])
        assert earlier.subject(person(4711)).date_shift_days == -3773


def test_a_subject_without_a_shift_waits(registry: Registry, other: Registry) -> None:
    """Lost otherwise: dates would come out as they are, or the subject be stuck once its Study Date is known."""
    project = registry.open_project("trial", scheme=ANCHOR)
    for worker in (registry, other, registry):
        table = worker.resolve(project, ANCHOR, [needs(date="2010")])
        with pytest.raises(BadInput):
            table.subject(person(4711))
    for worker in (registry, other):
        table = worker.resolve(project, ANCHOR, [needs(date="20000102")])
        assert table.subject(person(4711)).date_shift_days == -1


# Crosswalks.


def crosswalk(registry: Registry, project: int, text: str) -> tuple[int, int]:
    """Import a crosswalk given as text."""
    return registry.import_crosswalk(project, read(text.splitlines(keepends=True), domain="CLINIC"), actor="ada")


def test_a_crosswalk_decides(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """Lost otherwise: a study's own numbers could not be used, or a patient who is in no list would be released."""
    project = registry.open_project("trial")
    assert crosswalk(registry, project, "004711,S-1,-30\n004712,S-2\n") == (2, 2)
    assert registry.open_project("trial", scheme=CROSSWALK) == project
    table = registry.resolve(project, CROSSWALK, [needs(subject=person(number)) for number in (4711, 4712, 4713)])
    assert table.subject(person(4711)) == MappedSubject(original=person(4711), pseudonym="S-1", date_shift_days=-30)
    for number in (4712, 4713):
        with pytest.raises(BadInput) as caught:
            table.subject(person(number))
        assert "47" not in str(caught.value)
    without_dates = Scheme(pseudonyms=Pseudonyms.CROSSWALK, dates=Strategy.REMOVE)
    table = registry.resolve(project, without_dates, [needs(subject=person(4712))])
    assert table.subject(person(4712)).pseudonym == "S-2"
    assert list(registry.subjects(project)) == [("S-1", True), ("S-2", False)]
    assert ledger_connection.execute("SELECT count(*) FROM registry.subjects").fetchall() == [(2,)]
    assert crosswalk(registry, project, "004713,S-3,5\n") == (1, 1)
    table = registry.resolve(project, CROSSWALK, [needs(subject=person(4713))])
    assert table.subject(person(4713)).pseudonym == "S-3"


def test_a_crosswalk_again(registry: Registry) -> None:
    """Lost otherwise: a longer list that comes next month could not be imported."""
    project = registry.open_project("trial")
    many = "".join(f"{number:06d},S-{number},{number}\n" for number in range(1, 2501))
    assert crosswalk(registry, project, many) == (2500, 2500)
    assert crosswalk(registry, project, many + "990000,S-990000,1\n990000,S-990000,1\n") == (2502, 1)
    assert crosswalk(registry, project, "000001,S-1\n") == (1, 0)
    for first in (990001, 991201):  # a line without a shift says nothing of it, whatever is between it and another
        between = "".join(f"{first + n},S-{first + n}\n" for n in range(1, first - 990000))
        twice = f"{first},S-{first}\n{between}{first},S-{first},-5\n{first},S-{first}\n"
        crosswalk(registry, project, twice)
        assert registry.resolve(project, CROSSWALK, [needs(subject=person(first))]).subject(person(first))
    exported = list(registry.export(project, actor="ada", why="check"))
    assert len(exported) == 2501 + 1 + 1201
    assert MappedSubject(original=person(77), pseudonym="S-77", date_shift_days=77) in exported


@pytest.mark.parametrize(
    "text",
    [
        "990000,NEW,1\n004711,S-9,-30\n",  # another pseudonym
        "990000,NEW,1\n004711,S-1,-31\n",  # another shift
        "990000,NEW,1\n004799,S-1,-30\n",  # another subject's pseudonym
        "990000,NEW,1\n990000,NEWER,1\n",  # itself
        "990000,NEW,1\n990001,NEW,1\n",
        "990000,NEW,1\n990000,NEW,2\n",
    ],
)
def test_a_crosswalk_that_contradicts_is_refused(registry: Registry, text: str) -> None:
    """Lost otherwise: one person would become two, or two become one; or half of a wrong list would stand."""
    project = registry.open_project("trial")
    crosswalk(registry, project, "004711,S-1,-30\n")
    with pytest.raises(BadRecipe) as caught:
        crosswalk(registry, project, text)
    assert str(caught.value) == "mapping-mismatch: line 2 of the crosswalk contradicts what was imported before it"
    assert list(registry.subjects(project)) == [("S-1", True)]
    assert crosswalk(registry, registry.open_project("other"), "004711,S-9,5\n") == (1, 1)


# A project's rules.


@pytest.mark.parametrize(
    ("begun", "then", "kind"),
    [
        (Scheme(), RECORDED, "uids"),
        (RECORDED, Scheme(uids=Uids.RECORDED, root=ROOT), "uids"),
        (Scheme(), NUMBERS, "subjects"),
        (NUMBERS, Scheme(pseudonyms=Pseudonyms.NUMBER, prefix="X-"), "subjects"),
        (NUMBERS, CROSSWALK, "subjects"),
        (Scheme(), Scheme(lowest=-30), "shifts"),
        (Scheme(), RANDOM, "shifts"),
        (ANCHOR, Scheme(dates=Strategy.ANCHOR, anchor="19600101"), "shifts"),
    ],
)
def test_a_project_keeps_its_rules(registry: Registry, begun: Scheme, then: Scheme, kind: str) -> None:
    """Lost otherwise: the same people would come out under two kinds of names in one project."""
    project = registry.open_project("trial", scheme=begun)
    assert registry.open_project("trial", scheme=begun) == project == registry.open_project("trial")
    with pytest.raises(BadRecipe) as caught:
        registry.open_project("trial", scheme=then)
    assert caught.value.reason is Reason.MAPPING_MISMATCH
    assert f"another rule for {kind}" in str(caught.value)
    registry.open_project("other", scheme=then)


def test_recipes_that_move_no_dates_go_with_all(registry: Registry) -> None:
    """Lost otherwise: a project that began with `basic`, which removes dates, could never shift any."""
    without = Scheme(dates=Strategy.REMOVE)
    project = registry.open_project("trial", scheme=without)
    plain, shifted = KeyedMapping(PROJECT_KEY, without), KeyedMapping(PROJECT_KEY)
    uids = (("1.2.3", plain.uid(b"1.2.3").decode()),)
    for mapping in (plain, shifted, plain):
        registry.open_project("trial", scheme=without if mapping is plain else Scheme())
        registry.record(project, [Mapped(uids=uids, subject=mapping.subject(person(1)))])
    assert list(registry.subjects(project)) == [(pseudonym(PROJECT_KEY, person(1)), True)]


def test_a_crosswalk_needs_a_project_of_its_own(registry: Registry) -> None:
    """Lost otherwise: subjects with keyed pseudonyms would pass although the list does not name them."""
    project = registry.open_project("trial", scheme=Scheme())
    with pytest.raises(BadRecipe) as caught:
        crosswalk(registry, project, "004711,S-1\n")
    assert "another rule for subjects" in str(caught.value)
    weekly = registry.open_project(
        "weekly", scheme=Scheme(pseudonyms=Pseudonyms.CROSSWALK, dates=Strategy.WEEKS, lowest=-700, highest=-7)
    )
    with pytest.raises(BadRecipe):
        crosswalk(registry, weekly, "004711,S-1,7\n")
    assert list(registry.subjects(weekly)) == []


def test_keyed_uids_under_an_own_root(registry: Registry, other: Registry) -> None:
    """Lost otherwise: an organisation could not use its root, or a recipe with another one would mix in."""
    scheme = Scheme(root=ROOT)
    project = registry.open_project("trial", scheme=scheme)
    mapping = KeyedMapping(PROJECT_KEY, scheme)
    value = Mapped(uids=(("1.2.3", new := mapping.uid(b"1.2.3").decode()),), subject=mapping.subject(person(1)))
    registry.record(project, [value])
    other.record(project, [value])
    assert other.original_uid(project, new, actor="ada", why="recall") == "1.2.3"
    for wrong in (lambda: registry.record(project, [mapped(1)]), lambda: registry.resolve(project, RECORDED, [])):
        with pytest.raises(BadRecipe):
            wrong()


# What lies at rest.


def test_nothing_at_rest_says_who(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """Lost otherwise: whoever gets hold of a dump, and of the outputs, would know who is in them, and when."""
    project = registry.open_project("trial")
    crosswalk(registry, project, "CANARY4711,S-1,-31337\n")
    scheme = Scheme(uids=Uids.RECORDED, pseudonyms=Pseudonyms.CROSSWALK, dates=Strategy.CROSSWALK)
    registry.resolve(project, scheme, [needs("1.2.999.4711", subject=canonical(b"CLINIC", b"CANARY4711"))])
    registry.note(project, "ada", "test", {"why": "test"})
    held = dump(ledger_connection)
    assert b"S-1" in held
    assert b"trial" in held
    secrets = (b"CANARY4711", b"CLINIC", b"1.2.999.4711", b"-31337", (-31337).to_bytes(4, "big", signed=True))
    assert not [secret for secret in secrets if secret in held]


def test_a_dictionary_attack_fails(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """Lost otherwise: all Patient IDs of six digits could be tried in seconds (PS3.15 E.1.1 on plain hashes)."""
    project = registry.open_project("trial")
    keyed = KeyedMapping(PROJECT_KEY)
    victim, uid = canonical(b"", b"271828"), b"1.2.840.113619.271828"
    registry.record(project, [Mapped(uids=((uid.decode(), keyed.uid(uid).decode()),), subject=keyed.subject(victim))])
    rows = ledger_connection.execute("SELECT key, pseudonym FROM registry.subjects").fetchall()
    [(key, name)] = rows
    public = {bytes(key), base64.b32decode(name + "=" * 4)}
    [(check,)] = ledger_connection.execute("SELECT check_value FROM registry.projects").fetchall()

    def attack(secret: bytes, row_key: bytes, ids: range) -> list[int]:
        """Try every Patient ID in every way that the code knows."""
        hits = []
        for number in ids:
            subject = b"\x1f%06d" % number
            if (
                hashlib.blake2b(subject, key=row_key, digest_size=16).digest() in public
                or hmac.digest(secret, b"subject\0" + subject, "sha256")[: len(name) * 5 // 8] in public
            ):
                hits.append(number)
        return hits

    # With what everyone has: the code, the tables, the outputs. The check value is the best there is for a key.
    step = 1_000_000 // ATTACKED_IDS
    tried = range(271_828 % step, 1_000_000, step)
    assert 271_828 in tried
    assert attack(check, ProjectKey(check).derive("registry", b""), tried) == []
    # With either key that derives them the same attack finds the victim, so it is a real one.
    near = range(271_800, 271_900)
    assert attack(check, PROJECT_KEY.derive("registry", b""), near) == [271_828]
    assert attack(PROJECT_KEY.secret, b"", near) == [271_828]


# Schema changes.


def test_the_old_code_still_writes_on_the_new_schema(empty_database: str) -> None:
    """Lost otherwise: a rolling upgrade would stop every worker that is not upgraded yet."""
    with connect(empty_database) as conn:
        migrate(conn, "farm.registry", post=False)
        conn.execute(
            "INSERT INTO registry.subjects (project_id, key, pseudonym, date_shift_days, sealed)"
            " VALUES (1, 'k', 'p', -5, 's')"
        )
        conn.execute("INSERT INTO registry.projects (name, check_value) VALUES ('trial', 'c')")


def test_a_registry_of_the_old_schema_goes_on(empty_database: str, vault: Vault) -> None:
    """Lost otherwise: an upgrade would strand every project, or leave its date shifts in plain."""
    value = mapped(1)
    first = resources.files("farm.registry").joinpath("migrations", "0001_registry.pre.sql").read_text()
    with connect(empty_database) as conn:
        conn.execute(first.encode())
        conn.execute("INSERT INTO registry.projects (name, check_value) VALUES ('trial', %s)", [PROJECT_KEY.check()])
        registry = Registry(conn, vault, PROJECT_KEY)
        key = registry._seals.key(value.subject.original)
        conn.execute(
            "INSERT INTO registry.subjects VALUES (1, %s, %s, %s, %s)",
            [value.subject.date_shift_days, key, value.subject.pseudonym, b"sealed"],
        )
        conn.execute("CREATE TABLE farm_migrations (package text, name text, applied_at timestamptz DEFAULT now())")
        conn.execute("INSERT INTO farm_migrations VALUES ('farm.registry', '0001_registry.pre.sql')")
        assert len(migrate(conn, "farm.registry")) == 3
        project = registry.open_project("trial", scheme=Scheme())
        registry.record(project, [value])
        assert list(registry.subjects(project)) == [(value.subject.pseudonym, True)]
        with pytest.raises(BadRecipe):
            registry.open_project("trial", scheme=NUMBERS)
