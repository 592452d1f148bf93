"""The project key: the secret from which every pseudonym, UID and date shift of a project derives.

Derivation is HMAC-SHA256 with a purpose in front of the value, so that one key serves all and no two purposes can meet.
Without the key nothing can be recomputed, not even by trying every possible Patient ID (PS3.15 E.1.1 warns of plain
hashes). The key does not seal anything: what seals originals is another one.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """A secret of 32 bytes; two keys derive nothing alike."""

    secret: bytes = field(repr=False)

    def derive(self, purpose: str, data: bytes) -> bytes:
        """Return 32 bytes that depend on the key, the purpose and the data."""
        return hmac.digest(self.secret, purpose.encode() + b"\0" + data, hashlib.sha256)

    def check(self) -> bytes:
        """Return 16 bytes that tell whether a key is the one seen before, and nothing else about it."""
        return self.derive("check", b"")[:16]
