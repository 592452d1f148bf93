"""A run whose instances arrive by C-STORE: what `farm scp` does."""

from __future__ import annotations

import math
from contextlib import closing
from hashlib import blake2b
from typing import TYPE_CHECKING

from scheduler.campaign import Campaign, Summary, check_apart, desk_of, open_run
from scheduler.ingest.port import header_rule, offer_of, rules_of, tls_of, told_of
from scheduler.ingest.ports import Ports, listener
from scheduler.ingest.spool import Spool

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from farm.ledger import Progress
    from farm.recipe.recipe import Recipe
    from farm.settings import Settings
    from scheduler.ingest.order import PortOrder


def spool_of(settings: Settings, destination: Path, recipe: Recipe) -> Path:
    """Return the spool of a destination and a recipe: the same for the same command, so that it goes on."""
    place = f"{settings.project}\0{destination.resolve()}\0{recipe.digest}".encode()
    return settings.home / "spool" / blake2b(place, digest_size=8).hexdigest()


def check(order: PortOrder) -> None:
    """Raise `BadRecipe` for what could not be carried out, before anything is started."""
    header_rule(order.only)
    offer_of(order)
    rules_of(order)
    tls_of(order)
    told_of(order)


def run_scp(  # noqa: PLR0913 - an order, and how to talk to whoever gave it
    settings: Settings,
    destination: Path,
    recipe: Recipe,
    order: PortOrder,
    address: tuple[str, int],
    *,
    on_listening: Callable[[int], None],
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> Summary:
    """Receive on an address (port 0: any) and de-identify what comes into a folder, until `stop` is set.

    `on_listening` is told the port once connections are taken. What has arrived and is not done waits for the same
    command.
    """
    check(order)
    source = spool_of(settings, destination, recipe)
    check_apart(source, destination)
    listening = listener(*address)
    with closing(listening), desk_of(settings, stop) as (desk, servers):
        run = open_run(desk, source, destination, recipe)
        ports = Ports(desk, run, Spool(source), order, listening)
        campaign = Campaign(desk, servers, run, ports, patience=math.inf)
        with closing(campaign):
            on_listening(listening.getsockname()[1])
            return campaign.run(on_progress, stop)
