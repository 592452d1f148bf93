"""Tells the log once that instances are refused, and once that they are stored again, however many there are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.errors import Reason

log = logging.getLogger(__name__)


class Spell:
    """A time in which something is away; threads may share it."""

    def __init__(self) -> None:
        self._reason: Reason | None = None

    @property
    def reason(self) -> Reason | None:
        """Return why the last instance was refused; None where it was stored."""
        return self._reason

    def met(self, reason: Reason) -> None:
        """Note why an instance was refused."""
        if reason is not self._reason:
            log.warning("what arrives is refused: %s", reason.value)
        self._reason = reason

    def over(self) -> None:
        """Note that instances were stored."""
        if self._reason is not None:
            log.info("what arrives is stored again")
        self._reason = None
