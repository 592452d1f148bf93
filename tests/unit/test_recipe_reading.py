"""The text of recipes: JSON and YAML, and what neither may say."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from farm.errors import BadRecipe
from farm.recipe.reading import read_json, read_yaml
from farm.recipe.recipe import Recipe

Read = Callable[[str], object]
_TEXT = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x2FF, categories=["L", "N", "P", "S", "Zs"]), max_size=9
)
_OBJECTS = st.dictionaries(
    _TEXT, st.recursive(st.booleans() | st.none() | st.integers(-999, 999) | _TEXT, st.lists, max_leaves=5), max_size=4
)


@for_all(_OBJECTS)
def test_json_is_yaml_too(value: object) -> None:
    """Lost otherwise: a recipe would mean another thing by its file's name."""
    text = json.dumps(value)
    assert read_yaml(text) == read_json(text) == value


def test_yaml_guesses_nothing() -> None:
    """Lost otherwise: a tag would become an octal number, a day an integer, a domain `NO` false."""
    text = """
subject: {domain: NO, prefix: 1:30}
dates:
  anchor: 20000101
  days: -30
policy:
  allow_weaken: true
  keep: [00181210, 10001000]
  attributes:
    (0018,1030): X
    00200010: Z
uids: {root: 2.25}
"""
    assert read_yaml(text) == {
        "subject": {"domain": "NO", "prefix": "1:30"},
        "dates": {"anchor": "20000101", "days": -30},
        "policy": {
            "allow_weaken": True,
            "keep": ["00181210", "10001000"],
            "attributes": {"(0018,1030)": "X", "00200010": "Z"},
        },
        "uids": {"root": "2.25"},
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [SECRET", 2),
        ("a: 1\na: 2", 2),
        ("a:\n  b: 1\n  b: SECRET", 3),
        ("a: &x 1\nb: 2", 1),
        ("a: 1\nb: *x", 2),
        ("a: 1\nb: !!python/object:os.system SECRET", 2),
        ("? [a]\n: 1", 1),
        ("a: 1\n\tb: 2", 2),
        ("a: 1\n---\nb: SECRET", 2),
    ],
)
def test_yaml_that_is_not_plain_is_refused_with_its_line(text: str, line: int) -> None:
    """Lost otherwise: a graph, a type of Python's or a rule that loses to its double would come in."""
    with pytest.raises(BadRecipe) as raised:
        read_yaml(text)
    assert raised.value.fields == {"line": line}
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("read", [read_json, read_yaml])
@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, "\x00", "a: \ud800", "[1" + "0" * 5000 + "]"])
def test_hostile_text_is_refused_or_read_but_does_no_harm(read: Read, text: str) -> None:
    """Lost otherwise: a recipe could end the program with a traceback."""
    with suppress(BadRecipe):
        read(text)


def test_json_with_a_key_twice_is_refused() -> None:
    """Lost otherwise: the rule that loses would be ignored in silence."""
    with pytest.raises(BadRecipe, match="a key stands twice: policy"):
        read_json('{"policy": {}, "name": "x", "policy": {}}')


def test_a_decimal_is_a_number_where_one_is_meant() -> None:
    """Lost: a step or a distance could be written in JSON alone, or the root 2.25 would have to be quoted."""
    given = read_yaml("coding:\n  step: 0.25\n  distance: 2\nuids:\n  root: 2.25\n")
    recipe = Recipe.from_dict(given)
    assert (recipe.coding.step, recipe.coding.distance, recipe.uid_root) == (0.25, 2, "2.25")
    with pytest.raises(BadRecipe, match=r"coding.step: must be a number from"):
        Recipe.from_dict(read_yaml("coding:\n  step: 0.75\n"))
    with pytest.raises(BadRecipe, match=r"coding.step: must be a number"):
        Recipe.from_dict(read_yaml("coding:\n  step: little\n"))
