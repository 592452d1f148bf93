"""Command sets of DIMSE messages, read and built (PS3.7 sections 6.3, 9.3, 10.3 and annex E).

A command set is always implicit VR little endian and a few hundred bytes; it is the only part of a message that is ever
held as a whole.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from farm.net.errors import AbortReason, Violation

_ELEMENT = struct.Struct("<HHL")
_SHORT = struct.Struct("<HHLH")
NO_DATA_SET = 0x0101
_DATA_SET = 0x0001
_RESPONSE = 0x8000


class Field(IntEnum):
    """Command Field (PS3.7 E.1-1); a response has the highest bit set."""

    C_STORE_RQ = 0x0001
    C_STORE_RSP = 0x8001
    C_GET_RQ = 0x0010
    C_GET_RSP = 0x8010
    C_FIND_RQ = 0x0020
    C_FIND_RSP = 0x8020
    C_MOVE_RQ = 0x0021
    C_MOVE_RSP = 0x8021
    C_ECHO_RQ = 0x0030
    C_ECHO_RSP = 0x8030
    N_EVENT_REPORT_RQ = 0x0100
    N_EVENT_REPORT_RSP = 0x8100
    N_ACTION_RQ = 0x0130
    N_ACTION_RSP = 0x8130
    C_CANCEL_RQ = 0x0FFF


class Tag(IntEnum):
    """Elements of command sets that are used here (PS3.7 E.1 and E.2): the element number in group 0000."""

    AFFECTED_SOP_CLASS = 0x0002
    REQUESTED_SOP_CLASS = 0x0003
    COMMAND_FIELD = 0x0100
    MESSAGE_ID = 0x0110
    RESPONDED_TO = 0x0120
    MOVE_DESTINATION = 0x0600
    PRIORITY = 0x0700
    DATA_SET_TYPE = 0x0800
    STATUS = 0x0900
    ERROR_COMMENT = 0x0902
    AFFECTED_SOP_INSTANCE = 0x1000
    REQUESTED_SOP_INSTANCE = 0x1001
    EVENT_TYPE = 0x1002
    ACTION_TYPE = 0x1008
    REMAINING = 0x1020
    COMPLETED = 0x1021
    FAILED = 0x1022
    WARNING = 0x1023
    MOVE_ORIGINATOR = 0x1030
    MOVE_ORIGINATOR_ID = 0x1031


_UIDS = frozenset(
    {Tag.AFFECTED_SOP_CLASS, Tag.REQUESTED_SOP_CLASS, Tag.AFFECTED_SOP_INSTANCE, Tag.REQUESTED_SOP_INSTANCE}
)
_TEXTS = frozenset({Tag.MOVE_DESTINATION, Tag.ERROR_COMMENT, Tag.MOVE_ORIGINATOR})
_NUMBERS = frozenset(Tag) - _UIDS - _TEXTS


class Priority(IntEnum):
    """Priority of an operation (PS3.7 E.1-1)."""

    MEDIUM = 0
    HIGH = 1
    LOW = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command set: numbers and texts by element; its texts are a peer's, so it prints without them."""

    field: int
    values: Mapping[int, int | str] = dataclasses.field(default_factory=lambda: MappingProxyType({}), repr=False)

    def number(self, tag: Tag) -> int | None:
        """Return a number, or None where the command set does not have it."""
        value = self.values.get(tag)
        return value if isinstance(value, int) else None

    def text(self, tag: Tag) -> str:
        """Return a text, empty where the command set does not have it."""
        value = self.values.get(tag)
        return value if isinstance(value, str) else ""

    @property
    def has_data(self) -> bool:
        """Tell whether a data set follows."""
        return self.values.get(Tag.DATA_SET_TYPE, NO_DATA_SET) != NO_DATA_SET

    @property
    def is_response(self) -> bool:
        """Tell whether it answers a request."""
        return bool(self.field & _RESPONSE)

    @property
    def message_id(self) -> int:
        """Return the Message ID, or the one that is responded to."""
        return self.number(Tag.RESPONDED_TO if self.is_response else Tag.MESSAGE_ID) or 0

    @property
    def status(self) -> int:
        """Return the status of a response."""
        return self.number(Tag.STATUS) or 0

    @property
    def sop_class(self) -> str:
        """Return the Affected, else the Requested SOP Class UID."""
        return self.text(Tag.AFFECTED_SOP_CLASS) or self.text(Tag.REQUESTED_SOP_CLASS)

    @property
    def sop_instance(self) -> str:
        """Return the Affected, else the Requested SOP Instance UID."""
        return self.text(Tag.AFFECTED_SOP_INSTANCE) or self.text(Tag.REQUESTED_SOP_INSTANCE)

    def response(
        self, status: int, values: Mapping[int, int | str] | None = None, *, has_data: bool = False
    ) -> Command:
        """Return the response to this request, with the identifiers that it repeats (PS3.7 section 9.3)."""
        answer: dict[int, int | str] = {tag: self.values[tag] for tag in _REPEATED if tag in self.values}
        answer[Tag.RESPONDED_TO], answer[Tag.STATUS] = self.message_id, status
        answer[Tag.DATA_SET_TYPE] = _DATA_SET if has_data else NO_DATA_SET
        if values:
            answer.update(values)
        return Command(field=self.field | _RESPONSE, values=answer)


