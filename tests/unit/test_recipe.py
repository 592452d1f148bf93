"""Recipes: what they may say, and what is said of a wrong one."""

from __future__ import annotations

import json

import pytest

from farm.errors import BadRecipe, Reason
from farm.recipe.recipe import Recipe, preset, presets


def refused(given: object) -> str:
    """Return the text with which a recipe is refused."""
    with pytest.raises(BadRecipe) as raised:
        Recipe.from_dict(given)
    assert raised.value.reason is Reason.BAD_RECIPE
    return str(raised.value)


@pytest.mark.parametrize("name", presets())
def test_presets_read_back_as_they_are(name: str) -> None:
    """Lost otherwise: the recipe that a run records would not be the one that it ran."""
    recipe = preset(name)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_json(recipe.to_json()).digest == recipe.digest
    assert recipe.name == name


@pytest.mark.parametrize(
    ("given", "place", "nearest"),
    [
        ({"outptu": {"path": "x"}}, "outptu", "output.path"),
        ({"output": {"pth": "{instance}"}}, "output.pth", "output.path"),
        ({"output": {"transfer_sytax": "keep"}}, "output.transfer_sytax", "output.transfer_syntax"),
        ({"subject": {"when_mising": "study"}}, "subject.when_mising", "subject.when_missing"),
        ({"nmae": "x"}, "nmae", "name"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(given: object, place: str, nearest: str) -> None:
    """Lost otherwise: a misspelt rule would be ignored in silence, and that is a leak."""
    told = refused(given)
    assert place in told
    assert f"did you mean {nearest}?" in told or place == "outptu"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"output": {"transfer_syntax": "jpeg"}}, "output.transfer_syntax"),
        ({"pixels": {"at_risk": True}}, "pixels.at_risk"),
        ({"pixels": "pass"}, "pixels"),
        ({"name": None}, "name"),
        ([], "a recipe"),
        ("basic", "a recipe"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(given: object, place: str) -> None:
    """Lost otherwise: people would have to guess which of their lines is wrong."""
    assert place in refused(given)


@pytest.mark.parametrize(
    "path",
    [
        "/{instance}.dcm",
        "../{instance}.dcm",
        "a/../{instance}",
        "{subject}.dcm",
        "{instance}/{patient_name}",
        "{instance!r}",
        "{instance.__class__}",
        "{instance:>200}",
        "{0}/{instance}",
        "{}",
        "{instance",
        "",
        "a b/{instance}",
        "ä/{instance}",
        "a//{instance}",
        "{instance}\n",
    ],
)
def test_a_path_that_could_leave_the_destination_or_name_a_patient_is_refused(path: str) -> None:
    """Lost otherwise: outputs would land elsewhere, collide, or carry what identifies."""
    assert "output.path" in refused({"output": {"path": path}})


def test_not_json_is_refused_without_quoting_it() -> None:
    """Lost otherwise: a recipe's text could reach a log."""
    with pytest.raises(BadRecipe) as raised:
        Recipe.from_json('{"name": SECRET}')
    assert "SECRET" not in str(raised.value)
    assert raised.value.fields == {"line": 1}


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    """Lost otherwise: a typing error on the command line would end in a riddle."""
    with pytest.raises(BadRecipe, match="did you mean basic"):
        preset("basci")


def test_the_digest_tells_recipes_apart_by_what_they_do() -> None:
    """Lost otherwise: outputs of two recipes could mix in one destination, or a new name would forbid the old one."""
    basic = preset("basic")
    assert Recipe.from_dict({"name": "of another name"}).digest == basic.digest
    others = [
        {"output": {"transfer_syntax": "explicit"}},
        {"output": {"path": "{instance}"}},
        {"subject": {"domain": "CLINIC"}},
        {"subject": {"when_missing": "quarantine"}},
        {"pixels": {"at_risk": "quarantine"}},
    ]
    assert len({basic.digest, *(Recipe.from_dict(given).digest for given in others)}) == 6


def test_the_digest_does_not_hang_on_the_order_of_keys() -> None:
    """Lost otherwise: the same recipe, written another way, would count as a new one."""
    given = {"subject": {"domain": "A", "when_missing": "study"}, "pixels": {"at_risk": "pass"}}
    turned = {key: dict(reversed(value.items())) for key, value in reversed(given.items())}
    assert Recipe.from_dict(given).digest == Recipe.from_json(json.dumps(turned)).digest


def test_the_digest_of_the_basic_preset_stays() -> None:
    """Lost otherwise: an unnoticed change would shut every user's destinations against their own runs."""
    assert preset("basic").digest == preset("basic").digest
    assert len(preset("basic").digest) == 64
