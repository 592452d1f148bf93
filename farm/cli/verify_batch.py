"""What `farm verify` does with outputs: each is read again, and held against what the ledger says of it.

An output is looked at for all that can differ, whatever was found before: its bytes may be others and its frames sound,
which tells a person what has happened to it. Pixels are decoded where a codec can do no harm (`farm.host`).
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blake3 import blake3

from farm.cli.differences import Difference, Kind
from farm.errors import BadInput, FarmError, Reason, place_of
from farm.host.making import host_of, limits_of
from farm.sources import FolderSource
from farm.stores import LocalStore
from farm.transcoding import instance
from farm.transcoding.attributes import SOP_INSTANCE
from farm.transcoding.decoding import decoding
from farm.transcoding.targets import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from farm.dicom.elements import Data
    from farm.ledger.outputs import Output
    from farm.settings import Settings
    from farm.stores import Owner

_AS_IT_IS = Wanted()


@dataclass(slots=True, kw_only=True)
class Tally:
    """How outputs were found; whoever adds tallies up takes the differences out."""

    sound: int = 0
    different: int = 0
    decoded: int = 0
    """Outputs with frames, all of which were decoded."""
    not_decoded: int = 0
    """Outputs whose transfer syntax no codec reads."""
    read_bytes: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Places in the code where the farm itself failed."""

    @property
    def ended(self) -> int:
        """Return how many outputs these are."""
        return self.sound + self.different

    def add(self, other: Tally) -> None:
        """Count another tally in; its faults are told when they come, and not kept."""
        self.sound += other.sound
        self.different += other.different
        self.decoded += other.decoded
        self.not_decoded += other.not_decoded
        self.read_bytes += other.read_bytes
        self.kinds += other.kinds
        self.differences += other.differences

    def count(self, differences: Sequence[Difference]) -> None:
        """Count an output with all that differs."""
        self.sound += not differences
        self.different += bool(differences)
        self.kinds.update({difference.kind for difference in differences})
        self.differences += differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be verified; it travels to the processes of the pool."""

    settings: Settings
    destination: Path
    owner: Owner

    def check(self) -> None:
        """Raise `Unavailable` where the destination is away, `BadRecipe` where it is another's by now."""
        LocalStore(self.destination).open(self.owner, create=False)

    def unseen(self) -> tuple[int, int]:
        """Count what is staged in the destination, and its orphans."""
        return LocalStore(self.destination).unseen()

    def begun(self) -> Verifying:
        """Return the work of a process."""
        return Verifying(self)

    def none(self) -> Tally:
        """Return the tally of no work."""
        return Tally()

    def lost(self, outputs: Sequence[Output], reason: Reason) -> Tally:
        """Return the tally of outputs that no attempt brought to an end."""
        tally = Tally()
        for output in outputs:
            tally.count([_difference(Kind.UNREADABLE, output, reason)])
        return tally


class Verifying:
    """The work of one process, batch after batch."""

    def __init__(self, order: Order) -> None:
        """Take what is to be verified."""
        settings = order.settings
        self._order = order
        self._root = os.fsencode(order.destination)
        self._source = FolderSource(order.destination)
        self._limits = limits_of(settings)
        self._read_limit = settings.read_limit_bytes
        self._transcoder = host_of(settings)

    def run(self, items: Sequence[Output], *, again: bool = False) -> Tally:
        """Look at every output; raise `Unavailable` where the whole destination is away."""
        del again
        tally = Tally()
        for output in items:
            try:
                found = list(self._differences(output, tally))
            except FarmError:
                raise
            except Exception as error:  # noqa: BLE001 - any fault of ours must cost one output, and its text may carry a value
                tally.faults.append(place_of(error))
                found = [_difference(Kind.UNREADABLE, output, Reason.INTERNAL_ERROR)]
            tally.count(found)
        if tally.kinds[Kind.MISSING]:
            self._order.check()
        return tally

    def close(self) -> None:
        """End the codecs' process, if there is one."""
        self._transcoder.close()

    def _differences(self, output: Output, tally: Tally) -> Iterator[Difference]:
        """Yield all that differs in one output."""
        locator = output.path.encode()
        try:
            status = os.lstat(self._root + b"/" + locator)
        except (FileNotFoundError, NotADirectoryError):
            yield _difference(Kind.MISSING, output)
            return
        except OSError:
            yield _difference(Kind.UNREADABLE, output, Reason.SOURCE_GONE)
            return
        if not stat.S_ISREG(status.st_mode):
            yield _difference(Kind.UNREADABLE, output)
            return
        try:
            size, mtime_ns = status.st_size, status.st_mtime_ns
            with self._source.read(locator, size=size, mtime_ns=mtime_ns, limit=self._read_limit) as data:
                tally.read_bytes += size
                yield from self._inside(data, output, tally)
        except BadInput as error:
            yield _difference(Kind.UNREADABLE, output, error.reason)

    def _inside(self, data: Data, output: Output, tally: Tally) -> Iterator[Difference]:
        """Yield what differs in the bytes of an output."""
        if len(data) != output.size:
            yield _difference(Kind.SIZE, output)
        elif blake3(data).hexdigest() != output.digest:
            yield _difference(Kind.DIGEST, output)
        try:
            opened = instance.opened(data, _AS_IT_IS, self._limits)
            source = opened.source
            if source.syntax.uid != output.syntax:
                yield _difference(Kind.SYNTAX, output)
            if {_uid(source.sop_instance), _uid(opened.ready.looked.values.get(SOP_INSTANCE))} != {output.instance}:
                yield _difference(Kind.INSTANCE, output)
            self._decode(opened, tally)
        except BadInput as error:
            yield _difference(Kind.UNDECODABLE, output, error.reason)

    def _decode(self, opened: instance.Opened, tally: Tally) -> None:
        """Decode every frame; raise `BadInput` where one cannot be."""
        work = decoding(opened)
        if work is None:
            return
        (result,) = self._transcoder.run([work])
        if not isinstance(result, BadInput):
            tally.decoded += 1
        elif result.reason is Reason.CODEC_ABSENT:
            tally.not_decoded += 1
        else:
            raise result


def _difference(kind: Kind, output: Output, reason: Reason | None = None) -> Difference:
    return Difference(kind=kind, path=output.path, instance=output.id, reason=reason)


def _uid(value: bytes | None) -> str:
    return (value or b"").strip(b"\0 ").decode("latin-1")
