"""Ages: kept up to 89 years, and one category above (as the HIPAA Safe Harbor method asks).

An age of 90 years or more is so rare that it can point to a person; together they become 090Y. Only years can tell so
old an age: three digits of months end at 83 years (PS3.5 6.2, AS).
"""

from __future__ import annotations

import re

from farm.deid.uids import components

_AS = re.compile(rb"\d{3}[DWMY]")
_OLDEST = b"090Y"


def age(value: bytes) -> bytes:
    """Return the new value of an AS without padding; a component that is no age becomes empty."""
    return b"\\".join([_capped(part) for part in components(value)])


def _capped(text: bytes) -> bytes:
    if not _AS.fullmatch(text):
        return b""
    return _OLDEST if text.endswith(b"Y") and text > _OLDEST else text
