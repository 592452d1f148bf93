"""Compare transcoding, file to file, with bare codecs and with other tools, side by side (`make bench-codecs`).

Files stand in memory, so no disk is measured. Every contender works on one processor that it is tied to, and they take
turns, round by round; the best time of each counts. `share` is what is left of the bare codec's speed (encode, and the
decoding back that proves it) by reading, planning, editing, handing frames to another process and writing. Peers prove
nothing, so their ratios are told with the proof off, and with it on too. Nothing fails when a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.codecs import images
from tests.bench.codecs.images import KINDS, Kind

ROOT = Path(__file__).resolve().parents[3]
_MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another tool that writes a file of a transfer syntax, and how many times as fast the farm has to be."""

    name: str
    target: float
    command: tuple[str, ...] = ()
    """A program and its options; empty: pydicom, in a process of its own."""
    syntax: str = ""
    """What pydicom is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A transfer syntax of the farm's and those it is compared with."""

    syntax: str
    peers: tuple[Peer, ...]
    bare: bool = True


TRIALS = (
    Trial(
        syntax="htj2k-lossless",
        peers=(
            Peer(name="gdcmconv --j2k", target=10, command=("gdcmconv", "--j2k")),
            Peer(name="pydicom, OpenJPEG", target=10, syntax="j2k-lossless"),
        ),
    ),
    Trial(syntax="jpeg-ls-lossless", peers=(Peer(name="dcmcjpls", target=1.5, command=("dcmcjpls",)),)),
    Trial(syntax="rle", peers=(Peer(name="dcmcrle", target=2, command=("dcmcrle",)),)),
    Trial(syntax="deflated", peers=(Peer(name="pydicom, deflated", target=10, syntax="deflated"),), bare=False),
)
Row = dict[str, object]


def main() -> None:
    """Generate, measure, print."""
    options = _options()
    place = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a place in memory
    with tempfile.TemporaryDirectory(dir=place, prefix="codecs-") as scratch:
        rows = list(_measured(Path(scratch), options))
    if options.json:
        print(json.dumps({"machine": _machine(), "rows": rows}, indent=2))
        return
    print(_machine())
    for line in _table(rows):
        print(line)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the rows as a table; what is wanted stands in the head."""
    heads = (
        "images",
        "to",
        "MB/s",
        "share (85 %)",
        "times a peer (wanted)",
        "proved",
        "two (1.85)",
        "memory, MB (150)",
    )
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for row in rows:
        peers = row["peers"]
        assert isinstance(peers, dict)
        off = ", ".join(f"{one['off']} {name} ({one['target']:g})" for name, one in peers.items())
        on = ", ".join(str(one["on"]) for one in peers.values())
        share = f"{row['share']} %" if "share" in row else ""
        cells = (row["kind"], row["syntax"], row["MB/s"], share, off, on, row["two workers"], row["memory"])
        yield f"| {' | '.join(map(str, cells))} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.codecs", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all contenders (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each contender in a round (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="SYNTAX", help="these transfer syntaxes alone")
    parser.add_argument("--kinds", nargs="+", default=[], metavar="KIND", help="these kinds of images alone")
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    return parser.parse_args()


def _machine() -> str:
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} processors"


def _measured(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    for kind in KINDS:
        if options.kinds and kind.name not in options.kinds:
            continue
        source = folder / kind.name
        size = images.write(kind, source)
        for trial in TRIALS:
            if not options.only or trial.syntax in options.only:
                print(f"{kind.name}, {trial.syntax} ...", file=sys.stderr, flush=True)
                yield {"kind": kind.name, "syntax": trial.syntax, **_trial(trial, kind, source, size, options)}


def _trial(trial: Trial, kind: Kind, source: Path, size: int, options: argparse.Namespace) -> Row:
    """Return the figures of one transfer syntax on one file."""
    ways = ["farm", "farm-unproved", *(["bare"] if trial.bare else [])]
    best: dict[str, float] = {}
    memory = written = 0
    alone = pair = 0.0
    for _ in range(options.rounds):
        for way in ways:
            found = _probe(way, trial.syntax, source, options.seconds)
            _better(best, way, min(found["seconds"]))
            if way == "farm":
                memory, written = max(memory, found["memory"]), found["bytes"]
        for peer in trial.peers:
            took = _peer(peer, source, options.seconds)
            if took is not None:
                _better(best, peer.name, took)
        one, two = _workers(trial.syntax, source, options.seconds)
        alone, pair = max(alone, one), max(pair, two)
    row: Row = {"MB": round(size / _MB, 1), "ratio": round(size / written, 2), "MB/s": _rate(size, best["farm"])}
    row["rates"] = {name: _rate(size, took) for name, took in best.items()}
    if trial.bare:
        row["share"] = round(100 * best["bare"] / best["farm"])
    row["peers"] = {
        peer.name: {
            "off": round(best[peer.name] / best["farm-unproved"], 1),
            "on": round(best[peer.name] / best["farm"], 1),
            "target": peer.target,
        }
        for peer in trial.peers
        if peer.name in best
    }
    row["two workers"] = round(pair / alone, 2)
    row["memory"] = round((memory - 4 * size / kind.frames) / 2**20)
    return row


def _rate(size: int, took: float) -> float:
    return round(size / _MB / took, 1)


def _better(best: dict[str, float], name: str, took: float) -> None:
    best[name] = min(took, best.get(name, took))


def _probing(way: str, syntax: str, source: Path, seconds: float, processor: int) -> subprocess.Popen[str]:
    module = "tests.bench.codecs.probe"
    command = [sys.executable, "-m", module, way, syntax, str(source), str(seconds), str(processor)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _probe(way: str, syntax: str, source: Path, seconds: float) -> dict[str, object]:
    return _answer(_probing(way, syntax, source, seconds, 0))


def _answer(process: subprocess.Popen[str]) -> dict[str, object]:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(process.returncode)
    found: dict[str, object] = json.loads(out)
    return found


def _workers(syntax: str, source: Path, seconds: float) -> tuple[float, float]:
    """Return how many files a second one worker does, and two at once on a processor each."""
    processors = sorted(os.sched_getaffinity(0))[:2]
    rates = []
    for used in (processors[:1], processors):
        running = [_probing("farm", syntax, source, seconds, processor) for processor in used]
        means = []
        for process in running:
            times = _answer(process)["seconds"]
            assert isinstance(times, list)
            means.append(len(times) / sum(times))
        rates.append(sum(means))
    return rates[0], rates[1]


def _peer(peer: Peer, source: Path, seconds: float) -> float | None:
    """Return the best time of a peer, its start included; None where it is not installed."""
    if not peer.command:
        found = _probe("pydicom", peer.syntax, source, seconds)["seconds"]
        assert isinstance(found, list)
        return float(min(found))
    if shutil.which(peer.command[0]) is None:
        return None
    target = source.with_suffix(".peer")
    command = ["taskset", "-c", "0", *peer.command, str(source), str(target)]
    times: list[float] = []
    while sum(times) < seconds or len(times) < 2:
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    target.unlink()
    return min(times)


if __name__ == "__main__":
    main()
