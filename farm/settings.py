"""Every setting of the farm in one frozen object; nothing else reads the environment.

Each field is set by the environment variable `FARM_` plus its name in capitals. The README's table is made from
`FIELDS_DOC`, so a setting without a line there fails the tests. Secrets are never fields: a setting names the file that
holds a key, and URLs print with their password hidden.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

from farm.errors import BadRecipe, Reason

FIELDS_DOC: dict[str, str] = {
    "home": "Folder of the embedded servers, keys and logs.",
    "database_url": "Postgres to use, as a libpq URL; empty: the embedded one.",
    "broker_url": "Redis or Valkey to use, as a Celery broker URL; empty: the embedded one.",
    "project": "Name of the project whose keys and mapping are used.",
    "project_key_file": "File with the project key (0600); empty: keys/project.key under home.",
    "vault_key_file": "File with the key that seals originals (0600); empty: keys/vault.key under home.",
    "workers": "Worker processes; 0: one for each processor.",
    "parcel_instances": "Most instances in one parcel (one Celery message).",
    "parcel_bytes": "Most bytes of input in one parcel.",
    "window_messages": "Most messages that wait in the broker at a time.",
    "window_seconds": "Seconds of measured work that may wait in the broker.",
    "lease_seconds": "A parcel's lease ends after this time without renewal.",
    "renew_seconds": "A worker renews its lease this often.",
    "republish_seconds": "A published instance that nobody leased is published again after this time.",
    "max_attempts": "Started attempts after which an instance is quarantined.",
    "task_seconds": "A parcel that runs longer is ended.",
    "patience_seconds": "`farm run` gives up when something is away and nothing was finished for this time.",
    "read_limit_bytes": "Instances up to this size are read into memory; larger ones are mapped.",
    "inflate_limit_bytes": "A deflated data set may inflate to this size at most.",
    "inflate_ratio": "A deflated data set may inflate by this factor at most.",
    "codec_threads": "Frames that a worker process has decoded and encoded at a time.",
    "codec_memory_bytes": "Memory that codecs may take at a time, for each worker process; 0: any.",
    "codec_seconds": "A frame that a codec is at for longer quarantines its instance.",
    "frame_limit_bytes": "The samples of a frame that is decoded may take this many bytes at most.",
    "spill_dir": "Folder for what memory does not hold for a while; empty: spill under home, where that is yours.",
    "gpu": "`auto`: a worker for each device that nvJPEG2000 finds; `off`: none.",
    "gpu_memory_bytes": "Memory of a device that its worker may use; 0: half of it.",
    "gpu_device": "Device of a worker of the queue `gpu`, by its number; the farm sets it where it starts one.",
    "study_quiet_seconds": "A study of which nothing arrived for this time is closed; a late arrival opens it again.",
    "ledger_patience_seconds": "A peer that stores waits this long for the ledger before it is told to come again.",
    "spool_retention_seconds": "What arrived stays in the spool for this time after it was done or skipped.",
    "embedded_user": "As root, the embedded servers run as this user.",
    "flower_port": "Port of Flower on loopback for `farm up`; 0: any free port.",
    "log_level": "Level of the program's own log (DEBUG, INFO, WARNING, ERROR).",
}
_PREFIX = "FARM_"
_FILES = frozenset({"project_key_file", "vault_key_file"})
_SECRET_URLS = frozenset({"database_url", "broker_url"})
_MAY_BE_ZERO = frozenset(
    {"workers", "codec_memory_bytes", "gpu_memory_bytes", "patience_seconds", "study_quiet_seconds"}
    | {"spool_retention_seconds", "flower_port"}
)
_CHOICES = {
    "gpu": ("auto", "off"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
}
_SCHEMES = {
    "database_url": ("postgresql", "postgres"),
    "broker_url": ("redis", "rediss", "redis+socket"),
}


def _default_home() -> Path:
    """Return where state lives by default: a place the embedded servers can reach even when started by root."""
    if os.geteuid() == 0:
        return Path("/var/lib/farm")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "farm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force; see `FIELDS_DOC` for what each one means."""

    home: Path
    database_url: str = ""
    broker_url: str = ""
    project: str = "default"
    project_key_file: str = ""
    vault_key_file: str = ""
    workers: int = 0
    parcel_instances: int = 64
    parcel_bytes: int = 64 << 20
    window_messages: int = 20_000
    window_seconds: int = 20
    lease_seconds: int = 20
    renew_seconds: int = 5
    republish_seconds: int = 30
    max_attempts: int = 3
    task_seconds: int = 300
    patience_seconds: int = 60
    read_limit_bytes: int = 64 << 20
    inflate_limit_bytes: int = 2 << 30
    inflate_ratio: int = 200
    codec_threads: int = 1
    codec_memory_bytes: int = 4 << 30
    codec_seconds: int = 60
    frame_limit_bytes: int = 1 << 30
    spill_dir: str = ""
    gpu: str = "auto"
    gpu_memory_bytes: int = 0
    gpu_device: str = ""
    study_quiet_seconds: int = 60
    ledger_patience_seconds: int = 5
    spool_retention_seconds: int = 86_400
    embedded_user: str = "nobody"
    flower_port: int = 5555
    log_level: str = "INFO"

    @property
    def project_key_path(self) -> Path:
        """Return the file of the project key."""
        return Path(self.project_key_file) if self.project_key_file else self.home / "keys" / "project.key"

    @property
    def vault_key_path(self) -> Path:
        """Return the file of the vault key."""
        return Path(self.vault_key_file) if self.vault_key_file else self.home / "keys" / "vault.key"

    @property
    def worker_count(self) -> int:
        """Return how many worker processes to start."""
        return self.workers or os.cpu_count() or 1

    def to_dict(self) -> dict[str, str | int]:
        """Return the settings for people: paths as text, passwords in URLs hidden."""
        shown: dict[str, str | int] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _SECRET_URLS:
                value = _redacted(value)
            shown[field.name] = value if isinstance(value, int) else str(value)
        return shown

    def __repr__(self) -> str:
        """Return the settings with passwords hidden, so that no log can hold them."""
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.to_dict().items())})"


