"""The registry: the mapping stands, the way back is open to key holders alone, and every look is on record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING

import psycopg
import pytest
from fix_ledger import PROJECT_KEY, VAULT_KEY, mapped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.database import connect
from farm.deid.keys import ProjectKey
from farm.errors import BadRecipe, Reason
from farm.registry import Registry, Vault

if TYPE_CHECKING:
    from farm.deid.mapping import Mapped


def _audit(conn: psycopg.Connection) -> list[tuple[str, str, dict[str, str]]]:
    return conn.execute("SELECT actor, action, fields FROM registry.audit ORDER BY id").fetchall()


def test_a_project_is_bound_to_its_key(registry: Registry, ledger_connection: psycopg.Connection, vault: Vault) -> None:
    """A run with a lost and remade key would map the same people to others, silently."""
    project = registry.open_project("trial", actor="ada")
    assert registry.open_project("trial", actor="eve") == project
    assert registry.open_project("other", actor="ada") != project
    with pytest.raises(BadRecipe) as caught:
        Registry(ledger_connection, vault, ProjectKey(b"q" * 32)).open_project("trial")
    assert caught.value.reason is Reason.KEY_MISMATCH
    assert _audit(ledger_connection) == [("ada", "project created", {})] * 2


def test_a_project_is_bound_to_its_vault(
    registry: Registry, ledger_connection: psycopg.Connection, vault: Vault
) -> None:
    """What a run seals with another vault key opens for nobody: not for its workers, and not for the way back."""
    project = registry.open_project("trial")
    other = Registry(ledger_connection, Vault(b"w" * 32), PROJECT_KEY)
    with pytest.raises(BadRecipe, match="vault key") as caught:
        other.open_project("trial")
    assert caught.value.reason is Reason.KEY_MISMATCH
    # One that was begun before this was known takes the first vault key that comes with its own key.
    ledger_connection.execute("UPDATE registry.projects SET vault_check = NULL")
    with pytest.raises(BadRecipe):
        Registry(ledger_connection, Vault(b"w" * 32), ProjectKey(b"q" * 32)).open_project("trial")
    assert registry.open_project("trial") == project
    with pytest.raises(BadRecipe):
        other.open_project("trial")
    assert Registry(ledger_connection, vault, PROJECT_KEY).open_project("trial") == project


def test_the_way_back(registry: Registry) -> None:
    """A finding in the research data could not be told to the patient's physician."""
    project = registry.open_project("trial")
    given_ = mapped(1)
    registry.record(project, [given_])
    for original, new in given_.uids:
        assert registry.original_uid(project, new, actor="ada", why="recall") == original
    subject = given_.subject
    assert registry.original_subject(project, subject.pseudonym, actor="ada", why="recall") == subject.original
    assert registry.original_uid(project, "2.25.1", actor="ada", why="guess") is None
    other = registry.open_project("other")
    assert registry.original_uid(other, given_.uids[0][1], actor="ada", why="guess") is None


