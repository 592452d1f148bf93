"""Who a PACS is, and how gently it is to be asked: `pacs.toml`, one table for each.

    [NAME]
    host = "pacs.example"
    port = 104
    ae_title = "PACS"
    windows = ["Mon-Fri 19:00-06:00", "Sat,Sun 00:00-24:00"]
    timezone = "Europe/Berlin"

A misspelt limit that is silently ignored is a PACS brought down, so nothing is ignored: what is wrong is told by its
dotted path, with the nearest right name.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import MISSING, dataclass, fields
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from farm.errors import BadRecipe, Reason
from farm.net.admission import Rule
from farm.recipe.refusals import nearest
from scheduler.harvest.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_KINDS: Final = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
_RETRIEVES: Final = ("auto", "get", "move")
_LISTS: Final = ("windows", "move_from")
_AE_TITLE: Final = 16  # PS3.5 section 6.2, VR AE


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a PACS is spoken to by TLS: files, and whether its certificate has to be right."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacs:
    """A PACS: its address, our name there, and its limits."""

    name: str
    host: str
    port: int
    ae_title: str
    calling_ae_title: str = "FARM"
    retrieve: str = "auto"
    """`get`, `move`, or `auto`: C-GET where the PACS accepts it."""
    move_destination: str = ""
    """Our own application entity title as the PACS knows it, for C-MOVE."""
    move_port: int = 0
    """Where we listen for what a C-MOVE sends; 0: any free port."""
    move_from: tuple[str, ...] = ()
    """Who may send there, as `farm.net.admission.Rule` reads it; none: the PACS by its own title and address."""
    associations: int = 2
    rate: float = 0.0
    """Most instances a second; 0: no limit."""
    burst: float = 100.0
    query_rate: float = 10.0
    """Most queries a second, and as many at once; 0: no limit."""
    windows: tuple[str, ...] = ()
    timezone: str = "UTC"
    utilisation: float = 1.0
    find_limit: int = 0
    """After how many matches the PACS caps an answer; 0: not known."""
    timeout_s: float = 30.0
    settle_s: float = 10.0
    """How long after a C-MOVE its data may still arrive."""
    attempts: int = 3
    """How often a study that is not complete is fetched, or a refused row asked for, before that is its verdict."""
    backoff_s: float = 30.0
    """How long it rests after the first attempt; twice as long after each further one."""
    tls: Tls | None = None

    @classmethod
    def from_dict(cls, name: str, given: object) -> Pacs:
        """Return the PACS that a table describes; raise `BadRecipe(BAD_OPTION)` with the dotted path of a fault."""
        table = dict(_table(given, name))
        tls = table.pop("tls", None)
        lists = {key: _texts(table.pop(key, []), f"{name}.{key}") for key in _LISTS}
        facts = _facts(cls, table, name, known=("tls", *_LISTS)) | lists
        if tls is not None:
            facts["tls"] = Tls(**_facts(Tls, _table(tls, f"{name}.tls"), f"{name}.tls"))
        return _checked(cls(name=name, **facts))

    @property
    def moves(self) -> bool:
        """Tell whether C-MOVE may be used."""
        return self.retrieve != "get" and bool(self.move_destination)

    def open_windows(self) -> Windows:
        """Return the times at which the PACS may be asked."""
        return Windows.parse(self.windows, _zone(self.timezone))


def _zone(name: str) -> tzinfo:
    """Return a time zone; UTC needs no database of zones."""
    return UTC if name == "UTC" else ZoneInfo(name)


@dataclass(frozen=True, slots=True)
class _Rule:
    """What must hold for a key, beside its type."""

    key: str
    holds: Callable[[Any], bool]
    told: str


def _is_ae_title(text: str) -> bool:
    return 0 < len(text.strip()) <= _AE_TITLE and text.isascii() and text.isprintable() and "\\" not in text


_RULES: Final = (
    _Rule("host", bool, "must not be empty"),
    _Rule("port", lambda port: 0 < port < 1 << 16, "must be 1 to 65535"),
    _Rule("ae_title", _is_ae_title, "must be 1 to 16 characters of ASCII without backslash"),
    _Rule("calling_ae_title", _is_ae_title, "must be 1 to 16 characters of ASCII without backslash"),
    _Rule("retrieve", lambda one: one in _RETRIEVES, f"must be one of {', '.join(_RETRIEVES)}"),
    _Rule("move_destination", lambda title: not title or _is_ae_title(title), "must be an application entity title"),
    _Rule("move_port", lambda port: 0 <= port < 1 << 16, "must be 0 to 65535"),
    _Rule("associations", lambda count: count >= 1, "must be at least 1"),
    _Rule("rate", lambda rate: rate >= 0, "must not be negative"),
    _Rule("query_rate", lambda rate: rate >= 0, "must not be negative"),
    _Rule("burst", lambda burst: burst >= 1, "must be at least 1"),
    _Rule("utilisation", lambda share: 0 < share <= 1, "must be above 0 and up to 1"),
    _Rule("find_limit", lambda count: count >= 0, "must not be negative"),
    _Rule("timeout_s", lambda seconds: seconds > 0, "must be above 0"),
    _Rule("settle_s", lambda seconds: seconds >= 0, "must not be negative"),
    _Rule("attempts", lambda count: count >= 1, "must be at least 1"),
    _Rule("backoff_s", lambda seconds: seconds >= 0, "must not be negative"),
)


def load(path: Path, name: str) -> Pacs:
    """Return the PACS of this name; a fault of another is no obstacle.

    Raise `BadRecipe(BAD_OPTION)` with the nearest name where there is none, and where the file cannot be read.
    """
    try:
        known = _tables(path.read_text("utf-8-sig"))
    except (OSError, UnicodeError, ValueError):
        raise BadRecipe(
            Reason.BAD_OPTION,
            "the file of PACS cannot be read: describe yours in pacs.toml under FARM_HOME, or name --pacs-file",
        ) from None
    if name not in known:
        raise _refusal("", f"there is no such PACS; {nearest(name, known, 'see the file of PACS')}")
    return Pacs.from_dict(name, known[name])


def read(text: str) -> dict[str, Pacs]:
    """Return every PACS of a TOML text by name; raise `BadRecipe(BAD_OPTION)` with the dotted path of a fault."""
    return {name: Pacs.from_dict(name, given) for name, given in _tables(text).items()}


def _tables(text: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise BadRecipe(Reason.BAD_OPTION, "the file of PACS is not TOML") from None


def _facts(
    kind: type[Pacs | Tls], table: Mapping[str, object], place: str, known: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the values of a table by the fields of a class, each of its type."""
    types = {one.name: str(one.type) for one in fields(kind) if one.name not in {"name", *known}}
    for name in table:
        if name not in types:
            raise _refusal(f"{place}.{name}", f"no such key; {nearest(name, (*types, *known), 'see the manual')}")
    for one in fields(kind):
        if one.name in types and one.default is MISSING and one.name not in table:
            raise _refusal(f"{place}.{one.name}", "is missing")
    return {name: _typed(value, types[name], f"{place}.{name}") for name, value in table.items()}


