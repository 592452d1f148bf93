"""Examine one output: nothing that had to go is left in it, and it is what it claims to be.

The gate reads the source anew to learn what had to go, and the output anew to see what is there. It shares no code
with what made the output, only table E.1-1 as facts: one mistake cannot hide in both. Every instance passes here:

1. Nothing on the source's heaps of what is gone is found in the output (`search`, `needles.RULES`).
2. Every UID of the output is new, well-known, or kept by rule; no original is among them.
3. The markers say that it was de-identified, and how; the subject is the pseudonym (PS3.15 E.1.1).
4. Its structure is sound: read to its end, tags ascending, no attribute that may not be there (PS3.5 section 7).
5. Pixel values are the source's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import TypeAlias

from farm.deid.gate import dates, files
from farm.deid.gate.charsets import Charsets
from farm.deid.gate.files import File
from farm.deid.gate.grammar import Grammar, Unreadable
from farm.deid.gate.haystack import Haystack
from farm.deid.gate.needles import Kept
from farm.deid.gate.reading import Heap
from farm.deid.gate.search import Hit, Search, hits
from farm.deid.gate.values import Expected, Finding, Output, Source, Verdict
from farm.deid.gate.walk import Locator, Walk, fragments, grammar_of
from farm.dicom.elements import PIXEL_DATA

_WELL_KNOWN = b"1.2.840.10008."
_PADDING = b"\0 "
_DUMMY_UID = b"2.25.0"
_SOP_CLASS, _SOP_INSTANCE, _PATIENT_ID, _CHARSET = 0x00080016, 0x00080018, 0x00100020, 0x00080005
_IDENTITY_REMOVED, _METHOD, _METHOD_CODES, _TEMPORAL = 0x00120062, 0x00120063, 0x00120064, 0x00280303
_BASIC_PROFILE = b"113100"
_DIGITS = re.compile(rb"[0-9.:+\-\\ \0]*")  # what dates and times are made of
_BEHIND = 65_536  # bytes behind the source's data set that are looked at
_TEXTS = frozenset({Heap.TEXT, Heap.CLEANED})

_Standing: TypeAlias = tuple[int, tuple[int, ...], set[bytes], set[bytes]]
"""An element: its tag, the sequences around it, and what of its value is searched, as text and otherwise."""


def examine(expected: Expected, source: Source, output: Output) -> Verdict:
    """Return the verdict on an output, given its source."""
    try:
        before = _Before(expected, source)
        after = _After(expected, output)
    except Unreadable:
        return Verdict.of([Finding("structure")])
    findings = [Finding(kind, tag, path) for kind, tag, path in after.walk.problems]
    findings += _markers(expected, after)
    findings += _meta(after)
    findings += _uids(expected, before, after)
    findings += _moved(expected, before, after)
    findings += _pixels(expected, source, before, after)
    gone = before.gone(after)
    sop_class = after.walk.facts.get(_SOP_CLASS, b"")
    search = Search(gone, before.charsets, _kept(gone, before.charsets), expected.reading, sop_class)
    texts, others = after.values()
    found = hits(search, before.uids, texts, others)
    if found:
        findings += _placed(found, after.standing(texts, others), before.charsets)
    return Verdict.of(findings)


def _kept(gone: list[list[bytes]], charsets: Charsets) -> Kept:
    values = (*gone[Heap.TEXT], *gone[Heap.CHARSETS])
    return Kept(values=values, products=tuple(gone[Heap.PRODUCTS]), charsets=charsets)


class _Before:
    """The source as read: its heaps, its original UIDs, where its pixel values stand."""

    def __init__(self, expected: Expected, source: Source) -> None:
        self._data, self._top = source.data, grammar_of(expected.reading, source.dialect, is_output=False)
        self.pixels: tuple[int, int] | None = None
        walk = Walk(source.data)
        self.heaps = walk.heaps
        self._read(walk, source.start)
        named = (walk.facts.get(_CHARSET, b""), *self.heaps[Heap.CHARSETS], *self.heaps[Heap.GONE_CHARSETS])
        self.charsets = tuple(dict.fromkeys(charset.strip(_PADDING) for charset in named))
        self.uids = {uid for uid in _split(self.heaps[Heap.UIDS]) if not uid.startswith(_WELL_KNOWN)}
        self.uids |= expected.original_uids
        self.uids.discard(_DUMMY_UID)

    def _read(self, walk: Walk, start: int) -> None:
        """Read to the pixel values, and what is behind them; NULs behind the data set are nothing."""
        data, end = self._data, len(self._data)
        try:
            walk.run(start, end, self._top)
        except Unreadable:
            if any(data[walk.reach :]):
                raise
        if walk.pixels is None:
            return
        value, length = walk.pixels
        behind = value + length
        if length < 0:
            behind = value + 8
            for _, after in fragments(lambda first, last: data[first:last], value, end):
                behind = after + 8
        if behind > end:
            raise Unreadable
        self.pixels = (value, behind)
        if behind < end:
            self._read_tail(behind, end)

    def _read_tail(self, at: int, end: int) -> None:
        """Read what is behind the pixel values: elements, or bytes that belong to nothing."""
        tail = Walk(self._data)
        try:
            tail.run(at, end, self._top, PIXEL_DATA)
        except Unreadable:
            tail.problems.append(("structure", 0, ()))
        if tail.problems:
            self.heaps[Heap.BYTES].append(self._data[at : at + _BEHIND])
            return
        for heap, found in zip(self.heaps, tail.heaps, strict=True):
            heap.extend(found)

    def gone(self, after: _After) -> list[list[bytes]]:
        """Return the heaps: what cleaning left is kept, and gone only what it changed."""
        heaps = list(self.heaps)
        if heaps[Heap.CLEANED]:
            there = {value.rstrip(_PADDING) for value in set(after.walk.heaps[Heap.CLEANED])}
            heaps[Heap.CLEANED] = list({value.rstrip(_PADDING) for value in heaps[Heap.CLEANED]} - there)
            heaps[Heap.TEXT] = [*heaps[Heap.TEXT], *there]
        return heaps


class _After:
    """The output as read: its heaps and facts, and its file."""

    def __init__(self, expected: Expected, output: Output) -> None:
        self.file = File(output.segments)
        self._pseudonym, self._new_uids = expected.pseudonym, expected.new_uids
        self._reading, self.dialect, self._start = expected.reading, output.dialect, output.start
        top = grammar_of(expected.reading, output.dialect, is_output=True)
        self.walk = self._read_head(top) or self._read(Walk(self.file.all()), top)
        self.kept_uids = set(_split(self.walk.heaps[Heap.KEPT_UIDS]))
        self.meta = files.meta(self.file.head[: output.start])

    def _read_head(self, top: Grammar) -> Walk | None:
        """Read the data set by its beginning; None where that lacks more than pixel values and what is behind them."""
        head = self.file.head
        if len(head) == self.file.size:
            return self._read(Walk(head), top)
        with suppress(Unreadable):
            walk = self._read(Walk(head), top)
            if walk.pixels is not None and walk.pixels[0] <= len(head):
                return walk
        return None

    def _read(self, walk: Walk, top: Grammar) -> Walk:
        """Read the data set as far as the walk has it."""
        size = self.file.size
        walk.run(self._start, size, top)
        self.pixels: tuple[int, int] | None = None
        if walk.pixels is not None:
            value, length = walk.pixels
            self.pixels = (value, files.pixels_end(self.file, value, length))
            if self.pixels[1] < size:
                walk.more(self.file.read(self.pixels[1], size), top, PIXEL_DATA)
        return walk

    def elements(self) -> list[tuple[int, tuple[int, ...], Heap, bytes]]:
        """Return every element: its tag, the sequences around it, its heap and its value."""
        locator = Locator(self.file.all())
        self._read(locator, Grammar(self._reading, self.dialect, is_output=True, learns=False))
        return locator.elements

    def holding(self, kind: str, is_bad: Callable[[bytes], bool], *heaps: Heap) -> Iterator[Finding]:
        """Yield a finding for each element of some heaps whose value is bad."""
        for tag, path, heap, value in self.elements():
            if heap in heaps and is_bad(value):
                yield Finding(kind, tag, path)

    def _may_tell(self, uid: bytes) -> bool:
        """Tell whether a kept UID may be something else, or made of something else."""
        if uid.strip(b"0123456789."):
            return True
        retained = "retain_uids" in self._reading.options
        return not (retained or uid.startswith(_WELL_KNOWN) or uid in self._new_uids)

    def values(self) -> tuple[set[bytes], set[bytes]]:
        """Return what is searched, texts and others: not pixels, the pseudonym, or UIDs, which have their own check.

        What the farm says of itself is not searched either: a name may stand in it by chance (COM FARM). A UID that is
        kept though no option retains it is searched as numbers: anyone can have written anything there.
        """
        heaps = self.walk.heaps
        texts = {*heaps[Heap.TEXT], *heaps[Heap.CLEANED]}
        texts.update(value for value in set(heaps[Heap.KEPT_DATES]) if not _DIGITS.fullmatch(value))
        texts.update(uid.replace(b".", b" ") for uid in self.kept_uids if self._may_tell(uid))
        texts -= _padded((self._pseudonym,))
        if self.meta is not None:
            texts.update(self.meta[1])
        method = self.walk.facts.get(_METHOD, b"")
        if b"\\" in method:  # behind what was done before
            texts.discard(method)
            texts.update(method.split(b"\\"))
        texts -= _padded(self._reading.own)
        return texts, set(heaps[Heap.BYTES])

    def standing(self, texts: set[bytes], others: set[bytes]) -> Iterator[_Standing]:
        """Yield where that which is searched stands, element by element: a finding is nowhere else."""
        for tag, path, heap, value in self.elements():
            if heap is Heap.BYTES:
                yield tag, path, set(), others & {value}
            elif heap is Heap.KEPT_UIDS:
                yield tag, path, texts & {uid.replace(b".", b" ") for uid in _split([value])}, set()
            elif heap in _TEXTS or (heap is Heap.KEPT_DATES and not _DIGITS.fullmatch(value)):
                yield tag, path, texts & {value, *value.split(b"\\")}, set()


@lru_cache(maxsize=256)
def _padded(texts: tuple[bytes, ...]) -> frozenset[bytes]:
    """Return texts as they stand in values: of even length or, as one of several values, without padding."""
    return frozenset((*texts, *(text + b" " for text in texts)))


def _split(values: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the single UIDs of UI values, without padding."""
    for part in set(b"\\".join(values).split(b"\\")):
        uid = part.strip(b"\0 ")
        if uid:
            yield uid


