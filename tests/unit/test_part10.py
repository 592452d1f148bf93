"""The file around the data set: what is accepted, repaired and refused."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable

import farmside
import oracle
import pytest
import trees

from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT
from farm.dicom.part10 import IMPLEMENTATION_CLASS_UID, Limits, deflated, parse
from farm.errors import BadInput, Reason

DIALECTS = {"explicit": EXPLICIT, "implicit": IMPLICIT, "big": BIG}
BODY = trees.encode(trees.identity())


def reason_of(data: bytes, limits: Limits | None = None) -> Reason:
    """Return why a file is refused."""
    with pytest.raises(BadInput) as raised:
        parse(data, limits or Limits())
    return raised.value.reason


@pytest.mark.parametrize("name", DIALECTS)
def test_a_plain_file_is_read_as_declared(name: str) -> None:
    """Lost otherwise: nothing at all would be read right."""
    data = trees.file(trees.identity(), name)
    found = parse(data)
    assert (found.dialect, found.syntax.uid.encode(), found.data) == (DIALECTS[name], trees.UIDS[name], data)
    assert data[found.start :] == trees.encode(trees.identity(), trees.SYNTAXES[name])


@pytest.mark.parametrize("name", DIALECTS)
def test_a_data_set_without_preamble_and_meta_is_recognised(name: str) -> None:
    """Lost otherwise: bare data sets, as old archives hold them, would be called not DICOM."""
    found = parse(trees.encode(trees.identity(), trees.SYNTAXES[name]))
    assert (found.start, found.dialect) == (0, DIALECTS[name])


@pytest.mark.parametrize("cut", [128, 132])
def test_meta_without_preamble_is_recognised(cut: int) -> None:
    """Lost otherwise: files that lost their preamble on the way would be refused."""
    data = trees.file(trees.identity())[cut:]
    found = parse(data)
    assert data[found.start :] == BODY


def test_a_wrong_group_length_of_the_meta_header_is_of_no_account() -> None:
    """Lost otherwise: the data set would be looked for in the wrong place."""
    data = bytearray(trees.file(trees.identity()))
    data[140:144] = b"\xff\0\0\0"
    assert bytes(data)[parse(bytes(data)).start :] == BODY


@pytest.mark.parametrize("declared", trees.SYNTAXES)
@pytest.mark.parametrize("true", trees.SYNTAXES)
def test_headers_are_believed_before_the_declaration(declared: str, true: str) -> None:
    """Lost otherwise: a mislabelled file would be read as garbage, and its names would pass."""
    data = trees.meta(syntax=trees.UIDS[declared]) + trees.encode(trees.identity(), trees.SYNTAXES[true])
    found = parse(data)
    assert (found.dialect, found.syntax.uid.encode()) == (DIALECTS[true], trees.UIDS[true])
    assert b"Doe" not in farmside.joined(farmside.run(data))


def test_a_deflated_data_set_is_inflated_within_limits() -> None:
    """Lost otherwise: deflated instances would be refused, or a bomb would fill the memory."""
    stream = zlib.compressobj(wbits=-15)
    packed = stream.compress(BODY) + stream.flush()
    data = trees.meta(syntax=trees.UIDS["deflated"]) + packed
    found = parse(data, Limits())
    assert (found.start, found.data) == (0, BODY)
    assert reason_of(data, Limits(inflated_bytes=len(BODY) - 1)) is Reason.INFLATES_TOO_FAR
    assert reason_of(data[:-3]) is Reason.TRUNCATED
    assert reason_of(trees.meta(syntax=trees.UIDS["deflated"]) + b"\xff" * 40) is Reason.BAD_DEFLATE


def test_what_is_inflated_and_deflated_comes_in_pieces() -> None:
    """Lost otherwise: a deflated instance would be in memory as a whole, up to the limit and twice."""
    most: list[int] = []

    def joined(pieces: Iterable[bytes]) -> bytes:
        found = list(pieces)
        most.append(max(map(len, found)))
        return b"".join(found)

    body = BODY + random.Random(0).randbytes(5 << 20) + bytes(6 << 20)
    for segments in ([body], [body[:9], memoryview(body)[9:20_000], body[20_000:]]):
        packed = deflated(segments, joined)
        data = trees.meta(syntax=trees.UIDS["deflated"]) + packed
        assert (len(packed) % 2, zlib.decompress(packed, wbits=-15) == body) == (0, True)
        assert parse(data, Limits(joined=joined)).data == body
        assert reason_of(data, Limits(inflated_bytes=len(body) - 1)) is Reason.INFLATES_TOO_FAR
        assert reason_of(data[:-3]) is Reason.TRUNCATED
    assert max(most) <= 5 << 20


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"a text file, nothing more\n" * 9, Reason.NOT_DICOM),
        (b"\x89PNG\r\n\x1a\n" + bytes(200), Reason.NOT_DICOM),
        (bytes(500), Reason.NOT_DICOM),
        (bytes(128) + b"DICM", Reason.TRUNCATED),
        (trees.meta(), Reason.TRUNCATED),
        (trees.meta(sop_class=b"1.2.840.10008.1.3.10") + BODY, Reason.DICOMDIR),
        (trees.meta(syntax=b"1.2.3.4.5") + BODY, Reason.UNKNOWN_SYNTAX),
        (trees.meta(syntax=trees.UIDS["jpeg"]) + trees.encode(trees.identity(), oracle.IMPLICIT), Reason.BAD_STRUCTURE),
        (trees.meta() + oracle.header(0xFFFEE000, "", 8, oracle.EXPLICIT) + bytes(8), Reason.BAD_STRUCTURE),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(data: bytes, reason: Reason) -> None:
    """Lost otherwise: people could not tell from the manifest why a file was left out."""
    assert reason_of(data) is reason


def test_the_new_header_carries_nothing_of_the_old() -> None:
    """Lost otherwise: AE titles, the preamble and private information would be handed on (PS3.15 E.1.1)."""
    data = b"SECRET".ljust(128, b"\0") + trees.meta(title=b"SECRET_AE")[128:] + BODY
    output = farmside.joined(farmside.run(data))
    assert b"SECRET" not in output
    assert output[:132] == bytes(128) + b"DICM"
    length = int.from_bytes(output[140:144], "little")
    meta = oracle.read_closed_item(output[: 144 + length], 132, oracle.EXPLICIT)
    values = {element.tag: element.value for element in meta}
    assert list(values) == [0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013]
    assert bytes(values[0x00020012]).strip(b"\0") == IMPLEMENTATION_CLASS_UID  # type: ignore[arg-type]


def test_the_header_names_the_new_instance() -> None:
    """Lost otherwise: (0002,0003) would differ from the data set's SOP Instance UID."""
    product = farmside.run(trees.file(trees.identity()))
    output = farmside.joined(product)
    assert output.count(product.report.instance.encode()) == 2
