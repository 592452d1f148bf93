"""`farm subjects`, `farm lookup` and `farm quarantine show`: who is who, for those who may know, and on record."""

from __future__ import annotations

import csv
import json
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pydicom
import pytest
from fix_farm import CT, make_instances, visible

from farm.cli.statuses import Status
from farm.recipe import tags

if TYPE_CHECKING:
    from fix_cli import Cli, Said
    from fix_farm import Opener

    from farm.settings import Settings

pytestmark = pytest.mark.servers

_TABLE = "id,issuer,pseudonym,offset_days\nMRN4711,CLINIC,S-1,-30\nMRN4712,,S-2,\n"


def audit(settings: Settings) -> list[tuple[str, dict[str, object]]]:
    """Return what the audit holds."""
    with psycopg.connect(settings.database_url) as conn:
        return conn.execute("SELECT action, fields FROM registry.audit ORDER BY id").fetchall()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a crosswalk."""
    path = tmp_path / "crosswalk.csv"
    path.write_text(_TABLE)
    return path


def _words(*said: Said) -> str:
    return "".join(one.out + one.err for one in said)


def test_a_crosswalk_goes_in_and_comes_out(farm: Cli, settings: Settings, table: Path, tmp_path: Path) -> None:
    """Lost otherwise: a study's own numbers could not be brought in, or not be taken elsewhere."""
    first = farm("subjects", "import", table, "--project", "trial", "--domain", "HOME")
    assert first.status == Status.DONE, first.err
    assert first.out == "2 lines are in the crosswalk of trial; 2 subjects are new.\n"
    again = farm("subjects", "import", table, "--project", "trial", "--domain", "HOME", "--json")
    assert again.json == {"project": "trial", "lines": 2, "new": 0}
    listed = farm("subjects", "list", "--project", "trial")
    assert listed.out == "pseudonym  date shift\nS-1        yes\nS-2        no\n"
    assert farm("subjects", "list", "--project", "trial", "--json").json["subjects"] == [
        {"pseudonym": "S-1", "date_shift": True},
        {"pseudonym": "S-2", "date_shift": False},
    ]
    assert "MRN" not in _words(first, again, listed)
    out = tmp_path / "out.csv"
    exported = farm("subjects", "export", "--out", out, "--why", "move", "--project", "trial")
    assert exported.out.startswith("2 subjects in ")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with out.open(newline="") as file:
        rows = list(csv.reader(file))
    head = ["id", "issuer", "pseudonym", "offset_days"]
    assert rows == [head, ["MRN4711", "CLINIC", "S-1", "-30"], ["MRN4712", "HOME", "S-2", ""]]
    assert farm("subjects", "import", out, "--project", "trial", "--json").json == {
        "project": "trial",
        "lines": 2,
        "new": 0,
    }
    assert farm("subjects", "export", "--out", out, "--why", "again", "--project", "trial").status == Status.ORDER
    assert [(action, fields.get("why")) for action, fields in audit(settings)] == [
        ("project created", None),
        ("crosswalk imported", None),
        ("crosswalk imported", None),
        ("subjects exported", "move"),
        ("crosswalk imported", None),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("MRN4711,S-9\n", "mapping-mismatch: line 1 of the crosswalk contradicts what was imported before it"),
        ("MRN4713,S-3\nMRN4714\n", "bad-option: line 2 of the crosswalk has too many or too few columns"),
    ],
)
def test_a_crosswalk_that_is_refused(farm: Cli, table: Path, text: str, told: str) -> None:
    """Lost otherwise: a wrong table would be imported in part, or the screen show who is in it."""
    table.write_text("MRN4711,S-1\n")
    assert farm("subjects", "import", table).status == Status.DONE
    table.write_text(text)
    said = farm("subjects", "import", table)
    assert (said.status, said.out, said.err) == (Status.ORDER, "", f"farm: {told}\n")
    assert farm("subjects", "list").out.split() == ["pseudonym", "date", "shift", "S-1", "no"]


