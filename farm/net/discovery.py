"""What has to be asked of an archive before it can be asked for instances (PS3.4 sections C.4.2 and C.4.3).

C-GET and C-MOVE take unique keys alone, so whatever else describes the instances is first a C-FIND at their level. And
C-GET needs to know which storage SOP classes will come, because each takes presentation contexts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from farm.net.client import Client
from farm.net.query import (
    LEVEL,
    PATIENT_ID,
    SERIES_UID,
    SOP_CLASS,
    SOP_CLASSES_IN_STUDY,
    SOP_INSTANCE,
    STUDY_UID,
    Identifier,
    Level,
)
from farm.net.services import PATIENT_ROOT_FIND, STUDY_ROOT_FIND

UNIQUE: Final[dict[Level, tuple[int, ...]]] = {
    Level.PATIENT: (PATIENT_ID,),
    Level.STUDY: (STUDY_UID,),
    Level.SERIES: (STUDY_UID, SERIES_UID),
    Level.IMAGE: (STUDY_UID, SERIES_UID, SOP_INSTANCE),
}
"""The unique keys that name one entity of a level in the study root, the patient's in the patient root."""


def find_model(level: Level) -> str:
    """Return the SOP class to query a level by."""
    return PATIENT_ROOT_FIND if level is Level.PATIENT else STUDY_ROOT_FIND


async def targets(
    client: Client, level: Level, keys: Mapping[int, str], *, relational: bool = False
) -> list[Identifier]:
    """Return the unique keys of each entity that keys describe; the peer is asked unless they are unique already.

    `relational`: the peer takes the key of a level without those of the levels above (PS3.4 section C.4.2.2.2).
    """
    unique = UNIQUE[level]
    least = unique[-1:] if relational else unique
    if set(least) <= keys.keys() <= set(unique) and all(_is_plain(value) for value in keys.values()):
        return [dict(keys)]
    asked = {**dict.fromkeys(unique, ""), **keys, LEVEL: level.value}
    finds = client.find(find_model(level), asked)
    # Of the levels above, not every peer returns the key that it was given.
    return [{tag: match.get(tag) or keys.get(tag, "") for tag in unique} async for match in finds]


def _is_plain(value: str) -> bool:
    return bool(value) and not set(value) & set("*?")


async def sop_classes(client: Client, level: Level, target: Identifier) -> set[str]:
    """Return the storage SOP classes of what a target holds; empty where the peer does not say."""
    if level is Level.STUDY:
        asked = {**target, LEVEL: Level.STUDY.value, SOP_CLASSES_IN_STUDY: ""}
        said = [match.get(SOP_CLASSES_IN_STUDY, "") async for match in client.find(STUDY_ROOT_FIND, asked)]
        if said and all(said):
            return {uid for classes in said for uid in classes.split("\\")}
        asked = {**target, LEVEL: Level.SERIES.value, SERIES_UID: ""}
        series = [
            {**target, SERIES_UID: match.get(SERIES_UID, "")} async for match in client.find(STUDY_ROOT_FIND, asked)
        ]
    else:
        series = [target] if level in {Level.SERIES, Level.IMAGE} else []
    found = set()
    for one in series:
        asked = {SOP_INSTANCE: "", **one, LEVEL: Level.IMAGE.value, SOP_CLASS: ""}
        found |= {match.get(SOP_CLASS, "") async for match in client.find(STUDY_ROOT_FIND, asked)}
    return found - {""}
