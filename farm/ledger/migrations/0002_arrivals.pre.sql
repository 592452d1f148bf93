-- What arrives by C-STORE, beside its row in `instances`. Every table is met by its primary key or by a partial index
-- of the few rows that are open, whatever has gathered in it.

-- The spool's files, by instance: what a start may not remove, and what retention still has to.
CREATE TABLE ledger.spooled (
    run_id integer NOT NULL,
    instance_id bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    name text NOT NULL,
    PRIMARY KEY (run_id, instance_id)
);

-- The first arrival of each SOP Instance UID (keyed) in a run: what a harvest holds against what it expected.
CREATE TABLE ledger.arrivals (
    run_id integer NOT NULL,
    instance_key bytea NOT NULL,
    instance_id bigint NOT NULL,
    study_key bytea, -- null where the data set does not show its study
    PRIMARY KEY (run_id, instance_key)
);

CREATE TABLE ledger.studies (
    run_id integer NOT NULL,
    study_key bytea NOT NULL,
    first_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    instances bigint NOT NULL,
    closed_at timestamptz, -- null: open
    PRIMARY KEY (run_id, study_key)
) WITH (fillfactor = 50); -- an arrival changes no indexed column: room for the new version on the same page
CREATE INDEX studies_open ON ledger.studies (run_id, study_key) WHERE closed_at IS NULL;
