"""Postgres and Valkey from wheels, started and ended by the farm itself."""

from farm.embedded.stack import Stack

__all__ = ["Stack"]
