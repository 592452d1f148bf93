"""What a receiving process is told by its parent: one JSON line on standard input, so that no process list shows it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class PortOrder:
    """How to receive.

    `ae_titles`: called titles that are answered to; none: any. `peers`: who may come, as `farm.net.admission.Rule`
    reads it; none: anybody. `only`: values of attributes by keyword that an instance must have to be let in.
    `private`: take SOP classes that the standard does not know. `syntaxes`: private transfer syntaxes to take.
    `users`: file of the users of whom one has to be told, as `farm.net.identity` reads it; empty: nobody has to be.
    `report_to`: where peers are that get reports on storage commitment on associations of ours, as AET@HOST:PORT.
    `processes`: how many share the port. `max_associations`: of one title at one address, `max_per_address`: of all its
    titles, 0: any. `least_rate`: bytes a second that a message may lag behind by `idle_seconds`. `longest_seconds`: of
    an association; 0 of these two: any.
    """

    processes: int = 1
    ae_titles: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()
    private: bool = False
    syntaxes: tuple[str, ...] = ()
    users: str = ""
    report_to: tuple[str, ...] = ()
    max_pdu: int = 131_072
    max_associations: int = 64
    max_per_address: int = 256
    max_connections: int = 512
    idle_seconds: int = 600
    longest_seconds: int = 86_400
    least_rate: int = 1024
    certificate: str = ""
    key: str = ""
    authority: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOrder:
    """A process's own part: the run it receives for, and the descriptors that it inherits."""

    port: PortOrder
    run_id: int
    source_key: str
    spool: str
    listener: int
    slots: int
    row: int
    processes: int
    target: str = ""
    """The transfer syntax that the run's recipe asks for; empty: it stays."""

    def to_json(self) -> str:
        """Write it as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read it."""
        facts = json.loads(text)
        port = facts.pop("port")
        for name in ("ae_titles", "peers", "syntaxes", "report_to"):
            port[name] = tuple(port[name])
        port["only"] = tuple((keyword, value) for keyword, value in port["only"])
        return cls(port=PortOrder(**port), **facts)
