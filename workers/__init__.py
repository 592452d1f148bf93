"""The worker program: Celery children that lease parcels, de-identify them and release the output."""
