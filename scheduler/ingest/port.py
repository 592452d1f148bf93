"""One receiving process: an event loop on the shared listener, a spool, a committer. `python -m scheduler.ingest.port`.

It is tethered to its parent by standard input, as the worker is: whoever starts it and dies leaves nothing behind. On
SIGTERM it takes no more associations and lets those in the middle of a request finish it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from farm.deid.keys import ProjectKey
from farm.net.acceptor import HeaderRule, Service
from farm.net.admission import Rule
from farm.net.association import Limits
from farm.net.deadlines import Deadlines
from farm.net.identity import Users
from farm.net.negotiation import Offer
from farm.net.peers import Address, Peer
from farm.net.server import Caps, Port, Server
from farm.net.services import STORAGE_COMMITMENT, VERIFICATION, Status, is_storage
from farm.net.slots import Slots
from farm.net.tls import Identification, client_context, server_context
from farm.queue import Sealer, Session
from farm.recipe import tags
from farm.registry import Vault, load_or_create
from farm.settings import load
from scheduler.ingest.commitment import LedgerKeeper
from scheduler.ingest.committer import Committer
from scheduler.ingest.order import PortOrder, ProcessOrder
from scheduler.ingest.receiver import SpoolReceiver
from scheduler.ingest.reporter import Reporter
from scheduler.ingest.spell import Spell
from scheduler.ingest.spool import Spool
from scheduler.routing import Router

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from farm.net.storing import Arriving
    from farm.settings import Settings

_SWITCH = 0.0002
"""Seconds after which a thread that waits for the interpreter gets it. The threads that wait for the disk need it for
a moment after each call, and would by default wait 5 ms for the event loop each time."""


def main() -> None:
    """Receive until told to stop."""
    settings = load()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    order = ProcessOrder.from_json(sys.stdin.buffer.readline())
    asyncio.run(_receive(settings, order))


async def _receive(settings: Settings, order: ProcessOrder) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    loop.add_reader(sys.stdin, stop.set)  # the parent has gone
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.socket(fileno=order.listener))
        slots = Slots(order.slots, processes=order.processes, each=order.port.max_connections)
        caps = caps_of(order.port)
        tls = tls_of(order.port)
        service = await _service(settings, order, stack)
        sys.setswitchinterval(_SWITCH)
        gc.collect()
        gc.freeze()  # what is there now stays: it need not be looked through again and again
        port = Port(listener=listener, slots=slots, row=order.row, caps=caps, tls=tls)
        await Server(service, port).serve(stop)
        loop.remove_reader(sys.stdin)


async def _service(settings: Settings, order: ProcessOrder, stack: AsyncExitStack) -> Service:
    """Put together what all associations of this process use."""
    key = ProjectKey(load_or_create(settings.project_key_path, "project").secret)
    vault = Vault(load_or_create(settings.vault_key_path, "vault").secret)
    sealer, spell = Sealer(key, vault), Spell()
    patience = settings.ledger_patience_seconds

    def session() -> Session:
        attempts = settings.max_attempts
        return Session(settings.database_url, vault, key, max_attempts=attempts, patience=patience, deadline=patience)

    spool = Spool(Path(order.spool))
    stack.callback(spool.close)
    committer = Committer(spool, session(), order.run_id, spell, patience=patience)
    stack.callback(committer.close)
    keeper = LedgerKeeper(session(), sealer, order.run_id)
    stack.callback(keeper.close)
    port, router = order.port, Router.of(settings, order.target)
    reporter = Reporter(told_of(port), session(), sealer, order.run_id)
    return Service(
        receiver=SpoolReceiver(spool, committer, sealer, bytes.fromhex(order.source_key), spell, router=router),
        offer=offer_of(port),
        rules=rules_of(port),
        limits=Limits(pdu=port.max_pdu),
        deadlines=deadlines_of(port),
        header=header_rule(port.only),
        keeper=keeper,
        reports=await stack.enter_async_context(reporter),
    )


def offer_of(port: PortOrder) -> Offer:
    """Return what is negotiated: verification, storage commitment, and storage in every transfer syntax as sent.

    Raise `BadRecipe` where the file of users cannot be used.
    """

    def supports(sop_class: str) -> bool:
        return sop_class in {VERIFICATION, STORAGE_COMMITMENT} or is_storage(sop_class, private=port.private)

    return Offer(
        supports=supports,
        private_syntaxes=frozenset(port.syntaxes),
        titles=frozenset(port.ae_titles) or None,
        maximum_length=port.max_pdu,
        judge=Users.load(Path(port.users)) if port.users else None,
    )


def caps_of(port: PortOrder) -> Caps:
    """Return how many may come."""
    return Caps(
        connections=port.max_connections,
        per_peer=port.max_associations,
        per_address=port.max_per_address,
    )


def deadlines_of(port: PortOrder) -> Deadlines:
    """Return how long they may stay."""
    return Deadlines(idle=port.idle_seconds, least_rate=port.least_rate, longest=port.longest_seconds)


def rules_of(port: PortOrder) -> tuple[Rule, ...]:
    """Return who may come; raise `BadRecipe` where a peer is not written as one."""
    return tuple(Rule.parse(peer) for peer in port.peers)


def header_rule(only: tuple[tuple[str, str], ...]) -> HeaderRule | None:
    """Return the rule that lets in only instances with one of the values asked for, for each attribute named."""
    wanted: dict[int, set[bytes]] = {}
    for keyword, value in only:
        wanted.setdefault(tags.read(keyword, "--only"), set()).add(value.encode())

    def decide(_arriving: Arriving, found: Mapping[int, bytes]) -> int | None:
        fits = all(not values.isdisjoint(found.get(tag, b"").split(b"\\")) for tag, values in wanted.items())
        return None if fits else Status.NOT_AUTHORIZED

    return HeaderRule(tags=frozenset(wanted), decide=decide) if wanted else None


def told_of(port: PortOrder) -> dict[str, Peer]:
    """Return by title who is told of storage commitment where the association of the request has ended.

    They are spoken to by TLS where the port is, with its certificate. Raise `BadRecipe` where one is not written so.
    """
    authority, mine = _authority(port), _identification(port)
    tls = client_context(authority=authority, identification=mine) if mine else None
    addresses = [Address.parse(text) for text in port.report_to]
    return {one.title: Peer(host=one.host, port=one.port, ae_title=one.title, tls=tls) for one in addresses}


def tls_of(port: PortOrder) -> ssl.SSLContext | None:
    """Return the server's side of TLS, if it is asked for; raise `BadRecipe` where its files cannot be used."""
    mine, authority = _identification(port), _authority(port)
    return server_context(identification=mine, authority=authority, require=authority is not None) if mine else None


def _identification(port: PortOrder) -> Identification | None:
    if not port.certificate:
        return None
    return Identification(certificate=Path(port.certificate), key=Path(port.key) if port.key else None)


def _authority(port: PortOrder) -> Path | None:
    return Path(port.authority) if port.authority else None


if __name__ == "__main__":
    main()
