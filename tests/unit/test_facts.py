"""What an instance says of itself: taken for granted from the one before, and never believed where it is wrong."""

from __future__ import annotations

import farmside
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element

from farm.deid.deidentify import Deidentified, Deidentifier
from farm.deid.facts import CHARSET, PATIENT_ID, PRIVATE_DATA, SOP_CLASS, facts
from farm.deid.mapping import KeyedMapping
from farm.dicom import part10, splice
from farm.errors import BadInput, Reason
from farm.recipe.recipe import Recipe

RECIPES = {name: Recipe.from_dict({"$extends": name}) for name in ("basic", "research", "ct-dose", "retain-dates")}
CT, MR, SR = (b"1.2.840.10008.5.1.4.1.1." + end for end in (b"2\0", b"4\0", b"88.33"))
PRIVATE = b"1.3.6.1.4.1.5962.301.9"
DECLARED = [trees.text(0x00080301, b"\x09\0", "US"), trees.text(0x00080302, b"ACME"), trees.text(0x00080303, b"SAFE")]


def said(**changed: Element) -> list[Element]:
    """Return the elements of an instance that holds names, dates and text in which these are repeated."""
    elements = {element.tag: element for element in trees.identity()}
    elements |= {
        tag: trees.text(tag, value)
        for tag, value in {
            0x00080020: b"20200229",
            0x00080022: b"20200301",
            0x00080050: b"ACC1",
            0x00080080: b"Mercy ",
            0x00081030: b"CT Chest Doe Mercy",
            0x00081070: b"Doe ",
            0x00081090: b"Model ",
            0x00090010: b"ACME",
            0x00101010: b"030Y",
        }.items()
    }
    elements[0x00091001] = trees.text(0x00091001, b"12", "IS")
    elements |= {element.tag: element for element in changed.values()}
    return list(elements.values())


FILES = [
    trees.file(elements, name)
    for name in ("explicit", "implicit")
    for elements in (
        said(),
        said(other=trees.text(PATIENT_ID, b"OTHER ")),
        said(nobody=trees.text(PATIENT_ID, b"")),
        said(named=trees.text(0x00100010, b"Chest^Ann ")),
        said(ct=trees.text(SOP_CLASS, CT)),
        said(mr=trees.text(SOP_CLASS, MR), place=trees.text(0x00080080, b"Chest ")),
        said(sr=trees.text(SOP_CLASS, SR + b"\0")),
        said(private=trees.text(SOP_CLASS, PRIVATE)),
        said(charset=trees.text(CHARSET, b"ISO_IR 192"), name=trees.text(0x00100010, "Dö^É".encode())),
        said(charset=trees.text(CHARSET, b"ISO_IR 144"), name=trees.text(0x00100010, b"\xbf\xe0\xd1^")),
        said(declared=trees.sequence(PRIVATE_DATA, DECLARED)),
        said(issuer=trees.text(0x00100021, b"ELSE")),
        said(nested=trees.sequence(0x00081120, [trees.text(PATIENT_ID, b"REFERRED")])),
        said(study=trees.text(0x0020000D, b"1.2.77"), nobody=trees.text(PATIENT_ID, b"")),
        said(broken=trees.text(0x0020000E, b"")),
    )
]


def outcome(deidentifier: Deidentifier, data: bytes, recipe: Recipe) -> object:
    """Return the edited data set and what was mapped, or why there is none."""
    source = part10.parse(data)
    try:
        done: Deidentified = deidentifier.run(source, KeyedMapping(farmside.KEY, recipe.scheme))
    except BadInput as error:
        return error.reason
    assembled = b"".join(splice.assemble(source.data, done.edits, source.start, done.end))
    return assembled, done.mapped, done.uids, done.facts.values.get(PATIENT_ID)


@pytest.mark.parametrize("name", RECIPES)
@settings(max_examples=40, deadline=None)
@given(order=st.lists(st.sampled_from(FILES), min_size=2, max_size=8))
def test_a_wrong_guess_never_shows(name: str, order: list[bytes]) -> None:
    """Lost otherwise: an instance would get the pseudonym, the dates or the words of the one before it."""
    recipe = RECIPES[name]
    remembering = Deidentifier(recipe.directions)
    for data in order:
        fresh = Deidentifier(recipe.directions)
        assert outcome(remembering, data, recipe) == outcome(fresh, data, recipe)


def test_the_files_of_the_law_differ() -> None:
    """Lost otherwise: the law would hold for instances that say nothing different."""
    recipe = RECIPES["ct-dose"]
    found = [outcome(Deidentifier(recipe.directions), data, recipe) for data in FILES]
    same = 2  # what says another patient in a sequence that goes, and the two that are refused in either encoding
    assert len({repr(each) for each in found}) == len(FILES) - same - 2
    assert [each for each in found if isinstance(each, Reason)] == [Reason.PRIVATE_SOP_CLASS, Reason.NO_UID] * 2


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("tag", [0x00081120, 0x00091002])
def test_only_the_top_level_says_who_it_is(tag: int, undefined: bool) -> None:  # noqa: FBT001
    """Lost otherwise: a referenced patient would become the subject of an instance."""
    item = [trees.text(PATIENT_ID, b"REFERRED"), trees.text(0x00080020, b"19000101")]
    nested = trees.sequence(tag, item, undefined=undefined, vr="SQ")
    found = facts(part10.parse(trees.file([*trees.identity(), nested])))
    assert found[PATIENT_ID] == b"PID 0815"
    assert found[0x00080020] == b""


def test_file_meta_information_fills_in_for_empty_attributes() -> None:
    """Lost otherwise: an instance that is named in one place only could not be processed, or as none."""
    rest = [element for element in trees.identity() if element.tag not in {SOP_CLASS, 0x00080018}]
    empty = [trees.text(SOP_CLASS, b""), trees.text(0x00080018, b"")]
    found = facts(part10.parse(trees.file([*rest, *empty])))
    assert (found[SOP_CLASS], found[0x00080018]) == (trees.SOP_CLASS, b"1.2.3.4")


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        (SOP_CLASS, b"CT", Reason.NO_SOP_CLASS),
        (0x0020000D, b"", Reason.NO_UID),
        (0x0020000E, b"1.2\\1.3 ", Reason.BAD_UID),
    ],
)
def test_an_instance_that_says_too_little_is_refused(tag: int, value: bytes, reason: Reason) -> None:
    """Lost otherwise: it would be filed under nothing, or under two UIDs at once."""
    others = [element for element in trees.identity() if element.tag != tag]
    with pytest.raises(BadInput) as caught:
        facts(part10.parse(trees.file([*others, trees.text(tag, value)])))
    assert caught.value.reason is reason


def test_facts_do_not_show() -> None:
    """Lost otherwise: a name could reach a log in a traceback."""
    assert "Doe" not in repr(facts(part10.parse(trees.file(said()))))
