"""The attributes that say an instance was de-identified, and how (PS3.15 E.1.1 and PS3.16 CID 7050).

They are inserted in tag order. What an earlier de-identification said of itself stays: its method texts are kept in
front of ours, and of its method codes those that CID 7050 defines.
"""

from __future__ import annotations

from functools import lru_cache

from farm.deid import dummies
from farm.deid.policy import OPTIONS
from farm.deid.standard.e1_1 import EDITION
from farm.deid.standard.methods import ROWS as METHODS
from farm.dicom.elements import Dialect

IDENTITY_REMOVED = 0x00120062
METHOD = 0x00120063
METHOD_CODES = 0x00120064
TEMPORAL = 0x00280303
TAGS = frozenset({IDENTITY_REMOVED, METHOD, METHOD_CODES, TEMPORAL})
INSERTS = (METHOD_CODES + 1, TEMPORAL + 1)
"""The tags before which the walk asks for markers: behind the first three, and behind the last."""

BASIC_PROFILE = "113100"
_MEANINGS = {code: meaning for _, code, meaning in METHODS}
METHOD_TEXT = f"dicom-farm: PS3.15 {EDITION} Basic Profile".encode()


@lru_cache(maxsize=64)
def codes(options: frozenset[str]) -> tuple[str, ...]:
    """Return the codes of the profile and of the options that were followed, in CID 7050's order."""
    return (BASIC_PROFILE, *sorted(OPTIONS[option] for option in options))


@lru_cache(maxsize=64)
def method(dialect: Dialect, prior_text: bytes, prior_codes: tuple[bytes, ...], own: tuple[str, ...]) -> bytes:
    """Return (0012,0062) to (0012,0064), encoded, with what was said before; `own` are the codes of what was done."""
    texts = [text for text in prior_text.strip(b"\0 ").split(b"\\") if text.strip()]
    if METHOD_TEXT not in texts:
        texts.append(METHOD_TEXT)
    prior = [text for code in prior_codes if (text := code.strip(b"\0 ").decode("ascii", "replace")) in _MEANINGS]
    items = [dummies.code(dialect, value, "DCM", _MEANINGS[value]) for value in dict.fromkeys([*prior, *own])]
    return (
        dialect.element(IDENTITY_REMOVED, "CS", b"YES")
        + dialect.element(METHOD, "LO", b"\\".join(texts))
        + dialect.sequence(METHOD_CODES, *items)
    )


@lru_cache(maxsize=16)
def temporal(dialect: Dialect, value: str) -> bytes:
    """Return (0028,0303): what became of longitudinal temporal information."""
    return dialect.element(TEMPORAL, "CS", value.encode())
