"""What scheduler and workers share: queue names, the Celery app, the publisher, sealed places, their connection."""

from farm.queue.app import make_app
from farm.queue.names import PARCEL_TASK, QUEUES, heartbeat_path
from farm.queue.publisher import Publisher
from farm.queue.sealing import Place, Sealer
from farm.queue.session import Session, Tables

__all__ = ["PARCEL_TASK", "QUEUES", "Place", "Publisher", "Sealer", "Session", "Tables", "heartbeat_path", "make_app"]
