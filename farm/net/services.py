"""The SOP classes of the services that the farm knows, and the statuses that they answer with (PS3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

from pydicom._uid_dict import UID_dictionary

VERIFICATION: Final = "1.2.840.10008.1.1"
STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"  # the well-known SOP instance (PS3.4 J.3.5)
PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
_FINDS: Final = frozenset({PATIENT_ROOT_FIND, STUDY_ROOT_FIND})
_RETRIEVES: Final = frozenset({PATIENT_ROOT_MOVE, PATIENT_ROOT_GET, STUDY_ROOT_MOVE, STUDY_ROOT_GET})
_STANDARD: Final = "1.2.840.10008."
_NO_COMPOSITE: Final = frozenset(
    {
        "1.2.840.10008.1.3.10",  # Media Storage Directory Storage: for files alone
        STORAGE_COMMITMENT,
        "1.2.840.10008.1.20.2",  # Storage Commitment Pull Model, retired
    }
)


class Status(IntEnum):
    """Statuses that the farm gives, or acts on when it is given them (PS3.4 annexes B and C, PS3.7 annex C)."""

    SUCCESS = 0x0000
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    PROCESSING_FAILURE = 0x0110
    UNRECOGNIZED_OPERATION = 0x0211
    NOT_AUTHORIZED = 0x0124
    OUT_OF_RESOURCES = 0xA700
    MOVE_DESTINATION_UNKNOWN = 0xA801
    DATA_SET_DOES_NOT_MATCH = 0xA900
    COERCED = 0xB000
    CANNOT_UNDERSTAND = 0xC000
    CANCELLED = 0xFE00
    PENDING = 0xFF00
    PENDING_WITH_WARNING = 0xFF01


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What is asked of query and retrieve beyond their baseline, by extended negotiation (PS3.4 sections C.5.1 to 3).

    `relational`: keys of a level without those of the levels above. `date_time`: dates and times of day matched as one.
    `fuzzy`: names matched by what they sound like, or however else the peer does it.
    """

    relational: bool = False
    date_time: bool = False
    fuzzy: bool = False

    def information(self, sop_class: str) -> bytes:
        """Return the Service Class Application Information, a byte for each; empty where nothing is asked of a class.

        What is not asked for stands in it no further than what is: peers of older editions know fewer bytes.
        """
        flags = (self.relational, self.date_time, self.fuzzy) if sop_class in _FINDS else (self.relational,)
        return bytes(flags).rstrip(b"\0") if sop_class in _FINDS | _RETRIEVES else b""


def is_pending(status: int) -> bool:
    """Tell whether more responses follow."""
    return status in {Status.PENDING, Status.PENDING_WITH_WARNING}


def is_warning(status: int) -> bool:
    """Tell whether a status is a warning (PS3.7 C.3)."""
    return status in {0x0001, 0x0107, 0x0116} or status >> 12 == 0xB


@cache
def storage_classes() -> tuple[str, ...]:
    """Return every storage SOP class of the standard, those in force before the retired ones."""
    found = [
        (bool(retired), uid)
        for uid, (name, kind, _, retired, _) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and uid not in _NO_COMPOSITE
    ]
    return tuple(uid for _, uid in sorted(found))


@cache
def _storage_set() -> frozenset[str]:
    return frozenset(storage_classes())


def is_storage(sop_class: str, *, private: bool = False) -> bool:
    """Tell whether a SOP class is one of storage; with `private`, any that the standard does not know is taken for one.

    A class of the standard's root that is not in the data dictionary is newer than it: with `private` it passes too.
    """
    if sop_class in _storage_set():
        return True
    return private and sop_class not in UID_dictionary and bool(sop_class)
