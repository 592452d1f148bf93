"""pynetdicom's receiver for the benchmark, in the fastest way that it has: the data set is written as it came.

python -m tests.bench.net.pynetside PORT FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]


def _store(event: evt.Event, folder: str) -> int:
    (Path(folder) / event.request.AffectedSOPInstanceUID).write_bytes(event.encoded_dataset())
    return 0


def main() -> None:
    """Receive."""
    entity = AE(ae_title="ANY")
    entity.maximum_pdu_size = 65_536
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context(Verification)
    entity.start_server(("127.0.0.1", int(sys.argv[1])), evt_handlers=[(evt.EVT_C_STORE, _store, [sys.argv[2]])])


if __name__ == "__main__":
    main()
