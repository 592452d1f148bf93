"""An instance on its way to a peer: which presentation context it goes by, and the bytes of its data set there.

Where the peer takes the transfer syntax that the instance is stored in, its data set goes as it is, byte for byte.
Otherwise headers are rewritten (deflated or implicit to explicit, explicit to implicit); compressed pixels are a matter
for whoever has codecs, by the `Transcoder`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farm.dicom import part10, reencode, syntaxes
from farm.dicom.elements import BIG, IMPLICIT, UNDEFINED, Data, Dialect
from farm.dicom.part10 import Part10
from farm.dicom.syntaxes import DEFLATED_LITTLE, EXPLICIT_LITTLE, IMPLICIT_LITTLE, TransferSyntax
from farm.errors import BadInput, Reason
from farm.net.negotiation import Context
from farm.net.peers import MOST_CONTEXTS, NATIVE, Proposal

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_HEAD: Final = 65_536  # bytes in which File Meta Information and the SOP's UIDs are looked for
_MAPPED: Final = 1 << 20  # bytes from which on a file is mapped rather than read

Buffers = list[bytes | memoryview]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A stored instance: its data set stands in `data` from `start` on."""

    data: Data = field(repr=False)
    start: int
    transfer_syntax: str
    dialect: Dialect = field(repr=False)
    sop_class: str
    sop_instance: str = field(repr=False)


Transcoder = Callable[[Instance, tuple[str, ...]], tuple[str, Buffers] | None]
"""Takes an instance and the transfer syntaxes that the peer accepts; returns one of them and the data set in it."""


def read(source: Path | bytes) -> Instance:
    """Read a stored instance, mapping a large one; raise `BadInput` where it is none, or cannot be read."""
    if not isinstance(source, Path):
        return _instance(source)
    try:
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            data: Data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size >= _MAPPED else file.read()
    except OSError:
        raise BadInput(Reason.SOURCE_GONE) from None
    return _instance(data)  # a mapping goes with the last view of it


def _instance(data: Data) -> Instance:
    found = part10.parse(data, takes_private=True)  # whether the peer takes it is the peer's affair
    sop_class, sop_instance = _identified(found)
    return Instance(
        data=data,
        start=found.start,
        transfer_syntax=found.syntax.uid,
        dialect=found.dialect,
        sop_class=sop_class,
        sop_instance=sop_instance,
    )


def _identified(found: Part10) -> tuple[str, str]:
    """Return SOP Class and Instance UID as the data set says, which the peer compares; else as the file's meta does."""
    said = {_SOP_CLASS: found.sop_class, _SOP_INSTANCE: found.sop_instance}
    if not found.syntax.deflated:
        said |= {tag: value for tag, value in _opening(found.data, found.start, found.dialect) if value}
    sop_class, sop_instance = (value.decode("ascii", "replace") for value in said.values())
    if not sop_class:
        raise BadInput(Reason.NO_SOP_CLASS)
    if not sop_instance:
        raise BadInput(Reason.NO_UID)
    return sop_class, sop_instance


def _opening(data: Data, at: int, dialect: Dialect) -> Iterator[tuple[int, bytes]]:
    """Yield the two UIDs as the data set opens with them."""
    end = len(data)
    while at < end:
        tag, _, size, length = dialect.header(data, at, end)
        if tag > _SOP_INSTANCE or length == UNDEFINED:
            return
        at += size + length
        if tag in {_SOP_CLASS, _SOP_INSTANCE}:
            yield tag, data[at - length : at].strip(b"\0 ")


# Planning.


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What presentation contexts depend on."""

    sop_class: str
    transfer_syntax: str


def kind_of(path: Path) -> Kind:
    """Return of what kind a stored instance is from the beginning of its file; raise `BadInput` where it is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        raise BadInput(Reason.SOURCE_GONE) from None
    found = _instance(head)
    return Kind(sop_class=found.sop_class, transfer_syntax=found.transfer_syntax)


def storing(kinds: Iterable[Kind], *, transcodes: bool = False) -> list[tuple[Proposal, ...]]:
    """Return what to propose to send instances of these kinds: for each association that it takes, 128 at most.

    Each kind has a context of its own; a SOP class whose instances can be rewritten, one for the native syntaxes too,
    of which the standard has every peer take implicit VR (PS3.5 section 10.1).
    """
    by_class: dict[str, dict[str, None]] = {}
    for kind in kinds:
        by_class.setdefault(kind.sop_class, {})[kind.transfer_syntax] = None
    groups: list[list[Proposal]] = [[]]
    for sop_class, stored in by_class.items():
        proposals = [Proposal(sop_class=sop_class, transfer_syntaxes=(uid,)) for uid in stored]
        if transcodes or any(_is_native(uid) for uid in stored):
            proposals += [
                Proposal(sop_class=sop_class, transfer_syntaxes=(uid,)) for uid in NATIVE if uid not in stored
            ]
        if len(groups[-1]) + len(proposals) > MOST_CONTEXTS:
            groups.append([])
        groups[-1] += proposals
    return [tuple(group) for group in groups if group]


def _is_native(uid: str) -> bool:
    syntax = syntaxes.find(uid)
    return syntax is not None and not syntax.encapsulated


# Sending.


def prepared(
    instance: Instance,
    contexts: Mapping[int, Context],
    transcode: Transcoder | None = None,
    limits: part10.Limits | None = None,
) -> tuple[Context, Buffers]:
    """Return by which context an instance goes, and its data set; raise `BadInput` where no context will do.

    `limits` say how far it may inflate, and where it lies that is inflated or deflated: in memory, if they are None.
    """
    fitting = {
        context.transfer_syntax: context
        for context in reversed(list(contexts.values()))
        if context.abstract_syntax == instance.sop_class and context.scu
    }
    as_stored = fitting.get(instance.transfer_syntax)
    if as_stored is not None:
        return as_stored, _as_stored(instance)
    syntax = syntaxes.find(instance.transfer_syntax)
    if syntax is not None and not syntax.encapsulated and instance.dialect is not BIG:
        for uid in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE):
            if uid in fitting:
                return fitting[uid], _rewritten(instance, syntax, uid, limits or part10.Limits())
    made = transcode(instance, tuple(fitting)) if transcode is not None and fitting else None
    if made is None:
        raise BadInput(Reason.NOT_ACCEPTED)
    return fitting[made[0]], made[1]


def _as_stored(instance: Instance) -> Buffers:
    """Return the data set as it is; of odd length it is none, unless deflated and not padded (PS3.5 A.5)."""
    data: Buffers = [memoryview(instance.data)[instance.start :]]
    if len(data[0]) % 2:
        if instance.transfer_syntax != DEFLATED_LITTLE:
            raise BadInput(Reason.BAD_STRUCTURE, "The data set has an odd length.")
        data.append(b"\0")
    return data


def _rewritten(instance: Instance, syntax: TransferSyntax, target: str, limits: part10.Limits) -> Buffers:
    """Return the data set of a native instance in another native syntax."""
    data, start, dialect = instance.data, instance.start, instance.dialect
    if syntax.deflated:
        found = part10.parse(data, limits)
        data, start = found.data, found.start
    if target == IMPLICIT_LITTLE:
        return reencode.implicit(data, start)
    segments: Buffers = [memoryview(data)[start:]]
    if dialect is IMPLICIT:
        segments = reencode.explicit(data, start)
    return [memoryview(part10.deflated(segments, limits.joined))] if target == DEFLATED_LITTLE else segments
