-- Signs of life of workers; see migrations/0005_presence.pre.sql.

-- name: lives
-- Who was seen last an hour ago will not come again under that name. Rows are taken in one order everywhere.
WITH forgotten AS (
    DELETE FROM ledger.presence WHERE seen_at < clock_timestamp() - interval '1 hour' AND worker <> %(worker)s
)
INSERT INTO ledger.presence (queue, worker) SELECT queue, %(worker)s FROM unnest(%(queues)b::text[]) AS q (queue)
ORDER BY queue
ON CONFLICT (queue, worker) DO UPDATE SET seen_at = excluded.seen_at

-- name: leaves
DELETE FROM ledger.presence WHERE worker = %(worker)s

-- name: served
SELECT DISTINCT queue FROM ledger.presence WHERE seen_at > clock_timestamp() - make_interval(secs => %(seconds)s)

-- name: reroute
-- What was published and not leased gets a new generation: the message that lies in the dead queue leases nothing.
UPDATE ledger.parcels p
SET generation = nextval('ledger.generations'), queued_at = clock_timestamp(), route = %(to)s
WHERE p.generation IN (
    SELECT generation FROM ledger.parcels
    WHERE run_id = %(run_id)s AND expires_at IS NULL AND route = ANY(%(routes)b::text[])
    FOR UPDATE SKIP LOCKED
)
RETURNING p.run_id, p.generation, p.ids, p.route
