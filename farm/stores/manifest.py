"""The manifest of a run: one row for each instance that ended, and nothing that identifies anyone.

`COLUMNS` is the one list of what a manifest says and what it means. Only what it names is written, so a column that a
query gains by mistake goes nowhere. JSON Lines are written here; Parquet stands in a module of its own, because its
library takes as long to import as the rest of the program.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from farm.stores.durable import appearing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: a value of its kind, or null where it does not apply (a quarantined instance has no output)."""

    name: str
    kind: Literal["text", "integer", "truth", "time", "json"]
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column(name="id", kind="integer", meaning="The instance's number in the ledger."),
    Column(name="state", kind="text", meaning="`done`, `quarantined` or `skipped`."),
    Column(name="reason", kind="text", meaning="Why it was quarantined or skipped: a reason code."),
    Column(name="attempts", kind="integer", meaning="Attempts that were started."),
    Column(name="input_digest", kind="text", meaning="BLAKE3 of the source's bytes."),
    Column(name="output_digest", kind="text", meaning="BLAKE3 of the released bytes."),
    Column(name="input_bytes", kind="integer", meaning="Size of the source."),
    Column(name="output_bytes", kind="integer", meaning="Size of what was released."),
    Column(name="path", kind="text", meaning="Where it was released, relative to the destination."),
    Column(name="sop_class", kind="text", meaning="SOP Class UID."),
    Column(name="study", kind="text", meaning="New Study Instance UID."),
    Column(name="series", kind="text", meaning="New Series Instance UID."),
    Column(name="instance", kind="text", meaning="New SOP Instance UID."),
    Column(name="subject", kind="text", meaning="The subject's pseudonym."),
    Column(name="source_syntax", kind="text", meaning="Transfer Syntax UID of the source."),
    Column(name="target_syntax", kind="text", meaning="Transfer Syntax UID of what was released."),
    Column(name="pixels", kind="text", meaning="What was done with its frames: `copy`, `rewrite` or `encode`."),
    Column(name="codec", kind="text", meaning="The libraries that did it, their versions, and the device, if any."),
    Column(name="pixels_at_risk", kind="truth", meaning="The pixels may show text and were passed unexamined."),
    Column(name="counts", kind="json", meaning="What was done to its attributes: a number for each action."),
    Column(name="findings", kind="json", meaning="What the release gate found, if it held it back: kinds and places."),
    Column(name="versions", kind="text", meaning="Versions of the code that made the output."),
    Column(name="recipe_digest", kind="text", meaning="Digest of the recipe."),
    Column(name="finished_at", kind="time", meaning="When it ended, by the database's clock (UTC)."),
)


def write_jsonl(rows: Iterable[Mapping[str, object]], path: Path) -> int:
    """Write one JSON object a line; return how many. The file appears whole or not at all."""
    count = 0
    with appearing(path) as temp, temp.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            values = {column.name: _plain(row[column.name]) for column in COLUMNS}
            file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")))
            file.write("\n")
            count += 1
    return count


def _plain(value: object) -> object:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
