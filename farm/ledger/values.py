"""The ledger's values: what goes in and what comes out, with no SQL and no connection.

Everything sealed or keyed is computed by the caller: the ledger holds no key. By convention an instance's locator is
sealed for table `instances` with its locator key as context, a source for `runs` with its source key, a destination for
`destinations` with its destination key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from farm.errors import Reason
    from farm.pipeline import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A body of work: one source, one destination, one recipe.

    `state` is crawling, active (crawled), paused, complete or stopped (by a trouble that only people can mend).
    """

    id: int
    project_id: int
    destination_id: int
    destination_key: bytes
    destination_sealed: bytes
    source_key: bytes
    source_sealed: bytes
    recipe_digest: str
    recipe_json: str
    state: str
    trouble: str | None
    created_at: datetime
    crawled_at: datetime | None
    finished_at: datetime | None
    counters: dict[str, int]
    is_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An instance that a source yields. With a reason it is quarantined at once, and never travels."""

    locator_key: bytes
    locator_sealed: bytes
    size: int
    mtime_ns: int
    series_key: bytes | None = None
    reason: Reason | None = None
    route: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What became of the instances that were staged; keys are locator keys."""

    new: int
    """The run did not know them."""
    again: int = 0
    """They were quarantined or skipped, their source has changed since, and now they wait again."""
    done: tuple[bytes, ...] = ()
    """They were done and their source has changed since: stage that under another key."""
    busy: tuple[bytes, ...] = ()
    """Their source has changed, and they are on their way as they were: stage them again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """An instance that has come by C-STORE and lies in the spool, whole."""

    name: str
    """Of its file in the spool; the locator is the same name."""
    locator_key: bytes
    locator_sealed: bytes
    size: int
    mtime_ns: int
    instance_key: bytes
    """Of its SOP Instance UID."""
    study_key: bytes | None = None
    series_key: bytes | None = None
    route: str = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What `sweep` found: files that nobody needs any more, and where to go on (0: from the start)."""

    names: tuple[str, ...]
    last_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """How many studies of a run may still grow, and how many have been quiet."""

    open: int
    closed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """The instances of one message. The generation names the parcel: it is never used twice."""

    run_id: int
    generation: int
    ids: tuple[int, ...]
    route: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is on its way: published and not leased, and leased; in messages (parcels) and in instances."""

    queued_messages: int
    queued_instances: int
    leased_messages: int
    leased_instances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """One instance of a leased parcel. `attempts` counts the ones before this one.

    `waived`: the seal of what the release gate held back and a person let go.
    """

    id: int
    locator_key: bytes
    locator_sealed: bytes
    size: int
    mtime_ns: int
    attempts: int
    waived: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a parcel. The token (its generation) is dead once anyone has ended the lease."""

    token: int
    run_id: int
    rows: tuple[Leased, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Who may write an output path. `owner_state` is open (its worker still lives) or done; `digest` is the owner's."""

    owner_id: int
    owner_state: str
    digest: str
    mine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The instance was released."""

    id: int
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """The instance cannot be processed, now or later.

    `findings`: what the release gate found, by kind and place; `seal` names it, so that a person can let it go.
    """

    id: int
    reason: Reason
    findings: Mapping[str, object] | None = None
    seal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Nothing to do: another instance has released the same output."""

    id: int
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """Something was away: the attempt does not count, and the instance waits `delay_s` before it is fed again."""

    id: int
    delay_s: float = 0.0
    trouble: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt failed and counts: the last one that is allowed quarantines the instance with the reason."""

    id: int
    reason: Reason


Outcome = Done | Quarantined | Skipped | GivenBack | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run stands, all of one moment. The six states sum to `total`."""

    run_id: int
    state: str
    trouble: str | None
    total: int
    found: int
    queued: int
    leased: int
    done: int
    quarantined: int
    skipped: int
    at_risk: int
    output_bytes: int
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """Return how many instances have reached their end."""
        return self.done + self.quarantined + self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class InQuarantine:
    """A quarantined instance, for listing. `findings`: what the release gate found, by kind and place."""

    id: int
    reason: str
    attempts: int
    size: int
    locator_key: bytes
    locator_sealed: bytes
    finished_at: datetime
    findings: dict[str, Any] | None = None
