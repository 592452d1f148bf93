"""The conformance statement: every item of PS3.15 E.1.3, and nothing that is not so."""

from __future__ import annotations

import pytest

from farm.deid.policy import OPTIONS
from farm.deid.standard.e1_1 import ROWS
from farm.recipe import tags
from farm.recipe.recipe import Recipe, preset, presets
from farm.recipe.statement import statement


@pytest.mark.parametrize("name", presets())
def test_every_item_and_every_row_stand_in_it(name: str) -> None:
    """Lost otherwise: the statement would not be what E.1.3 asks for."""
    text = statement(preset(name))
    assert [line[:5] for line in text.splitlines() if line.startswith("## ")][:8] == [f"## {n}." for n in range(1, 9)]
    for pattern, _, _ in ROWS:
        if "x" not in pattern and pattern != "odd":
            assert tags.written(int(pattern, 16)) in text
    assert preset(name).digest in text
    assert max(text.count(f"| {code} | yes |") for code in OPTIONS.values()) <= 1


@pytest.mark.parametrize("option", OPTIONS)
def test_the_options_are_those_of_the_recipe(option: str) -> None:
    """Lost otherwise: a statement could claim an option that was not applied."""
    text = statement(Recipe.from_dict({"policy": {"options": [option]}}))
    assert f"| {OPTIONS[option]} | yes |" in text
    assert text.count("| yes |") == 1
    assert f"({OPTIONS[option]}, DCM, " in text


@pytest.mark.parametrize(
    ("options", "modified"),
    [
        ([], "REMOVED"),
        (["retain-longitudinal-full-dates"], "UNMODIFIED"),
        (["retain-longitudinal-modified-dates"], "MODIFIED"),
    ],
)
def test_dates_are_told_as_they_are_marked(options: list[str], modified: str) -> None:
    """Lost otherwise: the statement and (0028,0303) would contradict each other."""
    text = statement(Recipe.from_dict({"policy": {"options": options}}))
    assert f"Longitudinal Temporal Information Modified (0028,0303): {modified}\n" in text


@pytest.mark.parametrize("strategy", ["subject", "weeks", "fixed", "anchor", "random", "month", "year", "remove"])
def test_every_strategy_is_described(strategy: str) -> None:
    """Lost otherwise: E.3.6's shall, that the manner of date modification is described, would not be met."""
    given = {"$extends": "research", "dates": {"strategy": strategy, "days": 4711, "range": [-500, -30]}}
    told = next(line for line in statement(Recipe.from_dict(given)).splitlines() if line.startswith("- Dates (E.3.6)"))
    assert "{" not in told
    assert "4711" not in told  # a statement is handed on with the data, whose dates it would give back
    assert len(told) > 30


def test_safe_private_attributes_are_listed_only_where_they_stay() -> None:
    """Lost otherwise: E.3.10's shall would not be met, or a recipe would claim private attributes that go."""
    assert "SIEMENS MR HEADER: (0019,xx0c)" in statement(preset("pet-suv"))
    assert "SIEMENS MR HEADER" not in statement(preset("research"))


def test_own_rules_and_weakening_are_confessed() -> None:
    """Lost otherwise: a weakened recipe would pass for the profile."""
    policy = {"attributes": {"PatientSex": "K"}, "allow_weaken": True}
    text = statement(Recipe.from_dict({"policy": policy}))
    assert "PatientSex (0010,0040): K" in text
    assert "conformance is then not claimed" in " ".join(text.split())


@pytest.mark.parametrize(
    ("given", "told", "untold"),
    [
        ({}, [], ["- Text (E.3.5)", "- Structured content"]),
        ({"policy": {"options": ["retain-longitudinal-full-dates"]}}, [], ["- Text (E.3.5)"]),
        ({"$extends": "strict"}, ["- Text (E.3.5)", "Kept, with the UIDs in their items replaced: Ref"], ["E.3.4)"]),
        ({"$extends": "ct-dose"}, ["- Text (E.3.5)", "- Structured content (E.3.4)", "- Device identity"], ["E.3.3)"]),
        ({"subject": {"domain": "CLINIC"}}, ["the domain `CLINIC`", "or kept (1), with the UIDs"], ["none at all"]),
    ],
)
def test_the_manner_is_told_of_what_is_done(given: dict[str, object], told: list[str], untold: list[str]) -> None:
    """Lost otherwise: a statement would describe a cleaning that the recipe does not do, or hide one that it does."""
    text = " ".join(statement(Recipe.from_dict(given)).split())
    assert all(words in text for words in told)
    assert not any(words in text for words in untold)
