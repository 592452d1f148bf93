"""The text of a recipe, as JSON or YAML, to nested objects.

A key that stands twice is refused in both: the one that loses is a rule that somebody wrote. Of YAML only what JSON can
say is read, by the plain rules of YAML 1.2: no dates, no `yes` for true, no octal numbers, and eight digits are a tag
or a day, never a number. Anchors, aliases and tags are refused. No line of a text is ever quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable

import yaml

from farm.errors import BadRecipe, Reason

_KINDS: tuple[tuple[str, str, str], ...] = (
    ("tag:yaml.org,2002:bool", r"true|false", "tf"),
    ("tag:yaml.org,2002:null", r"null|~", "n~"),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]{0,6})", "-+0123456789"),
)


class _Loader(yaml.SafeLoader):
    """YAML that says no more than JSON can."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML declares it

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node; refuse what could make a graph or another type of it."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = True) -> dict[Hashable, object]:  # noqa: ARG002, FBT001, FBT002 - as PyYAML calls it
        """Construct an object whose keys are texts, each but once."""
        made: dict[Hashable, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value in made:
                raise yaml.MarkedYAMLError(problem_mark=key.start_mark)
            made[key.value] = self.construct_object(value, deep=True)
        return made


for _tag, _form, _first in _KINDS:
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_form})$"), list(_first))


def read_json(text: str) -> object:
    """Read JSON; raise `BadRecipe` with the line where it is wrong."""
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise BadRecipe(Reason.BAD_RECIPE, "the recipe is not valid JSON", line=error.lineno) from None
    except (ValueError, RecursionError):
        raise BadRecipe(Reason.BAD_RECIPE, "the recipe is not valid JSON") from None


def read_yaml(text: str) -> object:
    """Read YAML; raise `BadRecipe` with the line where it is wrong, or says what JSON cannot."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        hint = "the recipe is not plain YAML, or a key stands twice"
        raise BadRecipe(Reason.BAD_RECIPE, hint, line=line) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise BadRecipe(Reason.BAD_RECIPE, "the recipe is not valid YAML") from None


def _once(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Return an object; raise `BadRecipe` for a key that stands twice."""
    made: dict[str, object] = {}
    for key, value in pairs:
        if key in made:
            raise BadRecipe(Reason.BAD_RECIPE, f"a key stands twice: {key}")
        made[key] = value
    return made
