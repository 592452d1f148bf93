"""The README: its commands run, in their order, and its tables say what the program says."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import MISSING, fields
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from fix_farm import CT, make_instances

from farm.cli import differences, main, statuses
from farm.deid.dates import Strategy
from farm.errors import MEANING
from farm.recipe import schema
from farm.recipe.recipe import preset, presets
from farm.settings import FIELDS_DOC, Settings
from farm.stores.manifest import COLUMNS
from farm.transcoding.targets import TARGETS
from scheduler.harvest.peers import read
from scheduler.harvest.verdicts import MEANING as VERDICTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fix_cli import Cli

_README = Path(__file__).parents[2] / "README.md"
_HOME = "`/var/lib/farm` as root, else `~/.local/share/farm`"


def _rows(section: str) -> list[list[str]]:
    """Return the cells of the first table under a heading."""
    [text] = re.findall(rf"^##+ {re.escape(section)}$(.*?)(?=^##|\Z)", _README.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def _rows_from(head: str) -> list[list[str]]:
    """Return the cells of the network's table whose first column has this head."""
    text = _README.read_text()
    section = text[text.index("## From PACS and modalities") : text.index("## Keys, and what losing them means")]
    lines = section[section.index(f"| {head} |") :].splitlines()[2:]
    table = takewhile(lambda line: line.startswith("|"), lines)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]


def _commands() -> list[list[str]]:
    """Return every `farm` command of the README's shell blocks."""
    blocks = re.findall(r"^```sh$(.*?)^```$", _README.read_text(), re.DOTALL | re.MULTILINE)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("farm ")]


def _file(kind: str) -> str:
    """Return the README's one block of a kind."""
    [text] = re.findall(rf"^```{kind}\n(.*?)^```$", _README.read_text(), re.DOTALL | re.MULTILINE)
    return str(text)


def _subcommands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """Yield every command that does something, by its full name."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield name, command
    if not isinstance(command, click.Group):
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        below = command.get_command(context, word)
        assert below is not None
        yield from _subcommands(below, f"{name} {word}".strip())


def _default(name: str) -> str:
    [field] = [field for field in fields(Settings) if field.name == name]
    if field.default is MISSING:
        return _HOME
    return "" if field.default == "" else f"`{field.default}`"


def test_settings() -> None:
    """A setting that nobody reads about is a setting that nobody has; a wrong default is worse."""
    assert _rows("Settings") == [
        [f"`FARM_{name.upper()}`", _default(name), meaning] for name, meaning in FIELDS_DOC.items()
    ]
    assert list(FIELDS_DOC) == [field.name for field in fields(Settings)]


def test_exit_statuses() -> None:
    """Scripts are written from this table."""
    assert _rows("Exit statuses") == [[str(status.value), meaning] for status, meaning in statuses.MEANING.items()]


def test_reason_codes() -> None:
    """A code in a summary must lead to its meaning."""
    assert _rows("Reason codes") == [[f"`{reason.value}`", meaning] for reason, meaning in MEANING.items()]


def test_manifest_columns() -> None:
    """The manifest's readers have nothing else to go by."""
    assert _rows("Manifest") == [[f"`{column.name}`", column.kind, column.meaning] for column in COLUMNS]


def test_recipe_keys() -> None:
    """Recipes are written from this table; its middle column is what a recipe has that does not say it."""
    flat: dict[str, object] = {"$extends": "basic"}
    for key, value in preset("basic").to_dict().items():
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if isinstance(value, dict) else {key: value}
    assert {row[0].strip("`"): row[1].strip("`") for row in _rows("Your own recipe")} == {
        key: (value if isinstance(value, str) else json.dumps(value)) if value not in ("", [], {}) else "(empty)"
        for key, value in flat.items()
    }
    assert flat.keys() == set(schema.keys())


def test_verdicts() -> None:
    """Whoever orders a harvest reads from this table whether the data is whole."""
    assert _rows_from("Verdict") == [[f"`{verdict.value}`", meaning] for verdict, meaning in VERDICTS.items()]


def test_pacs_file() -> None:
    """A PACS is described by this example and table; a key that is not told is a limit that nobody sets."""
    [pacs] = read(_file("toml")).values()
    named = {name.strip("` ") for row in _rows_from("Key") for name in row[0].split(",")}
    shown = set(re.findall(r"^(\w+) =", _file("toml"), re.MULTILINE))
    assert named | shown >= {field.name for field in fields(pacs)} - {"name"}
    assert named <= {field.name for field in fields(pacs)}


def test_differences() -> None:
    """Whoever is told of a difference has to know what it is."""
    meanings = differences.MEANING.items()
    assert _rows("Verifying what was released") == [[f"`{kind.value}`", meaning] for kind, meaning in meanings]


def test_transfer_syntaxes() -> None:
    """Recipes and `--to` take these names; one that is not told is one that nobody asks for."""
    text = _README.read_text()
    names = text[text.index("## Transfer syntaxes") :].split("\n\n")[1].partition(":")[2]
    assert re.findall(r"`([^`-][^`]*)`", names) == list(TARGETS)


