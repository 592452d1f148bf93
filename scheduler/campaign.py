"""One run on one machine, from the first of its instances to its end: what `farm run`, `scp` and `harvest` do.

The loop holds nothing that matters. Whatever it knows it asks the ledger, so it may be killed at any moment and begun
again with the same command, which recalls what the broker still holds and goes on. Dead embedded servers, a dead worker
and a broker that lost everything are put right from here, once a second.
"""

from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.database import connect, migrate
from farm.deid.keys import ProjectKey
from farm.errors import BadRecipe, Reason, Unavailable
from farm.queue import Publisher, Sealer, Session, make_app
from farm.registry import Vault, load_or_create
from farm.sources import FolderSource
from farm.stores import LocalStore, Owner
from scheduler.crawl import Crawl, CrawlThread
from scheduler.feeder import Feeder
from scheduler.patience import Haste, Patience
from scheduler.routing import Router
from scheduler.servers import Servers
from scheduler.worker_group import WorkerGroup

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.database import Deadline
    from farm.ledger import Progress, Run
    from farm.recipe.recipe import Recipe
    from farm.settings import Settings
    from scheduler.intake import Intake

log = logging.getLogger(__name__)

_TICK = 0.1
_MEND_EVERY = 1.0
_HALTED = frozenset({"paused", "stopped"})
_KEPT = "The database does not answer. What was acknowledged or done is safe; the same command goes on with the rest."


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a run stands when `run_folder` returns."""

    run_id: int
    is_new: bool
    """The run did not exist before."""
    found: int
    """Instances that this call brought in."""
    progress: Progress
    left_out: dict[str, int]
    """What the crawl met and left out, or counted, by kind."""
    trouble: Reason | None
    """What kept the run from its end, if something did."""

    @property
    def complete(self) -> bool:
        """Tell whether every instance of the source is at its end."""
        return self.progress.state == "complete"


def run_folder(  # noqa: PLR0913 - an order, and how to talk to whoever gave it
    settings: Settings,
    source: Path,
    destination: Path,
    recipe: Recipe,
    *,
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> Summary:
    """De-identify a folder (or one file) into another; return when all is at its end, or with what kept it from that.

    Setting `stop` drains: parcels in hand are finished, the rest waits for the same command to be given again. Raise
    `BadRecipe` for an order that cannot be carried out and `Unavailable` where a server does not start, or the database
    does not answer any more.
    """
    check_apart(source, destination)
    opened = FolderSource(source)
    with desk_of(settings, stop) as (desk, servers):
        run = open_run(desk, source, destination, recipe)
        crawl = Crawl(opened, desk.sealer, run.source_key, run.id, Router.of(settings, recipe.wanted.syntax))
        intake = CrawlThread(crawl, desk.session(settings.patience_seconds))
        with closing(Campaign(desk, servers, run, intake)) as campaign:
            return campaign.run(on_progress, stop)


@contextmanager
def desk_of(settings: Settings, stop: threading.Event | None = None) -> Iterator[tuple[Desk, Servers]]:
    """Start the servers that the settings do not name, and give the keys with the settings that name them all.

    `stop` is what a person sets by Ctrl-C: then nothing of this desk waits for a database that does not answer.
    """
    haste = None if stop is None else Haste(stop, settings.ledger_patience_seconds)
    with ExitStack() as stack:
        servers = Servers(settings)
        stack.callback(servers.stop)
        database_url, broker_url = servers.start()
        settings = replace(settings, database_url=database_url, broker_url=broker_url)
        key = ProjectKey(load_or_create(settings.project_key_path, "project").secret)
        vault = Vault(load_or_create(settings.vault_key_path, "vault").secret)
        yield Desk(settings=settings, key=key, vault=vault, haste=haste), servers


def check_apart(source: Path, destination: Path) -> None:
    """Raise `BadRecipe` if the output would be found as input, or the other way round."""
    first, second = source.resolve(), destination.resolve()
    if second.is_relative_to(first) or first.is_relative_to(second):
        raise BadRecipe(Reason.BAD_DESTINATION, "Source and destination must not lie inside each other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The settings with the servers' URLs, the keys, and how long a statement may take; None: any time."""

    settings: Settings
    key: ProjectKey
    vault: Vault
    haste: Haste | None = None

    @property
    def sealer(self) -> Sealer:
        """Return what keys and seals places."""
        return Sealer(self.key, self.vault)

    def session(self, patience: float = 0, deadline: Deadline | float | None = None) -> Session:
        """Return a connection to be; a statement may take as long as the desk says, if nothing else is said."""
        haste = self.haste
        return Session(
            self.settings.database_url,
            self.vault,
            self.key,
            max_attempts=self.settings.max_attempts,
            patience=patience if haste is None else haste.patience(patience),
            deadline=deadline or haste,
        )

    def migrate(self) -> None:
        """Bring the schema up to date, however long that takes, unless the program is asked to end."""
        deadline = None if self.haste is None else self.haste.unless_asked
        with connect(self.settings.database_url, deadline=deadline) as connection:
            for package in ("farm.registry", "farm.ledger"):
                migrate(connection, package)


