"""Servers of pynetdicom's, with one fault of theirs mended: the socket of a peer that has gone first stays open.

`AssociationSocket` shuts a socket down and closes it in one attempt; where the first fails, it drops the open socket.
The warning of that would come in whichever test runs when the garbage is collected.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pynetdicom import AE

_shut_down = AssociationSocket._shutdown_socket


def _close(self: AssociationSocket) -> None:
    held = self.socket
    _shut_down(self)
    if held is not None:
        held.close()


AssociationSocket._shutdown_socket = _close  # type: ignore[method-assign]


@contextmanager
def pynetdicom_serving(entity: AE, handlers: list[Any], port: int = 0, **options: Any) -> Iterator[Any]:
    """Run a server on loopback; give it."""
    server: Any = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers, **options)
    try:
        yield server
    finally:
        server.shutdown()
