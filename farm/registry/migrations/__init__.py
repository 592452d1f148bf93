"""Numbered changes of the registry's schema; `farm.database.migrate` applies them."""
