"""Callbacks: what a program is asked, what its answers do, and that it cannot leave more than the policy does."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import farmside
import pydicom
import pydicom.data
import pytest
import trees
from oracle import Element as Tree

from farm.deid.consult import Callback, Element
from farm.deid.mapping import KeyedMapping
from farm.deid.policy import Action
from farm.errors import BadInput, BadRecipe
from farm.pipeline import Product, process
from farm.recipe.recipe import Recipe

FOLDER = Path(pydicom.data.__file__).parent / "test_files"
DESCRIPTION, COMMENTS, THICKNESS = 0x00081030, 0x00104000, 0x00180050
FILES = sorted(path for path in FOLDER.glob("*.dcm") if path.stat().st_size < 300_000)
RECIPES: dict[str, dict[str, object]] = {
    "basic": {},
    "research": {"$extends": "research", "pixels": {"at_risk": "pass"}},
    "ct-dose": {"$extends": "ct-dose", "pixels": {"at_risk": "pass"}},
}


def run(data: bytes, recipe: Recipe, callback: Callback | None = None) -> Product:
    """Process one file with a callback."""
    return process(data, recipe, KeyedMapping(farmside.KEY, recipe.scheme), callback=callback)


def weak(*, allowed: bool = True) -> Recipe:
    """Return the basic recipe, with or without leave to weaken it."""
    return Recipe.from_dict({"policy": {"allow_weaken": allowed}})


def answering(answer: Action | bytes, *tags: int) -> Callback:
    """Return a callback that has one answer for some attributes, and none for others."""
    return lambda element: answer if element.tag in tags else None


def sample(*more: Tree) -> bytes:
    """Return a file with a removed, a kept and a nested attribute."""
    item = [trees.text(COMMENTS, b"nested"), trees.text(0x0020000D, b"1.2.3\0")]
    own = [trees.text(COMMENTS, b"secret"), trees.text(THICKNESS, b"1.5 "), trees.sequence(0x0040A370, item)]
    return trees.file([*trees.identity(), *own, *more])


def outcome(data: bytes, recipe: Recipe, callback: Callback | None) -> object:
    """Return the output, or why there is none."""
    try:
        return farmside.joined(run(data, recipe, callback))
    except BadInput as error:
        return error.reason


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_callback_that_agrees_changes_nothing(path: Path) -> None:
    """Lost otherwise: a program that only watches would get another output than the farm's."""
    data = path.read_bytes()
    for settings in RECIPES.values():
        recipe = Recipe.from_dict(settings)
        assert outcome(data, recipe, lambda _: None) == outcome(data, recipe, None)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("syntax", trees.SYNTAXES)
def test_nor_does_it_where_values_are_empty_private_or_of_another_vr(name: str, syntax: str) -> None:
    """Lost otherwise: a dummy would stand where nothing stood, and safe private attributes would lose their values."""
    safe = [trees.text(0x00190010, b"SIEMENS MR HEADER ", "LO"), trees.text(0x0019100C, b"1000", "IS")]
    code = [trees.text(0x00080100, b"JD1 "), trees.text(0x00080102, b"99JD"), trees.text(0x00080104, b"Doe ")]
    data = trees.file(
        [
            *trees.identity(),
            *safe,
            trees.text(0x00080012, b""),
            trees.text(0x00080050, b"ACC1"),
            trees.text(0x00080080, b""),
            trees.text(0x00080023, b"no date "),
            trees.text(0x00200052, b"1.2.9\0"),
            trees.text(DESCRIPTION, b"Doe^Jane"),
            trees.sequence(0x00082218, code),
            trees.sequence(0x00081072, [trees.text(0x00080080, b"H1"), *safe], undefined=True),
        ],
        syntax,
    )
    recipe = Recipe.from_dict(RECIPES[name])
    assert outcome(data, recipe, lambda _: None) == outcome(data, recipe, None)


