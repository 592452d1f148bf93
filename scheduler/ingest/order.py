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
    `private`: take SOP classes that the standard does not know. `processes`: how many share the port.
    """

    processes: int = 1
    ae_titles: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()
    private: bool = False
    max_pdu: int = 131_072
    max_associations: int = 64
    max_connections: int = 512
    idle_seconds: int = 600
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
        for name in ("ae_titles", "peers"):
            port[name] = tuple(port[name])
        port["only"] = tuple((keyword, value) for keyword, value in port["only"])
        return cls(port=PortOrder(**port), **facts)