def _markers(expected: Expected, after: _After) -> Iterator[Finding]:
    """Check what the output says of itself (PS3.15 E.1.1), and whose it says it is."""
    facts, reading = after.walk.facts, expected.reading
    said = {tag: value.strip(b"\0 ") for tag, value in facts.items()}
    if said.get(_IDENTITY_REMOVED) != b"YES":
        yield Finding("marker", _IDENTITY_REMOVED)
    if not said.get(_METHOD):
        yield Finding("marker", _METHOD)
    if _BASIC_PROFILE not in facts.get(_METHOD_CODES, b""):
        yield Finding("marker", _METHOD_CODES)
    if said.get(_TEMPORAL) != reading.temporal:
        yield Finding("marker", _TEMPORAL)
    if reading.attributes.get(_PATIENT_ID) != "K" and said.get(_PATIENT_ID, expected.pseudonym) != expected.pseudonym:
        yield Finding("subject", _PATIENT_ID)


def _meta(after: _After) -> Iterator[Finding]:
    """Check File Meta Information: nothing of the old one, and the new SOP Instance UID (PS3.15 E.1.1)."""
    instance = after.walk.facts.get(_SOP_INSTANCE, b"").strip(b"\0 ")
    if after.meta is None or not instance or after.meta[0] != instance:
        yield Finding("meta")