def open_run(desk: Desk, source: Path, destination: Path, recipe: Recipe) -> Run:
    """Bring the schema up to date, open project and destination, and open the run, anew or again.

    The run comes last: an order that cannot be carried out leaves none behind.
    """
    settings, sealer = desk.settings, desk.sealer
    desk.migrate()
    origin = sealer.source(os.fsencode(source.resolve()))
    target = sealer.destination(os.fsencode(destination.resolve()))
    with closing(desk.session()) as session:
        project_id = session.call(lambda tables: tables.registry.open_project(settings.project, scheme=recipe.scheme))
        released = session.call(
            lambda tables: tables.ledger.released(
                project_id=project_id, destination_key=target.key, recipe_digest=recipe.digest
            )
        )
        owner = Owner.of(settings.project, recipe.digest, desk.key)
        _open_store(LocalStore(destination), owner, released, 2 * settings.task_seconds)
        return session.call(
            lambda tables: tables.ledger.open_run(
                project_id=project_id,
                destination_key=target.key,
                destination_sealed=target.sealed,
                source_key=origin.key,
                source_sealed=origin.sealed,
                recipe_digest=recipe.digest,
                recipe_json=recipe.to_json(),
            )
        )


def _open_store(store: LocalStore, owner: Owner, released: int, stale: float) -> None:
    """Make the destination ours, unless a run has released instances there that are not there any more.

    What killed workers have left staged there is removed, once nobody can be at work on it any more.
    """
    try:
        store.open(owner, create=False)
    except Unavailable:
        if released:
            hint = "What was released here before is gone, or not mounted; bring it back or name another folder"
            raise BadRecipe(Reason.BAD_DESTINATION, hint, released=released) from None
    store.open(owner)
    if swept := store.sweep(stale):
        log.info("%d temporary instances of killed workers were removed", swept)


@contextmanager
def _telling_what_is_kept() -> Iterator[None]:
    """Say of a database that does not answer that nothing is lost by it."""
    try:
        yield
    except Unavailable as error:
        if error.reason is not Reason.DATABASE_AWAY:
            raise
        raise Unavailable(error.reason, _KEPT) from None


class Campaign:
    """The loop around one run: bring in, feed, recover, and watch over servers and worker."""

    def __init__(
        self, desk: Desk, servers: Servers, run: Run, intake: Intake, *, patience: float | None = None
    ) -> None:
        """Take what brings the instances in, and for how long to wait for what is away (None: as the settings say)."""
        settings = desk.settings
        self._servers = servers
        self._run = run
        self._session = desk.session()
        self._publisher = Publisher(make_app(settings.broker_url, settings))
        self._feeder = Feeder(run.id, self._publisher, settings)
        self._worker = WorkerGroup(settings)
        self._patience = Patience(settings.patience_seconds if patience is None else patience)
        self._intake = intake
        self._mended = 0.0
        self._away: Reason | None = None

    @_telling_what_is_kept()
    def run(self, on_progress: Callable[[Progress], None], stop: threading.Event) -> Summary:
        """Work until the intake is over, the run halted, `stop` set or patience at its end; return how it stands."""
        self._session.call(lambda tables: tables.ledger.recall(self._run.id))
        self._intake.start()
        trouble: Reason | None = None
        while not stop.wait(_TICK):
            trouble, progress = self._round()
            if progress is not None:
                on_progress(progress)
                trouble = trouble or _trouble(progress)
                if self._ends(progress):
                    break
            if self._patience.over(time.monotonic(), None if progress is None else progress.ended, trouble):
                break
        self._drain()
        progress = self._session.call(lambda tables: tables.ledger.progress(self._run.id))
        on_progress(progress)
        return Summary(
            run_id=self._run.id,
            is_new=self._run.is_new,
            found=self._intake.new,
            progress=progress,
            left_out=self._intake.counters,
            trouble=None if progress.state == "complete" else trouble,
        )

    def close(self) -> None:
        """End the worker and the intake, whatever happened."""
        self._worker.stop()
        self._intake.stop()
        self._publisher.close()
        self._session.close()

    def _round(self) -> tuple[Reason | None, Progress | None]:
        """Do everything that is due; return what is away, if anything, and how the run stands, if it can be told."""
        self._intake.check()
        try:
            self._mend()
            if self._session.call(lambda tables: self._feeder.feed(tables, time.monotonic())):
                self._worker.ensure()
            else:
                self._session.call(lambda tables: tables.ledger.finish(self._run.id))
            progress = self._session.call(lambda tables: tables.ledger.progress(self._run.id))
        except Unavailable as error:
            if error.reason is Reason.SERVER_FAILED:
                raise
            if error.reason is not self._away:  # once, and not each second of an hour
                log.warning("run %d waits: %s", self._run.id, error.reason.value)
            self._away = error.reason
            return error.reason, None
        if self._away is not None:
            log.warning("run %d goes on", self._run.id)
            self._away = None
        return None, progress

    def _ends(self, progress: Progress) -> bool:
        """Tell whether there is nothing more to do here."""
        with suppress(Unavailable):  # the next round tells what is away
            return progress.state in _HALTED or self._session.call(lambda tables: self._intake.over(tables, progress))
        return False

    def _mend(self) -> None:
        """Put right, now and then, what died or was lost."""
        if time.monotonic() - self._mended < _MEND_EVERY:
            return
        self._mended = time.monotonic()
        self._servers.mend()
        recovered = self._session.call(self._feeder.recover)
        if recovered:
            log.info("run %d: %d were taken back from lost workers or messages", self._run.id, recovered)

    def _drain(self) -> None:
        """Let the worker finish what it has in hand; the rest goes back to wait for another call.

        Where there is no rest, and nobody else brings anything in, the run is complete: until it is opened again.
        """
        self._intake.stop()
        self._session.call(lambda tables: tables.ledger.recall(self._run.id))
        self._worker.stop()
        self._session.call(lambda tables: tables.ledger.finish(self._run.id))


def _trouble(progress: Progress) -> Reason | None:
    return None if progress.trouble is None else Reason(progress.trouble)
