"""AES-256-GCM for the sealed columns: what an original was can be read with the vault key alone.

Each table has a subkey of its own, so that a random 96-bit nonce stays safe for 2^32 rows a table (NIST SP 800-38D
section 8.3), and each value is bound to its table and row by the associated data: a sealed value that is moved to
another row or table does not open.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

NONCE: Final = 12
_TAG: Final = 16


class Vault:
    """Seals and opens; holds the key, never shows it."""

    def __init__(self, key: bytes) -> None:
        """Take the 32 bytes of the vault key."""
        if len(key) != 32:
            raise BadRecipe(Reason.BAD_KEY, "the vault key is not 32 bytes long")
        self._key = key
        self._ciphers: dict[str, AESGCM] = {}

    def check(self) -> bytes:
        """Return 16 bytes that tell whether a key is the one seen before, and nothing else about it."""
        return hmac.digest(self._key, b"farm vault check", "sha256")[:16]

    def seal(self, table: str, context: bytes, plain: bytes) -> bytes:
        """Return nonce, ciphertext and tag of a value of `table`, bound to its row by `context`."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher(table).encrypt(nonce, plain, table.encode() + b"\0" + context)

    def seal_many(self, table: str, values: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
        """Return `seal` of each (context, plain), in order: one draw of random bytes for all."""
        pairs = list(values)
        encrypt, prefix = self._cipher(table).encrypt, table.encode() + b"\0"
        nonces = os.urandom(NONCE * len(pairs))
        sealed = []
        for at, (context, plain) in enumerate(pairs):
            nonce = nonces[at * NONCE : (at + 1) * NONCE]
            sealed.append(nonce + encrypt(nonce, plain, prefix + context))
        return sealed

    def open(self, table: str, context: bytes, sealed: bytes) -> bytes:
        """Return the value; raise `BadRecipe(BAD_KEY)` unless key, table, row and bytes are as when it was sealed."""
        nonce, ciphertext = sealed[:NONCE], sealed[NONCE:]
        if len(ciphertext) >= _TAG:
            try:
                return self._cipher(table).decrypt(nonce, ciphertext, table.encode() + b"\0" + context)
            except InvalidTag:
                pass
        raise BadRecipe(Reason.BAD_KEY, "the vault key does not open this value")

    def _cipher(self, table: str) -> AESGCM:
        cipher = self._ciphers.get(table)
        if cipher is None:
            cipher = AESGCM(hmac.digest(self._key, b"farm vault\0" + table.encode(), "sha256"))
            self._ciphers[table] = cipher
        return cipher
