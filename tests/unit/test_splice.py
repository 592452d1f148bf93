"""The splice piece by piece: each kind of edit, and the repairs, on data sets small enough to read."""

from __future__ import annotations

from collections.abc import Sequence

import basic_oracle
import farmside
import oracle
import pytest
import trees
from oracle import Element
from trees import sequence, text

from farm.errors import BadInput, Reason


def elements_of(data: bytes) -> list[Element]:
    """Return the output's elements for a file."""
    return basic_oracle.read_file(farmside.joined(farmside.run(data))).elements


def values_of(elements: Sequence[Element]) -> dict[int, object]:
    """Return value by tag."""
    return {element.tag: element.value for element in elements}


def top(*extra: Element, name: str = "explicit", behind: bytes = b"") -> dict[int, object]:
    """Return what stands at top level of the output for an instance with these elements more."""
    return values_of(elements_of(trees.file([*trees.identity(), *extra], name, behind=behind)))


@pytest.mark.parametrize("name", trees.SYNTAXES)
def test_each_action_does_what_it_says(name: str) -> None:
    """Lost otherwise: removing, emptying, dummies and keeping could be mixed up in one of the encodings."""
    drawn = top(
        text(0x00081030, b"study described "),  # X
        text(0x00080050, b"ACC1"),  # Z
        text(0x00340002, b"flow", "OB"),  # D
        text(0x00180050, b"1.25"),  # not listed
        name=name,
    )
    assert 0x00081030 not in drawn
    assert drawn[0x00080050] == b""
    assert drawn[0x00340002] == b"\0\0"
    assert drawn[0x00180050] == b"1.25"


def test_elements_come_out_in_tag_order() -> None:
    """Lost otherwise: the markers could stand where a reader does not expect them."""
    data = trees.file(
        [*trees.identity(), text(0x00120062, b"NO"), text(0x00280010, b"\1\0"), text(0x00280304, b"\0\0")]
    )
    tags = [element.tag for element in elements_of(data)]
    assert tags == sorted(set(tags))
    assert {0x00120062, 0x00120063, 0x00120064, 0x00280303} <= set(tags)


def test_markers_are_inserted_behind_the_last_element_too() -> None:
    """Lost otherwise: an instance whose last tag is low would come out without markers."""
    low = [element for element in trees.identity() if element.tag < 0x00200000]
    high = [text(tag, b"1.2.3\0") for tag in (0x0020000D, 0x0020000E)]
    found = values_of(elements_of(trees.file([*low, *high])))
    assert found[0x00280303] == b"REMOVED "


