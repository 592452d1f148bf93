"""The elements that open a data set, while the rest of it is still on its way.

Who receives may want to know what comes before it has come: to refuse an instance, or to choose where it goes.
Top-level elements stand in ascending order (PS3.5 section 7.1), so once a higher tag has been seen nothing is missing.
Of a deflated data set no more is inflated than is looked at, however far it would go.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final

from farm.dicom import splice, syntaxes
from farm.dicom.editor import Onlooker
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, LONG_VRS, Dialect, is_vr
from farm.dicom.grammar import Noting, Plan
from farm.dicom.syntaxes import TransferSyntax
from farm.errors import BadInput, Reason

_MOST: Final = 1 << 20  # bytes of header that are waited for; what stands behind is taken as absent
_FIRST: Final = 8 << 10  # bytes that mostly say all, looked at before anything is kept
_HEADER: Final = 12  # bytes of an element's longest header: with fewer it cannot be told what follows
_BINARY: Final = LONG_VRS - {"UC", "UR", "UT"} | {"AT", "FD", "FL", "SL", "SS", "UL", "US"}


class _Head:
    """The first bytes of a data set as it comes, in the bytes that its elements are written in."""

    def __init__(self, *, deflated: bool) -> None:
        self.came = bytearray()
        """What has come, as it came."""
        self.ended = False
        """Whether there is no more to look at."""
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if deflated else None
        self._inflated = bytearray()

    @property
    def deflated(self) -> bool:
        """Whether it comes deflated."""
        return self._inflater is not None

    @property
    def data(self) -> bytearray:
        """What can be looked at."""
        return self.came if self._inflater is None else self._inflated

    def add(self, data: memoryview) -> None:
        """Take a fragment."""
        self.came += data
        if self._inflater is not None and not self.ended:
            try:
                self._inflated += self._inflater.decompress(data, max(_MOST - len(self._inflated), 1))
            except zlib.error:  # for a worker to judge
                self.ended = True
            self.ended |= self._inflater.eof
        # A deflated stream may go on for ever without giving a byte.
        self.ended |= len(self.data) >= _MOST or len(self.came) >= _MOST


class HeaderReader:
    """Reads the values of some top-level elements from fragments, as far as is needed and no further."""

    def __init__(self, tags: frozenset[int], transfer_syntax: str) -> None:
        """Take the tags that are wanted, and the UID of the data set's transfer syntax."""
        syntax = syntaxes.find(transfer_syntax)
        self._head = _Head(deflated=syntax is not None and syntax.deflated)
        self._tags, self._dialect = tags, _dialect(syntax)
        self._try_at = 0

    @property
    def came(self) -> bytearray:
        """Return the data set as far as it has come; nothing where the first fragment said all."""
        return self._head.came

    def feed(self, data: memoryview) -> dict[int, bytes] | None:
        """Take a fragment; return the values found by tag, without padding, once there can be no more, else None."""
        if not self._head.came and len(data) > _HEADER and not self._head.deflated:
            found, complete = self._read(bytes(data[:_FIRST]))
            if complete:
                return found
        self._head.add(data)
        size = len(self._head.data)
        if size < self._try_at and not self._head.ended:
            return None
        found, complete = self._read(bytes(self._head.data))
        if not complete and not self._head.ended:
            self._try_at = min(2 * size, _MOST)  # tiny fragments must not cost a walk each
            return None
        return found

    def finish(self) -> dict[int, bytes]:
        """Return what was found, the data set being at its end."""
        return self._read(bytes(self._head.data))[0]

    def _read(self, head: bytes) -> tuple[dict[int, bytes], bool]:
        if not self._tags:
            return {}, True
        plan = _plan(self._tags, self._dialect or _guessed(head))
        walk = splice.Walk(head, plan, Onlooker())
        try:
            walk.run(0, len(head))
            complete = len(head) - walk.end >= _HEADER
        except BadInput as error:  # what cannot be read is for a worker to judge
            complete = error.reason is not Reason.TRUNCATED
        return {span.tag: _plain(head[span.value : span.end], span.vr) for span in walk.notes}, complete


def _plain(value: bytes, vr: str) -> bytes:
    """Return a value without its padding (PS3.5 section 6.2); a binary one has none."""
    return value if vr in _BINARY else value.rstrip(b"\0 ")


def _dialect(syntax: TransferSyntax | None) -> Dialect | None:
    """Return how the elements of a data set are written; None where the standard does not list its syntax."""
    if syntax is None:
        return None
    if syntax.big_endian:
        return BIG
    return IMPLICIT if syntax.implicit else EXPLICIT


def _guessed(head: bytes) -> Dialect:
    """Tell from the first element how a data set is written, as far as a private transfer syntax can be told."""
    return EXPLICIT if is_vr(head[4:6]) else IMPLICIT


@lru_cache(maxsize=64)
def _plan(tags: frozenset[int], dialect: Dialect) -> Plan:
    return Plan(Noting(tags, max(tags)), dialect)