def _typed(value: object, kind: str, place: str) -> object:
    if kind == "float" and type(value) is int:
        return float(value)
    if type(value).__name__ != kind:
        raise _refusal(place, f"must be {_KINDS[kind]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise _refusal(place, "must be a finite number")
    if isinstance(value, str) and not value.isprintable():
        raise _refusal(place, "must hold no control characters")
    return value


def _checked(pacs: Pacs) -> Pacs:
    """Return the PACS if all its values can be used."""
    for rule in _RULES:
        if not rule.holds(getattr(pacs, rule.key)):
            raise _refusal(f"{pacs.name}.{rule.key}", rule.told)
    if pacs.retrieve == "move" and not pacs.move_destination:
        raise _refusal(f"{pacs.name}.move_destination", "is needed where retrieve is move")
    if pacs.tls and bool(pacs.tls.certificate) != bool(pacs.tls.key):
        raise _refusal(f"{pacs.name}.tls", "a certificate and its key come together")
    if pacs.tls and pacs.moves and not (pacs.tls.certificate and (pacs.tls.ca or not pacs.tls.verify)):
        raise _refusal(f"{pacs.name}.tls", "needs certificate, key and ca: by C-MOVE the PACS comes to us by TLS")
    for at, text in enumerate(pacs.move_from):
        try:
            Rule.parse(text)
        except BadRecipe as error:
            raise _refusal(f"{pacs.name}.move_from[{at}]", error.hint) from None
    try:
        zone = _zone(pacs.timezone)
    except (ValueError, OSError, KeyError):
        raise _refusal(f"{pacs.name}.timezone", "is not known; it is written like Europe/Berlin") from None
    for at, text in enumerate(pacs.windows):
        try:
            Windows.parse([text], zone)
        except BadRecipe as error:
            raise _refusal(f"{pacs.name}.windows[{at}]", error.hint) from None
    return pacs


def _texts(given: object, place: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise _refusal(place, "must be a list of texts")
    return tuple(given)


def _table(given: object, place: str) -> Mapping[str, object]:
    if not isinstance(given, dict):
        raise _refusal(place, "must be a table")
    return given


def _refusal(place: str, text: str) -> BadRecipe:
    return BadRecipe(Reason.BAD_OPTION, f"{place}: {text}" if place else text)
