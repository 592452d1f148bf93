"""Who may send to us what a C-MOVE asked for: the PACS alone, unless its description names others.

The port that a C-MOVE sends to is open to the network, and what comes there may be taken for the PACS's word. So a
sender has to have the PACS's application entity title, and one of the addresses that its host's name stands for. Many a
PACS sends from another node, or by another title: `move_from` then says from where, in place of that. Where the PACS is
spoken to by TLS, it has to send by TLS, with a certificate that its authority has signed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from farm.net import tls
from farm.net.admission import Rule

if TYPE_CHECKING:
    import ssl

    from scheduler.harvest.peers import Pacs, Tls

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Itself(Rule):
    """The PACS itself; its addresses may change while a harvest is on."""

    known: set[str] = field(default_factory=set)

    def admits(self, title: str, address: str, certificate: str) -> bool:
        """Tell whether a peer is the PACS."""
        return super().admits(title, address, certificate) and str(ipaddress.ip_address(address)) in self.known


@dataclass(frozen=True, kw_only=True)
class _Nobody(Rule):
    """The last rule: it lets nobody in, and tells once of each peer that no other rule did."""

    told: set[tuple[str, str]] = field(default_factory=set)
    pacs: str

    def admits(self, title: str, address: str, certificate: str) -> bool:
        """Tell the log."""
        del certificate
        if (title, address) not in self.told and len(self.told) < _MOST_TOLD:
            self.told.add((title, address))
            log.warning(
                "%s at %s may not send what is moved from %s: is it missing in move_from?", title, address, self.pacs
            )
        return False


_MOST_TOLD = 20


class Senders:
    """The peers that may send by C-STORE what one PACS is asked to move."""

    def __init__(self, pacs: Pacs) -> None:
        """Take the PACS; raise `BadRecipe` where its TLS files cannot be used."""
        self.called = pacs.move_destination
        self.originators = frozenset({"", pacs.calling_ae_title, pacs.ae_title})
        """Who may be said to have asked for what comes."""
        self._host = pacs.host
        self._itself = _Itself(title=pacs.ae_title)
        named = tuple(Rule.parse(peer) for peer in pacs.move_from)
        self.rules: tuple[Rule, ...] = (*(named or (self._itself,)), _Nobody(pacs=pacs.name))
        self.tls = _context(pacs.tls) if pacs.tls is not None and pacs.moves else None

    async def look_up(self) -> None:
        """Learn which addresses the PACS has now; where its name cannot be resolved, those are kept that were known."""
        with suppress(OSError):
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
            self._itself.known.clear()
            self._itself.known.update(str(address[0]) for *_, address in found)


def _context(given: Tls) -> ssl.SSLContext:
    """Return the server's side of how a PACS is spoken to by TLS."""
    identification = tls.Identification(certificate=Path(given.certificate), key=Path(given.key))
    authority = Path(given.ca) if given.ca else None
    return tls.server_context(identification=identification, authority=authority, require=given.verify)
