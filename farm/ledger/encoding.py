"""Outcomes as the rows that the `commit` statement reads: one JSON document for a whole parcel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from farm.ledger.values import Done, Failed, GivenBack, Quarantined, Skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.errors import Reason
    from farm.ledger.values import Outcome


def encode(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as JSON."""
    return json.dumps([_row(outcome) for outcome in outcomes], separators=(",", ":"))


def trouble_of(outcomes: Sequence[Outcome]) -> Reason | None:
    """Return what was away, as the first outcome that was given back for it says."""
    return next((outcome.trouble for outcome in outcomes if isinstance(outcome, GivenBack) and outcome.trouble), None)


def _row(outcome: Outcome) -> dict[str, object]:
    match outcome:
        case Done():
            return _released(outcome)
        case Quarantined():
            row: dict[str, object] = {"id": outcome.id, "state": "quarantined", "reason": outcome.reason}
            return row | {"findings": outcome.findings, "seal": outcome.seal or None}
        case Skipped():
            return {"id": outcome.id, "state": "skipped", "reason": outcome.reason}
        case Failed():
            return {"id": outcome.id, "state": "failed", "reason": outcome.reason}
        case GivenBack():
            return {"id": outcome.id, "state": "found", "delay": outcome.delay_s}


def _released(outcome: Done) -> dict[str, object]:
    report = outcome.report
    return {
        "id": outcome.id,
        "state": "done",
        "input_digest": report.input_digest,
        "output_digest": report.output_digest,
        "bytes": report.output_bytes,
        "path": report.path,
        "sop_class": report.sop_class.replace("\0", ""),  # as the input has it, and Postgres refuses text with NUL
        "study": report.study,
        "series": report.series,
        "instance": report.instance,
        "subject": report.subject,
        "source_syntax": report.source_syntax,
        "target_syntax": report.target_syntax,
        "pixels": report.pixels,
        "codec": report.codec,
        "pixels_at_risk": report.pixels_at_risk,
        "versions": report.versions,
        "counts": report.counts,
    }
