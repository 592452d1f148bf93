"""Replacement of UIDs (PS3.15 action U).

A new UID is a root and a number made from 32 bytes: of HMAC-SHA256 of the project key and the UID without its padding
(keyed), or drawn by the registry (recorded). Under `2.25` the number is that of a version 8 UUID (PS3.5 B.2); under an
organisation's own root it has as many digits as fit into 64 characters (PS3.5 9.1). One domain for all UIDs, so every
reference still resolves; the same on every worker, after every restart. UIDs that the standard itself assigns are never
touched: they name classes, syntaxes and well-known instances, not patients' data.
"""

from __future__ import annotations

import re

from pydicom._uid_dict import UID_dictionary

from farm.deid.keys import ProjectKey
from farm.errors import BadRecipe, Reason

WELL_KNOWN = frozenset(uid.encode() for uid in UID_dictionary)
CLASSES = frozenset({0x0008001A, 0x0008001B, 0x00080062, 0x0008040E, 0x00081150, 0x0008115A, 0x00083002, 0x04000010})
"""Attributes that hold SOP classes or transfer syntaxes and no UID of an instance."""
_ASSIGNED = re.compile(rb"1\.2\.840\.10008\.(?:1\.2|5\.1\.4)(?:\.\d{1,3}){1,6}")
UUID_ROOT = "2.25"
LONGEST_ROOT = 33
"""Leaves 30 digits: of 10^9 UIDs two are the same with a chance of 10^-12."""
_MOST = 64
_VERSION = 8 << 76
_VARIANT = 2 << 62
_CLEAR = ~((0xF << 76) | (0x3 << 62))
_ROOT = re.compile(r"[012](\.(0|[1-9][0-9]*))+")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,38}")
_BEYOND = 1 << 128
"""The registry keeps numbers in 16 bytes, so the longest has 38 digits, or is a UUID's."""


def keyed_uid(key: ProjectKey, uid: bytes, root: str = UUID_ROOT) -> bytes:
    """Return the replacement of one UID given without padding."""
    material = key.derive("uid", uid)
    if root == UUID_ROOT:
        return b"2.25.%d" % _uuid(material)
    return b"%b.%d" % (root.encode(), number(root, material))


def number(root: str, material: bytes) -> int:
    """Return the number that 32 bytes (derived, or drawn at random) make for a UID under this root."""
    if root == UUID_ROOT:
        return _uuid(material)
    return int.from_bytes(material, "big") % int(10 ** min(_MOST - 1 - len(root), 38))


def _uuid(material: bytes) -> int:
    return int.from_bytes(material[:16], "big") & _CLEAR | _VERSION | _VARIANT


def number_of(root: str, uid: str) -> int | None:
    """Return the number that a UID has under this root; None where it cannot be one of those that `number` makes."""
    head, _, tail = uid.rpartition(".")
    if head != root or not _NUMBER.fullmatch(tail):
        return None
    found = int(tail)
    return found if found < _BEYOND else None


def check_root(root: str) -> None:
    """Raise `BadRecipe` unless new UIDs can stand under this root."""
    if not _ROOT.fullmatch(root) or len(root) > LONGEST_ROOT:
        hint = f"uids.root: must be numbers with dots between them, at most {LONGEST_ROOT} characters"
        raise BadRecipe(Reason.BAD_RECIPE, hint)
    if f"{root}.".startswith(("1.2.840.10008.", "2.25.")) and root != UUID_ROOT:
        raise BadRecipe(Reason.BAD_RECIPE, "uids.root: that one is DICOM's own, or lies below 2.25")


def is_class(uid: bytes) -> bool:
    """Tell whether a UID is a SOP class or transfer syntax of the standard, one too that is newer than our list."""
    return uid in WELL_KNOWN or _ASSIGNED.fullmatch(uid) is not None


def components(value: bytes) -> list[bytes]:
    """Split a value into its components, without padding (PS3.5 6.2: NUL behind UIDs, spaces behind text)."""
    return [part.strip(b"\0 ") for part in value.split(b"\\")]
