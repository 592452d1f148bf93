"""Reports on storage commitment on associations that the server opens (PS3.4 section J.3.3).

A modality that asks for commitment and hangs up waits for the answer at its own port, for hours or for ever, and keeps
its instances until then. Its address does not stand in any message, so it has to be told beforehand.

What is owed is held in memory alone, and only so much of it: a peer whose report is lost asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from farm.errors import Reason, Unavailable
from farm.net.committing import Owed
from farm.net.conversation import Conversation
from farm.net.dimse import Field
from farm.net.peers import Peer, Proposal, associate_request
from farm.net.services import STORAGE_COMMITMENT, Status, is_warning

log = logging.getLogger(__name__)

PAUSES: Final = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0)
"""Seconds before each attempt."""
_MOST_INSTANCES: Final = 1_000_000
"""In all reports that are owed: some 300 bytes each."""
_MAXIMUM_LENGTH: Final = 131_072
_PROPOSAL: Final = Proposal(sop_class=STORAGE_COMMITMENT, receives=True)


class Reporter:
    """Reports to peers whose addresses are known, each by one association at a time."""

    def __init__(self, peers: Mapping[str, Peer], pauses: Sequence[float] = PAUSES) -> None:
        """Take the peers by their application entity titles, and how long to wait before each attempt."""
        self._peers, self._pauses = peers, pauses
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting = 0  # instances of all reports that are owed

    @property
    def owing(self) -> int:
        """Return how many reports are owed."""
        return len(self._tasks)

    def owe(self, owed: Owed) -> None:
        """Report soon, and again where that fails."""
        peer = self._peers.get(owed.calling)
        if peer is None:
            log.info("%s gets no report on storage commitment: its address is not known", owed.calling)
        elif self._waiting + len(owed.held) > _MOST_INSTANCES:
            log.warning("%s gets no report on storage commitment: too many are owed", owed.calling)
        else:
            self._waiting += len(owed.held)
            task = asyncio.get_running_loop().create_task(self._tried(peer, owed))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, len(owed.held)))

    async def close(self) -> None:
        """Give up what is still owed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _tried(self, peer: Peer, owed: Owed) -> None:
        for pause in self._pauses:
            await asyncio.sleep(pause)
            try:
                async with self._locks[owed.calling]:
                    await report(peer, owed)
            except Unavailable as error:
                log.info("%s did not get a report on storage commitment: %s", owed.calling, error.reason.value)
            else:
                return
        log.warning("%s gets no report on storage commitment: it was tried too often", owed.calling)

    def _ended(self, instances: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._waiting -= instances


async def report(peer: Peer, owed: Owed) -> None:
    """Report on an association of its own, as an SCP that requests it; raise `Unavailable` where that fails.

    A peer that accepts the service and says nothing of roles is believed to mean it: many say nothing.
    """
    conversation = Conversation(replace(peer, calling_ae_title=owed.called))
    await conversation.open(associate_request(conversation.peer, [_PROPOSAL], _MAXIMUM_LENGTH))
    try:
        context = next(iter(conversation.contexts.values()))
        values, data = owed.report(context.transfer_syntax)
        message_id = await conversation.ask(Field.N_EVENT_REPORT_RQ, context, values, [data])
        status = (await conversation.response(message_id)).command.status
    except BaseException:
        conversation.abort()
        raise
    finally:
        await conversation.release()
    if status != Status.SUCCESS and not is_warning(status):
        raise Unavailable(Reason.PEER_REFUSED, status=status)
