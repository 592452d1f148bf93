"""Numbered changes of the ledger's schema; `farm.database.migrate` applies them."""