_REPEATED = (Tag.AFFECTED_SOP_CLASS, Tag.AFFECTED_SOP_INSTANCE)


def _with_data(values: dict[int, int | str], *, has_data: bool) -> dict[int, int | str]:
    return values | {Tag.DATA_SET_TYPE: _DATA_SET if has_data else NO_DATA_SET}


def request(
    kind: Field, message_id: int, sop_class: str, values: Mapping[int, int | str] | None = None, *, has_data: bool
) -> Command:
    """Return a request on an Affected SOP class."""
    asked: dict[int, int | str] = {Tag.AFFECTED_SOP_CLASS: sop_class, Tag.MESSAGE_ID: message_id}
    return Command(field=kind, values=_with_data(asked | dict(values or {}), has_data=has_data))


def cancel(message_id: int) -> Command:
    """Return a C-CANCEL-RQ for an operation (PS3.7 section 9.3.2.3)."""
    return Command(field=Field.C_CANCEL_RQ, values=_with_data({Tag.RESPONDED_TO: message_id}, has_data=False))


def encode(command: Command) -> bytes:
    """Build a command set, its group length first, its elements in ascending order."""
    values = {**command.values, Tag.COMMAND_FIELD: command.field}
    body = b"".join([_element(tag, values[tag]) for tag in sorted(values)])
    return _ELEMENT.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body


def _element(tag: int, value: int | str) -> bytes:
    if isinstance(value, int):
        return _SHORT.pack(0, tag, 2, value)
    text = value.encode("ascii", "replace")
    if len(text) & 1:
        text += b"\0" if tag in _UIDS else b" "
    return _ELEMENT.pack(0, tag, len(text)) + text


def decode(data: bytes) -> Command:
    """Read a command set; raise `Violation` where it is none."""
    values: dict[int, int | str] = {}
    at, end = 0, len(data)
    while at < end:
        if at + 8 > end:
            raise Violation(AbortReason.INVALID_PARAMETER)
        group, tag, length = _ELEMENT.unpack_from(data, at)
        at += 8 + length
        if at > end:
            raise Violation(AbortReason.INVALID_PARAMETER)
        if group:
            continue  # DCMTK, and so Orthanc, adds the list of failed instances to the command of a C-GET response
        if tag in _NUMBERS:
            if length == 2:
                values[tag] = int.from_bytes(data[at - 2 : at], "little")
        elif tag in _UIDS or tag in _TEXTS:
            values[tag] = data[at - length : at].decode("ascii", "replace").strip("\0 ")
    kind = values.pop(Tag.COMMAND_FIELD, None)
    if not isinstance(kind, int):
        raise Violation(AbortReason.INVALID_PARAMETER)
    return Command(field=kind, values=values)
