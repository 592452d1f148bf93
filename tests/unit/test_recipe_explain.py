"""What is explained is what is done."""

from __future__ import annotations

import pytest

from farm.deid import resolve
from farm.deid.policy import Action
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.errors import BadRecipe
from farm.recipe import differences, tags
from farm.recipe.explain import explain, path_of, pattern_of, sop_class_uid
from farm.recipe.recipe import Recipe, preset, presets

CT = "1.2.840.10008.5.1.4.1.1.2"
_TAGS = [int(pattern.replace("x", "0").replace("odd", "00091001"), 16) for pattern, _, _ in ROWS]


@pytest.mark.parametrize("name", presets())
@pytest.mark.parametrize("sop_class", ["", CT])
def test_every_row_is_explained(name: str, sop_class: str) -> None:
    """Lost otherwise: people could not find out what happens to an attribute before it has happened."""
    recipe, types = preset(name), resolve.types(sop_class)
    for tag, (pattern, code, _) in zip(_TAGS, ROWS, strict=True):
        told = explain(recipe, tag, sop_class)
        assert told.decision == recipe.policy.decide(tag, vr_of(tag), (), types)
        assert pattern_of(tag) == pattern
        assert told.row.startswith(f"Basic {code}")
        assert told.lines()[1]
        assert told.to_dict()["action"] == told.decision.action.value


def test_the_type_decides_and_is_told() -> None:
    """Lost otherwise: an X/Z/D would be a riddle."""
    recipe, tag = preset("basic"), 0x00081070
    assert explain(recipe, tag).by_type == (("1", "D"), ("2", "Z"), ("3", "X"))
    told = explain(recipe, tag, CT)
    assert (told.decision.action, told.type_, told.by_type) == (Action.REMOVE, "3", ())
    assert "Type 3 at this place of the SOP class" in told.lines()


def test_what_is_in_a_removed_sequence_is_gone() -> None:
    """Lost otherwise: an explanation would promise a value that goes with its sequence."""
    told = explain(preset("basic"), 0x00180010, "", path_of("OriginalAttributesSequence/(0400,0550)"))
    assert told.to_dict()["enclosing"] == "OriginalAttributesSequence"
    assert told.to_dict()["action"] == "X"
    assert told.lines()[1].startswith("gone with OriginalAttributesSequence, which is removed (X)")


def test_an_own_rule_is_told_with_what_it_replaces() -> None:
    """Lost otherwise: nobody could see what a recipe has made stricter, or weaker."""
    recipe = Recipe.from_dict({"$extends": "research", "policy": {"attributes": {"StudyDescription": "X"}}})
    told = explain(recipe, 0x00081030)
    assert told.decision.layer == "recipe"
    assert "without the recipe's own rule: cleaned (C) by option clean-descriptors: E.1-1 C" in told.lines()


def test_the_walks_own_rules_are_told() -> None:
    """Lost otherwise: Patient ID would be explained as emptied, and come out as a pseudonym."""
    assert "pseudonym" in explain(preset("basic"), 0x00100020).lines()[-1]
    assert "the farm writes it" in explain(preset("basic"), 0x00120062).lines()[-1]


@pytest.mark.parametrize(
    ("text", "uid"), [("CT Image Storage", CT), ("CTImageStorage", CT), (CT, CT), ("1.2.3.4.5", "1.2.3.4.5")]
)
def test_a_sop_class_by_name_or_uid(text: str, uid: str) -> None:
    """Lost otherwise: people would have to know UIDs by heart."""
    assert sop_class_uid(text) == uid


def test_what_is_no_sop_class_or_sequence_is_refused() -> None:
    """Lost otherwise: an explanation would be given for a place that does not exist."""
    with pytest.raises(BadRecipe, match="did you mean CTImageStorage"):
        sop_class_uid("CTImageStorag")
    with pytest.raises(BadRecipe, match="PatientID is no sequence"):
        path_of("PatientID")


def test_a_recipe_does_not_differ_from_itself_and_what_differs_is_named() -> None:
    """Lost otherwise: a review of a changed recipe would miss what it changes."""
    basic, strict = preset("basic"), preset("strict")
    assert differences.keys(basic, basic) == []
    assert differences.attributes(basic, basic) == []
    assert ("policy.unlisted", "keep", "remove") in differences.keys(basic, strict)
    changed = {tag: (left, right) for tag, left, right in differences.attributes(basic, strict)}
    assert changed[0x00181210] == (Action.KEEP, Action.REMOVE)
    assert 0x00100010 not in changed
    research = differences.keys(strict, preset("research"))
    assert ("policy.keep.(0018,1210)", "", "yes") in research


def test_the_dictionary_of_tags_holds_every_row() -> None:
    """Lost otherwise: a difference in a row that pydicom does not know would not be shown."""
    listed = {int(pattern, 16) for pattern, _, _ in ROWS if "x" not in pattern and pattern != "odd"}
    assert listed <= set(tags.known())
    assert all(tags.keyword(tag) for tag in tags.known())
