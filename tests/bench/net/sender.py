"""Sends one instance again and again under new UIDs, as fast as one association goes: the receive benchmark's load.

    python -m tests.bench.net.sender PORT TITLE FILE COUNT FIRST

It waits for a line on standard input once the association is there, and prints its figures as JSON. The data set is a
mapping of the file, sent by gather writes, so that the sender costs as little as it can.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from pathlib import Path

from farm.dicom import part10, splice
from farm.dicom.editor import Onlooker
from farm.dicom.grammar import Noting, Plan
from farm.net import pdu
from farm.net.association import Accepted, Association, Event, Message
from farm.net.dimse import Field, Tag, request

SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
_RECEIVE = 65_536


def main() -> None:
    """Send."""
    port, title, file, count, first = sys.argv[1:]
    sending = Sending(Path(file), int(port), title)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    waits = [sending.send(int(first) + number) for number in range(int(count))]
    seconds = time.perf_counter() - began
    sending.release()
    print(json.dumps({"seconds": seconds, "waits": waits, "failed": sending.failed}), flush=True)


class Sending:
    """One association and the instance that it sends."""

    def __init__(self, file: Path, port: int, title: str) -> None:
        data = file.read_bytes()
        source = part10.parse(data)
        walk = splice.Walk(
            data, Plan(Noting(frozenset({SOP_CLASS, SOP_INSTANCE}), SOP_INSTANCE), source.dialect), Onlooker()
        )
        walk.run(source.start, len(data))
        spans = {span.tag: span for span in walk.notes}
        self.body = bytearray(data[source.start :])
        self.uid = slice(spans[SOP_INSTANCE].value - source.start, spans[SOP_INSTANCE].end - source.start)
        self.sop_class = data[spans[SOP_CLASS].value : spans[SOP_CLASS].end].rstrip(b"\0").decode()
        self.failed = 0
        self._message_id = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._core = Association(is_requestor=True)
        self._core.transport_open()
        context = pdu.ProposedContext(id=1, abstract_syntax=self.sop_class, transfer_syntaxes=(source.syntax.uid,))
        user = pdu.User(maximum_length=_RECEIVE)
        self._core.request(pdu.AssociateRequest(called=title, calling="BENCH", contexts=(context,), user=user))
        self._socket.sendall(self._core.outgoing())
        [accepted] = self._events()
        if not isinstance(accepted, Accepted) or not self._core.contexts:
            raise SystemExit("the receiver does not take the instance")

    def send(self, number: int) -> float:
        """Send the instance as the one of this number; return the seconds until its response."""
        length = self.uid.stop - self.uid.start
        uid = b"1.2.826.0.1.3680043.10.543.%d" % number
        self.body[self.uid] = uid.ljust(length, b"0")[:length]
        self._message_id = self._message_id % 0xFFFF + 1
        values: dict[int, int | str] = {
            Tag.AFFECTED_SOP_INSTANCE: self.body[self.uid].decode(),
            Tag.PRIORITY: 0,
        }
        command = request(Field.C_STORE_RQ, self._message_id, self.sop_class, values, has_data=True)
        began = time.perf_counter()
        buffers = [memoryview(one) for pdus in self._core.message(1, command, [memoryview(self.body)]) for one in pdus]
        self._write(buffers)
        [response] = self._events()
        if not isinstance(response, Message) or response.command.status != 0:
            self.failed += 1
        return time.perf_counter() - began

    def release(self) -> None:
        """End the association."""
        self._core.release()
        self._socket.sendall(self._core.outgoing())
        self._events()
        self._socket.close()

    def _write(self, buffers: list[memoryview]) -> None:
        while buffers:
            sent = self._socket.sendmsg(buffers[:512])
            while buffers and sent >= len(buffers[0]):
                sent -= len(buffers.pop(0))
            if sent:
                buffers[0] = buffers[0][sent:]

    def _events(self) -> list[Event]:
        while True:
            data = self._socket.recv(_RECEIVE)
            events = self._core.receive(data)
            if events or not data:
                return events


if __name__ == "__main__":
    main()
