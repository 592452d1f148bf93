"""The elements that open a data set, while the rest of it is still on its way.

Who receives may want to know what comes before it has come: to refuse an instance, or to choose where it goes.
Top-level elements stand in ascending order (PS3.5 section 7.1), so once a higher tag has been seen nothing is missing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from farm.dicom import splice, syntaxes
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, LONG_VRS, Dialect
from farm.dicom.grammar import Noting, Plan
from farm.errors import BadInput, Reason

_MOST: Final = 1 << 20  # bytes of header that are waited for; what stands behind is taken as absent
_HEADER: Final = 12  # bytes of an element's longest header: with fewer it cannot be told what follows
_BINARY: Final = LONG_VRS - {"UC", "UR", "UT"} | {"AT", "FD", "FL", "SL", "SS", "UL", "US"}


class HeaderReader:
    """Reads the values of some top-level elements from fragments, as far as is needed and no further."""

    def __init__(self, tags: frozenset[int], transfer_syntax: str) -> None:
        """Take the tags that are wanted, and the UID of the data set's transfer syntax."""
        self._held = bytearray()
        self._try_at = 0
        self._plan = _plan(tags, transfer_syntax)

    def feed(self, data: memoryview) -> dict[int, bytes] | None:
        """Take a fragment; return the values found by tag, without padding, once there can be no more, else None."""
        self._held += data
        if len(self._held) < self._try_at:
            return None
        found, complete = self._read(bytes(self._held))
        if not complete and len(self._held) < _MOST:
            self._try_at = min(2 * len(self._held), _MOST)  # tiny fragments must not cost a walk each
            return None
        return found

    def finish(self) -> dict[int, bytes]:
        """Return what was found, the data set being at its end."""
        return self._read(bytes(self._held))[0]

    def _read(self, head: bytes) -> tuple[dict[int, bytes], bool]:
        if self._plan is None:
            return {}, True
        walk = splice.Walk(head, self._plan, splice.Onlooker())
        try:
            walk.run(0, len(head))
            complete = len(head) - walk.end >= _HEADER
        except BadInput as error:  # what cannot be read is for a worker to judge
            complete = error.reason is not Reason.TRUNCATED
        return {span.tag: _plain(head[span.value : span.end], span.vr) for span in walk.notes}, complete


def _plain(value: bytes, vr: str) -> bytes:
    """Return a value without its padding (PS3.5 section 6.2); a binary one has none."""
    return value if vr in _BINARY else value.rstrip(b"\0 ")


def _plan(tags: frozenset[int], transfer_syntax: str) -> Plan | None:
    """Return how to read a data set of this syntax; None where it is deflated."""
    syntax = syntaxes.find(transfer_syntax)
    if syntax is not None and syntax.deflated:
        return None
    if syntax is not None and syntax.big_endian:
        return _remembered(tags, BIG)
    return _remembered(tags, IMPLICIT if syntax is not None and syntax.implicit else EXPLICIT)


@lru_cache(maxsize=64)
def _remembered(tags: frozenset[int], dialect: Dialect) -> Plan:
    return Plan(Noting(tags, max(tags)), dialect)
