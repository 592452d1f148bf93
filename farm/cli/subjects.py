"""`farm subjects` and `farm lookup`: crosswalks in and out, and the way back from a pseudonym or a new UID.

Whatever prints or writes an original needs the vault key and a reason, and is in the audit before it is opened.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from farm.cli import screen
from farm.cli.kept_apart import written
from farm.cli.keys import make_keys
from farm.cli.options import json_option, project_option, settings_with
from farm.cli.tables import actor, registry
from farm.deid.subjects import parts
from farm.errors import BadRecipe, Reason
from farm.registry.crosswalk import COLUMNS, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.deid.mapping import MappedSubject
    from farm.registry import Registry

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")


def _reason(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("say why.")
    return value


why_option = click.option("--why", metavar="TEXT", required=True, callback=_reason, help="The reason, for the audit.")


@click.group()
def subjects() -> None:
    """Import, list or export which pseudonym stands for whom."""


@subjects.command("import")
@click.argument("file", metavar="CSV", type=click.File("r", encoding="utf-8-sig"))
@click.option("--domain", metavar="TEXT", default="", help="The issuer where none is given, as in the recipe.")
@project_option
@json_option
def import_(*, file: TextIO, domain: str, project: str | None, as_json: bool) -> None:
    """Import a crosswalk: lines of id, pseudonym and, if wanted, offset_days.

    The first line may name the columns: id, issuer, pseudonym, offset_days. All lines are imported or none. A subject
    that is there already keeps what it has; a line that says otherwise is refused.
    """
    settings = settings_with(project=project)
    lines = list(read(file, domain=domain))
    make_keys(settings, "project", "vault")
    with registry(settings, make=True) as table:
        project_id = table.open_project(settings.project)
        count, new = table.import_crosswalk(project_id, lines, actor=actor())
    if as_json:
        screen.emit({"project": settings.project, "lines": count, "new": new})
    else:
        screen.tell(f"{count:,} lines are in the crosswalk of {settings.project}; {new:,} subjects are new.")


@subjects.command("list")
@project_option
@json_option
def list_(*, project: str | None, as_json: bool) -> None:
    """List the pseudonyms of a project; who they are is not shown."""
    settings = settings_with(project=project)
    with registry(settings) as table:
        rows = list(table.subjects(table.project_id(settings.project)))
    if as_json:
        known = [{"pseudonym": pseudonym, "date_shift": has_shift} for pseudonym, has_shift in rows]
        screen.emit({"project": settings.project, "subjects": known})
    elif rows:
        screen.tell_rows(("pseudonym", "date shift"), [(name, "yes" if shift else "no") for name, shift in rows])
    else:
        screen.tell(f"The project {settings.project} has no subjects yet.")


@subjects.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file to write; it must not exist.")
@why_option
@project_option
@json_option
def export(*, out: Path, why: str, project: str | None, as_json: bool) -> None:
    """Export who stands behind each pseudonym as a crosswalk, for your eyes alone (mode 0600)."""
    settings = settings_with(project=project)
    with registry(settings) as table:
        project_id = table.project_id(settings.project)
        with written(out) as file:
            count = _write(file, table.export(project_id, actor=actor(), why=why))
    if as_json:
        screen.emit({"project": settings.project, "subjects": count})
    else:
        screen.tell(f"{count:,} subjects in {screen.shown(out)}: it says who they are.")


def _write(file: TextIO, rows: Iterable[MappedSubject]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for subject in rows:
        issuer, patient_id = parts(subject.original)
        writer.writerow((patient_id, issuer, subject.pseudonym, subject.date_shift_days or ""))
        count += 1
    return count


@click.command()
@click.argument("name", metavar="ID|UID")
@why_option
@project_option
@json_option
def lookup(*, name: str, why: str, project: str | None, as_json: bool) -> None:
    """Tell what a pseudonym or a new UID was before."""
    settings = settings_with(project=project)
    with registry(settings) as table:
        found = _found(table, table.project_id(settings.project), name, why)
    if as_json:
        screen.emit({"project": settings.project, **found})
    else:
        titles = {"id": "Patient ID", "issuer": "Issuer", "uid": "UID"}
        screen.tell_rows(("", ""), [(titles[kind], _safe(value)) for kind, value in found.items()])


def _found(table: Registry, project_id: int, name: str, why: str) -> dict[str, str]:
    if _UID.fullmatch(name):
        uid = table.original_uid(project_id, name, actor=actor(), why=why)
        if uid is not None:
            return {"uid": uid}
    subject = table.original_subject(project_id, name, actor=actor(), why=why)
    if subject is None:
        raise BadRecipe(Reason.BAD_OPTION, "the project has given out no such pseudonym or UID")
    issuer, patient_id = parts(subject)
    return {"id": patient_id, "issuer": issuer}


def _safe(value: str) -> str:
    """Return an original in characters that do nothing to a terminal."""
    return value.encode("unicode_escape").decode("ascii")
