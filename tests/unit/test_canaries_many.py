"""Tens of thousands of canaries in five transfer syntaxes, three depths, eight character sets: none may come through.

Which categories a preset has to cover follows from what it promises. What it leaves is listed here with the reason.
"""

from __future__ import annotations

from collections import Counter

import farmside
import pytest
from pydicom.datadict import tag_for_keyword

from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.errors import BadInput
from farm.pipeline import KeyedMapping, process
from farm.recipe.recipe import Recipe, preset, presets
from tests.canaries import CHARSETS, SYNTAXES, Canary, Plan, leaks, plant

# The Basic Profile keeps an attribute without a row in table E.1-1 (PS3.15 E.1.1), and two sequences of references.
LEFT_BY_THE_LETTER = ("unlisted/", "kept reference/", "unknown tag", "misused number", "icc profile", "palette")
# Numbers, UIDs and samples without a row: no words and no dates.
LEFT_BY_KIND = ("unlisted/number/", "unlisted/uid/", "unlisted/words/", "palette")
# What stands in a codec's own stream.
IN_FRAMES = ("frame/",)
LEFT = {
    "basic": LEFT_BY_THE_LETTER + IN_FRAMES,
    "research": LEFT_BY_KIND + IN_FRAMES,
    "strict": LEFT_BY_KIND + IN_FRAMES,
}


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return all files."""
    return plant()


def outputs(plan: Plan, recipe: Recipe) -> dict[str, bytes]:
    """Return what becomes of every file, and of its report and mapping as anyone may see them."""
    made: dict[str, bytes] = {}
    for file in plan.files:
        try:
            product = farmside.unseen(file.data, recipe)
        except BadInput as error:
            pytest.fail(f"{file.name}: {error}")
        made[file.name] = farmside.joined(product)
        made[f"{file.name}.report"] = repr((product, product.report.to_dict())).encode()
    return made


def survivors(plan: Plan, recipe: Recipe) -> list[Canary]:
    """Return the canaries that an output shows."""
    return [canary for found in leaks(plan, outputs(plan, recipe)).values() for canary in found]


def of(found: list[Canary]) -> Counter[str]:
    """Count canaries by what to look at first when there is one."""
    return Counter(f"{canary.category} {canary.tag:08x} {canary.charset.name}" for canary in found)


def test_the_set_is_what_it_claims_to_be(plan: Plan) -> None:
    """Lost otherwise: canaries that were never planted would count as caught."""
    assert sum(1 for _ in plan.canaries) >= 20_000
    assert [canary for file in plan.files for canary in file.lost] == []
    assert len({file.charset for file in plan.files}) == len(CHARSETS) == 8
    assert len(plan.files) == len(CHARSETS) * len(SYNTAXES)
    assert len({file.syntax for file in plan.files}) == 8  # five, and the encapsulated ones are four
    for charset in CHARSETS:
        groups = {canary.group for canary in plan.canaries if canary.charset is charset and "name" in canary.category}
        assert groups == {0, 1, 2}
    rows = {int(pattern, 16) for pattern, _, _ in ROWS if pattern.isdigit() and pattern[:4] not in {"0000", "0002"}}
    planted = {canary.tag for canary in plan.canaries if canary.category.startswith(("table/", "kept reference/"))}
    assert len(planted & rows) > 450


def test_a_planted_file_leaks_all_of_it(plan: Plan) -> None:
    """Lost otherwise: a search that finds nothing would look like a clean farm."""
    found = leaks(plan, {file.name: file.data for file in plan.files})
    assert sum(len(canaries) for canaries in found.values()) == sum(1 for _ in plan.canaries)


@pytest.mark.parametrize("name", [name for name in LEFT if name in presets()])
def test_no_canary_survives_that_the_preset_covers(plan: Plan, name: str) -> None:
    """Lost otherwise: the point of the whole program, in every encoding that instances come in."""
    recipe = preset(name)
    kept = retained(recipe) if name == "research" else set()
    found = [canary for canary in survivors(plan, recipe) if canary.tag not in kept]
    assert of([canary for canary in found if not canary.category.startswith(LEFT[name])]) == Counter()


def test_the_gate_releases_what_strict_makes(plan: Plan) -> None:
    """Lost otherwise: the gate would hold back clean files for their character set, or fail on them."""
    for file in plan.files:
        if file.name.startswith("explicit"):  # the gate's own laws know the other syntaxes
            process(file.data, preset("strict"), KeyedMapping(farmside.KEY))


def retained(recipe: Recipe) -> set[int]:
    """Return the tags whose values a recipe keeps: its keep-list, K rows, times of day where dates move by days."""
    policy = recipe.to_dict()["policy"]
    assert isinstance(policy, dict)
    options = {option.replace("-", "_") for option in policy["options"]}
    keep = {tag_for_keyword(name) or int(name[1:5] + name[6:10], 16) for name in policy["keep"]}
    for pattern, _, actions in ROWS:
        if any(f"{option}=K" in actions.split() for option in options) and pattern.isalnum() and "x" not in pattern:
            keep.add(int(pattern, 16))
        if "retain_longitudinal_modified_dates=C" in actions and "retain_longitudinal_modified_dates" in options:
            keep |= {int(pattern, 16)} if vr_of(int(pattern, 16)) == "TM" else set()
    return keep
