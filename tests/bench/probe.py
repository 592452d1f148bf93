"""One contender in a process of its own: it starts once, then works on one folder per line of its standard input.

Started by path in the contender's virtual environment, so it imports nothing of the project but for the farm itself.
What starting and importing cost is thus never counted; what a contender's own child processes use is. Each answer is
one line of JSON: CPU seconds (user and system), wall seconds and instances, or the error that ended the work.
"""

from __future__ import annotations

import atexit
import http.client
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

Work = Callable[[Sequence[Path], Path], None]

TEN_EDITS = {
    "PatientName": "ANON",
    "PatientID": "ANON-1",
    "PatientBirthDate": "",
    "ReferringPhysicianName": "",
    "InstitutionName": "",
    "AccessionNumber": "",
    "StudyDate": "20000101",
    "StudyInstanceUID": "2.25.1",
    "SeriesInstanceUID": "2.25.2",
    "SOPInstanceUID": "2.25.3",
}
_TEN_REPLACED = ("10,10=ANON", "10,20=ANON-1", "8,20=20000101", "20,d=2.25.1", "20,e=2.25.2", "8,18=2.25.3")
_TEN_EMPTIED = ("10,30", "8,90", "8,80", "8,50")


def _each(one: Callable[[Path, Path], object]) -> Work:
    def work(sources: Sequence[Path], folder: Path) -> None:
        for source in sources:
            one(source, folder / source.name)

    return work


def _cp() -> Work:
    return _each(shutil.copyfile)


def _pydicom() -> Work:
    from pydicom import dcmread  # noqa: PLC0415 - there in this contender's environment only

    def one(source: Path, target: Path) -> None:
        dataset = dcmread(source)
        for keyword, value in TEN_EDITS.items():
            setattr(dataset, keyword, value)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(target)

    return _each(one)


def _dicom_anonymizer() -> Work:
    from dicomanonymizer.simpledicomanonymizer import (  # noqa: PLC0415 - there in this contender's environment only
        anonymize_dicom_file,
    )

    return _each(lambda source, target: anonymize_dicom_file(str(source), str(target)))


def _dcmanon() -> Work:
    from dcmanon import Anonymizer  # noqa: PLC0415 - there in this contender's environment only

    anonymizer = Anonymizer()

    def one(source: Path, target: Path) -> None:
        with target.open("wb") as file:
            file.write(anonymizer.anonymize(str(source)))

    return _each(one)


def _gdcmanon(*options: str) -> Work:
    def work(sources: Sequence[Path], folder: Path) -> None:
        command = ["gdcmanon", *options, "-i", str(sources[0].parent), "-o", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    return work


def _gdcmanon_profile(certificate: str) -> Work:
    return _gdcmanon("--de-identify", "--certificate", certificate)


def _gdcmanon_dumb() -> Work:
    replaced = (word for edit in _TEN_REPLACED for word in ("--replace", edit))
    emptied = (word for tag in _TEN_EMPTIED for word in ("--empty", tag))
    return _gdcmanon("--dumb", *replaced, *emptied)


def _dicognito() -> Work:
    from dicognito.__main__ import main as anonymize  # noqa: PLC0415 - there in this contender's environment only

    return lambda sources, folder: anonymize(["--quiet", "--output-directory", str(folder), str(sources[0].parent)])


def _deid() -> Work:
    from deid.dicom import get_files, get_identifiers, replace_identifiers  # noqa: PLC0415 - likewise

    def work(sources: Sequence[Path], folder: Path) -> None:
        files = list(get_files(str(sources[0].parent)))
        replace_identifiers(dicom_files=files, ids=get_identifiers(files), output_folder=str(folder), save=True)

    return work


def _dcm_anon() -> Work:
    from dcm_anon.cli import main as anonymize  # noqa: PLC0415 - likewise

    def work(sources: Sequence[Path], folder: Path) -> None:
        if anonymize(["--quiet", str(sources[0].parent), str(folder)]):
            raise OSError("dcm-anon failed")

    return work


def _orthanc() -> Work:
    """Start a server for itself; each instance is stored, anonymized and deleted through its REST API."""
    home = tempfile.mkdtemp(prefix="orthanc-")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"StorageDirectory": home, "IndexDirectory": home, "HttpPort": port, "DicomServerEnabled": False}
    Path(home, "orthanc.json").write_text(json.dumps({**settings, "AuthenticationEnabled": False, "Plugins": []}))
    server = subprocess.Popen(["Orthanc", f"{home}/orthanc.json"], stderr=subprocess.DEVNULL)
    atexit.register(lambda: (server.kill(), server.wait(), shutil.rmtree(home)))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(method: str, path: str, body: bytes = b"") -> bytes:
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            found = answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()  # or it would wait for the answer for ever
            raise
        if answer.status != http.client.OK:
            raise OSError(f"Orthanc answers {answer.status} to {method}")
        return found

    def one(source: Path, target: Path) -> None:
        instance = json.loads(ask("POST", "/instances", source.read_bytes()))["ID"]
        target.write_bytes(ask("POST", f"/instances/{instance}/anonymize", b"{}"))
        ask("DELETE", f"/instances/{instance}")

    _wait_for(lambda: ask("GET", "/system"))
    return _each(one)


def _wait_for(ask: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            ask()
        except (OSError, http.client.HTTPException):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _farm(preset: str = "basic", *, gated: bool = True) -> Work:
    from tests.bench.inprocess import deidentify  # noqa: PLC0415 - there in this contender's environment only

    return deidentify(preset, gated=gated)


MAKERS: dict[str, Callable[..., Work]] = {
    "cp": _cp,
    "farm": _farm,
    "farm-bare": partial(_farm, gated=False),
    "gdcmanon-dumb": _gdcmanon_dumb,
    "gdcmanon": _gdcmanon_profile,
    "dcmanon": _dcmanon,
    "pydicom": _pydicom,
    "dicom-anonymizer": _dicom_anonymizer,
    "dicognito": _dicognito,
    "deid": _deid,
    "dcm-anonymizer": _dcm_anon,
    "orthanc": _orthanc,
}


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _measure(work: Work, sources: Sequence[Path], folder: Path) -> dict[str, float]:
    cpu, wall = _cpu(), time.perf_counter()
    work(sources, folder)
    return {"cpu": _cpu() - cpu, "wall": time.perf_counter() - wall, "count": len(sources)}


def main() -> None:
    """Answer each line (a source and a target folder) until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a contender prints must not mix with the answers
    name, *arguments = sys.argv[1:]
    try:
        work = MAKERS[name](*arguments)
    except Exception as error:  # noqa: BLE001 - whatever a contender raises is its result
        print(_refusal(error), file=answers)
        return
    for line in sys.stdin:
        task = json.loads(line)
        sources = sorted(Path(task["source"]).iterdir())
        try:
            print(json.dumps(_measure(work, sources, Path(task["target"]))), file=answers)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - likewise
            print(_refusal(error), file=answers)


def _refusal(error: BaseException) -> str:
    return json.dumps({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
