"""Load the shared fixtures, one small file for each subject."""

from __future__ import annotations

pytest_plugins = [
    "fix_stack",
    "fix_ledger",
    "fix_farm",
    "fix_celery",
    "fix_cli",
    "fix_scp",
    "fix_peers",
]
