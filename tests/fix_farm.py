"""A farm without its programs: settings on the shared servers, keys, a small source, and an opened run."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydicom.data import get_testdata_file

from farm.deid.keys import ProjectKey
from farm.ledger import Ledger, Parcel, Progress
from farm.recipe.recipe import Recipe, preset
from farm.registry import Vault, load_or_create
from farm.settings import Settings
from farm.sources import FolderSource
from scheduler.campaign import Desk, open_run
from scheduler.crawl import Crawl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.ledger import Run
    from farm.queue import Session

CT = Path(str(get_testdata_file("CT_small.dcm")))
_INSTANCE = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


def make_instances(folder: Path, count: int, *, first: int = 0) -> list[Path]:
    """Write copies of a small CT, each with a SOP Instance UID of its own and of the same length."""
    folder.mkdir(parents=True, exist_ok=True)
    data = CT.read_bytes()
    assert _INSTANCE in data
    paths = []
    for number in range(first, first + count):
        path = folder / f"{number:05d}.dcm"
        path.write_bytes(data.replace(_INSTANCE, _INSTANCE[:-5] + f"{number:05d}".encode()))
        paths.append(path)
    return paths


def changed(data: bytes) -> bytes:
    """Return the instance with another pixel under the same UIDs."""
    return data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A run that is crawled and ready to be fed."""

    settings: Settings
    desk: Desk
    run: Run
    session: Session
    source: Path
    destination: Path

    def feed(self, *, instances: int = 64) -> list[Parcel]:
        """Return the next parcels, as if they had been published."""
        return self.session.call(
            lambda tables: tables.ledger.feed(self.run.id, max_messages=100, max_instances=instances, max_bytes=1 << 30)
        )

    def progress(self) -> Progress:
        """Return how the run stands."""
        return self.session.call(lambda tables: tables.ledger.progress(self.run.id))

    def ledger(self) -> Ledger:
        """Return the ledger."""
        return self.session.call(lambda tables: tables.ledger)

    def outputs(self) -> list[Path]:
        """Return every file that a reader of the destination sees."""
        return visible(self.destination)


def visible(destination: Path) -> list[Path]:
    """Return every file of a destination outside the farm's own folder."""
    return sorted(
        path for path in destination.rglob("*") if path.is_file() and ".farm" not in path.relative_to(destination).parts
    )


@pytest.fixture
def settings(database: str, broker: str, tmp_path: Path) -> Settings:
    """Return settings for fresh servers and keys, with short times."""
    return Settings(
        home=tmp_path / "home",
        database_url=database,
        broker_url=broker,
        workers=2,
        lease_seconds=3,
        renew_seconds=1,
        republish_seconds=3,
        log_level="DEBUG",
    )


@pytest.fixture
def desk(settings: Settings) -> Desk:
    """Return the keys, made for this test."""
    return Desk(
        settings=settings,
        key=ProjectKey(load_or_create(settings.project_key_path, "project").secret),
        vault=Vault(load_or_create(settings.vault_key_path, "vault").secret),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return an empty folder to be a source."""
    path = tmp_path / "source"
    path.mkdir()
    return path


@pytest.fixture
def opened(desk: Desk, source: Path, tmp_path: Path) -> Iterator[Opener]:
    """Return a function that opens and crawls a run over `source` as it is then."""
    opener = Opener(desk, source, tmp_path / "destination")
    yield opener
    opener.close()


class Opener:
    """Opens the run of one test."""

    def __init__(self, desk: Desk, source: Path, destination: Path) -> None:
        self._desk = desk
        self._source = source
        self._destination = destination
        self._session = desk.session()

    def __call__(self, recipe: Recipe | None = None, **changes: object) -> Opened:
        """Open and crawl, by `basic` where no recipe is given; `changes` are settings."""
        desk = replace(self._desk, settings=replace(self._desk.settings, **changes))  # type: ignore[arg-type]
        run = open_run(desk, self._source, self._destination, recipe or preset("basic"))
        Crawl(FolderSource(self._source), desk.sealer, run.source_key, run.id).run(self._session, threading.Event())
        return Opened(
            settings=desk.settings,
            desk=desk,
            run=run,
            session=self._session,
            source=self._source,
            destination=self._destination,
        )

    def close(self) -> None:
        """Drop the connection."""
        self._session.close()
        shutil.rmtree(self._destination, ignore_errors=True)
