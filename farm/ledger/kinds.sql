-- How instances come into runs, for people who look at them; see kinds.py.

-- name: kinds
SELECT r.id, CASE
    WHEN EXISTS (SELECT FROM ledger.harvests h WHERE h.run_id = r.id) THEN 'harvest'
    WHEN EXISTS (SELECT FROM ledger.studies s WHERE s.run_id = r.id)
        OR EXISTS (SELECT FROM ledger.spooled s WHERE s.run_id = r.id)
        OR EXISTS (SELECT FROM ledger.arrivals a WHERE a.run_id = r.id) THEN 'scp'
    WHEN r.counters ? 'files' OR EXISTS (SELECT FROM ledger.instances i WHERE i.run_id = r.id) THEN 'folder'
END
FROM ledger.runs r
WHERE r.id = ANY(%(run_ids)b::integer[])

-- name: attended
-- A lock of 64 bits stands as two halves; objsubid 1 tells it from those of two keys (see `attend`).
SELECT r.id
FROM unnest(%(run_ids)b::integer[]) AS r (id)
WHERE EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid::bigint << 32 | l.objid::bigint = hashtextextended('run ' || r.id::text, 0)
)
