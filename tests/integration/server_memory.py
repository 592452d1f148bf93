"""A server in a process of its own, to measure its memory: four large instances at once, then 200 idle associations.

The peers are threads of another process, which only send bytes; so what is measured is the server's alone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import re
import socket
from pathlib import Path
from threading import Thread

from farm.net import dimse, pdu
from farm.net.acceptor import Service
from farm.net.association import Association
from farm.net.dimse import Field, Tag
from farm.net.negotiation import Offer
from farm.net.server import Caps, Port, Server, listen
from farm.net.storing import SUCCESS, Arriving

_CT = "1.2.840.10008.5.1.4.1.1.2"
_SIZE, _PIECE = 100_000_000, 100_000
_IDLE = 200


class Discard:
    """Counts the bytes that come, and keeps none."""

    received = 0

    def begin(self, _arriving: Arriving) -> Discard:
        """Return itself."""
        return self

    def write(self, data: memoryview) -> None:
        """Count."""
        Discard.received += len(data)

    async def end(self) -> int:
        """Say that all is well."""
        return SUCCESS

    def abandon(self) -> None:
        """Do nothing."""


def memory(name: str) -> int:
    """Return a figure of the kernel's on this process, in bytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10


def associated(port: int) -> tuple[socket.socket, Association]:
    """Return a connection with an association."""
    sock = socket.create_connection(("127.0.0.1", port))
    core = Association(is_requestor=True)
    core.transport_open()
    contexts = (pdu.ProposedContext(id=1, abstract_syntax=_CT, transfer_syntaxes=("1.2.840.10008.1.2.1",)),)
    core.request(pdu.AssociateRequest(called="FARM", calling="PEER", contexts=contexts, user=pdu.User()))
    sock.sendall(core.outgoing())
    assert core.receive(sock.recv(65_536))
    return sock, core


def store(port: int, size: int) -> None:
    """Send one instance of so many bytes."""
    sock, core = associated(port)
    values: dict[int, int | str] = {Tag.AFFECTED_SOP_INSTANCE: "1.2.3"}
    command = dimse.request(Field.C_STORE_RQ, 1, _CT, values, has_data=True)
    for buffers in core.message(1, command, (bytes(_PIECE) for _ in range(size // _PIECE))):
        sock.sendall(b"".join(buffers))
    assert core.receive(sock.recv(65_536))
    sock.close()


def peers(port: int, told: multiprocessing.connection.Connection) -> None:
    """Do as the server's process says."""
    held = []
    while (order := told.recv()) != "end":
        if order == "idle":
            held = [associated(port) for _ in range(_IDLE)]
        else:
            threads = [Thread(target=store, args=(port, order)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        told.send(len(held))


async def main() -> None:
    """Serve, and print the figures."""
    listener = listen("127.0.0.1", 0)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=peers, args=(listener.getsockname()[1], there))
    process.start()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    port = Port(listener=listener, caps=Caps(per_peer=0))
    serving = loop.create_task(Server(Service(receiver=Discard(), offer=Offer(supports=bool)), port).serve(stop))

    async def done(order: int | str) -> None:
        here.send(order)
        await loop.run_in_executor(None, here.recv)
        gc.collect()

    await done(_PIECE)
    Discard.received = 0
    base = memory("VmHWM")
    await done(_SIZE)
    large, after = memory("VmHWM"), memory("VmRSS")
    await done("idle")
    idle = memory("VmRSS") - after
    here.send("end")
    process.join()
    stop.set()
    await serving
    listener.close()
    print(json.dumps({"received": Discard.received, "base": base, "large": large, "idle": idle}))


if __name__ == "__main__":
    asyncio.run(main())
