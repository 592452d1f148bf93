"""Who may open an association with a server, and how much one peer may take.

A rule names an application entity title, an address or network, a client certificate, or several of these: a peer has
to meet all that one rule says. Without rules everybody may come.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Final

from farm.errors import BadRecipe, Reason

_DIGEST: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One peer that is let in. `title`: its application entity title; `certificate`: SHA-256 of it, in hex; "": any."""

    title: str = ""
    network: str = ""
    certificate: str = ""

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read `TITLE`, `TITLE@ADDRESS`, `@NETWORK/BITS`, each with `#FINGERPRINT` behind it where one is meant."""
        place, fingerprinted, certificate = text.partition("#")
        title, placed, network = place.partition("@")
        rule = cls(
            title=title.strip(), network=network.strip(), certificate=certificate.strip().lower().replace(":", "")
        )
        try:
            fits = rule.addresses is not None if placed else bool(rule.title or fingerprinted)
        except ValueError:
            fits = False
        if not (fits and len(rule.title) <= 16 and (not fingerprinted or _DIGEST.fullmatch(rule.certificate))):
            raise BadRecipe(Reason.BAD_OPTION, "A peer is AETITLE[@ADDRESS[/BITS]][#SHA256 of its certificate]")
        return rule

    @cached_property
    def addresses(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
        """Return the network that the peer's address has to be in."""
        return ipaddress.ip_network(self.network, strict=False) if self.network else None

    def admits(self, title: str, address: str, certificate: str) -> bool:
        """Tell whether a peer meets the rule."""
        return (
            self.title in {"", title}
            and (self.addresses is None or _plain(address) in self.addresses)
            and self.certificate in {"", certificate}
        )


@lru_cache(4096)
def share_of(address: str) -> str:
    """Return what an address counts as when places are shared out: of IPv6 its /64, since one host has all of that.

    All hosts of a link have one /64 of its own, so there each counts alone.
    """
    try:
        plain = _plain(address)
    except ValueError:  # the transport has gone meanwhile
        return address
    is_alone = plain.version == 4 or plain.is_link_local
    return str(plain if is_alone else ipaddress.ip_network((plain, 64), strict=False))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return a peer's address; one of IPv4 as such, also where it reached a socket of IPv6."""
    plain = ipaddress.ip_address(address)
    return getattr(plain, "ipv4_mapped", None) or plain


def plain_of(address: str) -> str:
    """Return a peer's address as people write it, so that one of IPv4 is the same on a socket of IPv6."""
    try:
        return str(_plain(address))
    except ValueError:  # the transport has gone meanwhile
        return address


def admitted(rules: tuple[Rule, ...], title: str, address: str, certificate: str) -> bool:
    """Tell whether any rule lets a peer in, or there is none."""
    return not rules or any(rule.admits(title, address, certificate) for rule in rules)


def fingerprint(certificate: bytes | None) -> str:
    """Return the SHA-256 of a certificate in DER, in hex; empty where there is none."""
    return sha256(certificate).hexdigest() if certificate else ""
