"""Runs a folder in a process of its own, for tests that kill things: `drive.py SOURCE DESTINATION`."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from farm.recipe.recipe import preset
from farm.settings import load
from scheduler.campaign import run_folder


def main() -> None:
    """Run until the end or SIGINT; print how the run stands as one line of JSON."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    source, destination = map(Path, sys.argv[1:])
    summary = run_folder(load(), source, destination, preset("basic"), on_progress=lambda _: None, stop=stop)
    progress = summary.progress
    print(
        json.dumps(
            {
                "run_id": summary.run_id,
                "is_new": summary.is_new,
                "found": summary.found,
                "state": progress.state,
                "done": progress.done,
                "reasons": progress.reasons,
                "trouble": summary.trouble,
            }
        )
    )


if __name__ == "__main__":
    main()
