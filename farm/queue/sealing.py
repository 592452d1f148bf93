"""How places (sources, destinations, the locators inside a source) stand in the ledger: keyed and sealed.

A path can hold a name, so the ledger never sees one. It gets a key, by which the same place is found again, and a
sealed text, which only holders of the vault key can open. Scheduler and workers have to agree on both; the ledger
itself knows neither key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.deid.keys import ProjectKey
    from farm.registry import Vault

_KEY_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place as the ledger stores it."""

    key: bytes
    """16 bytes that are equal for the same place and say nothing else."""
    sealed: bytes
    """The place itself, sealed."""


class Sealer:
    """Keys, seals and opens places for one project."""

    def __init__(self, project_key: ProjectKey, vault: Vault) -> None:
        self._project_key = project_key
        self._vault = vault

    def source(self, path: bytes) -> Place:
        """Return a source's root as a place."""
        key = self._key("source", path)
        return Place(key=key, sealed=self._vault.seal("runs", key, path))

    def open_source(self, place: Place) -> bytes:
        """Return a source's root."""
        return self._vault.open("runs", place.key, place.sealed)

    def destination(self, path: bytes) -> Place:
        """Return a destination's root as a place."""
        key = self._key("destination", path)
        return Place(key=key, sealed=self._vault.seal("destinations", key, path))

    def open_destination(self, place: Place) -> bytes:
        """Return a destination's root."""
        return self._vault.open("destinations", place.key, place.sealed)

    def locator(self, source_key: bytes, locator: bytes, version: int = 0) -> Place:
        """Return a locator inside a source as a place; a version is what was found there after another was done."""
        # No path holds a NUL, so a version is never another path.
        key = self._key("locator", source_key + locator + (b"\0%d" % version if version else b""))
        return Place(key=key, sealed=self._vault.seal("instances", key, locator))

    def open_locator(self, place: Place) -> bytes:
        """Return a locator."""
        return self._vault.open("instances", place.key, place.sealed)

    def series(self, uid: bytes) -> bytes:
        """Return a key by which instances of one series are packed together."""
        return self._key("series", uid)

    def study(self, uid: bytes) -> bytes:
        """Return a key by which instances of one study are counted together."""
        return self._key("study", uid)

    def instance(self, uid: bytes) -> bytes:
        """Return a key by which an instance that arrives is known as one that was expected, or came before."""
        return self._key("instance", uid)

    def keyed(self, purpose: str, data: bytes) -> bytes:
        """Return a key by which anything else is known again; purposes keep keys apart."""
        return self._key(purpose, data)

    def seal(self, table: str, context: bytes, data: bytes) -> bytes:
        """Seal what a table holds; it opens for the same table and context alone."""
        return self._vault.seal(table, context, data)

    def open(self, table: str, context: bytes, sealed: bytes) -> bytes:
        """Open it."""
        return self._vault.open(table, context, sealed)

    def _key(self, purpose: str, data: bytes) -> bytes:
        return self._project_key.derive("place:" + purpose, data)[:_KEY_BYTES]
