"""Subjects: who an instance belongs to, and the pseudonym and date shift derived for them.

A subject is an issuer (or the source's domain) and a Patient ID without padding: the same ID of two issuers is two
people. The pseudonym is 20 characters of base 32 from 100 bits of HMAC: no two subjects of a project will meet, and it
fits every VR that it is written to (LO, PN).
"""

from __future__ import annotations

import base64

from farm.deid.keys import ProjectKey

_LONGEST_SHIFT_DAYS = 3650


def canonical(issuer: bytes, patient_id: bytes) -> str:
    """Return the text that stands for a subject; bytes outside ASCII keep apart what is apart."""
    return "\x1f".join(part.strip(b"\0 ").decode("latin-1") for part in (issuer, patient_id))


def pseudonym(key: ProjectKey, subject: str) -> str:
    """Return a subject's pseudonym: 20 characters, letters and digits."""
    derived = key.derive("subject", subject.encode())
    return base64.b32encode(derived[:15]).decode()[:20]


def date_shift(key: ProjectKey, subject: str) -> int:
    """Return a subject's date shift in days, to the past: 1 to 3650, never 0."""
    number = int.from_bytes(key.derive("date-shift", subject.encode())[:8], "big")
    return -(1 + number % _LONGEST_SHIFT_DAYS)
