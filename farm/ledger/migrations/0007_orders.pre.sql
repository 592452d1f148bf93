-- A harvest may be cancelled, and is called by the name of its list's file (keyed) as well as by its number. `pre`: the
-- old code never asks for what is cancelled, and writes no name.
ALTER TABLE ledger.harvests DROP CONSTRAINT harvests_state_check,
    ADD CONSTRAINT harvests_state_check CHECK (state IN ('active', 'paused', 'complete', 'cancelled')),
    ADD COLUMN name_key bytea;
