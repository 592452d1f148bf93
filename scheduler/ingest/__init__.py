"""What arrives by C-STORE: into the spool and the ledger before the peer hears of success, and out again in time."""

from scheduler.ingest.committer import Committer
from scheduler.ingest.keeper import Keeper, clear
from scheduler.ingest.receiver import SpoolReceiver
from scheduler.ingest.spell import Spell
from scheduler.ingest.spool import Spool

__all__ = ["Committer", "Keeper", "Spell", "Spool", "SpoolReceiver", "clear"]