def _uids(expected: Expected, before: _Before, after: _After) -> Iterator[Finding]:
    """Check every UID of the output: new, well-known or kept by rule, and never an original."""
    heaps = after.walk.heaps
    replaced, kept = set(_split(heaps[Heap.UIDS])), after.kept_uids
    strange = replaced - expected.new_uids - {_DUMMY_UID}
    bad = {uid for uid in strange if not uid.startswith(_WELL_KNOWN)} | (before.uids & (replaced | kept))
    if bad:
        yield from after.holding("uid", lambda value: not bad.isdisjoint(_split([value])), Heap.UIDS, Heap.KEPT_UIDS)


def _moved(expected: Expected, before: _Before, after: _After) -> Iterator[Finding]:
    """Check dates that moved: one that did not is wrong, unless another that did falls on its day."""
    shifted = dates.dates_in(after.walk.heaps[Heap.MOVED])
    if not shifted:
        return
    how = expected.reading.dates
    old = dates.dates_in(before.heaps[Heap.MOVED])
    right = {dates.moved(day, how, expected.days) for day in old} if expected.days or how != "shifted" else set()
    wrong = (shifted & (old | dates.dates_in(before.heaps[Heap.DATES]))) - right
    if wrong:
        yield from after.holding("date", lambda value: not wrong.isdisjoint(dates.dates_in([value])), Heap.MOVED)


def _pixels(expected: Expected, source: Source, before: _Before, after: _After) -> Iterator[Finding]:
    """Check that pixel values are as long as their frames, and the source's where the recipe leaves them alone."""
    if after.walk.pixels and not files.has_right_length(after.file, after.walk.pixels, after.walk.facts, after.dialect):
        yield Finding("pixels", PIXEL_DATA)
    if expected.pixels_changed:
        return
    if before.pixels is None or after.pixels is None:
        if before.pixels is not after.pixels:
            yield Finding("pixels", PIXEL_DATA)
    elif not files.same_pixels(after.file, after.pixels, source.data, before.pixels):
        yield Finding("pixels", PIXEL_DATA)


def _placed(found: Iterable[Hit], standing: Iterable[_Standing], charsets: Charsets) -> Iterator[Finding]:
    """Say where hits stand, attribute by attribute; what stands in front of the data set has no tag."""
    elements = [(tag, path, Haystack(texts, others, charsets)) for tag, path, texts, others in standing]
    for hit in found:
        places = {(tag, path) for tag, path, hay in elements if hit.look(hay)}
        for tag, path in sorted(places):
            yield Finding(hit.kind, tag, path, hit.strong)
        if not places:
            yield Finding(hit.kind, strong=hit.strong)
