"""Where a modality hears of storage commitment on associations that others open: a server of pynetdicom's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from pynetdicom_servers import pynetdicom_serving

from farm.net.peers import Peer, Timeouts
from farm.net.storing import SUCCESS


@dataclass
class Inbox:
    """Where a modality hears reports: pynetdicom, which takes no report from who was not granted the role."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    """What the next reports are answered with."""
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    titles: list[tuple[str, str]] = field(default_factory=list)
    roles: list[tuple[bool, bool]] = field(default_factory=list)
    most_open: int = 0
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def peer(self) -> Peer:
        """Return it as a peer."""
        return Peer(host="127.0.0.1", port=self.port, ae_title="MODALITY", timeouts=Timeouts(connect=2, response=5))

    def note(self, event: evt.Event) -> tuple[int, None]:
        """Take a report."""
        self.reports.append((event.event_type, event.event_information))
        requestor = event.assoc.requestor
        self.titles.append((requestor.ae_title, requestor.primitive.called_ae_title))
        self.roles += [(one.scu_role, one.scp_role) for one in requestor.role_selection.values()]
        return (self.statuses.pop(0) if self.statuses else SUCCESS), None

    def count(self, change: int) -> Callable[[Any], None]:
        """Return a handler that counts associations."""

        def counted(_: Any) -> None:
            with self._lock:
                self._open += change
                self.most_open = max(self.most_open, self._open)

        return counted


@contextmanager
def inbox(*, serves: bool = True) -> Iterator[Inbox]:
    """Give an inbox; one that does not serve accepts no presentation context for reports."""
    entity, found = AE(), Inbox()
    entity.add_supported_context(Verification)
    if serves:
        entity.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    ends = (evt.EVT_RELEASED, evt.EVT_ABORTED)
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, found.note), (evt.EVT_ESTABLISHED, found.count(1))]
    with pynetdicom_serving(entity, handlers + [(end, found.count(-1)) for end in ends]) as server:
        found.port = server.server_address[1]
        yield found
