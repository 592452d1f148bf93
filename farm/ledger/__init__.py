"""Runs, instances, parcels, claims and outcomes in Postgres."""

from farm.ledger.ledger import Ledger
from farm.ledger.values import (
    Claim,
    Done,
    Failed,
    Found,
    GivenBack,
    InQuarantine,
    Lease,
    Leased,
    Outcome,
    Parcel,
    Progress,
    Quarantined,
    Run,
    Skipped,
    Waiting,
)

__all__ = [
    "Claim",
    "Done",
    "Failed",
    "Found",
    "GivenBack",
    "InQuarantine",
    "Lease",
    "Leased",
    "Ledger",
    "Outcome",
    "Parcel",
    "Progress",
    "Quarantined",
    "Run",
    "Skipped",
    "Waiting",
]
