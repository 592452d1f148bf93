"""The builder says in Python what a file says, and nothing else."""

from __future__ import annotations

import pytest

from farm.deid.dates import Strategy
from farm.deid.policy import Action
from farm.deid.scheme import Pseudonyms, Uids
from farm.errors import BadRecipe
from farm.recipe.builder import RecipeBuilder
from farm.recipe.recipe import Recipe, preset


def test_a_built_recipe_is_the_files() -> None:
    """Lost otherwise: a recipe tried in Python would be another one when it is run."""
    built = (
        RecipeBuilder.extending("research")
        .named("trial")
        .option("retain-safe-private")
        .without("retain-patient-characteristics")
        .keep("(0018,1006)")
        .rule("PatientComments", Action.REMOVE)
        .rule("ImageComments", Action.CLEAN)
        .dates(Strategy.WEEKS, between=(-700, -7))
        .uids(Uids.KEYED, root="1.2.826.0.1.3680043.10.999")
        .subjects(Pseudonyms.NUMBER, prefix="T-", domain="site")
        .missing_patient_id("quarantine")
        .pixels_at_risk("pass")
        .output(transfer_syntax="explicit")
        .build()
    )
    read = Recipe.from_dict(
        {
            "$extends": "research",
            "name": "trial",
            "policy": {
                "options": ["+retain-safe-private", "-retain-patient-characteristics"],
                "keep": ["(0018,1006)"],
                "attributes": {"PatientComments": "X", "ImageComments": "C"},
            },
            "dates": {"strategy": "weeks", "range": [-700, -7]},
            "uids": {"method": "keyed", "root": "1.2.826.0.1.3680043.10.999"},
            "subject": {"pseudonym": "number", "prefix": "T-", "domain": "site", "when_missing": "quarantine"},
            "pixels": {"at_risk": "pass"},
            "output": {"transfer_syntax": "explicit"},
        }
    )
    assert built == read
    assert built.digest == read.digest


def test_a_step_leaves_the_builder_before_it_alone() -> None:
    """Lost otherwise: two recipes built from one beginning would be the last one."""
    base = RecipeBuilder.extending("strict")
    base.option("retain-uids").rule("PatientAge", Action.EMPTY)
    assert base.build().digest == preset("strict").digest


def test_what_weakens_needs_leave() -> None:
    """Lost otherwise: a program could keep names where a file may not."""
    step = RecipeBuilder().rule("PatientBirthDate", Action.KEEP)
    with pytest.raises(BadRecipe, match="allow_weaken"):
        step.build()
    assert step.allow_weaken().build().policy.allow_weaken
