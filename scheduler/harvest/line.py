"""A worker's association with a PACS: one at a time, and kept for as long as it serves.

To open an association costs a PACS more than a query does, so the studies that follow each other share one. It offers
query and retrieval together; for C-GET it has to name the SOP classes that may come, and what a study needs is mostly
what the one before needed. Only where it is not, another one is opened in its place.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final

from farm.errors import FarmError
from farm.net.client import connect, getting, service
from farm.net.peers import AS_STORED, MOST_CONTEXTS, common_classes
from farm.net.services import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.net.client import Client, Peer, Proposal

FIND: Final = STUDY_ROOT_FIND
_OTHERS: Final = 3  # presentation contexts: query, and the two retrievals
_MOST_CLASSES: Final = (MOST_CONTEXTS - _OTHERS) // len(AS_STORED)
"""So many SOP classes have a presentation context for each transfer syntax."""


class Line:
    """The one association of a worker, open or not."""

    def __init__(self, peer: Peer, *, gets: bool, moves: bool) -> None:
        """Take whom to speak to, and by what it may be asked to retrieve."""
        self._peer, self._gets, self._moves = peer, gets, moves
        self._client: Client | None = None
        self._stack = AsyncExitStack()
        self._classes: dict[str, None] = {}

    async def client(self, classes: Sequence[str] | None = None) -> Client:
        """Return the association; with `classes`, one on which these may come. Raise `Unavailable` without one."""
        fits = classes is None or set(classes) <= self._classes.keys()
        if self._client is None or not self._client.is_open or not fits:
            await self.close()
            self._client = await self._opened(classes)
        return self._client

    async def _opened(self, classes: Sequence[str] | None) -> Client:
        recent = dict.fromkeys([*(classes or ()), *self._classes])
        most = max(_MOST_CLASSES, len(classes or ()))
        self._classes = dict.fromkeys(list(recent)[:most])
        return await self._stack.enter_async_context(connect(self._peer, self._proposals()))

    def _proposals(self) -> tuple[Proposal, ...]:
        found = service(FIND, STUDY_ROOT_MOVE) if self._moves else service(FIND)
        if self._gets:
            found += getting(STUDY_ROOT_GET, list(self._classes)) if self._classes else service(STUDY_ROOT_GET)
        return found[:MOST_CONTEXTS]

    def abort(self) -> None:
        """End it at once, where its state is not known; `close` has to follow before another one is opened."""
        if self._client is not None:
            self._client.abort()

    async def close(self) -> None:
        """Release it, if there is one."""
        stack, self._stack, self._client = self._stack, AsyncExitStack(), None
        with suppress(FarmError):  # what it was for has been said
            await stack.aclose()


def offers(client: Client, model: str) -> bool:
    """Tell whether the peer takes part in a service."""
    return any(context.abstract_syntax == model for context in client.contexts.values())


def classes_of(found: Sequence[str]) -> list[str]:
    """Return the SOP classes to name for instances of these; the common ones as well where one does not say."""
    named = list(dict.fromkeys(uid for uid in found if uid))
    return (
        named if named and all(found) else list(dict.fromkeys([*named, *common_classes()]))[: MOST_CONTEXTS - _OTHERS]
    )