def test_a_callback_is_told_place_action_and_value() -> None:
    """Lost otherwise: it would decide about elements without knowing which they are."""
    seen: list[Element] = []
    run(sample(), weak(), seen.append)
    told = {(element.path, element.keyword): (element.proposed, element.value) for element in seen}
    assert told[(), "PatientComments"] == (Action.REMOVE, b"secret")
    assert told[(), "SliceThickness"] == (Action.KEEP, b"1.5")
    assert told[(), "ReferencedRequestSequence"] == (Action.KEEP, None)
    assert told[(0x0040A370,), "PatientComments"] == (Action.REMOVE, b"nested")
    assert told[(0x0040A370,), "StudyInstanceUID"] == (Action.UID, b"1.2.3")
    assert not {tag for (path, _), tag in zip(told, seen, strict=True) if not path and tag.tag == 0x00100020}
    assert len(told) == len(seen)
    assert "secret" not in repr(seen)


def test_content_items_are_told_by_their_sequences_alone() -> None:
    """Lost otherwise: a path would hold numbers that are no tags where structured content is cleaned."""
    inner = trees.sequence(0x0040A730, [trees.text(0x0040A040, b"TEXT"), trees.text(0x0040A160, b"Doe ")])
    outer = trees.sequence(0x0040A730, [trees.text(0x0040A040, b"CONTAINER "), inner])
    recipe = Recipe.from_dict({"policy": {"options": ["clean-structured-content"]}})
    seen: list[Element] = []
    run(trees.file([*trees.identity(), outer]), recipe, seen.append)
    assert {element.path for element in seen if element.tag == 0x0040A160} == {(0x0040A730, 0x0040A730)}


@pytest.mark.parametrize(
    ("answer", "left"),
    [(Action.REMOVE, None), (Action.EMPTY, b""), (Action.DUMMY, b"0 "), (b"2.5", b"2.5 "), (Action.KEEP, b"1.5 ")],
)
def test_an_answer_is_followed(answer: Action | bytes, left: bytes | None) -> None:
    """Lost otherwise: a callback could watch, and no more."""
    output = farmside.joined(run(sample(), weak(), answering(answer, THICKNESS)))
    expected = None if left is None else bytes.fromhex("18005000") + b"DS" + len(left).to_bytes(2, "little") + left
    assert bytes.fromhex("18005000") not in output if expected is None else expected in output


@pytest.mark.parametrize("answer", [Action.REMOVE, Action.EMPTY, Action.DUMMY])
def test_an_answer_about_a_sequence_is_followed(answer: Action) -> None:
    """Lost otherwise: a sequence would be removed where the callback asks for it to be emptied, or left as it is."""
    output = farmside.joined(run(sample(), weak(), answering(answer, 0x0040A370)))
    start = bytes.fromhex("400070a3") + b"SQ\0\0"
    assert (start in output) == (answer is not Action.REMOVE)
    assert (start + bytes(4) in output) == (answer is Action.EMPTY)
    assert (b"99FARM" in output) == (answer is Action.DUMMY)


def test_a_sequence_is_given_no_value() -> None:
    """Lost otherwise: bytes of any kind would be written where items must stand."""
    with pytest.raises(BadRecipe, match="sequence"):
        run(sample(), weak(), answering(b"x", 0x0040A370))


def original(element: Element) -> Action | bytes | None:
    """Hand a removed value back as if it were another."""
    return element.value if element.tag == COMMENTS else None


@pytest.mark.parametrize("callback", [answering(Action.KEEP, COMMENTS), answering(Action.CLEAN, COMMENTS), original])
def test_a_weaker_answer_is_refused_or_counted(callback: Callable[[Element], Action | bytes | None]) -> None:
    """Lost otherwise: a program could let an identity out and no manifest would tell."""
    with pytest.raises(BadRecipe, match=r"\(0010,4000\)") as caught:
        run(sample(), weak(allowed=False), callback)
    assert b"secret" not in str(caught.value).encode()
    assert run(sample(), weak(), callback).report.counts["weakened"] == 2
    assert run(sample(), weak(), lambda _: None).report.counts["weakened"] == 0


def test_the_identity_is_not_up_for_answers() -> None:
    """Lost otherwise: a callback could give an instance another subject, or take the markers away."""
    tags = (0x00080016, 0x00080018, 0x00100010, 0x00100020, 0x0020000D, 0x0020000E, 0x00120062, 0x00120063)
    plain = farmside.joined(run(trees.file(trees.identity()), weak()))
    assert farmside.joined(run(trees.file(trees.identity()), weak(), answering(b"x", *tags))) == plain


NOTED = [
    trees.text(0x00080020, b"20200102", "DA"),
    trees.text(0x00080050, b"ACC1"),
    trees.text(0x00080080, b"Hospital"),
    trees.text(0x00081070, b"Op^One"),
    trees.text(0x00280301, b"NO", "CS"),
]


