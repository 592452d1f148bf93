"""Canaries in attributes, in paths and in what is raised: nothing outside the vault and the source may hold one."""

from __future__ import annotations

import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
import redis
from fix_celery import until, work
from fix_farm import CT
from pydicom import config, dcmread
from pydicom.uid import generate_uid

from farm.queue import Publisher

if TYPE_CHECKING:
    from celery import Celery
    from fix_farm import Opened, Opener
    from pytest_celery import CeleryTestSetup

pytestmark = pytest.mark.servers

_CANARY = "CANARY"
_TEXT = ("PatientName", "PatientID", "AccessionNumber", "PatientComments", "StudyDescription", "StudyID")
_NUMBERS = ("PatientWeight", "PatientAge", "StudyDate", "StudyTime")


def plant(folder: Path, name: str, mark: bytes = b"") -> list[str]:
    """Write an instance full of canaries under a name that is one; return its UIDs, which are canaries too."""
    dataset = dcmread(CT)
    with config.disable_value_validation():
        for keyword in _TEXT:
            setattr(dataset, keyword, f"{_CANARY}-{keyword}"[:16])
        for keyword in _NUMBERS:
            dataset[keyword]._value = _CANARY
        uids = [generate_uid() for _ in range(3)]
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID = uids
        dataset.file_meta.MediaStorageSOPInstanceUID = uids[2]
        path = folder / f"{_CANARY}^{name}.dcm"
        dataset.save_as(path)
    path.write_bytes(path.read_bytes() + mark)
    return [str(uid) for uid in uids]


@pytest.fixture
def canaries(source: Path) -> list[bytes]:
    """Plant canaries that are done, broken, raised, and that kill; return what to search for."""
    folder = source / f"{_CANARY}^FOLDER"
    folder.mkdir()
    uids = plant(folder, "DONE") + plant(folder, "RAISES", b"RAISE-ME") + plant(folder, "KILLS", b"KILL-ME!")
    shutil.copy(folder / f"{_CANARY}^DONE.dcm", folder / f"{_CANARY}^COPY.dcm")
    (folder / f"{_CANARY}^CUT.dcm").write_bytes((folder / f"{_CANARY}^DONE.dcm").read_bytes()[:-9000])
    (folder / f"{_CANARY}^TEXT.txt").write_text(_CANARY * 100)
    plain = [_CANARY, *uids]
    # A bytea prints as hex; JSON may hold either.
    return [text.encode() for text in plain] + [text.encode().hex().encode() for text in plain]


def test_no_canary_leaves_the_vault(opened: Opener, canaries: list[bytes], celery_setup: CeleryTestSetup) -> None:
    """Task arguments, headers, events, logs, tables, process titles, outputs: none may hold a value or a path."""
    run = opened()
    publisher = Publisher(celery_setup.app)
    events: list[Any] = []
    stop = threading.Event()
    listener = threading.Thread(target=_listen, args=(celery_setup.app, events, stop))
    listener.start()
    try:
        publisher.publish(run.feed(instances=2))
        sent = _everything(celery_setup.broker.container.url)
        work(run, celery_setup)
        until(lambda: any(event["type"] == "task-succeeded" for event in events), "an event")
    finally:
        stop.set()
        listener.join()
    progress = run.progress()
    assert progress.done == 1
    assert set(progress.reasons) == {"duplicate", "internal-error", "worker-lost", "truncated", "not-dicom"}
    places = {
        "broker at once": sent,
        "broker": _everything(celery_setup.broker.container.url),
        "events": repr(events).encode(),
        "tables": _tables(run),
        "titles": _titles(celery_setup.worker.container.pid),
        "names": "\n".join(str(path.relative_to(run.destination)) for path in run.destination.rglob("*")).encode(),
        "outputs": b"".join(path.read_bytes() for path in run.outputs()),
    }
    places |= {path.name: path.read_bytes() for path in _logs(celery_setup)}
    assert set(places) >= {"worker.log", "valkey.log"}
    for place, held in places.items():
        assert held, place
        for canary in canaries:
            assert canary not in held, f"{place} holds a canary"


def _listen(app: Celery, events: list[Any], stop: threading.Event) -> None:
    """Collect what a monitor such as Flower sees."""
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": events.append})
        with receiver.consumer_context() as (consuming, *_):
            while not stop.is_set():
                try:
                    consuming.drain_events(timeout=0.2)
                except TimeoutError:
                    continue


def _everything(url: str) -> bytes:
    """Return every key of the broker with its value."""
    held = []
    with redis.Redis(unix_socket_path=url.removeprefix("redis+socket://")) as client:
        read = {
            b"list": lambda key: client.lrange(key, 0, -1),
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"string": client.get,
        }
        for key in client.scan_iter():
            kind = client.type(key)
            if kind != b"none":
                held.append(repr((key, read[kind](key))).encode())
    return b"\n".join(held)


def _tables(run: Opened) -> bytes:
    """Return every row of ledger and registry as text."""
    rows = []
    with psycopg.connect(run.settings.database_url) as connection:
        names = connection.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname IN ('ledger', 'registry')"
        ).fetchall()
        for (name,) in names:
            rows += connection.execute(f"SELECT t::text FROM {name} AS t").fetchall()  # noqa: S608 - our own tables
    assert len(rows) > 10
    return repr(rows).encode()


def _titles(pid: int) -> bytes:
    """Return the command lines and environments of the worker's processes."""
    worker = psutil.Process(pid)
    titles = []
    for process in (worker, *worker.children()):
        with suppress(psutil.NoSuchProcess):  # a child that was killed, and not yet buried
            titles.append((process.cmdline(), process.environ()))
    return repr(titles).encode()


def _logs(setup: CeleryTestSetup) -> list[Path]:
    home = setup.worker.container._settings.home
    return [path for path in (home / "logs").iterdir() if path.is_file()]
