-- `harvest_rows_waiting` is in its place.
DROP INDEX ledger.harvest_rows_pending;