def test_the_way_back(farm: Cli, settings: Settings, tmp_path: Path) -> None:
    """Lost otherwise: a finding could not be told to the patient's physician, or be looked up without a trace."""
    make_instances(tmp_path / "in", 2)
    assert farm("run", tmp_path / "in", tmp_path / "out").status == Status.DONE
    path = visible(tmp_path / "out")[0].relative_to(tmp_path / "out")
    pseudonym, study, *_ = path.parts
    patient = farm("lookup", pseudonym, "--why", "recall")
    assert (patient.status, patient.out.split()) == (Status.DONE, ["Patient", "ID", "1CT1", "Issuer"])
    uid = farm("lookup", study, "--why", "recall", "--json")
    assert uid.json == {"project": "default", "uid": "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"}
    for name in ("NOBODY", "2.25.1", "1.2.3"):
        none = farm("lookup", name, "--why", "guess")
        assert (none.status, none.out) == (Status.ORDER, "")
    noted = [fields for action, fields in audit(settings) if action.endswith("look-up")]
    assert noted[:2] == [{"subject": pseudonym, "why": "recall"}, {"uid": study, "why": "recall"}]
    assert {"uid": "", "why": "guess"} in noted


@pytest.mark.parametrize(
    "line",
    ["lookup X", "lookup X --why", "lookup X --why=", "subjects export --out x", "subjects import", "quarantine show"],
)
def test_a_reason_has_to_be_given(cli: Cli, line: str) -> None:
    """Lost otherwise: the audit would say that someone looked, and never why."""
    assert cli(*line.split()).status == Status.USAGE


def test_without_a_key_there_is_no_way_back(cli: Cli, tmp_path: Path) -> None:
    """Lost otherwise: a look with the wrong home would make new keys there, and start a server for nothing."""
    for line in ("lookup X --why y", "subjects list", "quarantine show 1 --reveal --why y"):
        said = cli(*line.split())
        assert (said.status, said.out) == (Status.ORDER, "")
        assert said.err.startswith("farm: bad-key: there is no ")
    assert not (tmp_path / "home").exists()


def test_a_quarantined_instance_is_revealed_on_record(farm: Cli, settings: Settings, tmp_path: Path) -> None:
    """Lost otherwise: nobody could find the file that has to be mended, or anybody could, unseen."""
    source = tmp_path / "Doe^Jane"
    source.mkdir()
    (source / "Doe^cut").write_bytes(CT.read_bytes()[:2000])
    assert farm("run", source, tmp_path / "out").status == Status.DONE
    [row] = farm("quarantine", "list", "--json").json["quarantined"]
    number = str(row["instance"])
    plain = farm("quarantine", "show", number)
    assert plain.status == Status.DONE
    assert "truncated" in plain.out
    assert "The data set ends inside an element." in plain.out
    assert farm("quarantine", "show", number, "--json").json == {"run": 1} | row
    for wrong in (("--reveal",), ("--why", "curiosity"), ("--reveal", "--why", " ")):
        assert farm("quarantine", "show", number, *wrong).status == Status.USAGE
    gone = farm("quarantine", "show", "999999", "--reveal", "--why", "guess")
    assert (gone.status, gone.out) == (Status.ORDER, "")
    assert [action for action, _ in audit(settings)] == ["project created"]
    assert "Doe" not in _words(plain, gone)

    revealed = farm("quarantine", "show", number, "--reveal", "--why", "to mend it")
    assert str(source / "Doe^cut") in revealed.out
    told = farm("quarantine", "show", number, "--reveal", "--why", "again", "--json").json
    assert told["source"] == str(source / "Doe^cut")
    fields = [fields for action, fields in audit(settings) if action == "quarantine look-up"]
    assert fields == [{"instance": row["instance"], "why": why} for why in ("to mend it", "again")]


def test_all_quarantined_sources_are_revealed_on_record(
    farm: Cli, opened: Opener, source: Path, settings: Settings, tmp_path: Path
) -> None:
    """Lost otherwise: who has to mend ten thousand files would have to ask for each, or write what anybody may read."""
    out = tmp_path / "sources.csv"
    (source / 'Doe, "empty"').touch()
    odd = Path(os.fsdecode(os.fsencode(source) + b"/\xe9"))
    odd.write_text("Doe^Jane")
    opened()  # which refuses both at once
    wanted = ("--reveal", "--why", "to mend them", "--out", out)
    for wrong in (wanted[:1], wanted[:3], wanted[1:], ("--reveal", "--why", " ", "--out", out)):
        assert farm("quarantine", "list", *wrong).status == Status.USAGE
    said = farm("quarantine", "list", *wanted)
    assert said.out == f"2 sources in {out}: paths may say who they are.\n"
    assert out.stat().st_mode & 0o777 == 0o600
    with out.open(newline="", errors="surrogateescape") as file:
        told = {(row["reason"], row["source"]) for row in csv.DictReader(file)}
    assert told == {("empty-file", str(source / 'Doe, "empty"')), ("not-dicom", str(odd))}
    assert farm("quarantine", "list", *wanted).status == Status.ORDER
    some = farm("quarantine", "list", "1", "--reason", "no-uid", *wanted[:-1], tmp_path / "none.csv", "--json")
    assert some.json == {"run": 1, "sources": 0}
    assert audit(settings)[1] == ("quarantine exported", {"run": 1, "reason": "", "why": "to mend them"})
    assert "Doe" not in _words(said, some)


