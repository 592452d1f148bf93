"""A data set in another dialect: headers are rewritten, values stay, or change their byte order (PS3.5 section 7).

Implicit to explicit is the splice's business, which settles what the dictionary leaves open. Explicit to implicit loses
the VR of private elements, as that transfer syntax has it. There sequences and items come out with undefined length:
what they hold changes size, and is known only when it has been written. Big endian to little changes no size at all.
"""

from __future__ import annotations

from array import array

from farm.dicom import splice
from farm.dicom.dictionary import vr_of
from farm.dicom.editor import Onlooker
from farm.dicom.elements import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    MAX_DEPTH,
    PIXEL_DATA,
    SEQUENCE_END,
    UNDEFINED,
    Data,
)
from farm.dicom.grammar import Noting, Plan
from farm.dicom.skip import Skipper
from farm.errors import BadInput, Reason

_REPRESENTATION, _ALLOCATED = 0x00280103, 0x00280100
_NOTED = frozenset({_REPRESENTATION, _ALLOCATED})
_VIEWED = 16_384  # bytes from which a value is handed on as a view
_WORDS: dict[str, str] = {  # PS3.5 table 6.2-1 and section 7.3: the VRs whose values have a byte order, by `array` type
    **dict.fromkeys(("AT", "OW", "SS", "US"), "H"),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), "I"),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), "Q"),
}


class _Settling(Onlooker):
    """Settles VRs that the dictionary leaves open (PS3.5 annex A)."""

    def __init__(self, *, signed: bool) -> None:
        self._signed = signed

    def settle(self, tag: int, vr: str) -> str:
        """Return the one VR of an attribute."""
        if len(vr) == 2 and vr != "UN":
            return vr
        vr = vr_of(tag)
        if vr.startswith("US or SS"):
            return "SS" if self._signed else "US"
        return vr if len(vr) == 2 else "OW"


def explicit(data: Data, start: int) -> list[bytes | memoryview]:
    """Return an implicit data set as an explicit one, in segments."""
    looked = splice.Walk(data, Plan(Noting(_NOTED, _REPRESENTATION), IMPLICIT), Onlooker())
    looked.run(start, len(data))
    signed = any(span.tag == _REPRESENTATION and data[span.value : span.end][:1] == b"\1" for span in looked.notes)
    walk = splice.Walk(data, Plan(Noting(frozenset(), inside=True), IMPLICIT, rewrite=True), _Settling(signed=signed))
    walk.run(start, len(data))
    return splice.assemble(data, walk.edits, start, walk.end)


def implicit(data: Data, start: int) -> list[bytes | memoryview]:
    """Return an explicit little-endian data set as an implicit one, in segments."""
    out: list[bytes | memoryview] = []
    view, at, ends = memoryview(data), start, [len(data)]
    marks: list[int] = []  # what closes each open sequence or item: its delimiter
    while True:
        while marks and at == ends[-1]:  # an item or sequence of defined length is at its end
            out.append(IMPLICIT.pack_header(marks.pop(), "", 0))
            ends.pop()
        if at >= ends[-1]:
            break
        tag, vr, size, length = EXPLICIT.header(data, at, ends[-1])
        at += size
        if tag in {ITEM_END, SEQUENCE_END}:
            if not marks or marks.pop() != tag:
                raise BadInput(Reason.BAD_STRUCTURE)
            ends.pop()
            out.append(IMPLICIT.pack_header(tag, "", 0))
        elif tag == ITEM or vr == "SQ":
            out.append(IMPLICIT.pack_header(tag, "", UNDEFINED))
            marks.append(ITEM_END if tag == ITEM else SEQUENCE_END)
            ends.append(ends[-1] if length == UNDEFINED else _within(at + length, ends[-1]))
            if len(marks) > 2 * MAX_DEPTH:
                raise BadInput(Reason.TOO_DEEP)
        else:
            stop = _end_of(data, (tag, vr), at, length, ends[-1])
            out.append(IMPLICIT.pack_header(tag, "", length))
            out.append(view[at:stop] if stop - at >= _VIEWED else data[at:stop])
            at = stop
    if marks or at != ends[-1]:
        raise BadInput(Reason.TRUNCATED)
    return out


def little(data: Data, start: int) -> bytes:
    """Return an explicit big-endian data set as an explicit little-endian one, which takes as many bytes.

    What is unknown (UN) is left as it is: items in it are little endian already (PS3.5 6.2.2 note 2). Pixel Data of
    single bytes written as OW changes its order too, as it should.
    """
    out: list[bytes] = []
    at, end = start, len(data)
    while at < end:
        tag, vr, size, length = BIG.header(data, at, end)
        out.append(EXPLICIT.pack_header(tag, vr, length))
        at += size
        if vr == "SQ" or tag in {ITEM, ITEM_END, SEQUENCE_END}:  # what they hold follows
            continue
        stop = _end_of(data, (tag, vr), at, length, end)
        out.append(_swapped(bytes(data[at:stop]), vr))
        at = stop
    return b"".join(out)


def _swapped(value: bytes, vr: str) -> bytes:
    code = _WORDS.get(vr)
    if code is None:
        return value
    words = array(code)
    if len(value) % words.itemsize:
        raise BadInput(Reason.BAD_STRUCTURE, "a value is no whole number of its words")
    words.frombytes(value)
    words.byteswap()
    return words.tobytes()


def _end_of(data: Data, element: tuple[int, str], at: int, length: int, end: int) -> int:
    """Return where a value ends; items in UN are implicit already (PS3.5 6.2.2 note 2)."""
    if length != UNDEFINED:
        return _within(at + length, end)
    if element[0] == PIXEL_DATA or element[1] != "UN":
        raise BadInput(Reason.BAD_STRUCTURE)
    return Skipper(IMPLICIT).end(data, at, end)


def _within(stop: int, end: int) -> int:
    if stop > end:
        raise BadInput(Reason.TRUNCATED)
    return stop
