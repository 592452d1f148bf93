"""`farm recipe`, as people use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.cli.statuses import Status
from farm.recipe.recipe import Recipe, preset, presets

if TYPE_CHECKING:
    from fix_cli import Cli


@pytest.mark.parametrize("name", presets())
def test_what_is_shown_is_a_recipe_again(cli: Cli, tmp_path: Path, name: str) -> None:
    """Lost otherwise: a settled recipe could not be kept, reviewed and given again."""
    path = tmp_path / "shown.yaml"
    path.write_text(cli("recipe", "show", name).out)
    assert cli("recipe", "check", path, "--json").json["digest"] == preset(name).digest
    assert Recipe.from_dict(cli("recipe", "show", name, "--json").json) == preset(name)


def test_the_list(cli: Cli) -> None:
    """Lost otherwise: nobody would know which recipes ship."""
    said = cli("recipe", "list")
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == presets()
    assert [one["name"] for one in cli("recipe", "list", "--json").json["recipes"]] == presets()


def test_a_recipe_of_several_files(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: files would be sought relative to where the command is called."""
    (tmp_path / "site").mkdir()
    (tmp_path / "network.yml").write_text("$extends: research\nname: network\npolicy:\n  keep: [FrameLabel]\n")
    (tmp_path / "site" / "ct").write_text("# no suffix\n$extends: ../network.yml\nname: NO\n")
    monkeypatch.chdir(tmp_path / "site")
    shown = cli("recipe", "show", "./ct", "--json").json
    assert shown["name"] == "NO"
    assert "(0020,9453)" in shown["policy"]["keep"]
    assert "$extends" not in shown
    assert cli("recipe", "show", tmp_path / "site" / "ct", "--json").json == shown
    assert 'name: "NO"' in cli("recipe", "show", "./ct").out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$extends: a.yaml", "$extends: goes round in a circle: a.yaml -> a.yaml"),
        ("policy: {unlistd: remove}", "policy.unlistd: no such key; did you mean policy.unlisted?"),
        ("policy: {attributes: {AccessionNumber: K}}", "policy.attributes.AccessionNumber: K leaves more than Z"),
        ("policy:\n  keep: []\n  keep: []", "a key stands twice (line=3)"),
        ("$extends: gone.yaml", "$extends: the recipe file cannot be read"),
        ("- a", "a recipe must be an object"),
    ],
)
def test_what_is_wrong_is_one_line(cli: Cli, tmp_path: Path, text: str, told: str) -> None:
    """Lost otherwise: people would have to guess, or a wrong recipe would be used."""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    said = cli("recipe", "check", path)
    assert said.status == Status.ORDER
    assert said.err.startswith("farm: bad-recipe: ")
    assert said.err.count("\n") == 1
    assert told in said.err
    assert said.out == ""
    assert str(tmp_path) not in said.err


def test_check_says_that_it_is_right(cli: Cli) -> None:
    """Lost otherwise: silence would have to be trusted."""
    said = cli("recipe", "check", "research")
    assert said.status == Status.DONE
    assert preset("research").digest in said.out


def test_explain(cli: Cli) -> None:
    """Lost otherwise: nobody could answer for an attribute without reading the code."""
    said = cli("recipe", "explain", "OperatorsName", "--sop-class", "CT Image Storage", "--recipe", "research")
    assert said.out.splitlines() == [
        "(0008,1070) OperatorsName, VR PN",
        "removed (X) by profile: E.1-1 X/Z/D, Type 3 here",
        "row of table E.1-1: Basic X/Z/D",
        "Type 3 at this place of the SOP class",
    ]
    told = cli("recipe", "explain", "(0018,1210)", "--recipe", "research", "--json").json
    assert (told["keyword"], told["action"], told["layer"]) == ("ConvolutionKernel", "K", "keep-list")
    inside = cli("recipe", "explain", "PatientID", "--path", "OriginalAttributesSequence")
    assert "gone with OriginalAttributesSequence" in inside.out
    name = cli("recipe", "explain", "PatientName").out.splitlines()
    assert name[1] == "replaced by the subject's pseudonym (Z) by profile: E.1-1 Z"
    assert cli("recipe", "explain", "PatientName", "--json").json["means"] == "replaced by the subject's pseudonym"
    overlay = cli("recipe", "explain", "(60xx,3000)")
    assert overlay.out.startswith("(6000,3000) ")
    assert "overlays and curves" in overlay.out
    wrong = cli("recipe", "explain", "PatientNmae")
    assert wrong.status == Status.ORDER
    assert "did you mean PatientName?" in wrong.err


def test_diff(cli: Cli) -> None:
    """Lost otherwise: a change of recipe could not be reviewed by what it does."""
    said = cli("recipe", "diff", "basic", "strict")
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert "policy.unlisted keep remove" in lines
    assert "ConvolutionKernel (0018,1210) K X" in lines
    assert cli("recipe", "diff", "basic", "basic").out == "They do the same.\n"
    told = cli("recipe", "diff", "basic", "strict", "--json").json
    assert told["attributes"]["(0018,1210)"] == {"keyword": "ConvolutionKernel", "actions": ["K", "X"]}


def test_the_statement(cli: Cli, tmp_path: Path) -> None:
    """Lost otherwise: E.1.3's shall would be met on paper alone."""
    shown = cli("recipe", "statement", "--recipe", "research").out
    assert shown.startswith("# Conformance statement of the recipe research\n")
    out = tmp_path / "statement.md"
    assert cli("recipe", "statement", "--recipe", "research", "--out", out).status == Status.DONE
    assert out.read_text() == shown
    assert cli("recipe", "statement", "--recipe", "research", "--json").json["statement"] == shown
    assert cli("recipe", "statement", "--out", tmp_path / "no" / "x.md").status == Status.ORDER


@pytest.mark.parametrize(
    ("kind", "text", "lost"),
    [
        ("ctp", '<script>\n<e en="T" t="00181210">@remove()</e>\n<e en="T" t="00100040">@keep()</e>\n</script>', 3),
        ("deid", "FORMAT dicom\n%header\nREMOVE ConvolutionKernel\nKEEP PatientSex\n", 4),
    ],
)
def test_import(cli: Cli, tmp_path: Path, kind: str, text: str, lost: int) -> None:
    """Lost otherwise: what could not be carried over would be mixed up with the recipe, or go unsaid."""
    given, made = tmp_path / "given", tmp_path / "made.json"
    given.write_text(text)
    said = cli("recipe", "import", kind, given)
    made.write_text(said.out)
    assert json.loads(said.out)["policy"] == {"attributes": {"ConvolutionKernel": "X"}}
    assert said.err.startswith(f"line {lost}: PatientSex: ")
    told = cli("recipe", "import", kind, given, "--json").json
    assert (told["recipe"], told["lost"][0]["line"]) == (json.loads(said.out), lost)
    assert cli("recipe", "check", made).status == Status.DONE
    given.write_bytes(b"\xff\xfe\x00")
    assert cli("recipe", "import", kind, given).status == Status.ORDER
