"""A ledger and a registry on a fresh database, and the few values that tests of both need again and again."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import pytest

from farm.database import connect
from farm.deid.keys import ProjectKey
from farm.deid.mapping import KeyedMapping, Mapped
from farm.ledger import Done, Found, Ledger
from farm.pipeline import Report
from farm.registry import Registry, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from farm.ledger import Lease, Parcel

PROJECT_KEY = ProjectKey(b"p" * 32)
VAULT_KEY = b"v" * 32


def digest(text: str) -> str:
    """Return 32 bytes in hex that stand for the digest of some content."""
    return blake2b(text.encode(), digest_size=32).hexdigest()


def found(number: int, **changes: object) -> Found:
    """Return the instance of this number; the same number is the same instance."""
    key = blake2b(b"%d" % number, digest_size=16).digest()
    series = blake2b(b"series %d" % (number // 10), digest_size=16).digest()
    facts: dict[str, object] = {"locator_key": key, "locator_sealed": key * 2, "size": 1000, "mtime_ns": number}
    return Found(**facts | {"series_key": series} | changes)  # type: ignore[arg-type]


def mapped(number: int, patient: str = "ISSUER|4711") -> Mapped:
    """Return what an instance of this number mapped: its own UID, and its study's and subject's shared ones."""
    mapping = KeyedMapping(PROJECT_KEY)
    originals = (f"1.2.3.{number}", "1.2.3.4.5")
    uids = tuple((uid, mapping.uid(uid.encode()).decode()) for uid in originals)
    return Mapped(uids=uids, subject=mapping.subject(patient))


def report(number: int, **changes: object) -> Report:
    """Return the report of an instance that was released."""
    facts: dict[str, object] = {"path": f"S/1/2/{number}.dcm", "input_digest": digest(f"in {number}")}
    facts |= {"output_digest": digest(f"out {number}"), "output_bytes": 900, "sop_class": "1.2.840.10008.5.1.4.1.1.2"}
    facts |= {"study": "2.25.1", "series": "2.25.2", "instance": f"2.25.{number}", "subject": "S"}
    facts |= {"source_syntax": "1.2.840.10008.1.2", "target_syntax": "1.2.840.10008.1.2.1", "pixels_at_risk": False}
    facts |= {"pixels": "encode", "codec": "OpenJPH 0"}
    facts |= {"versions": "farm 0", "counts": {"removed": 3}, "mapped": mapped(number)}
    return Report(**facts | changes)  # type: ignore[arg-type]


def done(number: int) -> Done:
    """Return the outcome of an instance that was released."""
    return Done(id=number, report=report(number))


@dataclass(frozen=True, slots=True)
class Bench:
    """A ledger with one run, and shorthands for what most tests do with it."""

    conn: psycopg.Connection
    ledger: Ledger
    run_id: int

    def stage(self, *numbers: int) -> None:
        """Add instances by their numbers."""
        self.ledger.stage(self.run_id, [found(number) for number in numbers])

    def feed(self, instances: int = 64) -> list[Parcel]:
        """Feed all that may be fed."""
        return self.ledger.feed(self.run_id, max_messages=1000, max_instances=instances, max_bytes=1 << 30)

    def leased(self, worker: str = "worker") -> Lease:
        """Feed all there is as one parcel, and lease it."""
        [parcel] = self.feed()
        lease = self.ledger.lease(parcel.generation, worker, 60)
        assert lease is not None
        return lease

    def states(self) -> dict[int, str]:
        """Return the state of every instance, read from where they stand; none may stand in two places."""
        rows = self.conn.execute("SELECT id, state FROM ledger.states WHERE run_id = %s", [self.run_id]).fetchall()
        states = dict(rows)
        assert len(states) == len(rows)
        return states

    def expire(self, token: int) -> None:
        """Let the lease's time be over."""
        self.conn.execute("UPDATE ledger.parcels SET expires_at = 'epoch' WHERE generation = %s", [token])


def open_run(ledger: Ledger, **changes: object) -> int:
    """Open a run and return its number; the same facts are the same run."""
    facts: dict[str, object] = {"project_id": 1, "destination_key": b"d" * 16, "destination_sealed": b"sealed d"}
    facts |= {"source_key": b"s" * 16, "source_sealed": b"sealed s", "recipe_digest": "r" * 64, "recipe_json": "{}"}
    return ledger.open_run(**facts | changes).id  # type: ignore[arg-type]


@pytest.fixture
def ledger_connection(database: str) -> Iterator[psycopg.Connection]:
    """Return a connection to the fresh database."""
    with connect(database) as conn:
        yield conn


@pytest.fixture
def bench(ledger_connection: psycopg.Connection) -> Bench:
    """Return a ledger with one run, empty and crawling."""
    ledger = Ledger(ledger_connection)
    return Bench(ledger_connection, ledger, open_run(ledger))


@pytest.fixture
def vault() -> Vault:
    """Return a vault."""
    return Vault(VAULT_KEY)


@pytest.fixture
def registry(ledger_connection: psycopg.Connection, vault: Vault) -> Registry:
    """Return a registry."""
    return Registry(ledger_connection, vault, PROJECT_KEY)
