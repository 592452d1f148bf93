"""Flower beside `farm up`: a view of the workers and their messages, on loopback alone.

It sees what the broker sees: ids and counts. It runs as a process of its own (`python -m farm.cli.flower PORT`) whose
standard input is a tether: when `farm up` is gone, even by SIGKILL, it ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from typing import TYPE_CHECKING

from celery.bin.celery import main as celery_main

from farm.errors import BadRecipe, Reason
from scheduler.worker_process import environment

if TYPE_CHECKING:
    from farm.settings import Settings

_HOST = "127.0.0.1"


def is_installed() -> bool:
    """Tell whether Flower is there: it comes with the extra `embedded`."""
    return find_spec("flower") is not None


class Flower:
    """Flower for one broker."""

    def __init__(self, settings: Settings) -> None:
        """Take settings whose broker answers; raise `BadRecipe` if the port is taken."""
        port = _free_port(settings.flower_port)
        self.url = f"http://{_HOST}:{port}"
        logs = settings.home / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (logs / "flower.log").open("ab") as words:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, with options of ours
                [sys.executable, "-P", "-m", "farm.cli.flower", str(port)],
                stdin=subprocess.PIPE,
                stdout=words,
                stderr=words,
                env=os.environ | environment(settings),
                process_group=0,
            )

    def stop(self) -> None:
        """Let go of the tether, and wait."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def _free_port(wanted: int) -> int:
    """Return the port, or a free one for 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, wanted))
        except OSError:
            hint = "the port of Flower is taken: set FARM_FLOWER_PORT to another one, or to 0 for any"
            raise BadRecipe(Reason.BAD_OPTION, hint, port=wanted) from None
        return int(probe.getsockname()[1])


def _end_with_input() -> None:
    while os.read(sys.__stdin__.fileno(), 1):  # type: ignore[union-attr]
        pass
    os._exit(0)  # it holds nothing that matters, and its own end waits for threads that ask the workers


def main() -> None:
    """Be Flower, on the port that the command line names."""
    threading.Thread(target=_end_with_input, name="tether", daemon=True).start()
    options = [f"--address={_HOST}", f"--port={int(sys.argv[1])}", "--persistent=False"]
    sys.argv = ["celery", "--app", "workers.app", "--quiet", "flower", *options]
    celery_main()


if __name__ == "__main__":
    main()
