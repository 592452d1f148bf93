"""What is told of an output that is held back: of which kind each finding is and where it stands, never what it is.

A person who has looked may let such an output go. What is let go is one source under one recipe with one set of
findings: a seal names the three, so that another source, recipe or finding is held back as before.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blake3 import blake3

from farm.errors import BadInput, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.deid.gate.values import Finding
    from farm.dicom.elements import Data

_TOLD = 100  # findings that are told one by one


class HeldBack(BadInput):
    """The release gate does not let an output go. `seal` names what a person may let go; empty: nobody may."""

    findings: tuple[Finding, ...] = ()
    seal = ""

    @classmethod
    def by(cls, reason: Reason, findings: Sequence[Finding], seal: str = "") -> HeldBack:
        """Return the error for a verdict's findings."""
        held = cls(reason, ", ".join(sorted({_shown(finding) for finding in findings})))
        held.findings, held.seal = tuple(findings), seal
        return held

    def __reduce__(self) -> tuple[object, ...]:
        return (*super().__reduce__(), {"findings": self.findings, "seal": self.seal})

    def sealed(self, data: Data, recipe: str) -> HeldBack:
        """Return the same with its seal: for a source's bytes, and the digest of a recipe."""
        if self.reason is not Reason.GATE_REVIEW:
            return self
        named = [blake3(data).hexdigest(), recipe, sorted(json.dumps(_told(finding)) for finding in self.findings)]
        return HeldBack.by(self.reason, self.findings, blake3(json.dumps(named).encode()).hexdigest())

    def told(self) -> dict[str, object]:
        """Return how many findings there are, and of the first ones the kind, the tag and the sequences around it."""
        places = [_told(finding) for finding in self.findings[:_TOLD]]
        return {"count": len(self.findings), "places": places}


def _told(finding: Finding) -> dict[str, object]:
    path = [_written(tag) for tag in finding.path]
    return {"kind": finding.kind, "tag": None if finding.tag is None else _written(finding.tag), "path": path}


def _shown(finding: Finding) -> str:
    return finding.kind if finding.tag is None else f"{finding.kind} {_written(finding.tag)}"


def _written(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