@pytest.mark.parametrize("name", RECIPES)
def test_what_the_policy_depends_on_is_asked_about(name: str) -> None:
    """Lost otherwise: a program's orders for dates, names and numbers that the farm reads would be passed over."""
    data = trees.file([*trees.identity(), *NOTED])
    recipe = Recipe.from_dict(RECIPES[name])
    seen: dict[int, Element] = {}
    run(data, recipe, lambda element: seen.update({element.tag: element}))
    for tree in NOTED:
        assert seen[tree.tag].value == tree.value.strip()
        output = farmside.joined(run(data, recipe, answering(Action.REMOVE, tree.tag)))
        assert tree.tag not in pydicom.dcmread(io.BytesIO(output)), hex(tree.tag)


def test_what_the_policy_depends_on_may_be_weakened_where_that_is_allowed() -> None:
    """Lost otherwise: `allow_weaken` would hold for some attributes, and nothing would say for which."""
    data = trees.file([*trees.identity(), *NOTED])
    product = run(data, weak(), answering(Action.KEEP, 0x00081070))
    assert pydicom.dcmread(io.BytesIO(farmside.joined(product))).OperatorsName == "Op^One"
    assert product.report.counts["weakened"] == 1
    with pytest.raises(BadRecipe, match=r"\(0008,1070\)"):
        run(data, weak(allowed=False), answering(Action.KEEP, 0x00081070))


@pytest.mark.parametrize("tag", [0x00280010, 0x00280100, 0x00280004, 0x00080005])
def test_what_the_rest_is_read_by_is_told_and_not_changed(tag: int) -> None:
    """Lost otherwise: pixels or text would be read by another rule than they were written by, or an order lost."""
    data = (FOLDER / "CT_small.dcm").read_bytes()
    seen: list[int] = []
    run(data, weak(), lambda element: seen.append(element.tag))
    assert tag in seen or tag == 0x00280004
    for answer in (Action.REMOVE, Action.EMPTY):
        with pytest.raises(BadRecipe, match="may not change"):
            run(data, weak(), answering(answer, tag))


@pytest.mark.parametrize(("answer", "left"), [(b"%PDF-1.4 x", 10), (b"%PDF-1.4 xy", 11), (Action.REMOVE, None)])
def test_an_encapsulated_document_may_be_another(answer: Action | bytes, left: int | None) -> None:
    """Lost otherwise: the length that is said would be that of a document which is not there."""
    document = [trees.text(0x00420011, b"%PDF Doe", "OB"), trees.text(0x00420012, b"application/pdf", "LO")]
    length = trees.text(0x00420015, (8).to_bytes(4, "little"), "UL")
    data = trees.file([*trees.identity(), *document, length])
    output = pydicom.dcmread(io.BytesIO(farmside.joined(run(data, weak(), answering(answer, 0x00420011)))))
    assert output.get("EncapsulatedDocumentLength") == left
    assert ("EncapsulatedDocument" in output) == (left is not None)


@pytest.mark.parametrize("answer", [b"abc", b"1" * 70_000, "120", 120, "K"])
def test_an_answer_that_is_no_value_of_the_vr_is_refused(answer: object) -> None:
    """Lost otherwise: an instance would be released that other programs refuse or misread."""
    with pytest.raises(BadRecipe, match=r"\(0018,0050\)") as caught:
        run(sample(), weak(), lambda element: answer if element.tag == THICKNESS else None)  # type: ignore[arg-type, return-value]
    assert "abc" not in str(caught.value)


def test_a_value_handed_back_is_kept_as_it_is() -> None:
    """Lost otherwise: an age over 89 would be released because a callback repeated it, and a value lose its padding."""
    data = trees.file([*trees.identity(), trees.text(0x00101010, b"095Y", "AS"), trees.text(THICKNESS, b"odd!", "DS")])
    recipe = Recipe.from_dict({"policy": {"options": ["retain-patient-characteristics"]}})
    assert run(data, recipe, lambda element: element.value if element.proposed is Action.KEEP else None).segments
    same = farmside.joined(run(data, recipe, lambda element: element.value if element.tag == 0x00101010 else None))
    assert same == farmside.joined(run(data, recipe))
