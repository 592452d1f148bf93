-- An instance's state is the table that it stands in: backlog (found), parcels (queued, then leased), outcomes (done,
-- quarantined, skipped). Its row in `instances` never changes, so nothing is rewritten and no index is touched twice.
-- Hot tables have no foreign keys: each costs a look-up and a row lock per row, and every writer is in queries.sql.
CREATE SCHEMA ledger;

CREATE TABLE ledger.destinations (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE,
    project_id integer NOT NULL,
    recipe_digest text NOT NULL,
    sealed bytea NOT NULL
);

CREATE TABLE ledger.runs (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id integer NOT NULL,
    destination_id integer NOT NULL REFERENCES ledger.destinations,
    recipe_digest text NOT NULL,
    recipe_json text NOT NULL,
    source_key bytea NOT NULL,
    source_sealed bytea NOT NULL,
    state text NOT NULL DEFAULT 'crawling'
        CHECK (state IN ('crawling', 'active', 'paused', 'complete', 'stopped')),
    trouble text,
    counters jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    crawled_at timestamptz,
    finished_at timestamptz,
    UNIQUE (destination_id, source_key, recipe_digest)
);

CREATE TABLE ledger.instances (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id integer NOT NULL,
    size bigint NOT NULL,
    mtime_ns bigint NOT NULL,
    locator_key bytea NOT NULL,
    locator_sealed bytea NOT NULL,
    series_key bytea NOT NULL,
    route text NOT NULL,
    UNIQUE (run_id, locator_key)
);

-- `attempts` travels with an instance until it has ended; one that has any travels alone.
CREATE TABLE ledger.backlog (
    run_id integer NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    size bigint NOT NULL,
    id bigint NOT NULL,
    not_before timestamptz NOT NULL DEFAULT '-infinity',
    series_key bytea NOT NULL,
    route text NOT NULL,
    PRIMARY KEY (run_id, series_key, id)
);

-- Rows come and go all the time: clean up long before a fifth of a million dead ones lie about.
ALTER TABLE ledger.backlog SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 10000);

-- The generation names a parcel once and for all: a new publication draws a new one.
CREATE SEQUENCE ledger.generations;
CREATE TABLE ledger.parcels (
    generation bigint PRIMARY KEY DEFAULT nextval('ledger.generations'),
    run_id integer NOT NULL,
    attempts smallint NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz, -- null: queued; set: leased
    worker text,
    route text NOT NULL,
    ids bigint[] NOT NULL
) WITH (fillfactor = 50); -- leasing and renewing change no indexed column: room for the new version on the same page

CREATE TABLE ledger.outcomes (
    run_id integer NOT NULL,
    attempts smallint NOT NULL,
    pixels_at_risk boolean,
    instance_id bigint NOT NULL,
    bytes bigint,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL CHECK (state IN ('done', 'quarantined', 'skipped')),
    reason text,
    input_digest bytea,
    output_digest bytea,
    path text,
    sop_class text,
    study text,
    series text,
    instance text,
    subject text,
    source_syntax text,
    target_syntax text,
    versions text,
    counts jsonb,
    PRIMARY KEY (run_id, instance_id),
    CHECK ((state = 'done') = (reason IS NULL))
);
CREATE INDEX outcomes_quarantined ON ledger.outcomes (run_id, instance_id) WHERE state = 'quarantined';

-- Who may write an output path (`key` is its digest): for good once the instance is done, else while the parcel lives.
CREATE TABLE ledger.claims (
    destination_id integer NOT NULL,
    key bytea NOT NULL,
    instance_id bigint NOT NULL,
    generation bigint NOT NULL,
    digest bytea NOT NULL,
    PRIMARY KEY (destination_id, key)
);

-- Counts by state, kept by whoever moves an instance, so that progress never counts rows. Sixteen shards, so that
-- workers rarely wait for each other's row.
CREATE TABLE ledger.tallies (
    run_id integer NOT NULL,
    state text NOT NULL, -- staged (every instance there is), done, quarantined, skipped
    reason text NOT NULL DEFAULT '',
    shard integer NOT NULL DEFAULT pg_backend_pid() % 16,
    instances bigint NOT NULL,
    at_risk bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run_id, state, reason, shard)
) WITH (fillfactor = 50);

-- For people and tests: every instance with its state.
CREATE VIEW ledger.states AS
    SELECT run_id, id, 'found' AS state, NULL AS reason, attempts FROM ledger.backlog
    UNION ALL
    SELECT run_id, unnest(ids), CASE WHEN expires_at IS NULL THEN 'queued' ELSE 'leased' END, NULL, attempts
    FROM ledger.parcels
    UNION ALL
    SELECT run_id, instance_id, state, reason, attempts FROM ledger.outcomes;
