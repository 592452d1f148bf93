"""Does one thing to one file again and again, in a process of its own on one processor, and prints how long it took.

    python -m tests.bench.codecs.probe WHAT SYNTAX FILE SECONDS PROCESSOR

`farm`: the whole of `farm transcode` for one file, read to written, codecs in their own process on the same processor.
`farm-unproved`: the same without the proof. `bare`: nothing but the codec on the arrays: encode, and decode back.
`bare-encode`: encode alone. `pydicom`: read, compress with its plugins, save. Printed is a list of seconds, one for
each time, and the most memory that the process and its codec host had, in bytes, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import UID

from farm.codecs import registry
from farm.dicom.part10 import Limits, deflated
from farm.errors import BadInput
from farm.frames.codec import Options
from farm.host.host import Host, HostLimits
from farm.transcoding import instance, targets
from tests.bench.codecs.memory import Watch


def main() -> None:
    """Measure what the arguments name."""
    what, syntax, file, seconds, processor = sys.argv[1:]
    os.sched_setaffinity(0, {int(processor)})
    source, target = Path(file), Path(f"{file}.{os.getpid()}.out")
    once, close = _WAYS[what](syntax, source, target)
    once()  # what is loaded once is not measured
    times = []
    with Watch() as watch:
        while sum(times) < float(seconds) or len(times) < 3:
            begun = time.perf_counter()
            once()
            times.append(time.perf_counter() - begun)
    close()
    size = target.stat().st_size if target.exists() else 0
    target.unlink(missing_ok=True)
    print(json.dumps({"seconds": times, "memory": watch.most, "bytes": size}))


def _farm(
    syntax: str, source: Path, target: Path, *, prove: bool = True
) -> tuple[Callable[[], Any], Callable[[], Any]]:

    wanted = targets.Wanted(syntax=targets.TARGETS[syntax], options=Options(syntax=""), prove=prove)
    host = Host(HostLimits(), threads=len(os.sched_getaffinity(0)))

    def once() -> None:
        opened = instance.opened(source.read_bytes(), wanted, Limits())
        result = None
        if opened.work is not None:
            (result,) = host.run([opened.work])
            if isinstance(result, BadInput):
                raise result
        made = instance.finished(opened, result, deflated)
        with target.open("wb", buffering=0) as file:
            for at in range(0, len(made.segments), 512):
                os.writev(file.fileno(), made.segments[at : at + 512])

    return once, host.close


def _bare(syntax: str, source: Path, target: Path, *, back: bool = True) -> tuple[Callable[[], Any], Callable[[], Any]]:
    del target

    uid = targets.TARGETS[syntax]
    opened = instance.opened(source.read_bytes(), targets.Wanted(syntax=uid), Limits())
    assert opened.work is not None
    job = opened.work.job
    reader, writer, proof = registry.decoder(job.source), registry.encoder(uid), registry.decoder(uid)
    arrays = [reader.decode(frame, job.layout).samples for frame in opened.work.frames]
    options = Options(syntax=uid)

    def once() -> None:
        for array in arrays:
            made = writer.encode(array, job.layout, options)
            if back:
                proof.decode(made.data, made.changes.apply(job.layout))

    return once, lambda: None


def _pydicom(syntax: str, source: Path, target: Path) -> tuple[Callable[[], Any], Callable[[], Any]]:

    uid = UID(targets.TARGETS[syntax])

    def once() -> None:
        found = pydicom.dcmread(source)
        if uid.is_deflated:
            found.file_meta.TransferSyntaxUID = uid
        else:
            found.compress(uid, generate_instance_uid=False)
        pydicom.dcmwrite(target, found)

    return once, lambda: None


_WAYS: dict[str, Callable[..., tuple[Callable[[], Any], Callable[[], Any]]]] = {
    "farm": _farm,
    "farm-unproved": lambda *given: _farm(*given, prove=False),
    "bare": _bare,
    "bare-encode": lambda *given: _bare(*given, back=False),
    "pydicom": _pydicom,
}

if __name__ == "__main__":
    main()
