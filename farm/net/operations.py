"""Query and retrieve as a user of the services sees them: responses one after the other, then a status (PS3.4 C.4).

An operation begins when the first of its responses is asked for. One that is left before its end is cancelled when it
is closed, which the association does before anything else is begun: C-CANCEL, then on to the final response, because
what is still on its way would otherwise be taken for the next operation's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from farm.errors import BadInput, Reason, Unavailable
from farm.net import query
from farm.net.conversation import Conversation, Response
from farm.net.dimse import Field, Priority, Tag
from farm.net.negotiation import Context
from farm.net.query import FAILED_INSTANCES, Identifier
from farm.net.services import is_pending
from farm.net.storing import Receiver


class Operation:
    """One request and its responses; `status` is the final response's, None before."""

    def __init__(  # noqa: PLR0913 - one for each thing that the services are told
        self,
        conversation: Conversation,
        kind: Field,
        model: str,
        identifier: Mapping[int, str],
        *,
        destination: str = "",
        receiver: Receiver | None = None,
    ) -> None:
        """Take the SOP class, the identifier, C-MOVE's destination, and who gets what C-GET sends."""
        self.status: int | None = None
        self.comment = ""
        """Error Comment of the final response; a peer's text, which may say anything."""
        self._conversation = conversation
        self._kind, self._identifier = kind, identifier
        self._context: Context = conversation.context(model)
        self._dialect = query.dialect_of(self._context.transfer_syntax)
        self._values: dict[int, int | str] = {Tag.PRIORITY: Priority.MEDIUM}
        if destination:
            self._values[Tag.MOVE_DESTINATION] = destination
        self._receiver = receiver
        self._message_id = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def message_id(self) -> int:
        """Return the Message ID of the request; 0 while it has not been sent."""
        return self._message_id

    async def cancel(self) -> None:
        """Ask the peer to end the operation; its responses still have to be taken."""
        if self._message_id and self.status is None:
            self._conversation.cancel(self._context, self._message_id)

    async def aclose(self) -> None:
        """Cancel what is not at its end, and take the responses up to the final one."""
        if self.status is None and self._conversation.is_open:
            await self.cancel()
            while self._message_id and await self._pending() is not None:
                pass

    async def _pending(self) -> Response | None:
        """Return the next pending response, None at the final one; send the request first of all."""
        if self.status is not None:
            return None
        if not self._message_id:
            await self._conversation.finish()
            self._conversation.receiver, self._conversation.unfinished = self._receiver, self.aclose
            data = query.encode(self._identifier, self._dialect)
            self._message_id = await self._conversation.ask(self._kind, self._context, self._values, [data])
        response = await self._conversation.response(self._message_id)
        self._take(response)
        if is_pending(response.command.status):
            return response
        self.status, self.comment = response.command.status, response.command.text(Tag.ERROR_COMMENT)
        self._conversation.unfinished = None
        return None

    def _take(self, response: Response) -> None:
        """Note what a response says besides its status."""

    def _decoded(self, data: bytes) -> Identifier:
        try:
            return query.decode(data, self._dialect)
        except BadInput:
            self._conversation.abort()
            raise Unavailable(Reason.PEER_PROTOCOL, "The peer's identifier cannot be read.") from None


class Finds(Operation):
    """The matches of a C-FIND, one identifier each."""

    def __init__(
        self, conversation: Conversation, model: str, identifier: Mapping[int, str], *, limit: int | None
    ) -> None:
        """Take how many matches are wanted; None: all of them."""
        super().__init__(conversation, Field.C_FIND_RQ, model, identifier)
        self._left = limit

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Identifier:
        if self._left == 0:
            await self.aclose()
            raise StopAsyncIteration
        response = await self._pending()
        if response is None:
            raise StopAsyncIteration
        if self._left is not None:
            self._left -= 1
        return self._decoded(response.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How many sub-operations there are of each kind; None where the peer does not say (PS3.7 section 9.1.3)."""

    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warning: int | None = None


class Retrieval(Operation):
    """A C-GET or C-MOVE: its progress, pending response by pending response."""

    progress = Progress()
    """What the last response said that has counters."""
    failed_instances: tuple[str, ...] = ()
    """Failed SOP Instance UID List of the final response."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Progress:
        if await self._pending() is None:
            raise StopAsyncIteration
        return self.progress

    async def complete(self) -> int:
        """Take all responses; return the final status."""
        async for _ in self:
            pass
        return self.status or 0

    def _take(self, response: Response) -> None:
        command = response.command
        found = {
            "remaining": command.number(Tag.REMAINING),
            "completed": command.number(Tag.COMPLETED),
            "failed": command.number(Tag.FAILED),
            "warning": command.number(Tag.WARNING),
        }
        if any(count is not None for count in found.values()):
            self.progress = Progress(**found)
        if response.data and not is_pending(command.status):
            uids = self._decoded(response.data).get(FAILED_INSTANCES, "")
            self.failed_instances = tuple(uid for uid in uids.split("\\") if uid)
