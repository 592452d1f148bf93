"""Keyed replacement of UIDs (PS3.15 action U).

A UID becomes `2.25.` and the number of a version 8 UUID made from HMAC-SHA256 of the project key and the UID without
its padding (PS3.5 B.2). One domain for all UIDs, so every reference still resolves; the same on every worker, after
every restart, without a round trip. UIDs that the standard itself assigns are never touched: they name classes,
syntaxes and well-known instances, not patients' data.
"""

from __future__ import annotations

from pydicom._uid_dict import UID_dictionary

from farm.deid.keys import ProjectKey

WELL_KNOWN = frozenset(uid.encode() for uid in UID_dictionary)
_VERSION = 8 << 76
_VARIANT = 2 << 62
_CLEAR = ~((0xF << 76) | (0x3 << 62))


def keyed_uid(key: ProjectKey, uid: bytes) -> bytes:
    """Return the replacement of one UID given without padding."""
    number = int.from_bytes(key.derive("uid", uid)[:16], "big")
    return b"2.25.%d" % (number & _CLEAR | _VERSION | _VARIANT)


def components(value: bytes) -> list[bytes]:
    """Split a UI value into its UIDs, without padding (PS3.5 6.2: NUL; spaces are seen too)."""
    return [part.strip(b"\0 ") for part in value.split(b"\\")]
