from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from farm.errors import BadRecipe, Reason
from scheduler.harvest.peers import Tls, load, read

if TYPE_CHECKING:
    from pathlib import Path

LEAST = '[A]\nhost = "localhost"\nport = 104\nae_title = "PACS"\n'
WHOLE = """
[HOUSE]
host = "pacs.example"
port = 11112
ae_title = "HOUSE_PACS"
calling_ae_title = "RESEARCH"
retrieve = "move"
move_destination = "FARM_IN"
move_port = 11113
move_from = ["NODE2@10.1.0.0/16"]
associations = 4
rate = 50
burst = 200.5
windows = ["Mon-Fri 19:00-06:00", "Sat,Sun 00:00-24:00"]
timezone = "Europe/Berlin"
utilisation = 0.5
find_limit = 500
timeout_s = 60
settle_s = 0
tls = { ca = "ca.pem", certificate = "farm.pem", key = "farm.key" }
"""


def refused(text: str) -> str:
    """Return how a file is refused."""
    with pytest.raises(BadRecipe) as caught:
        read(text)
    assert caught.value.reason is Reason.BAD_OPTION
    assert "\n" not in str(caught.value)
    return caught.value.hint


def test_the_least_that_must_be_said() -> None:
    """Lost otherwise: people would have to write down what is the same everywhere."""
    pacs = read(LEAST)["A"]
    assert (pacs.name, pacs.retrieve, pacs.associations, pacs.rate, pacs.utilisation) == ("A", "auto", 2, 0.0, 1.0)
    assert (pacs.calling_ae_title, pacs.timeout_s, pacs.settle_s, pacs.find_limit, pacs.tls) == (
        "FARM",
        30,
        10,
        0,
        None,
    )
    assert pacs.query_rate == 10
    assert pacs.open_windows().open_at(datetime.now(UTC))


def test_all_that_can_be_said() -> None:
    """Lost otherwise: a limit that somebody wrote would not be kept."""
    pacs = read(LEAST + WHOLE)["HOUSE"]
    assert (pacs.rate, pacs.burst, pacs.find_limit, pacs.move_destination) == (50.0, 200.5, 500, "FARM_IN")
    assert (pacs.moves, pacs.move_from) == (True, ("NODE2@10.1.0.0/16",))
    assert type(pacs.rate) is float
    assert pacs.tls == Tls(ca="ca.pem", certificate="farm.pem", key="farm.key", verify=True)
    assert not pacs.open_windows().open_at(datetime(2026, 6, 1, 10, tzinfo=UTC))
    assert pacs.open_windows().open_at(datetime(2026, 6, 1, 17, tzinfo=UTC))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("asociations = 3", "A.asociations: no such key; did you mean associations?"),
        ('window = ["Mon 01:00-02:00"]', "A.window: no such key; did you mean windows?"),
        ('name = "B"', "A.name: no such key"),
        ('associations = "3"', "A.associations: must be a whole number"),
        ("associations = true", "A.associations: must be a whole number"),
        ("associations = 0", "A.associations: must be at least 1"),
        ("query_rate = -1", "A.query_rate: must not be negative"),
        ('rate = "fast"', "A.rate: must be a number"),
        ("rate = -1", "A.rate: must not be negative"),
        ("rate = nan", "A.rate: must"),
        ("burst = inf", "A.burst: must"),
        ("utilisation = 0", "A.utilisation: must be above 0"),
        ("utilisation = 1.1", "A.utilisation: must be above 0"),
        ("timeout_s = 0", "A.timeout_s: must be above 0"),
        ('retrieve = "wado"', "A.retrieve: must be one of auto, get, move"),
        ('retrieve = "move"', "A.move_destination: is needed"),
        ('calling_ae_title = "SEVENTEEN_LETTERS"', "A.calling_ae_title: must be 1 to 16"),
        ('calling_ae_title = " "', "A.calling_ae_title: must be 1 to 16"),
        ('calling_ae_title = "A\\u0007"', "A.calling_ae_title: must hold no control"),
        ('windows = "Mon 01:00-02:00"', "A.windows: must be a list"),
        ('windows = ["Mon 01:00-02:00", "Mon"]', "A.windows[1]: a window is written like"),
        ('timezone = "Berlin"', "A.timezone: is not known"),
        ('timezone = "../x"', "A.timezone: is not known"),
        ("tls = true", "A.tls: must be a table"),
        ('tls = { cert = "x" }', "A.tls.cert: no such key; did you mean certificate?"),
        ('tls = { verify = "no" }', "A.tls.verify: must be true or false"),
        ('tls = { key = "x" }', "A.tls: a certificate and its key come together"),
        ('move_from = "NODE2"', "A.move_from: must be a list"),
        ('move_from = ["NODE2", "@ward 5"]', "A.move_from[1]: A peer is AETITLE"),
        ('move_destination = "F"\ntls = { ca = "x" }', "A.tls: needs certificate, key and ca: by C-MOVE"),
        ('move_destination = "F"\ntls = { certificate = "x", key = "x" }', "A.tls: needs certificate, key and ca"),
    ],
)
def test_a_fault_is_told_by_its_place(line: str, told: str) -> None:
    """Lost otherwise: a limit that is misspelt would be no limit."""
    assert refused(f"{LEAST}{line}\n").startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("A = 1", "A: must be a table"),
        ('[A]\nhost = "x"\nport = 1', "A.ae_title: is missing"),
        (LEAST.replace("104", "0"), "A.port: must be 1 to 65535"),
        (LEAST.replace("localhost", ""), "A.host: must not be empty"),
        ("[A", "the file of PACS is not TOML"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, told: str) -> None:
    """Lost otherwise: a traceback instead of a line."""
    assert refused(text) == told


def test_the_nearest_name(tmp_path: Path) -> None:
    """Lost otherwise: people would have to guess how a PACS is written."""
    path = tmp_path / "pacs.toml"
    path.write_text(WHOLE)
    with pytest.raises(BadRecipe, match="did you mean HOUSE"):
        load(path, "HUOSE")
    with pytest.raises(BadRecipe, match="cannot be read"):
        load(tmp_path / "absent.toml", "HOUSE")


def test_a_fault_of_another_is_no_obstacle(tmp_path: Path) -> None:
    """Lost otherwise: every harvest of a hospital, by one wrong line for a PACS that nobody asks."""
    path = tmp_path / "pacs.toml"
    path.write_text(LEAST.replace("104", "0").replace("[A]", "[OTHER]") + WHOLE)
    assert load(path, "HOUSE") == read(WHOLE)["HOUSE"]
    with pytest.raises(BadRecipe, match=r"OTHER\.port: must be 1 to 65535"):
        load(path, "OTHER")