def test_presets() -> None:
    """Lost otherwise: people would choose a recipe by a promise that it does not keep."""
    dates = {"REMOVED": "removed", "UNMODIFIED": "kept", "MODIFIED": "shifted by {}"}
    told = []
    for recipe in map(preset, presets()):
        policy, said = recipe.policy, recipe.to_dict()
        options = ", ".join(sorted(policy.options)) or "none"
        kept = "remove" if policy.unlisted_removed else "keep"
        classes = "allow" if policy.private_classes else "refuse"
        at_risk = "quarantine" if recipe.quarantine_at_risk else "pass"
        moved = dates[policy.temporal].format(recipe.strategy)
        told.append([f"`{said['name']}`", options, moved, kept, at_risk, classes])
    assert _rows("Recipes") == told


def test_date_strategies() -> None:
    """Lost otherwise: a strategy would be there that nobody knows of."""
    assert [row[0] for row in _rows("Dates")] == [f"`{strategy.value}`" for strategy in Strategy]


def test_commands_and_options(cli: Cli) -> None:
    """Every command is listed with every option but the two that all have, and none is listed that is not there."""
    there = dict(_subcommands(main.cli, ""))
    lines = [row[0].strip("`") for row in _rows("Commands")]
    listed = {" ".join(takewhile(re.compile("[a-z]+").fullmatch, line.split()[1:])): line for line in lines}
    assert listed.keys() == there.keys()
    (about_peers,) = (
        part for part in _README.read_text().split("\n\n") if part.startswith("The commands that speak to a peer")
    )
    [about_scp] = [part for part in _README.read_text().split("\n\n") if part.startswith("`farm scp` also takes")]
    scp_too = set(re.findall(r"--[a-z-]+", about_scp))
    to_peers = set(re.findall(r"--[a-z-]+", about_peers))
    for name, line in listed.items():
        options = set(re.findall(r"--[a-z-]+", cli(*name.split(), "--help").out))
        assert "--json" in options, name
        options -= {"--help", "--json"}
        told = set(re.findall(r"--[a-z-]+", line))
        if "AET@HOST:PORT" in line:
            told |= to_peers
        if name == "scp":
            told |= scp_too
        if name == "demo":
            told.add("--workers")
        if name in {"deid", "transcode", "verify"}:
            told.add("--jobs")
        assert told == options, line


@pytest.mark.servers
def test_the_commands_run(cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer types these, one after the other; each must work, on servers of its own, from an empty home."""
    monkeypatch.setenv("FARM_HOME", str(home / "farm"))
    monkeypatch.setenv("FARM_FLOWER_PORT", "0")
    monkeypatch.chdir(tmp_path)
    make_instances(tmp_path / "scans", 4)
    (tmp_path / "scans" / "broken").write_bytes(CT.read_bytes()[:2000])
    (tmp_path / "study.yaml").write_text(_file("yaml"))
    (tmp_path / "crosswalk.csv").write_text(_file("csv"))
    said = {}
    for command in _commands():
        done = cli(*command)
        assert done.status == 0, (command, done.err)
        said[" ".join(command)] = done.out
    assert "Run 1" in said["run scans clean"]
    assert "  done           4\n" in said["status 1"]
    assert "truncated" in said["quarantine list 1"]
    assert said["quarantine retry 1 --reason truncated"].startswith("1 instances of run 1")
    assert (tmp_path / "one.dcm").is_file()
    assert said["down"] == "The farm is down.\n"
    assert "(0018,1030)" in said["recipe diff research study.yaml"]
    assert (tmp_path / "statement.md").read_text().startswith("# Conformance statement of the recipe research\n")
    assert "4712,CLINIC,S-002,-35" in (tmp_path / "who.csv").read_text()
    assert "4711" in next(out for command, out in said.items() if command.startswith("lookup S-001"))


@pytest.mark.servers
def test_the_demo(cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make demo` is a newcomer's first command: it ends well and tells counts, reasons, places and what is next."""
    makefile = _README.with_name("Makefile").read_text()
    assert "\ndemo: setup\n\t$(BIN)/farm demo\n" in makefile
    monkeypatch.setenv("FARM_HOME", str(home / "farm"))
    monkeypatch.chdir(tmp_path)
    said = cli("demo")
    assert said.status == 0, said.err
    assert said.out.startswith("Run 1 is complete: every instance is accounted for.\n")
    assert re.search(r"^ +not-dicom +\d+ +The file is not DICOM", said.out, re.MULTILINE)
    assert str(home / "farm" / "keys") in said.out
    assert "farm status 1" in said.out
    [output] = (tmp_path / "demo-output").iterdir()
    assert len(list(output.rglob("*.dcm"))) == int(re.findall(r"^  done +(\d+)$", said.out, re.MULTILINE)[0]) > 50
