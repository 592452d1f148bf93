"""Projects, the mapping of subjects and UIDs, sealed originals and the audit, in Postgres."""

from farm.registry.keyfiles import KeyFile, load, load_or_create
from farm.registry.registry import Registry, is_begun, project_names
from farm.registry.vault import Vault

__all__ = ["KeyFile", "Registry", "Vault", "is_begun", "load", "load_or_create", "project_names"]
