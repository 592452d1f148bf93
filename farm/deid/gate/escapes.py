r"""Text as URLs, JSON and HTML write it: with escapes in the place of letters (RFC 3986 2.1, RFC 8259 7).

`patient=ADA%20OKAFOR`, `M\u00fcller` and `M&uuml;ller` say a name that none of their letters spells. A text that holds
escapes is searched without them as well.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import unescape
from urllib.parse import unquote_to_bytes

_UNICODE = re.compile(r"\\u([0-9A-Fa-f]{4})")
_ENTITY = re.compile(rb"&#?[0-9A-Za-z]{2,8};")
_ESCAPED = re.compile(rb"%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|" + _ENTITY.pattern)


def without(text: bytes, values: Collection[bytes]) -> list[bytes]:
    """Return the values that hold escapes, without these; `text` is all of them joined, looked at first."""
    if (b"%" not in text and b"\\u" not in text and b"&" not in text) or not _ESCAPED.search(text):
        return []
    return [_without(value) for value in values if _ESCAPED.search(value)]


def _without(value: bytes) -> bytes:
    plain = unquote_to_bytes(value)
    if b"\\u" not in plain and not _ENTITY.search(plain):
        return plain
    letters = _UNICODE.sub(lambda found: chr(int(found[1], 16)), plain.decode("utf-8", "replace"))
    return unescape(letters).encode("utf-8", "ignore")