def test_every_look_up_is_audited(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """Someone could look up patients without a trace."""
    project = registry.open_project("trial")
    registry.record(project, [mapped(1)])
    pseudonym, (_, new) = mapped(1).subject.pseudonym, mapped(1).uids[0]
    registry.original_subject(project, pseudonym, actor="eve", why="curiosity")
    registry.original_uid(project, new, actor="eve", why="more")
    noted = [{"subject": pseudonym, "why": "curiosity"}, {"uid": new, "why": "more"}]
    assert _audit(ledger_connection)[-2:] == [
        ("eve", "subjects look-up", noted[0]),
        ("eve", "uids look-up", noted[1]),
    ]


@pytest.mark.parametrize("name", ["MRN4711", "1.2.840.113619.2.4711", "2.25.4711"])
def test_what_is_looked_up_by_mistake_is_not_kept(
    registry: Registry, ledger_connection: psycopg.Connection, name: str
) -> None:
    """A Patient ID typed for a pseudonym would stand for good in a table that is neither sealed nor ever changed."""
    project = registry.open_project("trial")
    assert registry.original_subject(project, name, actor="ada", why="recall") is None
    assert registry.original_uid(project, name, actor="ada", why="recall") is None
    noted = [fields for _, action, fields in _audit(ledger_connection) if action.endswith("look-up")]
    assert noted == [{"subject": "", "why": "recall"}, {"uid": "", "why": "recall"}]


@pytest.mark.parametrize(
    "statement", ["UPDATE registry.audit SET actor = 'x'", "DELETE FROM registry.audit", "TRUNCATE registry.audit"]
)
def test_the_audit_is_append_only(registry: Registry, ledger_connection: psycopg.Connection, statement: str) -> None:
    """A trace could be wiped by whoever left it."""
    registry.open_project("trial")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ledger_connection.execute(statement)
    assert len(_audit(ledger_connection)) == 1


def test_recording_twice_is_recording_once(
    registry: Registry, ledger_connection: psycopg.Connection, vault: Vault
) -> None:
    """A parcel that is done again after a crash would stop the run."""
    project = registry.open_project("trial")
    parcel = [mapped(1), mapped(2)]
    registry.record(project, parcel)
    registry.record(project, parcel)
    Registry(ledger_connection, vault, PROJECT_KEY).record(project, [*parcel, mapped(3)])
    assert ledger_connection.execute("SELECT count(*) FROM registry.uids").fetchall() == [(4,)]
    assert ledger_connection.execute("SELECT count(*) FROM registry.subjects").fetchall() == [(1,)]
    registry.record(project, [])


def _other_uid(value: Mapped) -> Mapped:
    return replace(value, uids=((value.uids[0][0], "2.25.77"),))


def _taken_uid(value: Mapped) -> Mapped:
    return replace(value, uids=(("1.2.999", value.uids[0][1]),))


def _other_shift(value: Mapped) -> Mapped:
    return replace(value, subject=replace(value.subject, date_shift_days=value.subject.date_shift_days + 1))


def _taken_pseudonym(value: Mapped) -> Mapped:
    return replace(value, subject=replace(value.subject, original="someone else"))


def _foreign_uid(value: Mapped) -> Mapped:
    return replace(value, uids=(("1.2.999", "1.2.3"),))


@pytest.mark.parametrize("change", [_other_uid, _taken_uid, _other_shift, _taken_pseudonym, _foreign_uid])
def test_a_different_mapping_stops_the_run(registry: Registry, change: object) -> None:
    """One person would become two, or two become one, and dates move by different amounts."""
    project = registry.open_project("trial")
    registry.record(project, [mapped(1)])
    with pytest.raises(BadRecipe) as caught:
        registry.record(project, [change(mapped(1))])  # type: ignore[operator]
    assert caught.value.reason is Reason.MAPPING_MISMATCH
    registry.record(project, [mapped(1)])


def test_workers_record_overlapping_parcels_at_once(registry: Registry, database: str, vault: Vault) -> None:
    """Two workers on one study would deadlock, or call each other's rows a mismatch."""
    project = registry.open_project("trial")
    start = Barrier(3)

    def work(first: int) -> None:
        with connect(database) as conn:
            own = Registry(conn, vault, PROJECT_KEY)
            start.wait()
            for at in range(first, first + 10):
                own.record(project, [mapped(number) for number in range(at * 5, at * 5 + 20)])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))


@given(st.lists(st.integers(0, 30), max_size=8), st.sampled_from(["ISSUER|1", "ISSUER|2"]))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_recorded_is_found(registry: Registry, numbers: list[int], patient: str) -> None:
    """What this worker remembers as recorded would in truth be missing from the registry."""
    project = registry.open_project("trial")
    parcel = [mapped(number, patient) for number in numbers]
    registry.record(project, parcel)
    for value in parcel:
        original, new = value.uids[0]
        assert registry.original_uid(project, new, actor="law", why="law") == original


def test_nothing_sealed_or_keyed_shows_the_original(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """Whoever gets hold of a dump would know who is in it."""
    project = registry.open_project("trial")
    original = mapped(1, "HOSPITAL|CANARY4711")
    registry.record(project, [original])
    registry.original_subject(project, original.subject.pseudonym, actor="ada", why="test")
    tables = ledger_connection.execute("SELECT table_name FROM information_schema.tables WHERE table_schema='registry'")
    dump = b""
    for (table,) in tables.fetchall():
        with ledger_connection.cursor().copy(f"COPY registry.{table} TO STDOUT (FORMAT BINARY)") as copy:
            dump += b"".join(bytes(block) for block in copy)
    assert original.subject.pseudonym.encode() in dump
    for secret in (b"CANARY4711", b"HOSPITAL", *(old.encode() for old, _ in original.uids), VAULT_KEY):
        assert secret not in dump


def test_the_length_of_a_uid_stays_hidden(registry: Registry, ledger_connection: psycopg.Connection) -> None:
    """The length of a sealed UID would narrow down whose it is."""
    project = registry.open_project("trial")
    registry.record(project, [mapped(1), mapped(1234567)])
    lengths = ledger_connection.execute("SELECT DISTINCT length(sealed) FROM registry.uids").fetchall()
    assert len(lengths) == 1