def test_the_audit_comes_first(farm: Cli, settings: Settings, tmp_path: Path) -> None:
    """Lost otherwise: whoever has another vault key could try without a trace, or see what the audit does not say."""
    make_instances(tmp_path / "in", 1)[0].write_bytes(CT.read_bytes()[:2000])
    assert farm("run", tmp_path / "in", tmp_path / "out").status == Status.DONE
    [row] = farm("quarantine", "list", "--json").json["quarantined"]
    key = settings.vault_key_path
    head, _ = key.read_text().splitlines()
    key.write_text(f"{head}\n{'0' * 64}\n")
    said = farm("quarantine", "show", str(row["instance"]), "--reveal", "--why", "try")
    assert (said.status, said.out) == (Status.ORDER, "")
    assert "bad-key" in said.err
    assert audit(settings)[-1][0] == "quarantine look-up"


def test_what_is_held_back_for_review_is_told_and_let_go_on_record(
    farm: Cli, settings: Settings, tmp_path: Path
) -> None:
    """Lost otherwise: nobody could see what there is to review, or let it go, or it would go and nobody knew."""
    [path] = make_instances(tmp_path / "in", 1)
    instance = pydicom.dcmread(path)
    instance.PatientName = "Okafor^Adaeze"
    instance.add_new(0x00540400, "LO", "Adaeze seen")
    instance.save_as(path)
    order = ("run", tmp_path / "in", tmp_path / "out", "--recipe", "basic")
    assert farm(*order).status == Status.DONE
    [row] = farm("quarantine", "list", "--json").json["quarantined"]
    number = str(row["instance"])
    assert row["reason"] == "gate-review"
    assert row["findings"] == {"count": 1, "places": [{"kind": "name", "tag": "(0054,0400)", "path": []}]}
    shown = farm("quarantine", "show", number)
    assert "name in " + tags.named(0x00540400) in shown.out
    manifest = farm("manifest", "1", "--out", "-")
    assert json.loads(manifest.out)["findings"] == row["findings"]
    assert "Adaeze" not in _words(shown, manifest)

    assert farm("quarantine", "release", number).status == Status.USAGE
    assert farm("quarantine", "release", number, "--why", " ").status == Status.USAGE
    said = farm("quarantine", "release", number, "--why", "a city", "--json")
    assert said.json == {"run": 1, "released": row["instance"]}
    assert audit(settings)[-1] == (
        "quarantine release",
        {"instance": row["instance"], "findings": 1, "why": "a city"},
    )
    assert farm(*order).status == Status.DONE
    done = json.loads(farm("manifest", "1", "--out", "-").out)
    assert (done["state"], done["counts"]["waived"], done["findings"]) == ("done", 1, None)
    assert farm("quarantine", "release", number, "--why", "again").status == Status.ORDER


def test_only_what_is_held_back_for_review_is_let_go(farm: Cli, settings: Settings, tmp_path: Path) -> None:
    """Lost otherwise: what is broken would count as released, or whoever lacks the vault key would decide."""
    make_instances(tmp_path / "in", 1)[0].write_bytes(CT.read_bytes()[:2000])
    assert farm("run", tmp_path / "in", tmp_path / "out").status == Status.DONE
    [row] = farm("quarantine", "list", "--json").json["quarantined"]
    said = farm("quarantine", "release", str(row["instance"]), "--why", "try")
    assert said.status == Status.ORDER
    assert "only what is held back for review" in said.err
    assert [action for action, _ in audit(settings)] == ["project created"]
