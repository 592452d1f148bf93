"""TLS by the BCP 195 profile (PS3.15 B.12): TLS 1.2 with forward secrecy and authenticated encryption, or TLS 1.3.

A peer is known by a certificate that a given authority has signed. An authority alone says only that a client is one of
many: which application entity titles a certificate may call itself by is what `admission.Rule` says.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from farm.errors import BadRecipe, Reason

# PS3.15 B.12.1 asks for these four at least; 1.3 has suites of its own, all of which are allowed.
_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """A certificate (with its chain) and its private key, as PEM files; one file may hold both."""

    certificate: Path
    key: Path | None = None


def client_context(
    *, authority: Path | None = None, identification: Identification | None = None, verify: bool = True
) -> ssl.SSLContext:
    """Return the client's side. `authority`: whose certificates to trust, in place of the system's.

    The host's name need not stand in the certificate, as archives are often known by address alone, where an authority
    of one's own is given; without one it has to.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, identification)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority is not None:
        context.check_hostname = False
        _trust(context, authority)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def server_context(
    *, identification: Identification, authority: Path | None = None, require: bool = True
) -> ssl.SSLContext:
    """Return the server's side; clients need a certificate that the authority has signed, unless not `require`."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, identification)
    if authority is not None:
        _trust(context, authority)
    elif require:
        raise BadRecipe(Reason.BAD_OPTION, "Client certificates are required, but no authority is given.")
    context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_NONE
    return context


def _context(protocol: ssl._SSLMethod, identification: Identification | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    if identification is not None:
        try:
            context.load_cert_chain(identification.certificate, identification.key, password=_no_password)
        except (OSError, ValueError):
            raise BadRecipe(Reason.BAD_OPTION, "The TLS certificate or its key cannot be used.") from None
    return context


def _no_password() -> str:
    raise ValueError  # rather than ask on the terminal


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError):
        raise BadRecipe(Reason.BAD_OPTION, "The file of trusted TLS certificates cannot be used.") from None
