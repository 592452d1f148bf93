"""How fast `farm scp` receives with success said for what is durable (`python -m tests.bench.net.durable`).

The receiving processes of `farm scp` with their spool and ledger on a real disk; no worker takes what arrives, so the
figures are those of receiving alone. One association has the latency of one commit; many share one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

from farm.recipe.recipe import preset
from farm.settings import load
from scheduler.campaign import desk_of, open_run
from scheduler.ingest.order import PortOrder
from scheduler.ingest.ports import Ports, listener
from scheduler.ingest.spool import Spool
from tests.bench.figures import table, verdict
from tests.bench.net.receive import note, send, write_kinds

COUNTS = {"CT": 400, "MR": 1600}
_WANTED = {"CT": 700, "MR": 1200}


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.net.durable", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 4, 8, 16], metavar="N", help="at once")
    parser.add_argument("--processes", type=int, default=1, help="receiving processes (%(default)s)")
    parser.add_argument("--home", type=Path, default=Path("/var/lib"), help="where spool and database go (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.home, prefix="farm-bench-") as scratch:
        rates = _measured(Path(scratch), options)
    if options.json:
        print(json.dumps(rates, indent=2))
        return
    heads = ["", *(f"x{count}" for count in options.associations), "wanted"]
    rows = []
    for kind, wanted in _WANTED.items():
        found = [rates[f"{kind} x{count}"] for count in options.associations]
        best = verdict(max(found), wanted, at_least=True)
        rows.append([kind, *(f"{rate:,.0f}" for rate in found), best])
    print(table("Durable instances a second, by associations", heads, rows))


def _measured(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    folder.chmod(0o711)
    home, out = folder / "home", folder / "out"
    home.mkdir(mode=0o711)
    files = write_kinds(folder)
    samples: dict[str, list[float]] = {}
    with desk_of(replace(load({}), home=home)) as (desk, _):
        spool = folder / "spool"
        run = open_run(desk, spool, out, preset("basic"))
        listening = listener("127.0.0.1", 0)
        port = listening.getsockname()[1]
        order = PortOrder(processes=options.processes)
        with closing(listening):
            ports = Ports(desk, run, Spool(spool), order, listening)
            try:
                ports.start()
                for number in range(options.rounds):
                    note(f"round {number + 1} of {options.rounds} ...")
                    for kind, count in COUNTS.items():
                        for associations in options.associations:
                            seconds, done = send(port, "ANY", files[kind], count, associations)
                            samples.setdefault(f"{kind} x{associations}", []).append(done / seconds)
            finally:
                ports.stop()
    return {name: median(values) for name, values in samples.items()}


if __name__ == "__main__":
    main()
