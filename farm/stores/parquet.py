"""The manifest as Parquet: the same columns, typed, written a group of rows at a time so that memory stays flat."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from farm.stores.durable import appearing
from farm.stores.manifest import COLUMNS, Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_GROUP = 10_000
_TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "truth": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "json": pa.string(),
}
SCHEMA = pa.schema(
    [
        pa.field(column.name, _TYPES[column.kind], metadata={"meaning": column.meaning, "kind": column.kind})
        for column in COLUMNS
    ]
)


def write_parquet(rows: Iterable[Mapping[str, object]], path: Path) -> int:
    """Write a Parquet file in row groups of 10,000; return how many rows. The file appears whole or not at all."""
    count = 0
    remaining = iter(rows)
    with appearing(path) as temp, pq.ParquetWriter(temp, SCHEMA, compression="zstd") as writer:
        while group := list(itertools.islice(remaining, _GROUP)):
            columns = [[_cell(row, column) for row in group] for column in COLUMNS]
            arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA))
            count += len(group)
    return count


def _cell(row: Mapping[str, object], column: Column) -> object:
    value = row[column.name]
    return (
        json.dumps(value, ensure_ascii=False, sort_keys=True) if column.kind == "json" and value is not None else value
    )
