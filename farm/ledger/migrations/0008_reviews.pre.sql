-- What the release gate found (kinds and places, no values) in an instance that it holds back, and what names that very
-- finding; and what a person has looked at and lets go. `pre`: the old code writes neither, and lets nothing go.
ALTER TABLE ledger.outcomes ADD COLUMN findings jsonb, ADD COLUMN seal bytea;

CREATE TABLE ledger.releases (
    instance_id bigint PRIMARY KEY,
    seal bytea NOT NULL,
    released_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
