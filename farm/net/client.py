"""The client of the DICOM services: verification, storage, query and retrieve (PS3.4 annexes A, B and C).

    async with connect(peer, service(STUDY_ROOT_FIND)) as association:
        async for match in association.find(STUDY_ROOT_FIND, {query.LEVEL: "STUDY", query.STUDY_UID: ""}):
            ...

A status that the peer answers is a result. `Unavailable` means that there was no answer: `PEER_AWAY` (no connection, or
nothing in time), `PEER_REFUSED` (no association, or not for this), `PEER_ABORTED`, `PEER_PROTOCOL`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from farm.dicom.part10 import Limits
from farm.errors import BadInput, BadRecipe, Reason
from farm.net import services
from farm.net.conversation import Conversation
from farm.net.dimse import Field, Priority, Tag
from farm.net.negotiation import Context
from farm.net.operations import Finds, Progress, Retrieval
from farm.net.pdu import Identity, User
from farm.net.peers import MOST_CONTEXTS, VERIFICATION, Peer, Proposal, Timeouts, associate_request, getting, service
from farm.net.query import LEVEL, Level
from farm.net.sending import Instance, Transcoder, prepared, read
from farm.net.services import Beyond
from farm.net.storing import Receiver

__all__ = [
    "Beyond",
    "Client",
    "Finds",
    "Identity",
    "Peer",
    "Progress",
    "Proposal",
    "Retrieval",
    "Stored",
    "Timeouts",
    "connect",
    "getting",
    "service",
]
_MAXIMUM_LENGTH = 131_072  # bytes of a P-DATA-TF PDU: DCMTK's most, and what the association takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of an instance that was to be sent: the peer's status, or why it was not sent at all."""

    status: int | None = None
    error: BadInput | None = None
    transfer_syntax: str = ""
    """The one in which it was sent."""

    @property
    def ok(self) -> bool:
        """Tell whether the peer has it: success, or a warning such as for coerced elements (PS3.4 table B.2-1)."""
        return self.status is not None and (self.status == services.Status.SUCCESS or services.is_warning(self.status))


class Client:
    """An association from its requestor's side; one operation at a time."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    @property
    def contexts(self) -> Mapping[int, Context]:
        """Return the accepted presentation contexts."""
        return self._conversation.contexts

    @property
    def answered(self) -> User:
        """Return what the peer said in accepting: of extended negotiation, roles, and the user."""
        return self._conversation.answered

    @property
    def is_open(self) -> bool:
        """Tell whether the association can still be used."""
        return self._conversation.is_open

    async def echo(self) -> int:
        """Verify that the peer answers; return its status."""
        await self._conversation.finish()
        message_id = await self._conversation.ask(Field.C_ECHO_RQ, self._conversation.context(services.VERIFICATION))
        return (await self._conversation.response(message_id)).command.status

    def find(self, model: str, identifier: Mapping[int, str], *, limit: int | None = None) -> Finds:
        """Query: iterate over the matches, `limit` at most; the iterator has the final status.

        The identifier holds the level (0008,0052), the keys to match and, empty, the attributes to return.
        """
        return Finds(self._conversation, model, identifier, limit=limit)

    def get(self, model: str, level: Level, identifier: Mapping[int, str], receiver: Receiver) -> Retrieval:
        """Retrieve on this association: iterate over the progress. Instances go to the receiver's sinks.

        What was not proposed with the role of an SCP (`getting`) cannot come; the peer counts it as failed.
        """
        asked = {**identifier, LEVEL: level.value}
        return Retrieval(self._conversation, Field.C_GET_RQ, model, asked, receiver=receiver)

    def move(self, model: str, level: Level, identifier: Mapping[int, str], destination: str) -> Retrieval:
        """Have the peer send instances to the application entity `destination`: iterate over the progress."""
        asked = {**identifier, LEVEL: level.value}
        return Retrieval(self._conversation, Field.C_MOVE_RQ, model, asked, destination=destination)

    async def store(
        self,
        instance: Path | bytes | Instance,
        *,
        progress: Callable[[int], None] | None = None,
        transcode: Transcoder | None = None,
        limits: Limits | None = None,
    ) -> Stored:
        """Send a stored instance; `progress` is told how many bytes each write was.

        `limits` are for what has to be inflated or deflated on the way, which lies in memory if they are None.
        What cannot be read, or is not accepted, is a result too: the association goes on.
        """
        await self._conversation.finish()
        try:
            found = instance if isinstance(instance, Instance) else read(instance)
            if transcode is None:
                context, data = prepared(found, self.contexts, limits=limits)
            else:  # it may decode for a while, and other associations go on
                context, data = await asyncio.to_thread(prepared, found, self.contexts, transcode, limits)
        except BadInput as error:
            return Stored(error=error)
        values: dict[int, int | str] = {Tag.PRIORITY: Priority.MEDIUM, Tag.AFFECTED_SOP_INSTANCE: found.sop_instance}
        message_id = await self._conversation.ask(Field.C_STORE_RQ, context, values, data, progress)
        response = await self._conversation.response(message_id)
        return Stored(status=response.command.status, transfer_syntax=context.transfer_syntax)

    def abort(self) -> None:
        """End the association at once (A-ABORT)."""
        self._conversation.abort()


@asynccontextmanager
async def connect(peer: Peer, contexts: Iterable[Proposal] = (VERIFICATION,)) -> AsyncIterator[Client]:
    """Open an association for as long as the context lasts; 128 presentation contexts at most.

    In the end it is released, what is not at its end being cancelled first; an exception aborts it.
    """
    proposals = tuple(contexts)
    if not 0 < len(proposals) <= MOST_CONTEXTS:
        raise BadRecipe(Reason.BAD_OPTION, "An association has 1 to 128 presentation contexts.", count=len(proposals))
    conversation = Conversation(peer)
    await conversation.open(associate_request(peer, proposals, _MAXIMUM_LENGTH))
    try:
        yield Client(conversation)
        if conversation.is_open:
            await conversation.finish()
    except BaseException:
        conversation.abort()
        raise
    finally:
        await conversation.release()
