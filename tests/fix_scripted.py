"""A PACS that does as a test tells it: pynetdicom's server, with studies, a clock of its own, and bad manners."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from typing import Any

import pydicom
from fix_pacs import Study, part10_of
from fix_peers import free_port
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)
from pynetdicom_servers import pynetdicom_serving

Answer = Iterator[tuple[int, Dataset | None]]


@cache
def data_sets(study: Study) -> dict[str, Dataset]:
    """Return the data sets of a study by SOP Instance UID."""
    return {uid: pydicom.dcmread(BytesIO(data)) for uid, data in part10_of(study).items()}


@dataclass(kw_only=True)
class Scripted:
    """What the PACS has and how it behaves; a test may change all of it at any time."""

    studies: list[Study]
    availability: str = "ONLINE"
    destinations: dict[str, int] = field(default_factory=dict)
    refuses: Callable[[Dataset], bool] = lambda _: False
    """Which queries end in a failure."""
    hides: set[str] = field(default_factory=set)
    """SOP Instance UIDs that are listed and never sent."""
    unlisted: set[str] = field(default_factory=set)
    """SOP Instance UIDs that are not there yet."""
    counts: bool = True
    """Whether it says how many instances a study or a series has."""
    late: float = 0.0
    """Seconds after the success of a C-MOVE at which its data is sent."""
    before_retrieval: Callable[[Dataset], object] = lambda _: None
    on_open: Callable[[], object] = lambda: None
    port: int = field(default_factory=free_port)
    sent: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    most_open: int = 0
    opened: int = 0
    _open: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    # What it has.

    def _matching(self, asked: Dataset) -> list[Study]:
        def is_meant(study: Study) -> bool:
            low, is_range, high = str(asked.get("StudyDate") or "").partition("-")
            high = high or ("" if is_range else low)
            in_dates = (not low or study.date >= low) and (not high or study.date <= high)
            texts = (
                ("StudyInstanceUID", study.uid),
                ("AccessionNumber", study.accession),
                ("PatientID", study.patient),
            )
            return in_dates and all(str(asked.get(name) or "") in {"", has} for name, has in texts)

        return [study for study in self.studies if is_meant(study)]

    def _members(self, study: Study, asked: Dataset) -> list[tuple[str, str]]:
        wanted = asked.get("SOPInstanceUID") or ""
        uids = {wanted} if isinstance(wanted, str) else set(wanted)
        return [
            (uid, series)
            for uid, series in study.members
            if uid not in self.unlisted
            and (uids in ({""}, set()) or uid in uids)
            and str(asked.get("SeriesInstanceUID") or series) == series
        ]

    # What it answers.

    def _find(self, event: Any) -> Answer:
        asked = event.identifier
        self.asked.append(asked.QueryRetrieveLevel)
        if self.refuses(asked):
            yield 0xC001, None
            return
        for study in self._matching(asked):
            for match in self._matches(study, asked):
                yield 0xFF00, match

    def _matches(self, study: Study, asked: Dataset) -> Iterator[Dataset]:
        members = self._members(study, asked)
        if asked.QueryRetrieveLevel == "STUDY":
            found = _match(asked, StudyInstanceUID=study.uid, AccessionNumber=study.accession, PatientID=study.patient)
            found.InstanceAvailability = self.availability
            if self.counts:
                found.NumberOfStudyRelatedInstances = len(members)
            yield found
        elif asked.QueryRetrieveLevel == "SERIES":
            for series, count in Counter(series for _, series in members).items():
                found = _match(asked, StudyInstanceUID=study.uid, SeriesInstanceUID=series)
                if self.counts:
                    found.NumberOfSeriesRelatedInstances = count
                yield found
        else:
            for uid, series in members:
                yield _match(
                    asked,
                    StudyInstanceUID=study.uid,
                    SeriesInstanceUID=series,
                    SOPInstanceUID=uid,
                    SOPClassUID=MRImageStorage,
                )

    def _wanted(self, asked: Dataset) -> list[Dataset]:
        self.before_retrieval(asked)
        found = [
            data_sets(study)[uid]
            for study in self._matching(asked)
            for uid, _ in self._members(study, asked)
            if uid not in self.hides
        ]
        self.sent.update(str(one.SOPInstanceUID) for one in found)
        return found

    def _get(self, event: Any) -> Iterator[Any]:
        found = self._wanted(event.identifier)
        yield len(found)
        for one in found:
            yield 0xFF00, one

    def _move(self, event: Any) -> Iterator[Any]:
        port = self.destinations.get(event.move_destination.strip())
        if port is None:
            yield None, None
            return
        found = self._wanted(event.identifier)
        if self.late:
            thread = threading.Timer(self.late, self._send, (event.move_destination.strip(), port, found))
            self._threads.append(thread)
            thread.start()
            found = []
        contexts = _sender().requested_contexts
        yield "127.0.0.1", port, {"contexts": contexts, "ae_title": event.move_destination.strip()}
        yield len(found)
        for one in found:
            yield 0xFF00, one

    def _send(self, title: str, port: int, found: list[Dataset]) -> None:
        association = _sender().associate("127.0.0.1", port, ae_title=title)
        for one in found:
            association.send_c_store(one)
        association.release()

    # Its associations.

    @property
    def is_open(self) -> bool:
        """Tell whether there is any."""
        return bool(self._open)

    def _came(self, event: Any) -> None:
        self.on_open()
        with self._lock:
            self._open.add(id(event.assoc))
            self.opened += 1
            self.most_open = max(self.most_open, len(self._open))

    def _went(self, event: Any) -> None:
        with self._lock:
            self._open.discard(id(event.assoc))

    @contextmanager
    def running(self, *, gets: bool = True) -> Iterator[Scripted]:
        """Serve; without `gets` C-GET is not accepted."""
        ae = AE("SCRIPTED")
        ae.maximum_associations = 50
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelMove)
        if gets:
            ae.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
            ae.add_supported_context(MRImageStorage, ExplicitVRLittleEndian, scu_role=False, scp_role=True)
        handlers = [
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_C_MOVE, self._move),
            (evt.EVT_ACCEPTED, self._came),
            (evt.EVT_RELEASED, self._went),
            (evt.EVT_ABORTED, self._went),
            (evt.EVT_CONN_CLOSE, self._went),
        ]
        with pynetdicom_serving(ae, handlers, self.port):
            try:
                yield self
            finally:
                for thread in self._threads:
                    thread.join()


def _match(asked: Dataset, **values: str) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = asked.QueryRetrieveLevel
    for name, value in values.items():
        setattr(found, name, value)
    return found


def _sender() -> AE:
    ae = AE("SCRIPTED")
    ae.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
    return ae
