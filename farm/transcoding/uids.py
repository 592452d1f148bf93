"""The UID of a lossy copy that would have the original's: derived from that, and from how it was coded.

The same instance, coded the same way, has the same UID on every machine (PS3.3 C.12.4.1 asks for a new one). There is
no secret in it: who is not to know the first UID must not be given the second one's instance. References in other
instances are not changed: they lead to the original. Where de-identification has given a new UID none is derived.
"""

from __future__ import annotations

from dataclasses import astuple

from blake3 import blake3

from farm.deid.uids import UUID_ROOT, number
from farm.frames.codec import Options


def derived_uid(uid: bytes, options: Options, root: str = UUID_ROOT) -> bytes:
    """Return the UID of an instance's lossy copy, under a root."""
    material = blake3(repr((uid, astuple(options))).encode()).digest()
    return f"{root}.{number(root, material)}".encode()
