"""Replaying: an input, the recipe that a run stored, and the project's key give the same bytes, whoever asks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import farmside
import pytest
import trees

from farm.deid.keys import ProjectKey
from farm.deid.mapping import KeyedMapping
from farm.pipeline import Report, needs, process, survey
from farm.recipe.recipe import Recipe, preset, presets
from tests.generate import ct, encode, enhanced_mr, report

ROOT = Path(__file__).parents[2]
OTHER = ProjectKey(b"another key of thirty-two bytes!")
PROGRAM = """
import json, sys
from pathlib import Path
from farm.deid.keys import ProjectKey
from farm.deid.mapping import KeyedMapping
from farm.pipeline import process
from farm.recipe.recipe import Recipe

order = json.load(sys.stdin)
answers = []
for recipe_json, name in order["work"]:
    recipe = Recipe.from_json(recipe_json)
    mapping = KeyedMapping(ProjectKey(bytes.fromhex(order["key"])), recipe.scheme)
    product = process(Path(name).read_bytes(), recipe, mapping)
    answers.append([product.report.to_dict(), b"".join(product.segments).hex()])
json.dump(answers, sys.stdout)
"""


@cache
def inputs() -> dict[str, bytes]:
    """Return instances of several subjects, kinds and encodings."""
    made = {f"ct{series}-{number}": encode(ct(series, number, side=8)) for series in (1, 2) for number in (0, 1)}
    made["frames"] = encode(enhanced_mr(3, frames=3), undefined_lengths=True)
    made["report"] = encode(report(4, elements=300))
    made["implicit"] = trees.file(trees.identity(b"someone else"), "implicit")
    return made


def one(data: bytes, recipe: Recipe) -> tuple[bytes, Report]:
    """Return the output and the report of one instance."""
    product = process(data, recipe, KeyedMapping(farmside.KEY, recipe.scheme))
    return b"".join(product.segments), product.report


def elsewhere(work: list[tuple[str, str]], seed: str) -> list[tuple[dict[str, object], bytes]]:
    """Return what another process, with another order of hashes, makes of files by recipes given as JSON."""
    order = json.dumps({"key": farmside.KEY.secret.hex(), "work": work})
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Pacific/Chatham", "LC_ALL": "C"}
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=order,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [(told, bytes.fromhex(output)) for told, output in json.loads(made.stdout)]


@pytest.mark.parametrize(("seed", "backwards"), [("1", False), ("4711", True)])
def test_another_process_makes_the_same_bytes(tmp_path: Path, seed: str, *, backwards: bool) -> None:
    """Lost otherwise: a retried instance would differ from its manifest line, and no output could be proven."""
    for name, data in inputs().items():
        (tmp_path / name).write_bytes(data)
    pairs = [(preset(recipe), name) for recipe in presets() for name in inputs()]
    pairs = pairs[::-1] if backwards else pairs
    answers = elsewhere([(recipe.to_json(), str(tmp_path / name)) for recipe, name in pairs], seed)
    for (recipe, name), (told, output) in zip(pairs, answers, strict=True):
        here, known = one(inputs()[name], recipe)
        assert output == here, (recipe.name, name)
        assert told == known.to_dict(), (recipe.name, name)


@pytest.mark.parametrize("name", presets())
def test_what_was_processed_before_changes_nothing(name: str) -> None:
    """Lost otherwise: an instance's bytes would hang on its neighbours in a parcel."""
    fresh = {key: one(data, Recipe.from_json(preset(name).to_json())) for key, data in inputs().items()}
    for before in inputs().values():
        for other in presets():
            process(before, preset(other), KeyedMapping(OTHER, preset(other).scheme))
        for key, data in reversed(inputs().items()):
            assert one(data, preset(name)) == fresh[key], key


@pytest.mark.parametrize("name", presets())
def test_a_stored_recipe_is_the_recipe(name: str) -> None:
    """Lost otherwise: workers would do something else than what was asked for, under the same digest or another."""
    recipe = preset(name)
    stored = Recipe.from_json(recipe.to_json())
    assert stored == recipe
    assert stored.digest == recipe.digest
    assert stored.to_json() == recipe.to_json()


@pytest.mark.parametrize("name", presets())
def test_looking_at_an_instance_changes_nothing(name: str) -> None:
    """Lost otherwise: a survey for the registry would leave its stand-ins in the output."""
    for data in inputs().values():
        before = one(data, preset(name))
        needs(data, preset(name))
        survey(data[:65536])
        assert one(data, preset(name)) == before


def test_another_key_makes_another_output() -> None:
    """Lost otherwise: projects could be joined by what their outputs share."""
    recipe = preset("research")
    for data in inputs().values():
        mine, mine_told = one(data, recipe)
        product = process(data, recipe, KeyedMapping(OTHER, recipe.scheme))
        assert b"".join(product.segments) != mine
        names = {product.report.subject, product.report.study, product.report.series, product.report.instance}
        assert names.isdisjoint({mine_told.subject, mine_told.study, mine_told.series, mine_told.instance})
