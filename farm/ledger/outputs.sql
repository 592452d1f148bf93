-- What was released, and whose the names in a destination are.

-- name: outputs
SELECT instance_id AS id, path, bytes AS size, encode(output_digest, 'hex') AS digest, instance,
    target_syntax AS syntax
FROM ledger.outcomes
WHERE run_id = %(run_id)s AND instance_id > %(after_id)s AND state = 'done'
ORDER BY instance_id
LIMIT %(most)s

-- name: owners
-- The path is that of the owner's output; null: it has not ended, so it may still be released there.
SELECT c.key, o.path
FROM ledger.claims c
LEFT JOIN ledger.instances i ON i.id = c.instance_id
LEFT JOIN ledger.outcomes o ON o.run_id = i.run_id AND o.instance_id = i.id
WHERE c.destination_id = %(destination_id)s AND c.key = ANY(%(keys)b) AND (o.state = 'done' OR o.state IS NULL)

-- name: origins
SELECT o.instance_id AS id, o.path, i.size, i.mtime_ns, i.locator_key, i.locator_sealed,
    encode(o.input_digest, 'hex') AS input_digest, encode(o.output_digest, 'hex') AS output_digest
FROM ledger.outcomes o JOIN ledger.instances i ON i.id = o.instance_id
WHERE o.run_id = %(run_id)s AND o.instance_id = ANY(%(ids)b::bigint[]) AND o.state = 'done'
ORDER BY o.instance_id
FOR UPDATE OF o

-- name: lock
-- As `lock_run`: whoever adds to the backlog of a run, or takes from it, takes turns.
SELECT state FROM ledger.runs WHERE id = %(run_id)s FOR NO KEY UPDATE

-- name: requeue
WITH freed AS (
    DELETE FROM ledger.outcomes
    WHERE run_id = %(run_id)s AND state = 'done' AND instance_id = ANY(%(ids)b::bigint[])
    RETURNING instance_id, pixels_at_risk, bytes
), back AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route)
    SELECT i.run_id, i.id, i.size, i.series_key, i.route
    FROM freed f JOIN ledger.instances i ON i.id = f.instance_id
), tallied AS (
    INSERT INTO ledger.tallies AS t (run_id, state, shard, instances, at_risk, bytes)
    SELECT %(run_id)s, 'done', 16, -count(*), -count(*) FILTER (WHERE pixels_at_risk), -coalesce(sum(bytes), 0)
    FROM freed HAVING count(*) > 0
    ON CONFLICT (run_id, state, reason, shard) DO UPDATE
    SET instances = t.instances + excluded.instances, at_risk = t.at_risk + excluded.at_risk,
        bytes = t.bytes + excluded.bytes
), reopened AS (
    UPDATE ledger.runs SET state = 'active', finished_at = NULL
    WHERE id = %(run_id)s AND state = 'complete' AND EXISTS (SELECT FROM freed)
)
SELECT count(*) FROM freed
