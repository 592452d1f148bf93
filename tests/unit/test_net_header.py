"""The elements that open a data set, read while the rest is on its way."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from fix_farm import CT
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.dicom import part10
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, UNDEFINED, Dialect
from farm.dicom.syntaxes import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from farm.net.header import HeaderReader

_MODALITY, _PATIENT, _SERIES, _ROWS, _PIXELS = 0x00080060, 0x00100020, 0x0020000E, 0x00280010, 0x7FE00010
_TAGS = frozenset({_MODALITY, _PATIENT, _SERIES})
_FOUND = {_MODALITY: b"CT", _PATIENT: b"P1", _SERIES: b"1.2.3"}
_DIALECTS = {EXPLICIT_LITTLE: EXPLICIT, IMPLICIT_LITTLE: IMPLICIT, EXPLICIT_BIG: BIG}


def _head(dialect: Dialect) -> bytes:
    """Return elements up to rows, with sequences of both kinds that hold the wanted tags too."""
    inner = dialect.element(_MODALITY, "CS", b"MR") + dialect.element(_PATIENT, "LO", b"INNER")
    item = dialect.pack_header(0xFFFEE000, "", UNDEFINED) + inner + dialect.pack_header(0xFFFEE00D, "", 0)
    return b"".join(
        [
            dialect.element(_MODALITY, "CS", b"CT"),
            dialect.sequence(0x00081140, inner, inner),
            dialect.pack_header(0x00082218, "SQ", UNDEFINED) + item + dialect.pack_header(0xFFFEE0DD, "", 0),
            dialect.element(_PATIENT, "LO", b"P1"),
            dialect.element(0x00181030, "LO", b"PROTOCOL"),
            dialect.element(_SERIES, "UI", b"1.2.3"),
            dialect.element(_ROWS, "US", struct.pack("<H", 512)),
        ]
    )


def _read(reader: HeaderReader, data: bytes, cuts: list[int]) -> tuple[dict[int, bytes], int]:
    """Return what is found, and after how many bytes."""
    at = 0
    for end in [*sorted(cuts), len(data)]:
        found = reader.feed(memoryview(data)[at:end])
        if found is not None:
            return found, end
        at = end
    return reader.finish(), len(data)


@pytest.mark.parametrize("syntax", list(_DIALECTS))
@settings(deadline=None)
@given(data=st.data())
def test_any_chunks_give_the_same_values(syntax: str, data: st.DataObject) -> None:
    """What a rule decides would hang on how the network cuts the data set."""
    dialect = _DIALECTS[syntax]
    whole = _head(dialect) + dialect.element(_PIXELS, "OW", bytes(3000))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12))
    assert _read(HeaderReader(_TAGS, syntax), whole, cuts)[0] == _FOUND


@pytest.mark.parametrize("syntax", list(_DIALECTS))
def test_it_is_decided_before_the_pixels(syntax: str) -> None:
    """A rule would be asked when all of the instance has come, and nothing be saved by it."""
    dialect = _DIALECTS[syntax]
    head = _head(dialect)
    whole = head + dialect.element(_PIXELS, "OW", bytes(100_000))
    _, after = _read(HeaderReader(_TAGS, syntax), whole, list(range(0, len(whole), 64)))
    assert after <= 2 * len(head) + 64


def test_bytes_one_by_one_cost_few_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer of tiny fragments would make a walk of each: the square of the header's length."""
    reader, walks = HeaderReader(_TAGS, EXPLICIT_LITTLE), list[int]()
    read = reader._read
    monkeypatch.setattr(reader, "_read", lambda head: walks.append(len(head)) or read(head))
    data = EXPLICIT.element(0x00081030, "LO", b"x" * 60_000) + _head(EXPLICIT)
    _read(reader, data, list(range(len(data))))
    assert len(walks) < 20


@pytest.mark.parametrize("size", [1, 7, 16_000])
def test_a_real_instance(size: int) -> None:
    """What is read of a real header has to be what stands in it, without its padding."""
    parsed = part10.parse(CT.read_bytes())
    data = bytes(parsed.data[parsed.start :])
    found, after = _read(HeaderReader(_TAGS | {_ROWS}, parsed.syntax.uid), data, list(range(0, len(data), size)))
    assert (found[_MODALITY], found[_PATIENT], found[_ROWS]) == (b"CT", b"1CT1", struct.pack("<H", 128))
    assert after < len(data)


def test_what_is_absent_is_not_waited_for() -> None:
    """An instance without the attribute would be taken whole before it is refused."""
    data = EXPLICIT.element(_MODALITY, "CS", b"CT") + EXPLICIT.element(_PIXELS, "OW", bytes(10_000))
    found, after = _read(HeaderReader(_TAGS, EXPLICIT_LITTLE), data, list(range(0, len(data), 50)))
    assert found == {_MODALITY: b"CT"}
    assert after <= 150


def test_a_data_set_that_ends_early_is_read_as_far_as_it_goes() -> None:
    """A short instance would leave the rule without an answer."""
    data = EXPLICIT.element(_MODALITY, "CS", b"CT") + EXPLICIT.element(_PATIENT, "LO", b"P1")
    for end in range(len(data) + 1):
        reader = HeaderReader(_TAGS, EXPLICIT_LITTLE)
        assert reader.feed(memoryview(data)[:end]) is None
        found = reader.finish()
        assert found.items() <= _FOUND.items()
        assert (len(found) == 2) == (end == len(data))


