"""How fast instances are received, side by side with other receivers (`python -m tests.bench.net.receive`).

The same sender drives each receiver in turn, round by round; the files go to memory, and nobody waits for a disk. DCMTK
and Orthanc leave Nagle's algorithm on: they are measured with TCP_NODELAY=1 in their environment, which is fair, and
again as they come.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from tests import generate
from tests.bench.figures import table, verdict
from tests.bench.net.peers import RECEIVERS, TITLE, Receiver, Running, running

MODES = ("TCP_NODELAY=1", "as they come")
COUNTS = {"CT": 600, "MR": 3000, "MF": 6}
_MB = 1e6


def main() -> None:
    """Generate, measure, print."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="receive-") as scratch:
        folder = Path(scratch)
        files = write_kinds(folder)
        results: dict[str, dict[str, dict[str, float]]] = {}
        for name in options.peers:
            results[name] = _measured(files, folder, options, nodelay=name == MODES[0])
    print(json.dumps(results, indent=2) if options.json else "\n\n".join(_tables(results)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.net.receive", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all receivers (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="part of the usual number of instances (%(default)s)")
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 4, 8], metavar="N", help="at once")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these receivers alone")
    parser.add_argument("--peers", nargs="+", default=list(MODES), choices=MODES, help="how the peers run")
    parser.add_argument("--kinds", nargs="+", default=list(COUNTS), choices=list(COUNTS), help="these instances alone")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where files go (%(default)s)")  # noqa: S108 - memory
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    return parser.parse_args()


def write_kinds(folder: Path) -> dict[str, Path]:
    """Write one instance of each kind: a CT of 520 KB, one as small as an MR (35 KB), a multi-frame of 105 MB."""
    made = {
        "CT": generate.ct("bench", 0),
        "MR": generate.ct("bench", 1, side=128, elements=150),
        "MF": generate.enhanced_mr("bench", frames=200, side=512),
    }
    paths = {kind: folder / f"{kind}.dcm" for kind in made}
    for kind, dataset in made.items():
        paths[kind].write_bytes(generate.encode(dataset))
    return paths


def _measured(
    files: dict[str, Path], folder: Path, options: argparse.Namespace, *, nodelay: bool
) -> dict[str, dict[str, float]]:
    """Return for each receiver its figures by kind and number of associations."""
    chosen = [one for one in RECEIVERS if (not options.only or one.name in options.only) and shutil.which(one.program)]
    samples: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(options.rounds):
        for receiver in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
            note(f"round {number + 1} of {options.rounds}: {receiver.name}")
            with running(receiver.command, folder / "in", nodelay=nodelay) as server:
                for figure, value in _figures(server, receiver, files, options).items():
                    samples[receiver.name, figure].append(value)
    figures: dict[str, dict[str, float]] = {one.name: {} for one in chosen}
    for (name, figure), values in samples.items():
        figures[name][figure] = median(values)
    return figures


def note(text: str) -> None:
    """Tell on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


def _figures(
    server: Running, receiver: Receiver, files: dict[str, Path], options: argparse.Namespace
) -> dict[str, float]:
    found: dict[str, float] = {"base MB": server.peak()}
    title = TITLE if receiver.name == "Orthanc" else "ANY"
    for kind in options.kinds:
        size = files[kind].stat().st_size
        count = max(options.associations[-1], int(COUNTS[kind] * options.share))
        for associations in options.associations:
            before = server.cpu()
            seconds, done = send(server.port, title, files[kind], count, associations)
            used = server.cpu() - before
            found[f"{kind} x{associations} /s"] = done / seconds
            found[f"{kind} x{associations} CPU s/GB"] = used / (done * size / 1e9)
            server.forget()
    found["peak MB"] = server.peak()
    return found


def send(port: int, title: str, file: Path, count: int, associations: int) -> tuple[float, int]:
    """Send `count` instances over so many associations at once; return the seconds, and how many there were."""
    each = count // associations
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.bench.net.sender"),
                *(str(port), title, str(file), str(each), str(number * each + 1)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(associations)
    ]
    pipes = [(child.stdin, child.stdout) for child in children if child.stdin and child.stdout]
    for _, out in pipes:
        if out.readline() != b"ready\n":
            raise RuntimeError("a sender could not begin")
    for given, _ in pipes:
        given.write(b"\n")
        given.flush()
    told = [json.loads(out.readline()) for _, out in pipes]
    for child in children:
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()
    if sum(one["failed"] for one in told):
        raise RuntimeError("instances were refused")
    return max(one["seconds"] for one in told), each * associations


def _tables(results: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    texts = []
    for name, rows in results.items():
        heads = list(dict.fromkeys(figure for row in rows.values() for figure in row))
        for part in (" /s", " CPU s/GB", " MB"):
            some = [head for head in heads if head.endswith(part)]
            lines = [[who, *(f"{row[head]:,.2f}" if head in row else "" for head in some)] for who, row in rows.items()]
            texts.append(table(f"Receiving, peers {name}:{part}", ["", *(head[: -len(part)] for head in some)], lines))
        texts.append(_verdicts(rows))
    return texts


# What the farm wants to reach: another receiver, the figure, the least ratio of the farm's to it.
_WANTED = (
    ("storescp", "CT x1 /s", 1.3),
    ("storescp +B 131072", "CT x1 /s", 0.95),
    ("storescp", "MR x1 /s", 1.3),
    ("storescp +B 131072", "MR x1 /s", 0.95),
    ("Orthanc", "CT x1 /s", 5.0),
    ("pynetdicom", "CT x1 /s", 7.0),
    ("pynetdicom", "MR x1 /s", 14.0),
)


def _verdicts(rows: dict[str, dict[str, float]]) -> str:
    farm = rows.get("farm", {})
    lines = [
        [f"{figure} of {other}", f"{ratio:.2f}", verdict(ratio, least, at_least=True)]
        for other, figure, least in _WANTED
        if figure in farm and figure in rows.get(other, {})
        for ratio in [farm[figure] / rows[other][figure]]
    ]
    header = rows.get("farm, header rule", {}).get("CT x1 CPU s/GB")
    if header is not None:
        lines.append(["CPU s/GB of CT with the header rule", f"{header:.2f}", verdict(header, 0.65, at_least=False)])
    return table("The farm against", ["", "ratio", "wanted"], lines)


if __name__ == "__main__":
    main()
