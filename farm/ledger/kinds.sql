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
