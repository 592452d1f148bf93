"""The Celery task: a few lines around `workers.handler`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from farm.queue import PARCEL_TASK
from workers.handler import Handler
from workers.request import ParcelTask

if TYPE_CHECKING:
    from celery import Celery

    from farm.settings import Settings


@cache
def _handler(settings: Settings) -> Handler:
    """Return this process's handler, made at its first parcel: connections and threads do not survive a fork."""
    return Handler(settings)


def register(app: Celery, settings: Settings) -> None:
    """Add the farm's task to the app."""
    app.farm_settings = settings  # type: ignore[attr-defined]

    @app.task(name=PARCEL_TASK, base=ParcelTask)  # type: ignore[untyped-decorator]
    def parcel(generation: int) -> None:
        _handler(settings).handle(generation)
