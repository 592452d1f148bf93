"""What the commands take that speak to a DICOM peer: who it is, TLS, and the keys of a query."""

from __future__ import annotations

import asyncio
import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydicom.datadict import keyword_for_tag

from farm.cli import screen
from farm.cli.statuses import Status
from farm.errors import BadRecipe
from farm.net import query, tls
from farm.net.client import Peer, Timeouts
from farm.net.query import Identifier, Level
from farm.net.services import Status as Answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

_PEER = re.compile(r"(?P<title>[^@]{1,16})@(?P<host>\[[^\]]+\]|[^:]+):(?P<port>\d{1,5})")
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
T = TypeVar("T")


def peer_options(function: Callable[..., T]) -> Callable[..., T]:
    """Add PEER and what goes with it; the command gets one `peer`."""

    @click.argument("peer", metavar="AET@HOST:PORT")
    @click.option("--aet", metavar="TITLE", default="FARM", show_default=True, help="Our application entity title.")
    @click.option("--tls", "use_tls", is_flag=True, help="Use TLS with the system's authorities.")
    @click.option("--tls-ca", "authority", metavar="FILE", type=_FILE, help="Use TLS; trust these authorities (PEM).")
    @click.option("--tls-cert", "certificate", metavar="FILE", type=_FILE, help="Our certificate (PEM).")
    @click.option(
        "--tls-key", "key", metavar="FILE", type=_FILE, help="Its private key, unless it is in the same file."
    )
    @click.option("--no-tls-verify", is_flag=True, help="Use TLS, and believe any certificate.")
    @click.option(
        "--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True, help="Seconds to wait."
    )
    @functools.wraps(function)
    def wrapped(*, peer: str, aet: str, timeout: float, **given: Any) -> T:  # noqa: ANN401 - click's values
        told = {name: given.pop(name) for name in ("use_tls", "authority", "certificate", "key", "no_tls_verify")}
        found = _PEER.fullmatch(peer)
        if found is None or not 0 < int(found["port"]) < 65_536:
            raise click.BadParameter("write it as AET@HOST:PORT.", param_hint="PEER")
        return function(
            peer=Peer(
                host=found["host"].strip("[]"),
                port=int(found["port"]),
                ae_title=found["title"],
                calling_ae_title=aet[:16],
                tls=_tls(**told),
                timeouts=Timeouts(connect=min(10.0, timeout), association=min(30.0, timeout), response=timeout),
            ),
            **given,
        )

    return wrapped


def _tls(
    *, use_tls: bool, authority: Path | None, certificate: Path | None, key: Path | None, no_tls_verify: bool
) -> ssl.SSLContext | None:
    if not (use_tls or authority or certificate or no_tls_verify):
        return None
    mine = tls.Identification(certificate=certificate, key=key) if certificate else None
    return tls.client_context(authority=authority, identification=mine, verify=not no_tls_verify)


def _keys(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> Identifier:
    found: Identifier = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[query.tag_of(name)] = value
        except BadRecipe as error:
            raise click.BadParameter(error.hint) from None
    return found


def _level(_context: click.Context, _option: click.Parameter, given: str) -> Level:
    return Level[given.upper()]


keys_option = click.option(
    "-k",
    "--key",
    "keys",
    metavar="KEY[=VALUE]",
    multiple=True,
    callback=_keys,
    help="A key by keyword or (gggg,eeee), with the value to match; repeat.",
)
level_option = click.option(
    "--level",
    type=click.Choice([level.lower() for level in Level], case_sensitive=False),
    default="study",
    show_default=True,
    callback=_level,
    help="The level of the query.",
)


def carry_out(work: Coroutine[Any, Any, T]) -> T:
    """Run what speaks to a peer; what befell one of several associations is told as if it were the only one."""
    try:
        return asyncio.run(work)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


def ended(status: int | None) -> Status:
    """Return the exit status for a peer's, and say so where it is not success."""
    if status in {Answer.SUCCESS, Answer.CANCELLED}:
        return Status.DONE
    screen.say(f"The peer answered with status 0x{status or 0:04X}.")
    return Status.QUARANTINED


def name_of(tag: int) -> str:
    """Return the keyword of a tag, or the tag where it has none."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