@pytest.mark.parametrize("undefined", [False, True])
def test_lengths_of_all_parents_follow_an_edit(undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: one changed value deep down would make the whole file unreadable."""
    inner = [text(0x00080050, b"ACCESSION NUMBER"), text(0x00081155, b"1.2.3\0"), text(0x00180050, b"1.25")]
    tree = sequence(0x00400260, [sequence(0x00189346, [sequence(0x00209116, inner)], undefined=undefined)])
    data = trees.file([*trees.identity(), tree])
    output = farmside.joined(farmside.run(data))
    assert trees.sizes_are_true(farmside.body(output), oracle.EXPLICIT)
    leaves = [
        element for path, element in oracle.leaves(basic_oracle.read_file(output).elements) if path[0] == 0x00400260
    ]
    assert [(leaf.tag, leaf.value) for leaf in leaves if leaf.tag != 0x00081155] == [
        (0x00080050, b""),
        (0x00180050, b"1.25"),
    ]


@pytest.mark.parametrize(
    ("empty", "full"),
    [
        (text(0x00420011, b"", "OB"), text(0x00420011, b"SECRET DOCUMENT ", "OB")),
        (sequence(0x0040A730), sequence(0x0040A730, [text(0x0040A160, b"SECRET DOCUMENT ")])),
        (text(0x0072006D, b"", "UN"), text(0x0072006D, b"SECRET DOCUMENT ", "UN")),
        (sequence(0x00080096), sequence(0x00080096, [text(0x00401101, b"SECRET DOCUMENT ", "LO")])),
    ],
)
def test_an_empty_element_teaches_nothing_about_a_full_one(empty: Element, full: Element) -> None:
    """Lost otherwise: after one instance with an empty attribute, the next patient's would be handed on."""
    for one in (empty, full, empty):
        data = trees.file([*trees.identity(), one, sequence(0x00400260, [one])])
        assert b"SECRET" not in farmside.joined(farmside.run(data))


def test_familiar_items_hide_nothing_of_undefined_length() -> None:
    """Lost otherwise: a report's content would survive in items that begin like others."""
    report = sequence(0x0040A730, [text(0x0040A160, b"SECRET DOCUMENT " * 3)], undefined=True)
    familiar = [text(0x00180050, b"1.25"), text(0x00181030, b"a protocol of some length")]
    for _ in range(5):
        tree = sequence(0x00400260, *[[*familiar, report]] * 4)
        data = trees.file([*trees.identity(), tree])
        assert b"SECRET" not in farmside.joined(farmside.run(data))


def test_a_sequence_of_undefined_length_goes_from_implicit_items_too() -> None:
    """Lost otherwise: a readable instance would be refused for a sequence that is removed anyway."""
    gone = sequence(0x00081072, [text(0x00080080, b"HOSPITAL")], undefined=True)
    hidden = sequence(0x00400260, [gone, text(0x00180050, b"1.25")], vr="UN")
    output = farmside.joined(farmside.run(trees.file([*trees.identity(), hidden])))
    assert b"HOSPITAL" not in output
    assert b"1.25" in output


@pytest.mark.parametrize("undefined", [False, True])
def test_a_sequence_written_as_un_hides_nothing(undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: names and UIDs in UN-encoded sequences would pass unseen (PS3.5 6.2.2)."""
    secret = [text(0x00081155, b"1.2.3.4.5.6\0"), text(0x00100010, b"Secret^Name "), text(0x00180050, b"1.25")]
    data = trees.file([*trees.identity(), sequence(0x00400260, secret, vr="UN", undefined=undefined)])
    output = farmside.joined(farmside.run(data))
    assert b"1.2.3.4.5.6" not in output
    assert b"Secret" not in output
    leaves = [leaf for path, leaf in oracle.leaves(basic_oracle.read_file(output).elements) if path[0] == 0x00400260]
    assert [leaf.vr for leaf in leaves] == ["UI", "PN", "DS"]


@pytest.mark.parametrize("tag", [0x00080016, 0x00081155, 0x00280301, 0x00280010, 0x00280103, 0x00280008])
@pytest.mark.parametrize("vr", ["SQ", "UN"])
@pytest.mark.parametrize("undefined", [False, True])
def test_a_sequence_under_the_wrong_tag_is_never_handed_on_whole(tag: int, vr: str, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: whoever writes items where a value belongs would carry a name through."""
    hidden = sequence(tag, [text(0x00100010, b"SECRET^NAME ")], vr=vr, undefined=undefined)
    rest = [element for element in trees.identity() if element.tag != tag]
    try:
        output = farmside.joined(farmside.run(trees.file([*rest, hidden])))
    except BadInput:
        return
    assert b"SECRET" not in output


@pytest.mark.parametrize("tag", [0x00100010, 0x00100020])
def test_identity_written_as_a_sequence_leaves_a_readable_output(tag: int) -> None:
    """Lost otherwise: a malformed input would come out `done` and unreadable."""
    hidden = sequence(tag, [text(0x00100010, b"SECRET^NAME ")])
    rest = [element for element in trees.identity() if element.tag != tag]
    try:
        output = farmside.joined(farmside.run(trees.file([*rest, hidden])))
    except BadInput:
        return
    assert trees.sizes_are_true(farmside.body(output), oracle.EXPLICIT)


def test_group_lengths_and_groups_that_do_not_belong_are_dropped() -> None:
    """Lost otherwise: stale lengths, and file-set elements that name old files, would be handed on."""
    drawn = top(
        text(0x00080000, b"\1\0\0\0", "UL"), text(0x00041500, b"OLD NAME", "CS"), text(0x00100000, b"\1\0\0\0", "UL")
    )
    assert not {0x00080000, 0x00041500, 0x00100000} & set(drawn)


def test_private_elements_go_at_any_depth() -> None:
    """Lost otherwise: vendors' private blocks, where names hide, would be handed on."""
    private = [text(0x00290010, b"SIEMENS "), text(0x00291001, b"SECRET", "UN")]
    data = trees.file([*trees.identity(), *private, sequence(0x00400260, private)])
    assert b"SIEMENS" not in farmside.joined(farmside.run(data))


def test_an_odd_length_value_that_is_kept_stays_as_it_is() -> None:
    """Lost otherwise: repairing what nobody asked to change would break `kept byte for byte`."""
    assert top(text(0x00180050, b"1.2"), text(0x00181030, b"odd"))[0x00180050] == b"1.2"


@pytest.mark.parametrize("extra", [b"SECRET", b"\0\0", b"odd"])
@pytest.mark.parametrize("name", trees.SYNTAXES)
def test_pixel_data_is_trimmed_to_its_frames(name: str, extra: bytes) -> None:
    """Lost otherwise: what is hidden behind the last pixel would be handed on."""
    pixels = trees.pixels(trees.SYNTAXES[name], extra)
    assert top(*pixels, name=name)[oracle.PIXELS] == bytes(range(1, 16)) + b"\0"


def test_pixel_data_of_right_length_is_a_view_of_the_source() -> None:
    """Lost otherwise: every instance's pixels would be copied once more."""
    pixels = trees.pixels(oracle.EXPLICIT, rows=1, columns=15)
    pixels[2], pixels[3] = (text(tag, (256).to_bytes(2, "little"), "US") for tag in (0x00280010, 0x00280011))
    pixels[-1] = text(oracle.PIXELS, bytes(65536), "OW")
    data = trees.file([*trees.identity(), *pixels])
    views = [segment for segment in farmside.run(data).segments if isinstance(segment, memoryview)]
    assert [view.obj is data for view in views] == [True]


def test_pixel_data_that_is_too_short_is_refused() -> None:
    """Lost otherwise: a truncated image would be released as whole."""
    pixels = trees.pixels(oracle.EXPLICIT)
    pixels[-1] = text(oracle.PIXELS, b"\1" * 14, "OW")
    with pytest.raises(BadInput) as raised:
        farmside.run(trees.file([*trees.identity(), *pixels]))
    assert raised.value.reason is Reason.PIXEL_LENGTH


@pytest.mark.parametrize("behind", [b"SECRET", b"\x08\0\x10\0LO\6\0SECRET", b"\0" * 40, b"\xff" * 7])
def test_bytes_behind_the_pixels_are_dropped(behind: bytes) -> None:
    """Lost otherwise: what a sender appends to a file would reach the data lake."""
    data = trees.file([*trees.identity(), *trees.pixels(oracle.EXPLICIT)], behind=behind)
    product = farmside.run(data)
    assert b"SECRET" not in farmside.joined(product)
    assert product.report.counts["trailing_bytes"] == len(behind)


def test_encapsulated_fragments_pass_untouched() -> None:
    """Lost otherwise: compressed images would be broken, or refused."""
    marks = [
        oracle.header(0xFFFEE000, "", 0, oracle.EXPLICIT),
        oracle.header(0xFFFEE000, "", 6, oracle.EXPLICIT) + b"\xff\xd8\xff\xe0\1\2",
    ]
    fragments = b"".join(marks) + oracle.header(0xFFFEE0DD, "", 0, oracle.EXPLICIT)
    pixels = [*trees.pixels(oracle.EXPLICIT)[:-1], Element(oracle.PIXELS, "OB", fragments, undefined=True)]
    data = (
        trees.meta(syntax=trees.UIDS["jpeg"]) + trees.encode(trees.in_order([*trees.identity(), *pixels])) + b"SECRET"
    )
    output = farmside.joined(farmside.run(data))
    assert output.endswith(fragments)


def nested(depth: int, *, undefined: bool) -> bytes:
    """Return a file with sequences in sequences."""
    content = [text(0x00180050, b"1.25")]
    for _ in range(depth):
        content = [sequence(0x00400260, content, undefined=undefined)]
    return trees.file([*trees.identity(), *content])


@pytest.mark.parametrize("undefined", [False, True])
def test_nesting_up_to_the_limit_passes_and_beyond_is_refused(undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: real reports would be refused, or whether one passes would hang on what came before it."""
    for _ in range(3):
        farmside.run(nested(64, undefined=undefined))
        with pytest.raises(BadInput) as raised:
            farmside.run(nested(65, undefined=undefined))
        assert raised.value.reason is Reason.TOO_DEEP


def test_what_an_earlier_deidentification_said_is_kept_in_front() -> None:
    """Lost otherwise: the history of a twice de-identified instance would be wrong (PS3.15 E.1.1)."""
    codes = sequence(0x00120064, [text(0x00080100, b"113105")], [text(0x00080100, b"HOSPITAL")])
    drawn = top(text(0x00120062, b"NO"), text(0x00120063, b"by hand "), codes)
    assert drawn[0x00120063] == b"by hand\\" + farmside.METHOD + b" " * (len(b"by hand\\" + farmside.METHOD) % 2)
    items = drawn[0x00120064]
    assert isinstance(items, list)
    assert [item.elements[0].value for item in items] == [b"113105", b"113100"]


def test_the_same_input_gives_the_same_bytes() -> None:
    """Lost otherwise: a repeated attempt after a crash could not be told from a conflict."""
    data = trees.file([*trees.identity(), *trees.pixels(oracle.EXPLICIT)])
    assert farmside.joined(farmside.run(data)) == farmside.joined(farmside.run(data))
