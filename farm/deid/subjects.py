"""Subjects: who an instance belongs to, and the pseudonym that stands for them.

A subject is an issuer (or the source's domain) and a Patient ID without padding: the same ID of two issuers is two
people. A keyed pseudonym is 20 characters of base 32 from 100 bits of HMAC: no two subjects of a project will meet, and
it fits every VR that it is written to (LO, PN). A pseudonym that people choose has to fit too, and to be a file's name.
"""

from __future__ import annotations

import base64
import re

from farm.deid.keys import ProjectKey

_SEPARATOR = "\x1f"
_PREFIX = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,31}")
_PSEUDONYM = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


def canonical(issuer: bytes, patient_id: bytes) -> str:
    """Return the text that stands for a subject; bytes outside ASCII keep apart what is apart."""
    return _SEPARATOR.join(part.strip(b"\0 ").decode("latin-1") for part in (issuer, patient_id))


def parts(subject: str) -> tuple[str, str]:
    """Return the issuer and the Patient ID that `canonical` was given."""
    issuer, _, patient_id = subject.partition(_SEPARATOR)
    return issuer, patient_id


def pseudonym(key: ProjectKey, subject: str) -> str:
    """Return a subject's keyed pseudonym: 20 characters, letters and digits."""
    derived = key.derive("subject", subject.encode())
    return base64.b32encode(derived[:15]).decode()[:20]


def is_pseudonym(text: str) -> bool:
    """Tell whether a chosen pseudonym fits Patient ID and Patient's Name (PS3.5 6.2), and can be a folder's name."""
    return _PSEUDONYM.fullmatch(text) is not None


def is_prefix(text: str) -> bool:
    """Tell whether a running number after this text is such a pseudonym."""
    return _PREFIX.fullmatch(text) is not None
