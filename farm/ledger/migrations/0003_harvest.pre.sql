-- What a harvest is to bring from a PACS: rows of its list, the studies that those mean, and the instances that the
-- PACS lists of each. Keys and seals are the caller's. What has arrived stands in `arrivals`, for any way of arriving.
-- Hot tables have no foreign keys: every writer is in harvests.sql.
CREATE TABLE ledger.harvests (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id integer NOT NULL,
    priority integer NOT NULL DEFAULT 0,
    pacs text NOT NULL,
    list_key bytea NOT NULL, -- of the list's content: the same list is the same harvest
    sealed bytea NOT NULL, -- the list's header
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'complete')),
    created_at timestamptz NOT NULL DEFAULT now(),
    listed_at timestamptz, -- every row of the list has been added
    UNIQUE (run_id, pacs, list_key)
);
CREATE INDEX harvests_active ON ledger.harvests (pacs, priority DESC, id) WHERE state = 'active';

-- `verdict` is the row's own: pending until the PACS was asked, null where its studies say all.
CREATE TABLE ledger.harvest_rows (
    harvest_id integer NOT NULL,
    row integer NOT NULL,
    studies integer NOT NULL DEFAULT 0,
    verdict text DEFAULT 'pending',
    reason text,
    sealed bytea NOT NULL,
    PRIMARY KEY (harvest_id, row)
);
CREATE INDEX harvest_rows_pending ON ledger.harvest_rows (harvest_id, row) WHERE verdict = 'pending';
CREATE INDEX harvest_rows_unanswered ON ledger.harvest_rows (harvest_id, row)
    WHERE verdict NOT IN ('pending', 'bad-row');

CREATE SEQUENCE ledger.harvest_tokens;
CREATE TABLE ledger.harvest_studies (
    harvest_id integer NOT NULL,
    row integer NOT NULL, -- the first that named it
    not_before timestamptz NOT NULL DEFAULT '-infinity',
    expires_at timestamptz, -- set while it is leased, as `token` and `worker` are
    token bigint,
    expected integer, -- null until the PACS has listed its instances
    attempts smallint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'found' CHECK (state IN ('found', 'listed', 'fetching', 'ended')),
    verdict text NOT NULL DEFAULT 'pending',
    reason text,
    worker text,
    study_key bytea NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (harvest_id, study_key),
    CHECK ((state = 'fetching') = (token IS NOT NULL)),
    CHECK ((state = 'ended') = (verdict <> 'pending'))
) WITH (fillfactor = 80);
-- What has waited for nothing comes first, in the order of the list; then what was given back, when its time comes.
CREATE INDEX harvest_studies_waiting ON ledger.harvest_studies (harvest_id, not_before, row, study_key)
    WHERE state IN ('found', 'listed');
CREATE INDEX harvest_studies_leased ON ledger.harvest_studies (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX harvest_studies_fetching ON ledger.harvest_studies (harvest_id) WHERE state = 'fetching';
CREATE INDEX harvest_studies_unfinished ON ledger.harvest_studies (harvest_id, study_key)
    WHERE state = 'ended' AND verdict <> 'complete';
ALTER TABLE ledger.harvest_studies SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000);

-- Several rows may mean one study, and one row several studies.
CREATE TABLE ledger.harvest_wants (
    harvest_id integer NOT NULL,
    row integer NOT NULL,
    study_key bytea NOT NULL,
    PRIMARY KEY (harvest_id, row, study_key)
);

CREATE TABLE ledger.harvest_instances (
    harvest_id integer NOT NULL,
    study_key bytea NOT NULL,
    instance_key bytea NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (harvest_id, study_key, instance_key)
);

-- Counts by verdict, kept by whoever changes one, as `tallies` are. Of rows, `found` are those whose studies say all.
CREATE TABLE ledger.harvest_tallies (
    harvest_id integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('row', 'study')),
    verdict text NOT NULL,
    shard integer NOT NULL DEFAULT pg_backend_pid() % 16,
    count bigint NOT NULL,
    PRIMARY KEY (harvest_id, kind, verdict, shard)
) WITH (fillfactor = 50);
