-- A row that the PACS would not answer for waits for another attempt, as a study does. Safe while the old code runs: it
-- reads neither column, and adds rows without them.
ALTER TABLE ledger.harvest_rows
    ADD COLUMN attempts smallint NOT NULL DEFAULT 0,
    ADD COLUMN not_before timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX harvest_rows_waiting ON ledger.harvest_rows (harvest_id, not_before, row) WHERE verdict = 'pending';
