"""The embedded servers under a run: there from its start, and started again when one of them dies."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from farm.embedded import Stack

if TYPE_CHECKING:
    from farm.settings import Settings

log = logging.getLogger(__name__)


class Servers:
    """A stack that is watched; servers whose URL the settings give are not ours to watch."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = Stack(settings)

    def start(self) -> tuple[str, str]:
        """Return the URLs of the database and of the broker, once they answer."""
        self._stack.start()
        return self._stack.database_url, self._stack.broker_url

    def mend(self) -> None:
        """Start again what died; raise `Unavailable` (server-failed) if that fails."""
        database_died = not self._settings.database_url and self._stack.postgres_pid is None
        broker_died = not self._settings.broker_url and self._stack.valkey_pid is None
        if database_died or broker_died:
            log.warning("an embedded server died and is started again")
            # Another user of the same home adopts what lives, starts what does not, and leaves again.
            with Stack(self._settings):
                pass

    def stop(self) -> None:
        """Leave the servers; they stop with their last user."""
        self._stack.stop()
