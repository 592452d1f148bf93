"""Data sets drawn at random (Hypothesis) and the parts to build them by hand, on the oracle's own encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import oracle
from hypothesis import strategies as st
from oracle import Element, Item, Syntax

SYNTAXES = {"explicit": oracle.EXPLICIT, "implicit": oracle.IMPLICIT, "big": oracle.BIG}
UIDS = {
    "explicit": b"1.2.840.10008.1.2.1",
    "implicit": b"1.2.840.10008.1.2",
    "big": b"1.2.840.10008.1.2.2",
    "deflated": b"1.2.840.10008.1.2.1.99",
    "jpeg": b"1.2.840.10008.1.2.4.50",
}
SOP_CLASS = b"1.2.840.10008.5.1.4.1.1.5"  # retired: no Types are known, so each action is what every Type allows


def text(tag: int, value: bytes, vr: str = "") -> Element:
    """Return an element that is not a sequence, its value exactly as given."""
    return Element(tag, vr or oracle.vr_of(tag), value)


def sequence(tag: int, *items: Sequence[Element], undefined: bool = False, vr: str = "SQ") -> Element:
    """Return a sequence whose items have defined lengths where it has one."""
    return Element(tag, vr, [Item(list(elements), undefined) for elements in items], undefined)


def encode(elements: Sequence[Element], syntax: Syntax = oracle.EXPLICIT) -> bytes:
    """Write elements in the order given."""
    return b"".join(oracle.write(element, syntax) for element in elements)


def in_order(elements: Sequence[Element]) -> list[Element]:
    """Return the elements in tag order, as a data set wants them."""
    return sorted(elements, key=lambda element: element.tag)


def meta(**values: bytes) -> bytes:
    """Return File Meta Information with the given syntax and what else is asked for, and the preamble before it."""
    syntax = values.pop("syntax", UIDS["explicit"])
    body = oracle.simple(0x00020001, "OB", b"\0\1", oracle.EXPLICIT)
    body += oracle.simple(0x00020002, "UI", values.pop("sop_class", SOP_CLASS), oracle.EXPLICIT)
    body += oracle.simple(0x00020003, "UI", b"1.2.3.4", oracle.EXPLICIT)
    body += oracle.simple(0x00020010, "UI", syntax, oracle.EXPLICIT)
    body += b"".join(oracle.simple(0x00020016, "AE", title, oracle.EXPLICIT) for title in values.values())
    length = oracle.simple(0x00020000, "UL", len(body).to_bytes(4, "little"), oracle.EXPLICIT)
    return bytes(128) + b"DICM" + length + body


def identity(patient: bytes = b"PID 0815", instance: bytes = b"1.2.3.4") -> list[Element]:
    """Return the elements without which no instance is processed, and a name."""
    return [
        text(0x00080016, SOP_CLASS + b"\0"),
        text(0x00080018, instance + b"\0" * (len(instance) % 2)),
        text(0x00100010, b"Doe^Jane"),
        text(0x00100020, patient + b" " * (len(patient) % 2)),
        text(0x0020000D, b"1.2.3\0"),
        text(0x0020000E, b"1.2.3.5\0"),
    ]


def pixels(syntax: Syntax, extra: bytes = b"", *, rows: int = 3, columns: int = 5, bits: int = 8) -> list[Element]:
    """Return native Pixel Data with what describes it, and bytes behind the frame."""

    def short(tag: int, value: int) -> Element:
        return text(tag, value.to_bytes(2, syntax.order), "US")

    size = rows * columns * bits // 8
    return [
        short(0x00280002, 1),
        text(0x00280004, b"MONOCHROME2 "),
        short(0x00280010, rows),
        short(0x00280011, columns),
        short(0x00280100, bits),
        short(0x00280103, 0),
        text(oracle.PIXELS, bytes(range(1, size + 1)) + extra, "OW"),
    ]


def file(elements: Sequence[Element], name: str = "explicit", *, behind: bytes = b"") -> bytes:
    """Return a file in one of the three native encodings."""
    return meta(syntax=UIDS[name]) + encode(in_order(elements), SYNTAXES[name]) + behind


def values(vr: str) -> st.SearchStrategy[bytes]:
    """Draw the bytes of a value: anything at all but for UIDs, of odd length too."""
    if vr == "UI":
        one = st.sampled_from(
            [
                b"1.2.3",
                b"1.2.3.4",
                b"2.25.77",
                b"1.2.840.10008.1.2.1",
                b"1.2.840.10008.5.1.4.1.1.2\0",
                b"1.2.840.10008.77",
                b"",
            ]
        )
        return st.lists(one, min_size=1, max_size=3).map(b"\\".join)
    return st.binary(max_size=11)


@st.composite
def elements(
    draw: st.DrawFn,
    vrs: Mapping[int, str],
    *,
    depth: int = 3,
    unknown: bool = True,
    least: int = 0,
) -> list[Element]:
    """Draw the elements of one item: leaves and sequences of the given tags, lengths defined or not.

    `unknown`: an element may be written as UN, a sequence then with implicit items.
    """
    drawn = []
    for tag in draw(st.lists(st.sampled_from(sorted(vrs)), min_size=least, max_size=7)):
        vr = vrs[tag]
        as_un = unknown and draw(st.integers(0, 5)) == 0
        if vr != "SQ":
            drawn.append(Element(tag, "UN" if as_un else vr, draw(values(vr))))
            continue
        inner = elements(vrs, depth=depth - 1, unknown=unknown) if depth else st.just([])
        items = draw(st.lists(st.builds(Item, inner, st.booleans()), max_size=2))
        drawn.append(Element(tag, "UN" if as_un and items else "SQ", items, draw(st.booleans())))
    return drawn


def sizes_are_true(data: bytes, syntax: Syntax) -> bool:
    """Tell whether every length in a data set is right: the oracle reads to the very end, and in tag order."""
    found, end = oracle.read(data, syntax)
    return end == len(data) and all(a.tag <= b.tag for a, b in pairwise(found))
