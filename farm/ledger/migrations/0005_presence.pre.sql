-- Which workers live, by the queues that they take from. Only queues that may have no worker are asked for: what waits
-- for such a one goes elsewhere when its last worker is gone. `pre`: the old code neither writes nor reads it.
CREATE TABLE ledger.presence (
    queue text NOT NULL,
    worker text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (queue, worker)
) WITH (fillfactor = 50); -- a sign of life changes no indexed column: room for the new version on the same page
