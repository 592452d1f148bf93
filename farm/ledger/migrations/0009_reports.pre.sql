-- Reports on storage commitment that are owed: noted before the request is answered, gone once the peer has them. What
-- stands in one (its UIDs) is sealed; who asked is a title that the configuration names. `pre`: the old code holds what
-- it owes in memory.
CREATE TABLE ledger.reports (
    report_key bytea PRIMARY KEY, -- random
    run_id integer NOT NULL,
    calling text NOT NULL,
    sealed bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    owed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz -- until when it is somebody's: the association's that asked (no attempt), or a report's
);
CREATE INDEX reports_due ON ledger.reports (run_id, calling, not_before);
