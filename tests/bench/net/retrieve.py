"""How fast instances are retrieved from Orthanc and dcmqrscp (`python -m tests.bench.net.retrieve`).

Each PACS is started twice, with TCP_NODELAY=1 and as it comes, and asked in turn, round by round: what the farm gets
from a PACS as it comes, as a part of what it gets from one that does not wait, and against pynetdicom's C-GET. Then
eight associations at once against one, over a wire that delays everything by 10 ms each way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from statistics import median

import pydicom
from pydicom.dataset import Dataset

from farm.net.acceptor import Service
from farm.net.client import Peer, connect, getting, service
from farm.net.negotiation import Offer
from farm.net.query import STUDY_UID, Level
from farm.net.sending import read, storing
from farm.net.server import Port, Server, listen
from farm.net.services import STUDY_ROOT_GET, STUDY_ROOT_MOVE
from farm.net.storing import Arriving
from tests import generate
from tests.bench.figures import table, verdict
from tests.bench.net.peers import TITLE, Running, orthanc_settings, running
from tests.bench.net.receive import note

MOVE_TITLE = "BENCHMOVE"
COUNTS = {"CT": 100, "MR": 500}
DELAY = 0.010
_STUDIES = {"CT": "1.2.826.0.1.3680043.10.543.1", "MR": "1.2.826.0.1.3680043.10.543.2"}


class Nowhere:
    """A receiver that counts."""

    def __init__(self) -> None:
        self.count = 0
        self.changed = asyncio.Event()

    def begin(self, arriving: Arriving) -> Nowhere:
        """Take one more."""
        del arriving
        return self

    def write(self, data: memoryview) -> None:
        """Drop it."""

    def end(self) -> int:
        """Count it."""
        self.count += 1
        self.changed.set()
        return 0

    def abandon(self) -> None:
        """Forget it."""


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.net.retrieve", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of all (%(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="part of the usual number of instances (%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where files go (%(default)s)")  # noqa: S108 - memory
    parser.add_argument("--json", action="store_true", help="print figures for machines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="retrieve-") as scratch:
        rates = asyncio.run(_measured(Path(scratch), options))
    figures = {" | ".join(key): median(values) for key, values in rates.items()}
    print(json.dumps(figures, indent=2) if options.json else "\n\n".join(_tables(figures)))


async def _measured(folder: Path, options: argparse.Namespace) -> dict[tuple[str, ...], list[float]]:
    """Return instances a second by (PACS, how it runs, operation, kind)."""
    rates: dict[tuple[str, ...], list[float]] = defaultdict(list)
    counts = {kind: max(8, int(count * options.share)) for kind, count in COUNTS.items()}
    with closing(listen("127.0.0.1", 0)) as listener, ExitStack() as stack:
        destination = int(listener.getsockname()[1])
        pacs = {
            (name, mode): stack.enter_context(
                running(_command(name, destination), folder / f"{name}-{len(mode)}", nodelay=mode == "TCP_NODELAY=1")
            )
            for name in ("Orthanc", "dcmqrscp")
            if shutil.which(name)
            for mode in ("TCP_NODELAY=1", "as it comes")
        }
        files = _files(folder, counts)
        for which, server in pacs.items():
            note(f"filling {' '.join(which)} ...")
            await _fill(server, files)
        async with _moved_to(listener) as receiver:
            for number in range(options.rounds):
                note(f"round {number + 1} of {options.rounds} ...")
                for (name, mode), server in pacs.items():
                    for kind, count in counts.items():
                        rates[name, mode, "C-GET", kind].append(await _get(server.port, kind, count))
                        rates[name, mode, "C-MOVE", kind].append(await _move(server.port, kind, count, receiver))
            for (name, mode), server in pacs.items():
                note(f"pynetdicom from {name}, {mode} ...")
                rates[name, mode, "pynetdicom C-GET", "MR"].append(_pynetdicom(server.port, counts["MR"]))
            for (name, mode), server in pacs.items():
                if mode == "as it comes":
                    continue
                note(f"{name} behind {DELAY * 1e3:.0f} ms ...")
                with _delayed(server.port) as port:
                    for associations in (1, 8):
                        rates[name, "10 ms one way", "C-GET", f"MR x{associations}"].append(
                            await _parallel(port, counts["MR"], associations)
                        )
    return rates


def _command(name: str, destination: int) -> Callable[[int, Path], list[str]]:
    def orthanc(port: int, folder: Path) -> list[str]:
        modalities = {"move": {"AET": MOVE_TITLE, "Host": "127.0.0.1", "Port": destination}}
        return ["Orthanc", str(orthanc_settings(port, folder, DicomModalities=modalities))]

    def dcmqrscp(port: int, folder: Path) -> list[str]:
        (folder / "db").mkdir()
        path = folder / "dcmqrscp.cfg"
        path.write_text(
            f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 32\n"
            f"HostTable BEGIN\nmove = ({MOVE_TITLE}, 127.0.0.1, {destination})\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{TITLE} {folder / 'db'} RW (200, 8192mb) ANY\nAETable END\n"
        )
        return ["dcmqrscp", "-c", str(path), str(port)]

    return orthanc if name == "Orthanc" else dcmqrscp


def _files(folder: Path, counts: dict[str, int]) -> dict[str, list[Path]]:
    """Write a study of each kind, and one of an eighth of the MR for each of eight associations."""
    made: dict[str, list[Path]] = {}
    for kind, count in counts.items():
        base = generate.ct(kind, 0) if kind == "CT" else generate.ct(kind, 0, side=128, elements=150)
        made[kind] = [_variant(folder, base, kind, _STUDIES[kind], number) for number in range(count)]
        if kind == "MR":
            for part in range(8):
                study = f"{_STUDIES[kind]}.{part + 1}"
                some = range(count // 8)
                made[f"{kind}{part}"] = [_variant(folder, base, f"{kind}{part}", study, number) for number in some]
    return made


def _variant(folder: Path, base: Dataset, kind: str, study: str, number: int) -> Path:
    base.StudyInstanceUID = study
    base.SeriesInstanceUID = f"{study}.1"
    base.SOPInstanceUID = f"{study}.1.{number + 1}"
    path = folder / f"{kind}-{number}.dcm"
    path.write_bytes(generate.encode(base))
    return path


def _peer(port: int) -> Peer:
    return Peer(host="127.0.0.1", port=port, ae_title=TITLE, calling_ae_title=MOVE_TITLE)


async def _fill(server: Running, files: dict[str, list[Path]]) -> None:
    kinds = [read(paths[0]) for paths in files.values()]
    [proposals] = storing(kinds)
    async with connect(_peer(server.port), proposals) as client:
        for paths in files.values():
            for path in paths:
                stored = await client.store(path)
                if not stored.ok:
                    raise RuntimeError("a PACS does not take the instances")


@asynccontextmanager
async def _moved_to(listener: socket.socket) -> AsyncIterator[Nowhere]:
    """Receive what is moved."""
    receiver, stop = Nowhere(), asyncio.Event()
    server = Server(Service(receiver=receiver, offer=Offer(supports=lambda _: True)), Port(listener=listener))
    task = asyncio.create_task(server.serve(stop))
    try:
        yield receiver
    finally:
        stop.set()
        await task


async def _get(port: int, kind: str, count: int, study: str = "") -> float:
    receiver = Nowhere()
    sop_class = pydicom.uid.CTImageStorage
    async with connect(_peer(port), getting(STUDY_ROOT_GET, [sop_class])) as client:
        began = time.perf_counter()
        await client.get(STUDY_ROOT_GET, Level.STUDY, {STUDY_UID: study or _STUDIES[kind]}, receiver).complete()
        seconds = time.perf_counter() - began
    if receiver.count != count:
        raise RuntimeError("not everything came")
    return count / seconds


async def _move(port: int, kind: str, count: int, receiver: Nowhere) -> float:
    receiver.count = 0
    async with connect(_peer(port), service(STUDY_ROOT_MOVE)) as client:
        began = time.perf_counter()
        await client.move(STUDY_ROOT_MOVE, Level.STUDY, {STUDY_UID: _STUDIES[kind]}, MOVE_TITLE).complete()
        seconds = time.perf_counter() - began
    if receiver.count != count:
        raise RuntimeError("not everything came")
    return count / seconds


async def _parallel(port: int, count: int, associations: int) -> float:
    """Get eight studies over so many associations at once; return instances a second."""
    each = count // 8
    studies = [f"{_STUDIES['MR']}.{part + 1}" for part in range(8)]

    async def some(mine: list[str]) -> None:
        for study in mine:
            await _get(port, "MR", each, study)

    began = time.perf_counter()
    await asyncio.gather(*(some(studies[part::associations]) for part in range(associations)))
    return each * 8 / (time.perf_counter() - began)


def _pynetdicom(port: int, count: int) -> float:
    """Let pynetdicom get the MR study in a process of its own; return instances a second."""
    code = (
        "import sys,time;from pynetdicom import AE,evt,build_role;from pydicom.dataset import Dataset;"
        "from pydicom.uid import CTImageStorage as C;n=[0];port,title,study=int(sys.argv[1]),sys.argv[2],sys.argv[3];"
        "h=lambda e:(n.__setitem__(0,n[0]+1),0)[1];ae=AE();ae.maximum_pdu_size=65536;"
        "ae.add_requested_context('1.2.840.10008.5.1.4.1.2.2.3');ae.add_requested_context(C);"
        "q=Dataset();q.QueryRetrieveLevel='STUDY';q.StudyInstanceUID=study;"
        "a=ae.associate('127.0.0.1',port,ae_title=title,ext_neg=[build_role(C,scp_role=True)],"
        "evt_handlers=[(evt.EVT_C_STORE,h)]);t=time.perf_counter();list(a.send_c_get(q,'1.2.840.10008.5.1.4.1.2.2.3'));"
        "print(n[0],time.perf_counter()-t);a.release()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(port), TITLE, _STUDIES["MR"]], capture_output=True, text=True, check=True
    )
    got, seconds = done.stdout.split()
    if int(got) != count:
        raise RuntimeError("pynetdicom did not get everything")
    return count / float(seconds)


_RELAY = """
import asyncio, sys
listen, upstream, delay = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
async def pipe(reader, writer):
    loop, queue = asyncio.get_running_loop(), asyncio.Queue()
    async def out():
        while True:
            due, data = await queue.get()
            await asyncio.sleep(max(0, due - loop.time()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()
    task = asyncio.create_task(out())
    try:
        while data := await reader.read(262144):
            queue.put_nowait((loop.time() + delay, data))
    except ConnectionError:
        pass
    queue.put_nowait((loop.time() + delay, b""))
    await asyncio.gather(task, return_exceptions=True)
async def taken(reader, writer):
    there, back = await asyncio.open_connection("127.0.0.1", upstream)
    for one in (writer, back):
        one.get_extra_info("socket").setsockopt(6, 1, 1)
    await asyncio.gather(pipe(reader, back), pipe(there, writer))
async def main():
    async with await asyncio.start_server(taken, "127.0.0.1", listen) as server:
        await server.serve_forever()
asyncio.run(main())
"""


@contextmanager
def _delayed(upstream: int) -> Iterator[int]:
    """Relay to a port with a delay each way; give the relay's port."""

    def command(port: int, folder: Path) -> list[str]:
        del folder
        return [sys.executable, "-c", _RELAY, str(port), str(upstream), str(DELAY)]

    with (
        tempfile.TemporaryDirectory() as scratch,
        running(command, Path(scratch) / "relay", nodelay=True) as relay,
    ):
        yield relay.port


def _tables(figures: dict[str, float]) -> list[str]:
    rows = [[key, f"{rate:,.0f}"] for key, rate in figures.items()]
    checks = []
    for name in ("Orthanc", "dcmqrscp"):
        for operation in ("C-GET", "C-MOVE"):
            for kind in COUNTS:
                default = figures.get(f"{name} | as it comes | {operation} | {kind}")
                quick = figures.get(f"{name} | TCP_NODELAY=1 | {operation} | {kind}")
                if default and quick:
                    checks.append((f"{name} {operation} {kind}: as it comes / TCP_NODELAY=1", default / quick, 0.8))
        own = figures.get(f"{name} | as it comes | C-GET | MR")
        other = figures.get(f"{name} | as it comes | pynetdicom C-GET | MR")
        if own and other:
            checks.append((f"{name} C-GET MR as it comes / pynetdicom", own / other, 100))
        one, eight = (figures.get(f"{name} | 10 ms one way | C-GET | MR x{n}") for n in (1, 8))
        if one and eight:
            checks.append((f"{name}: 8 associations / 1 at 10 ms one way", eight / one, 6))
    lines = [[what, f"{ratio:.2f}", verdict(ratio, least, at_least=True)] for what, ratio, least in checks]
    return [table("Instances a second", ["", "/s"], rows), table("Ratios", ["", "ratio", "wanted"], lines)]


if __name__ == "__main__":
    main()