def _redacted(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":***@")))


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment; raise `BadRecipe` naming the variable that cannot be used."""
    environ = os.environ if environ is None else environ
    given: dict[str, object] = {}
    for field in fields(Settings):
        text = environ.get(_variable(field.name))
        if text is None or (text == "" and field.name == "home"):
            continue
        given[field.name] = _number(field.name, text) if field.type == "int" else _text(field.name, text)
    for name in _FILES & given.keys():
        given[name] = str(Path(str(given[name])).absolute()) if given[name] else ""
    home = given.pop("home", None) or _default_home()
    settings = Settings(home=Path(str(home)).absolute(), **given)  # type: ignore[arg-type]
    if settings.lease_seconds <= 2 * settings.renew_seconds:  # one renewal may be late
        _refuse("lease_seconds", f"more than twice {_variable('renew_seconds')}")
    return settings


def strangers(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables that look like settings and are none, each with the nearest name, or nothing."""
    environ = os.environ if environ is None else environ
    known = [_variable(name) for name in FIELDS_DOC]
    unknown = sorted(name for name in environ if name.startswith(_PREFIX) and name not in known)
    return {name: next(iter(get_close_matches(name, known, 1)), "") for name in unknown}


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def _refuse(name: str, wanted: str) -> NoReturn:
    raise BadRecipe(Reason.BAD_OPTION, f"{_variable(name)} must be {wanted}") from None


def _number(name: str, text: str) -> int:
    least = 0 if name in _MAY_BE_ZERO else 1
    if not text.strip().isdecimal() or int(text) < least:
        _refuse(name, f"a whole number, {'zero' if least == 0 else 'one'} or more")
    return int(text)


def _text(name: str, text: str) -> str:
    choices = _CHOICES.get(name)
    if choices is not None:
        chosen = next((choice for choice in choices if choice.casefold() == text.casefold()), None)
        return chosen or _refuse(name, f"one of {', '.join(choices)}")
    schemes = _SCHEMES.get(name)
    if schemes is not None and text and urlsplit(text).scheme not in schemes:
        _refuse(name, f"empty, or a URL that begins with {schemes[0]}://")
    return text
