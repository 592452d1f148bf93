-- Reports on storage commitment that are owed; see migrations/0009_reports.pre.sql.

-- name: durable
-- Commits are handed to the disk late, in order; this one is waited for.
SET LOCAL synchronous_commit = on

-- name: owed
SELECT count(*), coalesce(sum(octet_length(sealed)), 0)::bigint FROM ledger.reports
WHERE run_id = %(run_id)s AND calling = %(calling)s

-- name: note
INSERT INTO ledger.reports (report_key, run_id, calling, sealed, expires_at)
VALUES (%(report_key)s, %(run_id)s, %(calling)s, %(sealed)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (report_key) DO NOTHING

-- name: settle
DELETE FROM ledger.reports WHERE report_key = ANY(%(keys)b::bytea[])

-- name: renew
UPDATE ledger.reports SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE report_key = ANY(%(keys)b::bytea[]) AND expires_at IS NOT NULL

-- name: defer
-- The attempts are the fence: who has lost the lease to another changes nothing.
UPDATE ledger.reports
SET expires_at = NULL, not_before = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE report_key = %(report_key)s AND attempts = %(attempts)s

-- name: turn
-- Two processes would take two reports to one peer, which may have one association only.
SELECT pg_advisory_xact_lock(hashtextextended('reports', %(run_id)s))

-- name: take
-- Of each peer to whom nobody reports, what has been due for longest.
UPDATE ledger.reports t
SET attempts = t.attempts + 1, expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
FROM unnest(%(peers)b::text[]) AS p (calling)
CROSS JOIN LATERAL (
    SELECT r.report_key FROM ledger.reports r
    WHERE r.run_id = %(run_id)s AND r.calling = p.calling AND r.not_before <= clock_timestamp()
        AND (r.expires_at IS NULL OR r.expires_at <= clock_timestamp())
    ORDER BY r.not_before
    LIMIT 1
) AS next
WHERE t.report_key = next.report_key AND NOT EXISTS (
    SELECT FROM ledger.reports o
    WHERE o.run_id = %(run_id)s AND o.calling = p.calling AND o.attempts > 0 AND o.expires_at > clock_timestamp()
)
RETURNING t.report_key, t.calling, t.sealed, t.attempts

-- name: hasten
UPDATE ledger.reports SET not_before = clock_timestamp()
WHERE run_id = %(run_id)s AND expires_at IS NULL

-- name: give_up
DELETE FROM ledger.reports
WHERE run_id = %(run_id)s AND owed_at <= clock_timestamp() - make_interval(secs => %(seconds)s)
    AND (expires_at IS NULL OR expires_at <= clock_timestamp())
RETURNING calling
