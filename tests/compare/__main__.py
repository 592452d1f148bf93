"""Compare the farm with other tools, side by side, on files that all of them get (`make compare`).

Four questions: how many canaries of one generated file show in the output, how many new errors dciodvfy finds in the
outputs of the files that ship with pydicom, which attributes say that an instance was de-identified, and how many
generated CT instances a second one process does. Every tool runs with its defaults. Prints Markdown, or JSON.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import pydicom

from tests import generate
from tests.bench.contenders import ROOT, Absent, Probe
from tests.canaries import CHARSETS, Canary, leaks, plant
from tests.compare import iod
from tests.compare.tools import Tool, tools

# The columns, and the categories of canaries that are counted in each; the first that fits.
GROUPS = {
    "listed, top": r"table/.*/top",
    "listed, nested": r"table/.*|kept reference/.*",
    "private": r"private/.*",
    "graphics, SR, documents": r"overlay/.*|curve|structured content|encapsulated document",
    "around the data": r"file meta|preamble|group 0004|trailing/.*",
    "not listed": r"unlisted/.*|unknown tag|icc profile",
}
# Numbers, UIDs and samples that the standard does not list are nobody's promise.
_NOT_COUNTED = r"unlisted/(number|uid|words)/.*|palette"
MARKERS = {"0062": 0x00120062, "0063": 0x00120063, "0064": 0x00120064, "0303": 0x00280303}
Row = dict[str, object]


def main() -> None:
    """Run every tool, print the table."""
    options = _options()
    options.cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.cache, prefix="compare-") as scratch:
        comparison = Comparison(Path(scratch), options)
        rows = comparison.rows([tool for tool in tools() if not options.only or tool.contender.name in options.only])
    counted = comparison.planted
    print(json.dumps({"canaries": counted, "tools": rows}, indent=2) if options.json else _markdown(counted, rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.compare", description=__doc__)
    parser.add_argument("--instances", type=int, default=60, help="CT instances in a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of speed, after one to warm up (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these tools alone")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="folder for environments and files")
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    return parser.parse_args()


def group_of(category: str) -> str:
    """Return the column that a category of canaries is counted in; empty where it is in none."""
    if re.fullmatch(_NOT_COUNTED, category):
        return ""
    return next(group for group, pattern in GROUPS.items() if re.fullmatch(pattern, category))


class Comparison:
    """The material, made once, and the figures of one tool after the other."""

    def __init__(self, scratch: Path, options: argparse.Namespace) -> None:
        self._scratch, self._options = scratch, options
        self._plan = plant(["explicit"], CHARSETS[:1], whole=True)
        self._write("canaries", {file.name: file.data for file in self._plan.files})
        for part in range(options.rounds + 1):
            generate.write_ct_set(scratch / f"ct{part}", count=options.instances, first=part * options.instances)
        self._sources: dict[str, Counter[str]] = {}
        for number, path in enumerate(iod.sources() if not iod.why_not() else ()):
            self._write(f"iod{number}", {f"{number:03}.dcm": path.read_bytes()})
            self._sources[f"iod{number}"] = iod.errors(path)
        found = leaks(self._plan, {file.name: file.data for file in self._plan.files})
        self.planted = _grouped(found)

    def rows(self, chosen: Sequence[Tool]) -> list[Row]:
        """Return all figures of each tool, or why there are none; for speed the tools take turns."""
        rows: list[Row] = []
        probes: list[tuple[Probe, Row]] = []
        for tool in chosen:
            print(tool.contender.title, file=sys.stderr, flush=True)
            rows.append({"tool": tool.contender.title, "command": tool.command})
            try:
                probe = Probe(tool.contender, self._options.cache)
            except Absent as why:
                rows[-1]["absent"] = str(why)
                continue
            probes.append((probe, rows[-1]))
            rows[-1] |= self._leaked(probe) | self._errors(probe) | self._markers(probe)
        rates: dict[int, list[float]] = defaultdict(list)
        for part in range(1, self._options.rounds + 1):
            for probe, row in probes:
                with suppress(Absent):
                    sample = probe.measure(self._scratch / f"ct{part}", self._scratch)
                    rates[id(row)].append(sample.count / sample.wall)
        for probe, row in probes:
            if rates[id(row)]:
                row["per_second"] = round(median(rates[id(row)]))
            probe.close()
        return rows

    def _write(self, folder: str, files: dict[str, bytes]) -> None:
        (self._scratch / folder).mkdir()
        for name, data in files.items():
            (self._scratch / folder / name).write_bytes(data)

    def _outputs(self, probe: Probe, folder: str) -> list[Path]:
        """Return the instances that the tool makes of a folder; raise `Absent` where there is none."""
        target = Path(tempfile.mkdtemp(dir=self._scratch))
        probe.work(self._scratch / folder, target)
        made = [path for path in sorted(target.rglob("*")) if path.is_file() and b"DICM" in path.read_bytes()[:132]]
        if not made:
            raise Absent("wrote nothing")
        return made

    def _leaked(self, probe: Probe) -> Row:
        try:
            made = self._outputs(probe, "canaries")
        except Absent as why:
            return {"refused": f"refused the file ({str(why).partition(':')[0]})"}
        (planted,) = self._plan.files
        return {"leaked": _grouped(leaks(self._plan, {planted.name: made[0]}))}

    def _errors(self, probe: Probe) -> Row:
        new, done = 0, 0
        for folder, before in self._sources.items():
            try:
                after = iod.errors(self._outputs(probe, folder)[0])
            except Absent:
                continue
            done += 1
            new += (after - before).total()
        return {"new_errors": new, "files": done, "of": len(self._sources)} if self._sources else {}

    def _markers(self, probe: Probe) -> Row:
        """Return which attributes say that an instance was de-identified; this warms the tool up, too."""
        try:
            instance = pydicom.dcmread(self._outputs(probe, "ct0")[0], stop_before_pixels=True)
        except Absent:
            return {}
        return {"markers": [name for name, tag in MARKERS.items() if tag in instance and instance[tag].value]}


def _grouped(found: dict[str, list[Canary]]) -> dict[str, int]:
    counts = dict.fromkeys(("total", *GROUPS), 0)
    for category, canaries in found.items():
        if group := group_of(category):
            counts[group] += len(canaries)
            counts["total"] += len(canaries)
    return counts


def _markdown(planted: dict[str, int], rows: Sequence[Row]) -> str:
    head = [
        "",
        "leaked",
        *GROUPS,
        "new IOD errors",
        *(f"({'0028' if name == '0303' else '0012'},{name})" for name in MARKERS),
        "files/s",
    ]
    lines = [head, ["---", *("---:" for _ in head[1:])], ["planted", *(f"{count:,}" for count in planted.values())]]
    lines[2] += [""] * (len(head) - len(lines[2]))
    lines += [_cells(row) for row in rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([table, "", *(f"- {row['tool']}: `{row['command']}`" for row in rows)])


def _cells(row: Row) -> list[str]:
    leaked, markers = row.get("leaked"), row.get("markers")
    first = list(leaked.values()) if isinstance(leaked, dict) else []
    refused = row.get("absent") or row.get("refused", "")
    cells = (
        [str(row["tool"]), *(f"{count:,}" for count in first)]
        if first
        else [str(row["tool"]), str(refused), *[""] * len(GROUPS)]
    )
    cells.append(f"+{row['new_errors']} in {row['files']} of {row['of']}" if "new_errors" in row else "")
    cells += [("yes" if name in markers else "no") if isinstance(markers, list) else "" for name in MARKERS]
    return [*cells, str(row.get("per_second", ""))]


if __name__ == "__main__":
    main()