def test_no_more_than_a_mebibyte_is_waited_for() -> None:
    """A header that never ends would be held in memory, from each association as much as it likes."""
    reader = HeaderReader(_TAGS, EXPLICIT_LITTLE)
    endless = EXPLICIT.element(_MODALITY, "CS", b"CT") + EXPLICIT.pack_header(0x00081199, "UN", 1 << 30)
    assert reader.feed(memoryview(endless)) is None
    for _ in range(63):
        assert reader.feed(memoryview(bytes(16_000))) is None
    found = None
    for _ in range(3):
        found = found or reader.feed(memoryview(bytes(16_000)))
    assert found == {_MODALITY: b"CT"}


@settings(deadline=None)
@given(data=st.data(), level=st.integers(0, 9))
def test_a_deflated_data_set_is_looked_into(data: st.DataObject, level: int) -> None:
    """What is asked of every instance would refuse all that come deflated."""
    whole = _deflated(_head(EXPLICIT) + EXPLICIT.element(_PIXELS, "OW", bytes(3000)), level)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12))
    reader = HeaderReader(_TAGS, DEFLATED_LITTLE)
    assert _read(reader, whole, cuts)[0] == _FOUND
    assert whole.startswith(reader.came)


def _deflated(data: bytes, level: int = 6) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def test_a_deflated_data_set_is_inflated_no_further_than_needed() -> None:
    """A few kilobytes that inflate to gigabytes would fill the memory before anybody decides."""
    endless = EXPLICIT.element(_MODALITY, "CS", b"CT") + EXPLICIT.pack_header(0x00081199, "UN", 1 << 30)
    bomb = _deflated(endless + bytes(64 << 20))
    tracemalloc.start()
    found, after = _read(HeaderReader(_TAGS, DEFLATED_LITTLE), bomb, list(range(0, len(bomb), 16_000)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == {_MODALITY: b"CT"}
    assert after <= 16_000
    assert most < 8 << 20


def test_a_deflated_stream_that_gives_nothing_is_given_up() -> None:
    """Empty blocks without end would be held, from each association as many as it likes."""
    empty = b"\0\0\0\xff\xff" * 3200  # stored blocks of no bytes (RFC 1951 section 3.2.4)
    reader = HeaderReader(_TAGS, DEFLATED_LITTLE)
    found = [reader.feed(memoryview(empty)) for _ in range(66)]
    assert found[:65] == [None] * 65
    assert found[65] == {}


def test_what_cannot_be_inflated_gives_what_came_before() -> None:
    """A torn stream would end the event loop's read, and with it the association's answer."""
    assert HeaderReader(_TAGS, DEFLATED_LITTLE).feed(memoryview(b"\xff" * 10)) == {}
    reader = HeaderReader(_TAGS, DEFLATED_LITTLE)
    stream = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    good = stream.compress(EXPLICIT.element(_MODALITY, "CS", b"CT")) + stream.flush(zlib.Z_FULL_FLUSH)
    assert reader.feed(memoryview(good)) is None
    assert reader.feed(memoryview(b"\xff" * 10)) == {_MODALITY: b"CT"}


@pytest.mark.parametrize("dialect", [EXPLICIT, IMPLICIT])
@settings(deadline=None)
@given(data=st.data())
def test_a_private_syntax_is_read_as_it_looks(dialect: Dialect, data: st.DataObject) -> None:
    """GE's is implicit VR: read as explicit it has no attribute that a rule asks for."""
    whole = _head(dialect) + dialect.element(_PIXELS, "OW", bytes(3000))
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=12))
    assert _read(HeaderReader(_TAGS, "1.2.840.113619.5.2"), whole, cuts)[0] == _FOUND


def test_without_tags_it_is_decided_at_once() -> None:
    """A rule that goes by the peer alone would wait, or fail."""
    assert HeaderReader(frozenset(), EXPLICIT_LITTLE).feed(memoryview(b"\x08")) == {}


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from([*_DIALECTS, DEFLATED_LITTLE, "1.2.3", ""]), st.integers(1, 50))
def test_garbage_gives_values_or_none_but_no_exception(data: bytes, syntax: str, size: int) -> None:
    """One mad instance would end the event loop's read, and with it the association's answer."""
    found, _ = _read(HeaderReader(_TAGS, syntax), data, list(range(0, len(data), size)))
    assert found.keys() <= _TAGS


@settings(deadline=None)
@given(st.integers(0, 300), st.binary(min_size=1, max_size=8), st.sampled_from(list(_DIALECTS)))
def test_a_damaged_header_is_no_exception(at: int, damage: bytes, syntax: str) -> None:
    """A flipped length or VR is the usual way of being mad."""
    head = bytearray(_head(_DIALECTS[syntax]))
    head[at : at + len(damage)] = damage
    found, _ = _read(HeaderReader(_TAGS, syntax), bytes(head), list(range(0, len(head), 30)))
    assert found.keys() <= _TAGS
