"""The tests' oracle: DICOM read into trees and written back, slow, simple and recursive.

It shares no code with the farm. What the farm does with one pass over bytes is done here the plain way: parse a data
set into elements and items (PS3.5 section 7), decide for each element what becomes of it, write everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydicom.datadict import dictionary_VR

UNDEFINED = 0xFFFFFFFF
PIXELS = 0x7FE00010
LONG = {
    "OB",
    "OD",
    "OF",
    "OL",
    "OV",
    "OW",
    "SQ",
    "SV",
    "UC",
    "UN",
    "UR",
    "UT",
    "UV",
}  # a 32-bit length (PS3.5 table 7.1-1)
SHORT = {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS"}
SHORT |= {"ST", "TM", "UI", "UL", "US"}
BULK = {"OB", "OD", "OF", "OL", "OV", "OW"}  # of undefined length they hold fragments, not items


class Unreadable(Exception):
    """The bytes are not a data set."""


@dataclass(frozen=True)
class Syntax:
    """How headers are written."""

    explicit: bool
    order: str = "little"


EXPLICIT, IMPLICIT, BIG = Syntax(True), Syntax(False), Syntax(True, "big")  # noqa: FBT003


@dataclass
class Item:
    """The elements of one item; an undefined length ends with a delimiter."""

    elements: list[Element]
    undefined: bool = False


@dataclass
class Element:
    """One element; `value` holds items for a sequence and bytes (fragments and their delimiter too) for the rest."""

    tag: int
    vr: str  # as written; the dictionary's in implicit VR
    value: bytes | list[Item]
    undefined: bool = False
    raw: bytes = b""
    syntax: Syntax = EXPLICIT
    unknown: bool = field(default=False)  # written as UN

    @property
    def items(self) -> list[Item]:
        """Return the items of a sequence; nothing else has any."""
        return self.value if isinstance(self.value, list) else []


def vr_of(tag: int) -> str:
    """Return the dictionary's VR; private creators are LO, what is not in it is UN."""
    if tag & 0xFFFF == 0:
        return "UL"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        return dictionary_VR(tag)
    except KeyError:
        return "UN"


# Reading.


def number(data: bytes, at: int, size: int, order: str) -> int:
    """Read an unsigned number; the data must hold it."""
    if at + size > len(data):
        raise Unreadable
    return int.from_bytes(data[at : at + size], order)


def tag_at(data: bytes, at: int, syntax: Syntax) -> int:
    """Read a tag."""
    return number(data, at, 2, syntax.order) << 16 | number(data, at + 2, 2, syntax.order)


def read(data: bytes, syntax: Syntax, at: int = 0) -> tuple[list[Element], int]:
    """Read a data set and return where it ends: before NULs, or behind Pixel Data before what is not in tag order."""
    elements: list[Element] = []
    while at < len(data):
        seen = bool(elements) and any(element.tag == PIXELS for element in elements)
        try:
            if seen and tag_at(data, at, syntax) <= PIXELS:
                break
            element, behind = read_element(data, at, syntax)
        except Unreadable:
            if seen or not any(data[at:]):
                break
            raise
        elements.append(element)
        at = behind
    return elements, at


def read_element(data: bytes, at: int, syntax: Syntax) -> tuple[Element, int]:
    """Read one element with all that is nested in it; return where the next one begins."""
    start, tag = at, tag_at(data, at, syntax)
    if tag >> 16 == 0xFFFE:
        raise Unreadable
    if syntax.explicit:
        vr = data[at + 4 : at + 6].decode("latin-1")
        if vr not in LONG | SHORT:
            raise Unreadable
        size, (where, width) = (12, (8, 4)) if vr in LONG else (8, (6, 2))
    else:
        vr, size, where, width = vr_of(tag), 8, 4, 4
    length = number(data, at + where, width, syntax.order)
    at += size
    undefined = width == 4 and length == UNDEFINED
    unknown = vr == "UN"
    meant = vr_of(tag) if unknown else vr
    if undefined and (tag == PIXELS or vr in BULK):
        at = skip_fragments(data, at, syntax)
        value: bytes | list[Item] = data[start + size : at]
    elif meant == "SQ" or undefined:
        end = len(data) if undefined else at + length
        if end > len(data):
            raise Unreadable
        value, at = read_items(data[:end], at, IMPLICIT if unknown else syntax, undefined=undefined)
    else:
        if at + length > len(data):
            raise Unreadable
        value, at = data[at : at + length], at + length
    return Element(tag, vr, value, undefined, data[start:at], syntax, unknown), at


def skip_fragments(data: bytes, at: int, syntax: Syntax) -> int:
    """Return where encapsulated fragments end, behind their delimiter."""
    while True:
        tag, length = tag_at(data, at, syntax), number(data, at + 4, 4, syntax.order)
        at += 8
        if tag == 0xFFFEE0DD:
            return at
        if tag != 0xFFFEE000:
            raise Unreadable
        at += length


