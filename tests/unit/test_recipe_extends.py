"""What a recipe inherits, and how it is told that it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from farm.deid.policy import Action
from farm.errors import BadRecipe, Reason
from farm.recipe import tags
from farm.recipe.recipe import Recipe, preset


def settle(files: dict[str, Any], origin: str) -> Recipe:
    """Return the recipe of a file among others."""

    def load(path: str) -> object:
        if path not in files:
            raise BadRecipe(Reason.BAD_RECIPE, "the recipe file cannot be read")
        return files[path]

    return Recipe.from_dict(files[origin], load, origin)


def refused(files: dict[str, Any], origin: str) -> str:
    """Return the text with which it is refused."""
    with pytest.raises(BadRecipe) as raised:
        settle(files, origin)
    return raised.value.hint


def test_several_levels() -> None:
    """Lost otherwise: a site's recipe could not build on its network's, and both would be copies that drift apart."""
    files = {
        "site/ct.yaml": {"$extends": "../network.json", "policy": {"attributes": {"(0018,1030)": "X"}}},
        "network.json": {"$extends": "research", "name": "network", "dates": {"strategy": "weeks"}},
    }
    recipe = settle(files, "site/ct.yaml")
    assert recipe.name == "ct"
    assert recipe.strategy == "weeks"
    assert recipe.policy.keep == preset("research").policy.keep
    assert recipe.policy.own == ((0x00181030, Action.REMOVE),)
    assert recipe.quarantine_at_risk


def test_a_recipe_without_a_name_is_called_by_its_file() -> None:
    """Lost otherwise: a recipe of one's own would be reported, and stated, as the one it extends."""
    files = {"site/liver study.yaml": {"$extends": "research"}, "named.json": {"$extends": "research", "name": "mine"}}
    assert settle(files, "site/liver study.yaml").name == "liver study"
    assert settle(files, "named.json").name == "mine"
    assert preset("research").name == "research"


def test_what_is_left_out_comes_from_basic() -> None:
    """Lost otherwise: a recipe of one line would lack all the rest."""
    assert Recipe.from_dict({}) == preset("basic")
    assert Recipe.from_dict({"$extends": "research"}).digest == preset("research").digest


@pytest.mark.parametrize(
    ("given", "left"),
    [
        (["+retain-uids"], {"clean-descriptors", "retain-uids"}),
        (["-clean-descriptors"], set()),
        (["-clean-descriptors", "+clean-graphics"], {"clean-graphics"}),
        (["-retain-uids"], {"clean-descriptors"}),
        (["clean-graphics"], {"clean-graphics"}),
        ([], set()),
    ],
)
def test_options_are_replaced_or_changed(given: list[str], left: set[str]) -> None:
    """Lost otherwise: an option would stay that a recipe takes off."""
    files = {"a.json": {"policy": {"options": ["clean-descriptors"]}}}
    files["b.json"] = {"$extends": "a.json", "policy": {"options": given}}  # type: ignore[dict-item]
    assert settle(files, "b.json").policy.options == left


def test_the_option_that_excludes_an_inherited_one_is_refused() -> None:
    """Lost otherwise: dates would be full and modified at once, against E.3.6."""
    files = {"a.json": {"$extends": "research", "policy": {"options": ["+retain-longitudinal-full-dates"]}}}
    assert "exclude each other" in refused(files, "a.json")


def test_the_keep_list_grows_and_shrinks() -> None:
    """Lost otherwise: what a recipe takes off the keep-list would stay in its outputs."""
    files = {"a.json": {"$extends": "research", "policy": {"keep": ["-(0018,1210)", "FrameLabel"]}}}
    kept = settle(files, "a.json").policy.keep
    assert kept == preset("research").policy.keep - {0x00181210} | {0x00209453}


def test_rules_merge_by_tag_however_it_is_written() -> None:
    """Lost otherwise: a rule under another spelling would not replace the inherited one."""
    files = {
        "a.json": {"policy": {"attributes": {"StudyID": "Z", "ProtocolName": "X"}}},
        "b.json": {"$extends": "a.json", "policy": {"attributes": {"00200010": "X"}}},
    }
    assert settle(files, "b.json").policy.own == ((0x00181030, Action.REMOVE), (0x00200010, Action.REMOVE))


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"a.json": {"$extends": "./a.json"}}, "a.json -> a.json"),
        ({"a.json": {"$extends": "b.json"}, "b.json": {"$extends": "x/../a.json"}}, "a.json -> b.json -> a.json"),
        (
            {
                "a.json": {"$extends": "d/b.json"},
                "d/b.json": {"$extends": "c.json"},
                "d/c.json": {"$extends": "b.json"},
            },
            "b.json -> c.json -> b.json",
        ),
    ],
)
def test_a_circle_is_told(files: dict[str, Any], circle: str) -> None:
    """Lost otherwise: the command would never end."""
    assert f"goes round in a circle: {circle}" in refused(files, "a.json")


def test_an_error_further_down_names_its_file() -> None:
    """Lost otherwise: people would look for the mistake in the wrong file."""
    files = {"a.json": {"$extends": "d/b.json"}, "d/b.json": {"polcy": {}}, "c.json": {"$extends": "gone.json"}}
    assert refused(files, "a.json").startswith("in b.json: polcy: no such key")
    assert refused(files, "c.json") == "$extends: the recipe file cannot be read"
    files["d/b.json"] = {"policy": {"keep": ["Nothing"]}}
    assert refused(files, "a.json").startswith("in b.json: policy.keep[0]: Nothing is no attribute")


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    """Lost otherwise: a misspelt base would end in a riddle."""
    with pytest.raises(BadRecipe, match="did you mean research"):
        Recipe.from_dict({"$extends": "reserch"})


def test_a_file_is_not_read_by_what_is_no_file() -> None:
    """Lost otherwise: what a worker gets from the database could make it read a path."""
    with pytest.raises(BadRecipe, match="by a file alone"):
        Recipe.from_dict({"$extends": "/etc/passwd"})


@for_all(st.sampled_from(tags.known()))
def test_every_spelling_of_a_tag_means_the_same(tag: int) -> None:
    """Lost otherwise: a rule would hold for another attribute than the one that was named."""
    spellings = [tags.written(tag), tags.written(tag).upper(), f"{tag:08x}", tags.named(tag)]
    assert {tags.read(text, "") for text in spellings} == {tag}
