"""How the outputs of a run can differ from what the ledger says of them, what becomes of those, and what was found.

They wait in a file without a name until all are told: a destination that was lost as a whole has as many as outputs,
and they must cost no more memory than none.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Self

from farm.errors import Reason, guarded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType


class Kind(StrEnum):
    """How a destination can differ from the ledger; a closed list."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    SIZE = "size"
    DIGEST = "digest"
    UNDECODABLE = "undecodable"
    SYNTAX = "syntax"
    INSTANCE = "instance"
    UNCLAIMED = "unclaimed"


MEANING: dict[Kind, str] = {
    Kind.MISSING: "There is no file of this name.",
    Kind.UNREADABLE: "It cannot be read, or is no regular file.",
    Kind.SIZE: "It is longer or shorter than what was released.",
    Kind.DIGEST: "It is as long as what was released, but its bytes are others.",
    Kind.UNDECODABLE: "It cannot be read as DICOM, or a frame of it cannot be decoded; the reason code says why.",
    Kind.SYNTAX: "Its transfer syntax is not what was released.",
    Kind.INSTANCE: "Its SOP Instance UID is not what was released.",
    Kind.UNCLAIMED: "A file that no run of the project has released.",
}


class Fate(StrEnum):
    """What becomes of an output that differs, if it is asked for again; a closed list."""

    REQUEUED = "requeued"
    SOURCE_GONE = "source-gone"
    SOURCE_CHANGED = "source-changed"
    AS_RELEASED = "as-released"


FATES: dict[Fate, str] = {
    Fate.REQUEUED: "It is made again; what was in its place is among the orphans.",
    Fate.SOURCE_GONE: "It stays as it is: its source is gone or cannot be read.",
    Fate.SOURCE_CHANGED: "It stays as it is: its source is another than it was made from.",
    Fate.AS_RELEASED: "It stays as it is: its bytes are those that were released, and would be again.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A difference: of which kind, where, and in which instance of the ledger (None: of none).

    `fate`: what becomes of the output, if that was asked for.
    """

    kind: Kind
    path: str
    instance: int | None = None
    reason: Reason | None = None
    fate: Fate | None = None


class Notes:
    """Differences in the order in which they were found; a context manager."""

    def __enter__(self) -> Self:
        with guarded():
            self._file: IO[str] = tempfile.TemporaryFile("w+", encoding="ascii")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, differences: Iterable[Difference]) -> None:
        """Note differences; raise `Unavailable` where there is no room for them."""
        with guarded():
            self._file.writelines(json.dumps(asdict(difference)) + "\n" for difference in differences)

    def __iter__(self) -> Iterator[Difference]:
        """Yield all that were noted."""
        with guarded():
            self._file.seek(0)
        for line in self._file:
            said = json.loads(line)
            reason, fate = said["reason"], said["fate"]
            said |= {"kind": Kind(said["kind"]), "reason": reason and Reason(reason), "fate": fate and Fate(fate)}
            yield Difference(**said)
