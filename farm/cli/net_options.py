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
from farm.net import identity, query, tls
from farm.net.client import Beyond, Identity, Peer, Timeouts
from farm.net.peers import Address
from farm.net.query import Identifier, Level
from farm.net.services import Status as Answer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

_LONGEST_UID = 64
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
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
    @click.option("--user", metavar="NAME", help="Tell the peer who asks (user identity).")
    @click.option("--passcode-file", metavar="FILE", type=_FILE, help="The user's passcode: a file (0600) of one line.")
    @click.option("--confirm-user", is_flag=True, help="End unless the peer says that it knows the user.")
    @click.option(
        "--timeout", type=click.FloatRange(min=0.1), default=120.0, show_default=True, help="Seconds to wait."
    )
    @functools.wraps(function)
    def wrapped(*, peer: str, aet: str, timeout: float, **given: Any) -> T:  # noqa: ANN401 - click's values
        told = {name: given.pop(name) for name in ("use_tls", "authority", "certificate", "key", "no_tls_verify")}
        who = {name: given.pop(name) for name in ("user", "passcode_file", "confirm_user")}
        try:
            found = Address.parse(peer)
        except BadRecipe:
            raise click.BadParameter("write it as AET@HOST:PORT.", param_hint="PEER") from None
        return function(
            peer=Peer(
                host=found.host,
                port=found.port,
                ae_title=found.title,
                calling_ae_title=aet[:16],
                tls=_tls(**told),
                identity=_identity(**who),
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


def _identity(*, user: str | None, passcode_file: Path | None, confirm_user: bool) -> Identity | None:
    if not user:
        if passcode_file or confirm_user:
            raise click.UsageError("Name the user by --user.")
        return None
    passcode = identity.secret(passcode_file).rstrip("\r\n") if passcode_file else ""
    return identity.identity(user, passcode, response_requested=confirm_user)


def _uids(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if not all(len(text) <= _LONGEST_UID and _UID.fullmatch(text) for text in given):
        raise click.BadParameter("write it as a UID.")
    return given


def transfer_syntaxes_option(told: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Return an option for transfer syntaxes that the standard does not list; the command gets `syntaxes`."""
    return click.option("--transfer-syntax", "syntaxes", metavar="UID", multiple=True, callback=_uids, help=told)


def beyond_options(function: Callable[..., T]) -> Callable[..., T]:
    """Add what can be asked of query and retrieve beyond their baseline; the command gets one `beyond`."""

    @click.option(
        "--relational", is_flag=True, help="Ask for relational queries: keys without those of the levels above."
    )
    @click.option("--date-time", is_flag=True, help="Ask for dates and times to be matched as one.")
    @click.option("--fuzzy", is_flag=True, help="Ask for names to be matched by what they sound like.")
    @functools.wraps(function)
    def wrapped(*, relational: bool, date_time: bool, fuzzy: bool, **given: Any) -> T:  # noqa: ANN401 - click's values
        return function(beyond=Beyond(relational=relational, date_time=date_time, fuzzy=fuzzy), **given)

    return wrapped


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
