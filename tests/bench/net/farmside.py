"""The farm's receiver for the benchmark: instances to a folder, as storescp writes them, without ledger and fsync.

    python -m tests.bench.net.farmside PORT FOLDER [HEADER]

With HEADER a rule looks at the first elements of each instance, as `farm scp --only` does.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys

from farm.dicom import part10
from farm.dicom.syntaxes import TransferSyntax
from farm.net.acceptor import HeaderRule, Service
from farm.net.negotiation import Offer
from farm.net.server import Port, Server, listen
from farm.net.services import VERIFICATION, is_storage
from farm.net.storing import Arriving

_HEADER = frozenset({0x00080060, 0x0020000D, 0x0020000E})


class _Sink:
    """One file, written where it stays, as storescp does it."""

    __slots__ = ("_fd", "_header", "_path")

    def __init__(self, path: str, arriving: Arriving) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        syntax = TransferSyntax(uid=arriving.transfer_syntax)
        self._header = part10.header(syntax, arriving.sop_class.encode(), arriving.sop_instance.encode())

    def write(self, data: memoryview) -> None:
        if self._header:
            os.writev(self._fd, (self._header, data))
            self._header = b""
        else:
            os.write(self._fd, data)

    def end(self) -> int:
        os.close(self._fd)
        return 0

    def abandon(self) -> None:
        os.close(self._fd)
        os.unlink(self._path)  # noqa: PTH108 - paths are text here


class _Folder:
    def __init__(self, folder: str) -> None:
        self._names = (f"{folder}/{number}" for number in itertools.count())

    def begin(self, arriving: Arriving) -> _Sink:
        return _Sink(next(self._names), arriving)


async def _serve(port: int, folder: str, header: HeaderRule | None) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    offer = Offer(supports=lambda uid: uid == VERIFICATION or is_storage(uid))
    service = Service(receiver=_Folder(folder), offer=offer, header=header)
    await Server(service, Port(listener=listen("127.0.0.1", port))).serve(stop)


if __name__ == "__main__":
    _rule = HeaderRule(tags=_HEADER, decide=lambda _arriving, _found: None) if len(sys.argv) > 3 else None
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], _rule))
