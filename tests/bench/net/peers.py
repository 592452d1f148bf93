"""The servers that the network benchmarks start: on free ports, in temporary folders, measured by /proc."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

TITLE = "BENCHSCP"
_READY_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Receiver:
    """A C-STORE SCP: its name, and the command that starts it on a port with a folder."""

    name: str
    command: Callable[[int, Path], list[str]]
    program: str


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _module(name: str, *more: str) -> Callable[[int, Path], list[str]]:
    return lambda port, folder: [sys.executable, "-m", f"tests.bench.net.{name}", str(port), str(folder), *more]


def _storescp(*options: str) -> Callable[[int, Path], list[str]]:
    return lambda port, folder: ["storescp", *options, "-od", str(folder), str(port)]


def _orthanc(port: int, folder: Path) -> list[str]:
    return ["Orthanc", str(orthanc_settings(port, folder))]


def orthanc_settings(port: int, folder: Path, **more: object) -> Path:
    """Write settings for an Orthanc with all that it holds in a folder; return their path."""
    settings: dict[str, object] = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "Plugins": [],
        "HttpServerEnabled": False,
        "DicomAet": TITLE,
        "DicomPort": port,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "UnknownSopClassAccepted": True,
        "SynchronousStorageArea": False,
        "DicomThreadsCount": 8,
    }
    (folder / "db").mkdir(exist_ok=True)
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings | more))
    return path


RECEIVERS = (
    Receiver(name="farm", command=_module("farmside"), program=sys.executable),
    Receiver(name="farm, header rule", command=_module("farmside", "header"), program=sys.executable),
    Receiver(name="storescp", command=_storescp("--fork"), program="storescp"),
    Receiver(name="storescp +B 131072", command=_storescp("--fork", "+B", "-pdu", "131072"), program="storescp"),
    Receiver(name="Orthanc", command=_orthanc, program="Orthanc"),
    Receiver(name="pynetdicom", command=_module("pynetside"), program=sys.executable),
)


class Running:
    """A server that runs; its figures include its children's."""

    def __init__(self, child: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.port, self.folder = port, folder
        self._process = psutil.Process(child.pid)

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        own = self._process.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self._process.children(recursive=True):
            with suppress(psutil.Error):
                times = child.cpu_times()
                total += times.user + times.system
        return total

    def peak(self) -> float:
        """Return the largest resident size so far, in MB."""
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        [line] = [line for line in text.splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024

    def forget(self) -> None:
        """Remove what it has received, so that no file system fills."""
        for path in self.folder.iterdir():
            if path.is_file() and path.suffix != ".json":
                path.unlink()


@contextmanager
def running(command: Callable[[int, Path], list[str]], folder: Path, *, nodelay: bool) -> Iterator[Running]:
    """Start a server and wait until it listens; `nodelay`: peers are told to set TCP_NODELAY, which they do not."""
    port = free_port()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    child = subprocess.Popen(
        command(port, folder),
        env=environment | ({"TCP_NODELAY": "1"} if nodelay else {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _listens(port, child)
        yield Running(child, port, folder)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until and child.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("a server did not start")
