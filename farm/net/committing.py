"""Storage commitment as a server sees it: a request answered, and a report that is owed until the peer has it.

The report goes out on the association of the request. A peer that has released it by then, that aborts over the report
or says that it cannot take it, expects it on an association that the server opens (PS3.4 section J.3.3). Whoever makes
such associations notes the report before the request is answered, so that the answer is no promise that a crash breaks.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Protocol

from farm.errors import BadInput, Unavailable, place_of
from farm.net import commitment
from farm.net.commitment import Asked
from farm.net.dimse import Command, Field, Tag
from farm.net.negotiation import Context
from farm.net.pdu import AssociateRequest
from farm.net.services import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, Status

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """Whoever can tell whether instances are safe."""

    async def holds(self, instances: tuple[tuple[str, str], ...]) -> list[bool]:
        """Tell of each (SOP Class UID, SOP Instance UID) whether it is stored; raise `Unavailable` if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What a peer is to be told. `calling`: its application entity title; `called`: ours, as it knows us.

    `note` is what whoever makes associations for reports knows it by; empty: nobody can tell it elsewhere.
    """

    calling: str
    called: str
    asked: Asked = field(repr=False)
    held: tuple[bool, ...] = field(repr=False)
    note: bytes = b""

    def report(self, transfer_syntax: str) -> tuple[dict[int, int | str], bytes]:
        """Return the values of the N-EVENT-REPORT's command set, without its number, and its data set."""
        event_type, data = commitment.report(self.asked, self.held, transfer_syntax)
        values: dict[int, int | str] = {
            Tag.AFFECTED_SOP_INSTANCE: STORAGE_COMMITMENT_INSTANCE,
            Tag.EVENT_TYPE: event_type,
        }
        return values, data


class Reports(Protocol):
    """Whoever makes associations for reports."""

    async def note(self, owed: Owed) -> bytes:
        """Note what is going to be reported, so that it is not lost; return what it is known by.

        Empty: the peer cannot be told elsewhere. Raise `Unavailable` where it cannot be noted.
        """

    def settle(self, note: bytes) -> None:
        """Forget it: the peer has the report."""

    def owe(self, note: bytes) -> None:
        """Report soon, on another association."""


def acted(command: Command, status: int) -> Command:
    """Return the response to an N-ACTION."""
    values: dict[int, int | str] = {
        Tag.AFFECTED_SOP_CLASS: command.sop_class,
        Tag.AFFECTED_SOP_INSTANCE: command.sop_instance,
    }
    return command.response(status, values)


class Owing:
    """What one association is asked about, and the reports that it owes."""

    def __init__(self, keeper: Keeper | None, reports: Reports | None) -> None:
        """Take who can tell whether instances are safe, and who makes other associations; None: nobody."""
        self._keeper, self._reports = keeper, reports
        self._owed: dict[int, Owed] = {}
        self._number = 0
        self._is_over = False

    async def judged(
        self, request: AssociateRequest, context: Context, command: Command, data: bytes
    ) -> tuple[int, Owed | None]:
        """Return the status that answers an N-ACTION, and the report that is owed for it; `data`: its data set."""
        known = command.number(Tag.ACTION_TYPE) == commitment.REQUEST_COMMITMENT
        if self._keeper is None or context.abstract_syntax != STORAGE_COMMITMENT or not known:
            return Status.UNRECOGNIZED_OPERATION, None
        try:
            asked = await asyncio.to_thread(commitment.parse, data, context.transfer_syntax)  # it may be long
            held = tuple(await self._keeper.holds(asked.instances))
            owed = Owed(calling=request.calling, called=request.called, asked=asked, held=held)
            if self._reports is not None:
                owed = replace(owed, note=await self._reports.note(owed))
        except BadInput:
            return Status.PROCESSING_FAILURE, None
        except Unavailable:
            return Status.OUT_OF_RESOURCES, None
        except Exception as error:  # noqa: BLE001 - its text may carry a value; the peer has to get an answer
            log.error("a request for storage commitment failed: %s", place_of(error))  # noqa: TRY400 - likewise
            return Status.PROCESSING_FAILURE, None
        return Status.SUCCESS, owed

    async def report(self, owed: Owed, context: Context) -> tuple[Command, bytes]:
        """Return the N-EVENT-REPORT to send; it is owed until it is acknowledged."""
        values, data = await asyncio.to_thread(owed.report, context.transfer_syntax)
        self._number = self._number % 0xFFFF + 1
        values |= {Tag.AFFECTED_SOP_CLASS: STORAGE_COMMITMENT, Tag.MESSAGE_ID: self._number, Tag.DATA_SET_TYPE: 1}
        if self._is_over:
            self._elsewhere(owed)
        else:
            self._owed[self._number] = owed
        return Command(field=Field.N_EVENT_REPORT_RQ, values=values), data

    def answered(self, response: Command) -> None:
        """Take the peer's response to a report."""
        owed = self._owed.pop(response.message_id, None)
        if owed is None:
            return
        if response.status != Status.SUCCESS:
            self._elsewhere(owed)
        elif self._reports is not None and owed.note:
            self._reports.settle(owed.note)

    def over(self) -> None:
        """Give on what is still owed: the association has ended."""
        self._is_over = True
        owing, self._owed = self._owed, {}
        for owed in owing.values():
            self._elsewhere(owed)

    def _elsewhere(self, owed: Owed) -> None:
        if self._reports is not None and owed.note:
            self._reports.owe(owed.note)
        else:
            log.info("%s has not taken its report on storage commitment, and has no known address", owed.calling)
