"""Storage commitment: a peer asks whether instances are safe, and is told for each of them (PS3.4 annex J)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from farm.dicom import syntaxes
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Dialect
from farm.errors import BadInput, Reason

REQUEST_COMMITMENT: Final = 1  # Action Type ID
ALL_COMMITTED, FAILURES_EXIST = 1, 2  # Event Type IDs
MOST_BYTES: Final = 16 << 20  # of a request's data set
_NO_SUCH_INSTANCE: Final = 0x0112
_TRANSACTION, _REFERENCED, _FAILED = 0x00081195, 0x00081199, 0x00081198
_CLASS, _INSTANCE, _REASON = 0x00081150, 0x00081155, 0x00081197
_MOST_INSTANCES: Final = 100_000
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request: its transaction, and the instances (SOP Class UID, SOP Instance UID) that it is about."""

    transaction: str = field(repr=False)
    instances: tuple[tuple[str, str], ...] = field(repr=False)


def parse(data: bytes, transfer_syntax: str) -> Asked:
    """Read the data set of an N-ACTION request; raise `BadInput` where it is none."""
    dialect = _dialect(transfer_syntax)
    transaction = ""
    instances: tuple[tuple[str, str], ...] = ()
    for tag, at, end in _elements(data, 0, len(data), dialect):
        if tag == _TRANSACTION:
            transaction = _uid(data, at, end)
        elif tag == _REFERENCED:
            items = _elements(data, at, end, dialect)
            instances = tuple(_reference(data, first, last, dialect) for mark, first, last in items if mark == ITEM)
    if not transaction or len(instances) > _MOST_INSTANCES:
        raise BadInput(Reason.BAD_STRUCTURE, "It is no request for storage commitment")
    return Asked(transaction=transaction, instances=instances)


def report(asked: Asked, held: Sequence[bool], transfer_syntax: str) -> tuple[int, bytes]:
    """Return the Event Type ID and the data set of the N-EVENT-REPORT; `held` says of each instance whether it is."""
    dialect = _dialect(transfer_syntax)
    pairs = list(zip(asked.instances, held, strict=True))
    good = [_item(dialect, instance) for instance, is_held in pairs if is_held]
    bad = [_item(dialect, instance, _NO_SUCH_INSTANCE) for instance, is_held in pairs if not is_held]
    parts = [dialect.element(_TRANSACTION, "UI", asked.transaction.encode())]
    parts += [dialect.sequence(_FAILED, *bad)] if bad else []
    parts += [dialect.sequence(_REFERENCED, *good)] if good else []
    return FAILURES_EXIST if bad else ALL_COMMITTED, b"".join(parts)


def _item(dialect: Dialect, instance: tuple[str, str], reason: int | None = None) -> bytes:
    sop_class, sop_instance = instance
    content = dialect.element(_CLASS, "UI", sop_class.encode()) + dialect.element(
        _INSTANCE, "UI", sop_instance.encode()
    )
    if reason is not None:
        content += dialect.element(_REASON, "US", reason.to_bytes(2, dialect.order))
    return content


def _dialect(transfer_syntax: str) -> Dialect:
    syntax = syntaxes.find(transfer_syntax)
    if syntax is not None and syntax.big_endian:
        return BIG
    return IMPLICIT if syntax is not None and syntax.implicit else EXPLICIT


def _reference(data: bytes, at: int, end: int, dialect: Dialect) -> tuple[str, str]:
    found = {tag: _uid(data, first, last) for tag, first, last in _elements(data, at, end, dialect)}
    return found.get(_CLASS, ""), found.get(_INSTANCE, "")


def _uid(data: bytes, at: int, end: int) -> str:
    return data[at:end].decode("ascii", "replace").strip("\0 ")


def _elements(data: bytes, at: int, end: int, dialect: Dialect, depth: int = 0) -> Iterator[tuple[int, int, int]]:
    """Yield each element, item or delimiter as (tag, start of value, end of value)."""
    if depth > _DEEPEST:
        raise BadInput(Reason.TOO_DEEP)
    while at < end:
        tag, _, size, length = dialect.header(data, at, end)
        at += size
        if length == UNDEFINED:
            length = _up_to_delimiter(_elements(data, at, end, dialect, depth + 1), tag, at) - at
        if at + length > end:
            raise BadInput(Reason.TRUNCATED)
        yield tag, at, at + length
        at += length


def _up_to_delimiter(inner: Iterable[tuple[int, int, int]], tag: int, start: int) -> int:
    """Return where the content of an item or sequence of undefined length ends."""
    wanted = ITEM_END if tag == ITEM else SEQUENCE_END
    last = start
    for mark, _, end in inner:
        if mark == wanted:
            return last
        last = end
    raise BadInput(Reason.TRUNCATED)
