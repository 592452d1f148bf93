"""Settings: read from the environment once, documented, and silent about secrets."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from farm.errors import BadRecipe, Reason
from farm.settings import FIELDS_DOC, Settings, load, strangers

URLS = {
    "FARM_DATABASE_URL": "postgresql://farm:s3cr3t@db.example/farm",
    "FARM_BROKER_URL": "redis://:s3cr3t@cache.example:6379/0",
}


def test_every_setting_is_documented() -> None:
    """Lost otherwise: a setting would exist that nobody can find."""
    assert list(FIELDS_DOC) == [field.name for field in dataclasses.fields(Settings)]
    assert all(text.endswith(".") for text in FIELDS_DOC.values())


def test_nothing_set_gives_the_defaults() -> None:
    """Lost otherwise: the farm would not start without configuration."""
    found = load({})
    assert found == Settings(home=found.home)
    assert found.home.is_absolute()


def test_each_setting_is_read_from_its_variable() -> None:
    """Lost otherwise: a documented variable would have no effect."""
    texts = {name.removeprefix("FARM_").lower(): url for name, url in URLS.items()}
    texts |= {"gpu": "off", "log_level": "DEBUG", "lease_seconds": "70"}
    for field in dataclasses.fields(Settings):
        text = texts.get(field.name, "7" if field.type == "int" else "/seven")
        value = getattr(load({f"FARM_{field.name.upper()}": text}), field.name)
        assert value == (int(text) if field.type == "int" else Path(text) if field.name == "home" else text)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *(("FARM_WORKERS", text) for text in ("-1", "many", "1.5", "")),
        ("FARM_PARCEL_INSTANCES", "0"),  # the run would wait for ever
        ("FARM_WINDOW_MESSAGES", "0"),
        ("FARM_LEASE_SECONDS", "10"),  # it is renewed every five
        ("FARM_LOG_LEVEL", "loud"),
        ("FARM_GPU", "cuda"),
        ("FARM_DATABASE_URL", "nonsense"),
        ("FARM_DATABASE_URL", "mysql://farm:s3cr3t@db.example/farm"),
        ("FARM_BROKER_URL", "amqp://:s3cr3t@cache.example"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(variable: str, text: str) -> None:
    """Lost otherwise: a typing error would become a default, a run that never ends, or a traceback."""
    with pytest.raises(BadRecipe, match=variable) as raised:
        load({variable: text})
    assert raised.value.reason is Reason.BAD_OPTION
    assert "s3cr3t" not in str(raised.value)


def test_a_choice_may_be_in_small_letters() -> None:
    """Lost otherwise: `debug` would be refused for its looks."""
    assert load({"FARM_LOG_LEVEL": "debug"}).log_level == "DEBUG"


def test_a_setting_with_a_typing_error_is_told() -> None:
    """Lost otherwise: who writes FARM_WORKER would wonder for days why there are so many of them."""
    found = strangers({"FARM_WORKER": "3", "FARM_WORKERS": "3", "FARM_XYZZY_PLUGH": "", "HOME": "/root"})
    assert found == {"FARM_WORKER": "FARM_WORKERS", "FARM_XYZZY_PLUGH": ""}


def test_passwords_do_not_show() -> None:
    """Lost otherwise: the first log line would give the database away."""
    found = load(URLS)
    assert "s3cr3t" not in f"{found!r} {found} {found.to_dict()}"
    assert found.database_url == URLS["FARM_DATABASE_URL"]
    assert "db.example" in repr(found)


def test_keys_live_under_home_unless_told() -> None:
    """Lost otherwise: a run would make a new key where the old one was meant."""
    plain = Settings(home=Path("/state"))
    told = Settings(home=Path("/state"), project_key_file="/vault/p", vault_key_file="/vault/v")
    assert (plain.project_key_path, plain.vault_key_path) == (
        Path("/state/keys/project.key"),
        Path("/state/keys/vault.key"),
    )
    assert (told.project_key_path, told.vault_key_path) == (Path("/vault/p"), Path("/vault/v"))


def test_workers_follow_the_machine_unless_told() -> None:
    """Lost otherwise: a machine would stand idle, or be overrun."""
    assert Settings(home=Path("/state")).worker_count == (os.cpu_count() or 1)
    assert Settings(home=Path("/state"), workers=3).worker_count == 3
