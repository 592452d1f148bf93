from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from suites.volumes import mounted

from farm.errors import Reason, Unavailable
from farm.stores import parquet
from farm.stores.manifest import COLUMNS, write_jsonl
from farm.stores.parquet import SCHEMA, write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    Writer = Callable[[Iterable[Mapping[str, object]], Path], int]

AT = datetime(2026, 5, 4, 12, 30, tzinfo=timezone(timedelta(hours=2)))
SAMPLES = {"text": "ü", "integer": 1 << 40, "truth": True, "time": AT, "json": {"removed": 3}}


def row(number: int) -> dict[str, object]:
    """Return a row with a value in every column, as the ledger gives it."""
    return {column.name: SAMPLES[column.kind] for column in COLUMNS} | {"id": number}


def rows(count: int) -> Iterator[dict[str, object]]:
    """Yield that many rows."""
    return map(row, range(count))


def parts(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


both = pytest.mark.parametrize("write", [write_jsonl, write_parquet])


def test_lines_hold_every_column_in_order(tmp_path: Path) -> None:
    """Lost: whoever reads the manifest line by line would miss a column, or a value would change on its way."""
    assert write_jsonl(rows(2), tmp_path / "m.jsonl") == 2
    lines = (tmp_path / "m.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 2
    values = json.loads(lines[1])
    assert list(values) == [column.name for column in COLUMNS]
    assert values == row(1) | {"finished_at": "2026-05-04T10:30:00+00:00"}


def test_parquet_holds_the_same_with_types(tmp_path: Path) -> None:
    """Lost: the two forms of one manifest would differ, or a query engine would see text where numbers are."""
    assert write_parquet(rows(2), tmp_path / "m.parquet") == 2
    table = pq.read_table(tmp_path / "m.parquet")
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table.to_pylist()[1] == row(1) | {
        "finished_at": AT.astimezone(UTC),
        "counts": '{"removed": 3}',
        "findings": '{"removed": 3}',
    }


def test_parquet_is_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the manifest of a large run would be held in memory whole."""
    monkeypatch.setattr(parquet, "_GROUP", 100)
    assert write_parquet(rows(201), tmp_path / "m.parquet") == 201
    shape = pq.ParquetFile(tmp_path / "m.parquet").metadata
    assert [shape.row_group(number).num_rows for number in range(shape.num_row_groups)] == [100, 100, 1]


@both
def test_nothing_and_nulls(tmp_path: Path, write: Writer) -> None:
    """Lost: a run of no instances, or only quarantined ones, would have no manifest."""
    assert write([], tmp_path / "empty") == 0
    assert write([dict.fromkeys(row(0))], tmp_path / "nulls") == 1


@both
def test_only_listed_columns_are_written(tmp_path: Path, write: Writer) -> None:
    """Lost: a column that a query gains by mistake, such as a source's path, would be published."""
    write([row(0) | {"locator": "CANARY"}], tmp_path / "m")
    assert b"CANARY" not in (tmp_path / "m").read_bytes()
    assert b"locator" not in (tmp_path / "m").read_bytes()


@both
def test_a_listed_column_that_is_missing_is_an_error(tmp_path: Path, write: Writer) -> None:
    """Lost: a column renamed in the ledger would stand as null in every manifest from then on."""
    short = row(0)
    del short["output_digest"]
    with pytest.raises(KeyError):
        write([short], tmp_path / "m")


@both
def test_a_failed_manifest_leaves_the_old_one(tmp_path: Path, write: Writer) -> None:
    """Lost: a manifest could stand cut off, and look whole."""

    def failing() -> Iterator[dict[str, object]]:
        yield row(0)
        raise ZeroDivisionError

    (tmp_path / "m").write_text("old")
    with pytest.raises(ZeroDivisionError):
        write(failing(), tmp_path / "m")
    assert (tmp_path / "m").read_text() == "old"
    assert parts(tmp_path) == ["m"]
    write(rows(1), tmp_path / "m")
    assert parts(tmp_path) == ["m"]


@both
def test_a_full_disk(tmp_path: Path, write: Writer) -> None:
    """Lost: a full disk would show as a library's error with a path in it, and leave a part behind."""
    varied = ({**row(number), "path": f"{number * 2654435761:064x}"} for number in range(20_000))
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "none") as root:
        with pytest.raises(Unavailable) as caught:
            write(varied, root / "m")
        assert caught.value.reason is Reason.NO_SPACE
        assert parts(root) == []


@both
def test_a_folder_that_is_not_there(tmp_path: Path, write: Writer) -> None:
    """Lost: a mistyped target would end in a traceback."""
    with pytest.raises(Unavailable):
        write(rows(1), tmp_path / "no" / "m")


@both
def test_a_link_stays_a_link(write: Writer, tmp_path: Path) -> None:
    """Lost otherwise: a link to where reports belong, or even a device's, would become a file."""
    real, link = tmp_path / "reports" / "m", tmp_path / "m"
    real.parent.mkdir()
    link.symlink_to(real)
    for _ in range(2):  # it leads nowhere at first
        assert write(rows(2), link) == 2
        assert link.is_symlink()
        assert real.is_file()


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """Lost otherwise: whoever reads the pipe would wait for ever, and the pipe would be gone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_text)
        assert write_jsonl(rows(2), pipe) == 2
        assert len(read.result().splitlines()) == 2
    assert pipe.is_fifo()
