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
