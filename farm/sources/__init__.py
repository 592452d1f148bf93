"""Where instances come from: a folder or a single file."""

from farm.sources.folder import Counters, Entry, FolderSource

__all__ = ["Counters", "Entry", "FolderSource"]
