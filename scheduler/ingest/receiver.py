"""The receiving side of a C-STORE SCP: fragments go to the spool as they come, and never stand in memory whole.

What the ledger wants to know of an instance stands in the first bytes of its data set, so only those are kept beside,
until the end. Content is never a reason to refuse: what cannot be read is stored like the rest, and a worker
quarantines it with the reason. But a data set of another SOP Instance UID than the command's would be acknowledged
under a name that is not its own, and is answered 0xA900 (PS3.4 table B.2-1).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from farm.dicom import part10
from farm.dicom.syntaxes import TransferSyntax
from farm.errors import BadInput, Unavailable
from farm.net.storing import MISMATCH, Arriving
from farm.pipeline import Survey, survey
from scheduler.ingest.committer import Landed
from scheduler.routing import Router

if TYPE_CHECKING:
    from farm.queue import Sealer
    from scheduler.ingest.committer import Committer
    from scheduler.ingest.spell import Spell
    from scheduler.ingest.spool import Spool, Spooled

_HEAD_BYTES: Final = 64 << 10


class SpoolReceiver:
    """Stores what arrives for one run, whose source is the spool."""

    def __init__(  # noqa: PLR0913 - where instances go, and what is told of them
        self,
        spool: Spool,
        committer: Committer,
        sealer: Sealer,
        source_key: bytes,
        spell: Spell,
        *,
        router: Router | None = None,
    ) -> None:
        self._router = router or Router()
        self._spool = spool
        self.committer = committer
        self._sealer = sealer
        self._source_key = source_key
        self.spell = spell

    def begin(self, arriving: Arriving) -> SpoolSink:
        """Return the sink of one instance."""
        instance = _uid(arriving.sop_instance)
        header = part10.header(TransferSyntax(uid=arriving.transfer_syntax), _uid(arriving.sop_class), instance)
        return SpoolSink(self, self._spool.begin(header), header, instance)

    def landed(self, spooled: Spooled, instance: bytes, seen: Survey | None) -> Landed:
        """Return what the ledger is to know of an instance, keyed and sealed."""
        study, series = (seen.study, seen.series) if seen else (None, None)
        return Landed(
            spooled=spooled,
            locator=self._sealer.locator(self._source_key, spooled.name.encode()),
            instance_key=self._sealer.instance(instance),
            study_key=None if study is None else self._sealer.study(study),
            series_key=None if series is None else self._sealer.series(series),
            route=partial(self._router.route, seen.syntax if seen else ""),
        )


class SpoolSink:
    """One instance on its way into the spool."""

    __slots__ = ("_head", "_instance", "_receiver", "_room", "_spooled")

    def __init__(self, receiver: SpoolReceiver, spooled: Spooled, header: bytes, instance: bytes) -> None:
        self._receiver = receiver
        self._spooled: Spooled | None = spooled
        self._instance = instance
        self._head = bytearray(header)
        self._room = _HEAD_BYTES

    def write(self, data: memoryview) -> None:
        """Write a fragment; raise `Unavailable` where it cannot be kept, or the sink was ended."""
        if self._spooled is None:
            raise ValueError("the sink was ended")
        if self._room > 0:
            self._head += data[: self._room]
            self._room -= len(data)
        try:
            self._spooled.write(data)
        except Unavailable as error:
            self._receiver.spell.met(error.reason)
            raise

    async def end(self) -> int:
        """Return the DIMSE status; success only when file and row are on the disk."""
        spooled = self._spooled
        if spooled is None:
            raise ValueError("the sink was ended")
        seen = self._seen()
        if seen is not None and seen.instance not in {None, self._instance}:
            self.abandon()
            return MISMATCH
        landed = self._receiver.landed(spooled, self._instance, seen)
        self._spooled = None
        return await self._receiver.committer.commit(landed)

    def abandon(self) -> None:
        """Leave nothing behind; does nothing once `end` has handed the instance on."""
        if self._spooled is not None:
            self._spooled.discard()
            self._spooled = None

    def _seen(self) -> Survey | None:
        """Return what the first bytes show; None where they are no data set."""
        head, self._head = bytes(self._head), bytearray()
        try:
            return survey(head)
        except BadInput:
            return None


def _uid(text: str) -> bytes:
    """Return a UID as bytes without its padding; a value that is no UID must not end the association."""
    return text.encode("utf-8", "replace").strip(b"\0 ")
