"""`farm recipe`: what a recipe says once it is settled, and what it does to an attribute, without any instance.

Every answer is asked of the code that de-identifies. A recipe that cannot be used is one line with the dotted path of
what is wrong, and exit status 4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from farm.cli import screen
from farm.cli.options import json_option, recipe_option
from farm.cli.recipe_files import chosen_recipe, content
from farm.errors import BadRecipe, Reason, symbol_of
from farm.recipe import ctp, deid, differences, explain, tags
from farm.recipe.importing import Imported
from farm.recipe.recipe import preset, presets
from farm.recipe.statement import statement as written_statement

_name_argument = click.argument("name", metavar="NAME|FILE")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z-]*|\([0-9a-f]{4},[0-9a-f]{4}\)|-?[0-9]{1,7}")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@click.group()
def recipe() -> None:
    """Show, explain, compare and import recipes."""


@recipe.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the recipes that ship."""
    shipped = [preset(name) for name in presets()]
    if as_json:
        screen.emit({"recipes": [{"name": one.name, "digest": one.digest} for one in shipped]})
        return
    rows = [(one.name, one.digest[:12], ", ".join(sorted(one.policy.options)) or "(none)") for one in shipped]
    screen.tell_rows(("recipe", "digest", "options of PS3.15"), rows)


@recipe.command()
@_name_argument
@json_option
def show(*, name: str, as_json: bool) -> None:
    """Show a recipe as it is settled: with all that it extends, as YAML."""
    found = chosen_recipe(name)
    if as_json:
        screen.emit(found.to_dict())
        return
    screen.tell(f"# settled; digest {found.digest}")
    for line in _yaml(found.to_dict()):
        screen.tell(line)


@recipe.command()
@_name_argument
@json_option
def check(*, name: str, as_json: bool) -> None:
    """Check that a recipe can be used; say in one line what is wrong with it."""
    found = chosen_recipe(name)
    if as_json:
        screen.emit({"name": found.name, "digest": found.digest})
    else:
        screen.tell(f"{found.name} can be used; its digest is {found.digest}.")


@recipe.command()
@click.argument("left", metavar="NAME|FILE")
@click.argument("right", metavar="NAME|FILE")
@json_option
def diff(*, left: str, right: str, as_json: bool) -> None:
    """Show how two recipes differ: what they say, and what becomes of attributes."""
    one, other = chosen_recipe(left), chosen_recipe(right)
    keys, attributes = differences.keys(one, other), differences.attributes(one, other)
    if as_json:
        changed = {tags.written(tag): {"keyword": tags.keyword(tag), "actions": [a, b]} for tag, a, b in attributes}
        screen.emit({"keys": {key: [a, b] for key, a, b in keys}, "attributes": changed})
    elif not keys and not attributes:
        screen.tell("They do the same.")
    else:
        screen.tell_rows(("key", one.name, other.name), [(_shown(key), a or "-", b or "-") for key, a, b in keys])
        rows = [(tags.named(tag), tags.written(tag), a.value, b.value) for tag, a, b in attributes]
        screen.tell("")
        screen.tell_rows(("attribute", "tag", one.name, other.name), rows)


@recipe.command("explain")
@click.argument("tag", metavar="TAG")
@recipe_option
@click.option("--sop-class", default="", metavar="UID|NAME", help="The SOP class, which decides where Types do.")
@click.option("--path", default="", metavar="SEQ/SEQ", help="The sequences around the attribute, outermost first.")
@json_option
def explain_(*, tag: str, recipe: str, sop_class: str, path: str, as_json: bool) -> None:
    """Say what happens to the attribute TAG, by which layer and which row of the standard.

    TAG is a keyword, "(gggg,eeee)" or ggggeeee; "(60xx,eeee)" for any overlay.
    """
    wanted, uid = tags.asked(tag, "TAG"), explain.sop_class_uid(sop_class) if sop_class else ""
    told = explain.explain(chosen_recipe(recipe), wanted, uid, explain.path_of(path))
    if as_json:
        screen.emit(told.to_dict())
        return
    for line in told.lines():
        screen.tell(line)


@recipe.command()
@recipe_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file to write; else standard output.")
@json_option
def statement(*, recipe: str, out: Path | None, as_json: bool) -> None:
    """Write the conformance statement that PS3.15 E.1.3 asks for, as Markdown."""
    found = chosen_recipe(recipe)
    text = written_statement(found)
    if out is not None:
        try:
            out.write_text(text, "utf-8")
        except OSError as error:
            raise BadRecipe(Reason.BAD_OPTION, "the file of --out cannot be written", errno=symbol_of(error)) from None
    if as_json:
        told = {"statement": text} if out is None else {"out": screen.shown(out)}
        screen.emit({"name": found.name, "digest": found.digest} | told)
    elif out is None:
        click.echo(text, nl=False)
    else:
        screen.tell(f"The statement is in {screen.shown(out)}")


@recipe.group("import")
def import_() -> None:
    """Turn another program's recipe into one of the farm's.

    The recipe goes to standard output, what it cannot hold to standard error, line by line. With --json both are one
    object on standard output, `recipe` and `lost`.
    """


@import_.command("ctp")
@click.argument("file", metavar="FILE")
@json_option
def import_ctp(*, file: str, as_json: bool) -> None:
    """Read a script of the CTP DicomAnonymizer."""
    _import(file, ctp.read, as_json=as_json)


@import_.command("deid")
@click.argument("file", metavar="FILE")
@json_option
def import_deid(*, file: str, as_json: bool) -> None:
    """Read a recipe of pydicom/deid."""
    _import(file, deid.read, as_json=as_json)


def _import(file: str, read: Callable[[str], Imported], *, as_json: bool) -> None:
    imported = read(content(file))
    if as_json:
        screen.emit({"recipe": imported.recipe, "lost": [asdict(lost) for lost in imported.lost]})
        return
    click.echo(json.dumps(imported.recipe, indent=2))
    for lost in imported.lost:
        screen.say(str(lost))
    screen.say(f"{len(imported.lost)} things are not as they were; the recipe extends basic.")


def _yaml(given: object, indent: str = "") -> Iterator[str]:
    """Yield nested objects as lines of YAML that read back as they are, with keywords beside tags."""
    if isinstance(given, list):
        yield from (f"{indent}- {_scalar(entry)}{_beside(entry)}" for entry in given)
    elif isinstance(given, dict):
        for key, value in given.items():
            if isinstance(value, dict | list):
                yield f"{indent}{key}:" if value else f"{indent}{key}: {json.dumps(value)}"
                yield from _yaml(value, f"{indent}  ")
            else:
                yield f"{indent}{key}: {_scalar(value)}{_beside(key)}"


def _scalar(value: object) -> str:
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    plain = isinstance(value, bool) or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS)
    return text if plain and not (isinstance(value, str) and text.lstrip("-").isdigit()) else json.dumps(value)


def _beside(text: object) -> str:
    keyword = tags.keyword(tags.read(text, "")) if isinstance(text, str) and text.startswith("(") else ""
    return f"  # {keyword}" if keyword else ""


def _shown(key: str) -> str:
    """Return a dotted key with a tag's keyword in its place."""
    place, dot, last = key.rpartition(".(")
    return f"{place}.{tags.named(tags.read(f'({last}', ''))}" if dot else key