def read_items(data: bytes, at: int, syntax: Syntax, *, undefined: bool) -> tuple[list[Item], int]:
    """Read the items of a sequence, which ends with the data or with its delimiter."""
    items: list[Item] = []
    while undefined or at < len(data):
        tag, length = tag_at(data, at, syntax), number(data, at + 4, 4, syntax.order)
        at += 8
        if undefined and tag == 0xFFFEE0DD:
            break
        if tag != 0xFFFEE000:
            raise Unreadable
        if length == UNDEFINED:
            elements, at = read_open_item(data, at, syntax)
        elif at + length > len(data):
            raise Unreadable
        else:
            elements, at = read_closed_item(data[: at + length], at, syntax), at + length
        items.append(Item(elements, length == UNDEFINED))
    return items, at


def read_closed_item(data: bytes, at: int, syntax: Syntax) -> list[Element]:
    """Read the elements of an item of defined length."""
    elements = []
    while at < len(data):
        element, at = read_element(data, at, syntax)
        elements.append(element)
    return elements


def read_open_item(data: bytes, at: int, syntax: Syntax) -> tuple[list[Element], int]:
    """Read the elements of an item up to its delimiter."""
    elements = []
    while tag_at(data, at, syntax) != 0xFFFEE00D:
        element, at = read_element(data, at, syntax)
        elements.append(element)
    return elements, at + 8


# Writing.


def header(tag: int, vr: str, length: int, syntax: Syntax) -> bytes:
    """Write a header; what a short length cannot hold becomes UN (PS3.5 6.2.2)."""

    def pack(value: int, size: int) -> bytes:
        return value.to_bytes(size, syntax.order)

    front = pack(tag >> 16, 2) + pack(tag & 0xFFFF, 2)
    if not syntax.explicit or tag >> 16 == 0xFFFE:
        return front + pack(length, 4)
    if vr in SHORT and length > 0xFFFF:
        vr = "UN"
    if vr in LONG:
        return front + vr.encode() + b"\0\0" + pack(length, 4)
    return front + vr.encode() + pack(length, 2)


def simple(tag: int, vr: str, value: bytes, syntax: Syntax) -> bytes:
    """Write an element that is not a sequence, padded to even length."""
    value += (b"\0" if vr in {"UI", "OB", "UN"} else b" ") * (len(value) % 2)
    return header(tag, vr, len(value), syntax) + value


def nested(tag: int, vr: str, items: list[tuple[bytes, bool]], syntax: Syntax, *, undefined: bool) -> bytes:
    """Write a sequence of encoded items, each with whether its length is undefined; UN items are implicit."""
    inner = IMPLICIT if vr == "UN" else syntax
    body = b""
    for elements, open_ended in items:
        body += header(0xFFFEE000, "", UNDEFINED if open_ended else len(elements), inner) + elements
        body += header(0xFFFEE00D, "", 0, inner) if open_ended else b""
    body += header(0xFFFEE0DD, "", 0, inner) if undefined else b""
    return header(tag, vr, UNDEFINED if undefined else len(body), syntax) + body


def write(element: Element, syntax: Syntax) -> bytes:
    """Write an element from its parts, for the tests that build data sets."""
    if not isinstance(element.value, list):
        length = UNDEFINED if element.undefined else len(element.value)
        return header(element.tag, element.vr, length, syntax) + element.value
    inner = IMPLICIT if element.vr == "UN" else syntax
    items = [(b"".join(write(child, inner) for child in item.elements), item.undefined) for item in element.value]
    return nested(element.tag, element.vr, items, syntax, undefined=element.undefined)


Edit = Callable[[Element, int], bytes | None]
"""Given an element and its depth, return what is written in its place, or None to keep it."""
Settle = Callable[[int, str], str]


def rewrite(elements: list[Element], edit: Edit, target: Syntax, settle: Settle, depth: int = 0) -> bytes:
    """Write elements again, each kept or replaced, in the target syntax."""
    return b"".join(_rewritten(element, edit, target, settle, depth) for element in elements)


def _rewritten(element: Element, edit: Edit, target: Syntax, settle: Settle, depth: int) -> bytes:
    new = edit(element, depth)
    if new is not None:
        return new
    same = element.syntax == target
    if not isinstance(element.value, list):
        if same:
            return element.raw
        length = UNDEFINED if element.undefined else len(element.value)
        return header(element.tag, settle(element.tag, element.vr), length, target) + element.value
    vr = "SQ" if element.unknown and target.explicit else element.vr
    items = [(rewrite(item.elements, edit, target, settle, depth + 1), item.undefined) for item in element.value]
    return nested(element.tag, vr if same else "SQ", items, target, undefined=element.undefined)


def leaves(elements: list[Element], path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Element]]:
    """Yield every element that is not a sequence, with the tags that lead to it."""
    for element in elements:
        here = (*path, element.tag)
        if isinstance(element.value, list):
            for item in element.value:
                yield from leaves(item.elements, here)
        else:
            yield here, element
