"""Compare the farm with a plain copy and with other tools, side by side on one generated set (`make bench`).

Every contender reads and writes real files of one file system with the page cache warm. The contenders take turns,
round by round, each round on a folder of instances that none has seen before: figures that come from caching one file
do not count. Nothing fails when a target is missed; a machine that other work shares may miss any of them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

from pydicom.dataset import Dataset

from tests import generate
from tests.bench.contenders import BARE, CONTENDERS, GATED, ROOT, Absent, Contender, Probe
from tests.bench.farmrun import SHAPES, FarmCommand
from tests.bench.figures import Figure, Sample, table, verdict

HEAVY: dict[str, tuple[Callable[[str], Dataset], bool]] = {
    "enhanced multi-frame": (generate.enhanced_mr, False),
    "enhanced multi-frame, undefined lengths": (generate.enhanced_mr, True),
    "structured report": (generate.report, False),
    "structured report, undefined lengths": (generate.report, True),
}
Rows = dict[str, dict[str, float] | str]  # by name: figures, or why there are none
_WARM_UP = 0
_MOST_CP = 2.0
_MOST_PER_ELEMENT = 0.5
_LEAST_SHARE = 60
_MOST_GATED, _MOST_GATED_HEAVY = 1.5, 2.0


def main() -> None:
    """Generate, measure, print."""
    options = _options()
    options.cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.cache, prefix="set-") as scratch:
        folder = Path(scratch)
        note(f"generating {max(options.instances * (options.rounds + 1), options.farm_instances)} instances ...")
        elements = _generate(folder, options)
        result = {
            "bulk": _bulk(folder, options),
            "heavy": _heavy(folder, options, elements),
            "gate": _gate(folder, options),
            "farm_run": _farm_runs(folder, options),
        }
    machine = f"Python {sys.version.split()[0]}, {os.cpu_count()} processors"
    print(json.dumps({"machine": machine, **result}, indent=2) if options.json else _tables(machine, result))


def note(text: str) -> None:
    """Tell on standard error what is going on."""
    print(text, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--instances", type=int, default=200, help="CT instances in a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of all contenders (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these contenders alone")
    parser.add_argument("--farm-instances", type=int, default=2000, help="instances of a `farm run` (%(default)s)")
    parser.add_argument("--farm-rounds", type=int, default=3, help="rounds of `farm run`; 0: none (%(default)s)")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="folder for peers and files")
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    return parser.parse_args()


def _generate(folder: Path, options: argparse.Namespace) -> dict[str, int]:
    """Write the sets; return how many elements each element-heavy folder holds."""
    bulk = max(options.rounds + 1, -(-options.farm_instances // options.instances))
    size = options.instances
    heavy: dict[str, Future[int]] = {}
    with ProcessPoolExecutor() as pool:
        written = [
            pool.submit(generate.write_ct_set, folder / "bulk" / f"{part:04}", count=size, first=part * size)
            for part in range(bulk)
        ]
        for kind in HEAVY:
            for part in range(options.rounds + 1):
                path = Path(kind, f"{part:04}")
                heavy[str(path)] = pool.submit(_write_heavy, folder / path, kind, part)
        for future in written:
            future.result()
        counts = {name: future.result() for name, future in heavy.items()}
    single = folder / "single" / "one.dcm"
    single.parent.mkdir()
    os.link(folder / "bulk" / "0000" / "000000.dcm", single)
    return counts


def _write_heavy(folder: Path, kind: str, part: int) -> int:
    make, undefined_lengths = HEAVY[kind]
    dataset = make(f"{kind}/{part}")
    folder.mkdir(parents=True)
    (folder / "heavy.dcm").write_bytes(generate.encode(dataset, undefined_lengths=undefined_lengths))
    return generate.count_elements(dataset)


def _bulk(folder: Path, options: argparse.Namespace) -> Rows:
    """Measure every contender on the CT set; return figures, or why there are none."""
    chosen = [contender for contender in CONTENDERS if not options.only or contender.name in options.only]
    absent: dict[str, str] = {}
    probes: dict[str, Probe] = {}
    samples: dict[str, list[Sample]] = defaultdict(list)
    for contender in chosen:
        try:
            probes[contender.name] = Probe(contender, options.cache)
        except Absent as why:
            absent[contender.name] = str(why)
    for part in range(options.rounds + 1):
        note("warming up ..." if part == _WARM_UP else f"round {part} of {options.rounds} ...")
        source = folder / "bulk" / f"{part:04}"
        for name in _rotated(list(probes), part):
            try:
                sample = probes[name].measure(source, folder)
            except Absent as why:
                absent[name] = str(why)
                probes.pop(name).close()
                continue
            if part != _WARM_UP:
                samples[name].append(sample)
    for probe in probes.values():
        probe.close()
    return {
        contender.name: absent.get(contender.name) or Figure.of(samples[contender.name]).to_dict()
        for contender in chosen
    }


def _rotated(names: list[str], part: int) -> list[str]:
    """Return the names so that each round begins with another, and what one leaves behind hits all in turn."""
    place = part % len(names) if names else 0
    return names[place:] + names[:place]


def _heavy(folder: Path, options: argparse.Namespace, elements: dict[str, int]) -> Rows:
    """Measure the farm in process on instances of many elements: microseconds of CPU an element, files and all."""
    contender = next(contender for contender in CONTENDERS if contender.name == "farm")
    if options.only and contender.name not in options.only:
        return {}
    note("element-heavy instances ...")
    probe = Probe(contender, options.cache)
    figures: Rows = {}
    samples: dict[str, list[Sample]] = defaultdict(list)
    try:
        for part in range(options.rounds + 1):
            for kind in HEAVY:
                path = Path(kind, f"{part:04}")
                sample = probe.measure(folder / path, folder)
                if part != _WARM_UP:
                    samples[kind].append(Sample(cpu=sample.cpu, wall=sample.wall, count=elements[str(path)]))
    except Absent as why:
        return dict.fromkeys(HEAVY, str(why))
    finally:
        probe.close()
    for kind in HEAVY:
        figure = Figure.of(samples[kind])
        count = elements[str(Path(kind, "0001"))]
        figures[kind] = {
            "elements": count,
            "cpu_us_per_element": round(figure.cpu_ms * 1e3, 4),
            "spread": figure.spread,
        }
    return figures


def _gate(folder: Path, options: argparse.Namespace) -> Rows:
    """Measure what the gate and `research` cost: milliseconds of CPU an instance, files and both digests included."""
    if options.only and GATED.name not in options.only:
        return {}
    note("research and the release gate ...")
    pair = (Probe(BARE, options.cache), Probe(GATED, options.cache))
    samples: dict[str, tuple[list[Sample], list[Sample]]] = defaultdict(lambda: ([], []))
    try:
        for part in range(options.rounds + 1):
            for kind in ("bulk", *HEAVY):
                for at in (0, 1) if part % 2 else (1, 0):
                    sample = pair[at].measure(folder / kind / f"{part:04}", folder)
                    if part != _WARM_UP:
                        samples[kind][at].append(sample)
    except Absent as why:
        return dict.fromkeys(("bulk", *HEAVY), str(why))
    finally:
        for probe in pair:
            probe.close()
    return {
        kind: {"bare_ms": Figure.of(bare).cpu_ms, "gated_ms": Figure.of(gated).cpu_ms}
        for kind, (bare, gated) in samples.items()
    }


def _farm_runs(folder: Path, options: argparse.Namespace) -> Rows:
    """Measure `farm run` in each shape."""
    if not options.farm_rounds:
        return {}
    samples: dict[str, list[Sample]] = defaultdict(list)
    try:
        command = FarmCommand(folder)
    except Absent as why:
        return {shape.name: str(why) for shape in SHAPES}
    try:
        command.warm_up(folder / "single")
        for part in range(options.farm_rounds):
            note(f"farm run, round {part + 1} of {options.farm_rounds} ...")
            for shape in SHAPES:
                samples[shape.name].append(command.measure(shape, folder / "bulk", folder / "single"))
    except Absent as why:
        return {shape.name: str(why) for shape in SHAPES}
    finally:
        command.close()
    workers = {shape.name: shape.workers for shape in SHAPES}
    return {name: {"workers": workers[name], **Figure.of(found).to_dict()} for name, found in samples.items()}


def _tables(machine: str, result: dict[str, Rows]) -> str:
    bulk = result["bulk"]
    parts = [
        table(
            f"One 512 KiB CT of {generate.CT_ELEMENTS} elements ({machine}; medians)",
            ("", "CPU ms", "spread", "wall ms", "per s", "x cp", "farm is", "target"),
            [_bulk_row(contender, bulk) for contender in CONTENDERS if contender.name in bulk],
        ),
        table(
            "Element-heavy, in process, files and both digests included",
            ("", "elements", "CPU us/element", "target"),
            [_heavy_row(kind, figure) for kind, figure in result["heavy"].items()],
        ),
        table(
            "What research and the release gate cost, in process, files and both digests included (CPU ms an instance)",
            ("", BARE.title, GATED.title, "times", "target"),
            [_gate_row(kind, figure) for kind, figure in result["gate"].items()],
        ),
        table(
            "Through the farm, start-up subtracted; shares are of the in-process rate",
            ("", "CPU ms", "per s", "CPU share", "rate per worker", "target"),
            [_run_row(name, figure, bulk.get("farm", "")) for name, figure in result["farm_run"].items()],
        ),
    ]
    return "\n\n".join(part for part in parts if part)


def _bulk_row(contender: Contender, bulk: Rows) -> Sequence[str]:
    figure, copy, farm = bulk[contender.name], bulk.get("cp"), bulk.get("farm")
    if isinstance(figure, str):
        return contender.title, f"skipped: {figure}"
    by_copy = figure["cpu_ms"] / copy["cpu_ms"] if isinstance(copy, dict) else None
    by_farm = figure["cpu_ms"] / farm["cpu_ms"] if isinstance(farm, dict) else None
    target = ""
    if contender.name == "farm" and by_copy:
        target = verdict(by_copy, _MOST_CP, at_least=False)
    elif contender.target and by_farm and contender.name != "cp":
        target = verdict(by_farm, contender.target, at_least=True)
    return (
        contender.title,
        f"{figure['cpu_ms']:.3f}",
        f"{figure['spread']:.0%}",
        f"{figure['wall_ms']:.3f}",
        f"{figure['per_second']:.0f}",
        f"{by_copy:.2f}" if by_copy else "",
        f"{by_farm:.1f} x faster" if by_farm and contender.name not in {"cp", "farm"} else "",
        target,
    )


def _heavy_row(kind: str, figure: dict[str, float] | str) -> Sequence[str]:
    if isinstance(figure, str):
        return kind, f"skipped: {figure}"
    value = figure["cpu_us_per_element"]
    return kind, f"{figure['elements']:.0f}", f"{value:.3f}", verdict(value, _MOST_PER_ELEMENT, at_least=False)


def _gate_row(kind: str, figure: dict[str, float] | str) -> Sequence[str]:
    name, most = ("CT", _MOST_GATED) if kind == "bulk" else (kind, _MOST_GATED_HEAVY)
    if isinstance(figure, str):
        return name, f"skipped: {figure}"
    bare, gated = figure["bare_ms"], figure["gated_ms"]
    times = gated / bare
    return name, f"{bare:.3f}", f"{gated:.3f}", f"{times:.2f}", verdict(times, most, at_least=False)


def _run_row(name: str, figure: dict[str, float] | str, alone: dict[str, float] | str) -> Sequence[str]:
    if isinstance(figure, str):
        return name, f"skipped: {figure}"
    row = [name, f"{figure['cpu_ms']:.3f}", f"{figure['per_second']:.0f}"]
    if isinstance(alone, str):
        return (*row, "", "", "")
    cpu_share = 100 * alone["cpu_ms"] / figure["cpu_ms"]
    rate_share = 100 * figure["per_second"] / figure["workers"] / alone["per_second"]
    target = verdict(rate_share, _LEAST_SHARE, at_least=True) if name.endswith("64") else ""
    return (*row, f"{cpu_share:.0f} %", f"{rate_share:.0f} %", target)


if __name__ == "__main__":
    main()
