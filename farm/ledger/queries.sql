-- The ledger's statements; the schema and its idea stand in migrations/0001_ledger.pre.sql.

-- name: add_destination
INSERT INTO ledger.destinations (key, project_id, recipe_digest, sealed)
VALUES (%(destination_key)s, %(project_id)s, %(recipe_digest)s, %(destination_sealed)s)
ON CONFLICT (key) DO NOTHING

-- name: destination
SELECT id, project_id, recipe_digest FROM ledger.destinations WHERE key = %(destination_key)s

-- name: released
SELECT coalesce(sum(t.instances), 0)::bigint
FROM ledger.runs r JOIN ledger.tallies t ON t.run_id = r.id AND t.state = 'done'
WHERE r.destination_id = %(destination_id)s

-- name: open_run
-- A run that was there before is crawled again; xmax tells an inserted row from an updated one.
INSERT INTO ledger.runs AS r (project_id, destination_id, recipe_digest, recipe_json, source_key, source_sealed)
VALUES (%(project_id)s, %(destination_id)s, %(recipe_digest)s, %(recipe_json)s, %(source_key)s, %(source_sealed)s)
ON CONFLICT (destination_id, source_key, recipe_digest) DO UPDATE
SET state = 'crawling', trouble = NULL, crawled_at = NULL, finished_at = NULL
RETURNING id, xmax = 0 AS is_new

-- name: run
SELECT r.id, r.project_id, r.destination_id, d.key AS destination_key, d.sealed AS destination_sealed, r.source_key,
    r.source_sealed, r.recipe_digest, r.recipe_json, r.state, r.trouble, r.created_at, r.crawled_at, r.finished_at,
    r.counters
FROM ledger.runs r JOIN ledger.destinations d ON d.id = r.destination_id
WHERE r.id = %(run_id)s

-- name: runs
SELECT r.id, r.project_id, r.destination_id, d.key AS destination_key, d.sealed AS destination_sealed, r.source_key,
    r.source_sealed, r.recipe_digest, r.recipe_json, r.state, r.trouble, r.created_at, r.crawled_at, r.finished_at,
    r.counters
FROM ledger.runs r JOIN ledger.destinations d ON d.id = r.destination_id
ORDER BY r.id DESC

-- name: lock_run
-- Taken before a run's instances are added, fed or freed: crawlers and feeders of one run take turns. Whoever has it
-- counts in shard 16 of the tallies, which is theirs alone: a worker that has another may be waiting for the run's row.
SELECT state FROM ledger.runs WHERE id = %(run_id)s FOR NO KEY UPDATE

-- name: make_staging
CREATE TEMPORARY TABLE IF NOT EXISTS ledger_staging (
    size bigint, mtime_ns bigint, locator_key bytea, locator_sealed bytea, series_key bytea, route text, reason text
) ON COMMIT DELETE ROWS

-- name: index_staging
CREATE INDEX IF NOT EXISTS ledger_staging_key ON ledger_staging (locator_key)

-- name: fill_staging
COPY ledger_staging (size, mtime_ns, locator_key, locator_sealed, series_key, route, reason)
FROM STDIN (FORMAT BINARY)

-- name: stage
WITH fresh AS (
    INSERT INTO ledger.instances (run_id, size, mtime_ns, locator_key, locator_sealed, series_key, route)
    SELECT %(run_id)s, size, mtime_ns, locator_key, locator_sealed, series_key, route FROM ledger_staging
    ON CONFLICT (run_id, locator_key) DO NOTHING
    RETURNING id, size, locator_key, series_key, route
), sorted AS (
    SELECT DISTINCT ON (f.id) f.id, f.size, f.series_key, f.route, s.reason
    FROM fresh f JOIN ledger_staging s ON s.locator_key = f.locator_key
    ORDER BY f.id
), travelling AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route)
    SELECT %(run_id)s, id, size, series_key, route FROM sorted WHERE reason IS NULL
), refused AS (
    INSERT INTO ledger.outcomes (run_id, instance_id, state, reason, attempts)
    SELECT %(run_id)s, id, 'quarantined', reason, 0 FROM sorted WHERE reason IS NOT NULL
), tallied AS (
    INSERT INTO ledger.tallies AS t (run_id, state, reason, shard, instances)
    SELECT %(run_id)s::integer, 'staged', '', 16, count(*) FROM sorted HAVING count(*) > 0
    UNION ALL
    SELECT %(run_id)s::integer, 'quarantined', reason, 16, count(*) FROM sorted WHERE reason IS NOT NULL GROUP BY reason
    ORDER BY 2, 3
    ON CONFLICT (run_id, state, reason, shard) DO UPDATE SET instances = t.instances + excluded.instances
)
SELECT count(*) FROM sorted

-- name: changed
-- What is known and no longer as it was found, and where it stands. Laterals with a limit keep the order of the joins:
-- without statistics the planner would begin with all instances of the run.
SELECT DISTINCT ON (i.id) i.id, i.locator_key, coalesce(o.state, b.state, 'busy'), coalesce(b.ctid, '')
FROM ledger_staging s
CROSS JOIN LATERAL (
    SELECT id, locator_key, series_key FROM ledger.instances
    WHERE run_id = %(run_id)s AND locator_key = s.locator_key AND (size <> s.size OR mtime_ns <> s.mtime_ns)
    LIMIT 1
) AS i
LEFT JOIN LATERAL (
    SELECT state FROM ledger.outcomes WHERE run_id = %(run_id)s AND instance_id = i.id LIMIT 1
) AS o ON true
LEFT JOIN LATERAL (
    SELECT 'found' AS state, ctid::text FROM ledger.backlog
    WHERE run_id = %(run_id)s AND series_key = i.series_key AND id = i.id
    LIMIT 1
) AS b ON true
ORDER BY i.id

-- name: undone
WITH freed AS (
    DELETE FROM ledger.outcomes WHERE run_id = %(run_id)s AND instance_id = ANY(%(ids)b::bigint[])
    RETURNING state, reason
), tallied AS (
    INSERT INTO ledger.tallies AS t (run_id, state, reason, shard, instances)
    SELECT %(run_id)s, state, reason, 16, -count(*) FROM freed GROUP BY state, reason ORDER BY state, reason
    ON CONFLICT (run_id, state, reason, shard) DO UPDATE SET instances = t.instances + excluded.instances
)
SELECT count(*) FROM freed

-- name: stage_again
-- After what takes these from where they stood: a statement that deletes a row cannot insert it again.
WITH renewed AS (
    UPDATE ledger.instances i
    SET size = s.size, mtime_ns = s.mtime_ns, locator_sealed = s.locator_sealed, series_key = s.series_key,
        route = s.route
    FROM unnest(%(ids)b::bigint[], %(keys)b::bytea[]) AS g (id, locator_key)
    CROSS JOIN LATERAL (SELECT * FROM ledger_staging s WHERE s.locator_key = g.locator_key LIMIT 1) AS s
    WHERE i.id = g.id
    RETURNING i.id, i.size, i.series_key, i.route, s.reason
), travelling AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route)
    SELECT %(run_id)s, id, size, series_key, route FROM renewed WHERE reason IS NULL
), refused AS (
    INSERT INTO ledger.outcomes (run_id, instance_id, state, reason, attempts)
    SELECT %(run_id)s, id, 'quarantined', reason, 0 FROM renewed WHERE reason IS NOT NULL
)
INSERT INTO ledger.tallies AS t (run_id, state, reason, shard, instances)
SELECT %(run_id)s, 'quarantined', reason, 16, count(*) FROM renewed WHERE reason IS NOT NULL GROUP BY reason
ORDER BY reason
ON CONFLICT (run_id, state, reason, shard) DO UPDATE SET instances = t.instances + excluded.instances

-- name: attend
-- A shared lock of the session for each that brings instances in: it ends with the connection, whatever becomes of the
-- process, and as long as one is held the run does not end.
SELECT pg_advisory_lock_shared(hashtextextended('run ' || %(run_id)s::text, 0))

-- name: reopen
UPDATE ledger.runs SET state = 'crawling', crawled_at = NULL, finished_at = NULL
WHERE id = %(run_id)s AND state IN ('active', 'complete')

-- name: leave
SELECT pg_advisory_unlock_shared(hashtextextended('run ' || %(run_id)s::text, 0))

-- name: attended
-- A look at the locks, not a try for one, so it gets in the way of nobody that notes an end at this moment; nor is that
-- one's own lock taken for an intake's. A lock of 64 bits stands as two halves; objsubid 1 tells it from one of two keys.
SELECT r.id
FROM unnest(%(run_ids)b::integer[]) AS r (id)
WHERE EXISTS (
    SELECT FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid::bigint << 32 | l.objid::bigint = hashtextextended('run ' || r.id::text, 0)
)

-- name: is_alone
-- Had to the end of the transaction, it keeps others from coming before the end of the run is noted.
SELECT pg_try_advisory_xact_lock(hashtextextended('run ' || %(run_id)s::text, 0))

-- name: crawled
UPDATE ledger.runs
SET state = CASE WHEN state = 'crawling' AND %(is_alone)s THEN 'active' ELSE state END, crawled_at = clock_timestamp(),
    counters = %(counters)s
WHERE id = %(run_id)s

-- name: last_id
SELECT last_value FROM ledger.instances_id_seq

-- name: is_through
SELECT NOT EXISTS (SELECT FROM ledger.backlog b WHERE b.run_id = %(run_id)s AND b.id <= %(last_id)s)
    AND NOT EXISTS (
        SELECT FROM ledger.parcels p
        WHERE p.run_id = %(run_id)s AND EXISTS (SELECT FROM unnest(p.ids) AS u (id) WHERE u.id <= %(last_id)s)
    )

-- name: take
-- The primary key gives the order, so the cost is that of the rows taken and not of those that wait. Rows held back by
-- their delay are passed over. The lock on the run (`lock_run`) is what keeps two feeders apart.
SELECT ctid::text, id, size, route, attempts FROM ledger.backlog
WHERE run_id = %(run_id)s AND not_before <= clock_timestamp()
ORDER BY series_key, id
LIMIT %(most)s

-- name: taken
-- Nobody but the feeder touches rows of the backlog, so their addresses stand for its transaction.
DELETE FROM ledger.backlog WHERE ctid = ANY(%(ctids)b::tid[])

-- name: pack
INSERT INTO ledger.parcels (run_id, route, attempts, ids)
SELECT %(run_id)s, p.route, p.attempts, p.ids
FROM jsonb_to_recordset(%(parcels)s) AS p (route text, attempts smallint, ids bigint[])
RETURNING run_id, generation, ids, route

-- name: republish
UPDATE ledger.parcels p
SET generation = nextval('ledger.generations'), queued_at = clock_timestamp()
WHERE p.generation IN (
    SELECT generation FROM ledger.parcels
    WHERE run_id = %(run_id)s AND expires_at IS NULL
        AND queued_at <= clock_timestamp() - make_interval(secs => %(older_than)s)
    FOR UPDATE SKIP LOCKED
)
RETURNING p.run_id, p.generation, p.ids, p.route

-- name: recall
WITH recalled AS (
    DELETE FROM ledger.parcels WHERE run_id = %(run_id)s AND expires_at IS NULL RETURNING ids, attempts
), back AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route, attempts)
    SELECT i.run_id, i.id, i.size, i.series_key, i.route, r.attempts
    FROM recalled r CROSS JOIN LATERAL unnest(r.ids) AS u (id) JOIN ledger.instances i ON i.id = u.id
    RETURNING 1
)
SELECT count(*) FROM back

-- name: waiting
SELECT count(*) FILTER (WHERE expires_at IS NULL) AS queued_messages,
    coalesce(sum(cardinality(ids)) FILTER (WHERE expires_at IS NULL), 0) AS queued_instances,
    count(expires_at) AS leased_messages,
    coalesce(sum(cardinality(ids)) FILTER (WHERE expires_at IS NOT NULL), 0) AS leased_instances
FROM ledger.parcels
WHERE %(run_id)s::integer IS NULL OR run_id = %(run_id)s

-- name: lease
WITH leased AS (
    UPDATE ledger.parcels
    SET worker = %(worker)s, expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
    WHERE generation = %(generation)s AND expires_at IS NULL
    RETURNING run_id, attempts, ids
)
SELECT l.run_id, i.id, i.locator_key, i.locator_sealed, i.size, i.mtime_ns, l.attempts,
    coalesce(encode(r.seal, 'hex'), '')
FROM leased l CROSS JOIN LATERAL unnest(l.ids) WITH ORDINALITY AS u (id, place) JOIN ledger.instances i ON i.id = u.id
LEFT JOIN ledger.releases r ON r.instance_id = i.id
ORDER BY u.place

-- name: renew
UPDATE ledger.parcels SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE generation = %(token)s AND expires_at IS NOT NULL

-- name: claim
-- Keys come sorted and distinct. A claim falls to the next who asks unless its owner is done or its parcel lives.
WITH live AS (
    SELECT r.destination_id FROM ledger.parcels p JOIN ledger.runs r ON r.id = p.run_id
    WHERE p.generation = %(token)s AND p.expires_at IS NOT NULL
), claimed AS (
    INSERT INTO ledger.claims AS c (destination_id, key, instance_id, generation, digest)
    SELECT l.destination_id, g.key, g.id, %(token)s, g.digest
    FROM live l, unnest(%(keys)b::bytea[], %(ids)b::bigint[], %(digests)b::bytea[]) AS g (key, id, digest)
    ON CONFLICT (destination_id, key) DO UPDATE
    SET instance_id = excluded.instance_id, generation = excluded.generation, digest = excluded.digest
    WHERE c.instance_id = excluded.instance_id OR NOT (
        EXISTS (SELECT FROM ledger.parcels p WHERE p.generation = c.generation)
        OR EXISTS (
            SELECT FROM ledger.instances i JOIN ledger.outcomes o ON o.run_id = i.run_id AND o.instance_id = i.id
            WHERE i.id = c.instance_id AND o.state = 'done'
        )
    )
    RETURNING c.instance_id
)
SELECT (SELECT destination_id FROM live), (SELECT count(*) FROM claimed)

-- name: claims
SELECT c.key, c.instance_id, c.digest, CASE o.state WHEN 'done' THEN 'done' ELSE 'open' END
FROM ledger.claims c
LEFT JOIN ledger.instances i ON i.id = c.instance_id
LEFT JOIN ledger.outcomes o ON o.run_id = i.run_id AND o.instance_id = i.id
WHERE c.destination_id = %(destination_id)s AND c.key = ANY(%(keys)b)

-- name: commit
-- Deleting the parcel is the fence: whoever does it first has ended the lease, the others find nothing. `failed` counts
-- the attempt and ends the instance when it was the last; `found` gives the attempt back.
WITH ended AS (
    DELETE FROM ledger.parcels
    WHERE generation = %(token)s AND expires_at IS NOT NULL AND ids <@ %(ids)b::bigint[] AND ids @> %(ids)b::bigint[]
    RETURNING run_id, attempts
), given AS (
    SELECT e.run_id, e.attempts + (g.state <> 'found')::integer AS attempts,
        CASE
            WHEN g.state <> 'failed' THEN g.state
            WHEN e.attempts + 1 >= %(max_attempts)s THEN 'quarantined'
            ELSE 'found'
        END AS state,
        g.id, g.reason, g.delay, g.input_digest, g.output_digest, g.bytes, g.path, g.sop_class, g.study, g.series,
        g.instance, g.subject, g.source_syntax, g.target_syntax, g.pixels, g.codec, g.pixels_at_risk, g.versions,
        g.counts, g.findings, g.seal
    FROM ended e, json_to_recordset(%(outcomes)s) AS g (
        id bigint, state text, reason text, delay double precision, input_digest text, output_digest text,
        bytes bigint, path text, sop_class text, study text, series text, instance text, subject text,
        source_syntax text, target_syntax text, pixels text, codec text, pixels_at_risk boolean, versions text,
        counts jsonb, findings jsonb, seal text
    )
), kept AS (
    INSERT INTO ledger.outcomes (
        run_id, instance_id, state, reason, attempts, input_digest, output_digest, bytes, path, sop_class, study,
        series, instance, subject, source_syntax, target_syntax, pixels, codec, pixels_at_risk, versions, counts,
        findings, seal
    )
    SELECT run_id, id, state, reason, attempts, decode(input_digest, 'hex'), decode(output_digest, 'hex'), bytes, path,
        sop_class, study, series, instance, subject, source_syntax, target_syntax, pixels, codec, pixels_at_risk,
        versions, counts, findings, decode(seal, 'hex')
    FROM given WHERE state <> 'found'
), back AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route, attempts, not_before)
    SELECT g.run_id, g.id, i.size, i.series_key, i.route, g.attempts,
        clock_timestamp() + make_interval(secs => coalesce(g.delay, 0))
    FROM given g JOIN ledger.instances i ON i.id = g.id WHERE g.state = 'found'
), tallied AS (
    INSERT INTO ledger.tallies AS t (run_id, state, reason, instances, at_risk, bytes)
    SELECT run_id, state, coalesce(reason, ''), count(*), count(*) FILTER (WHERE pixels_at_risk),
        coalesce(sum(bytes), 0)
    FROM given WHERE state <> 'found' GROUP BY run_id, state, coalesce(reason, '')
    ORDER BY run_id, state, coalesce(reason, '')
    ON CONFLICT (run_id, state, reason, shard) DO UPDATE
    SET instances = t.instances + excluded.instances, at_risk = t.at_risk + excluded.at_risk,
        bytes = t.bytes + excluded.bytes
), noted AS (
    -- Trouble is written when it comes and taken off by the next parcel without any; else no row is touched.
    UPDATE ledger.runs r SET trouble = %(trouble)s FROM ended e
    WHERE r.id = e.run_id AND r.trouble IS DISTINCT FROM %(trouble)s AND r.state IN ('crawling', 'active')
)
SELECT run_id FROM ended

-- name: is_leased
SELECT EXISTS (SELECT FROM ledger.parcels WHERE generation = %(token)s AND expires_at IS NOT NULL)

-- name: lose
-- Ends leases whose worker is lost: one (its generation and worker given), or every one that has expired.
WITH dead AS (
    SELECT generation FROM ledger.parcels
    WHERE CASE
        WHEN %(generation)s::bigint IS NULL THEN expires_at <= clock_timestamp()
        ELSE generation = %(generation)s AND worker = %(worker)s AND expires_at IS NOT NULL
    END
    FOR UPDATE SKIP LOCKED
), ended AS (
    DELETE FROM ledger.parcels p USING dead WHERE p.generation = dead.generation RETURNING p.run_id, p.attempts, p.ids
), lost AS (
    SELECT e.run_id, u.id, e.attempts + 1 AS attempts, e.attempts + 1 >= %(max_attempts)s AS last
    FROM ended e CROSS JOIN LATERAL unnest(e.ids) AS u (id)
), kept AS (
    INSERT INTO ledger.outcomes (run_id, instance_id, state, reason, attempts)
    SELECT run_id, id, 'quarantined', %(reason)s, attempts FROM lost WHERE last
), back AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route, attempts)
    SELECT l.run_id, l.id, i.size, i.series_key, i.route, l.attempts
    FROM lost l JOIN ledger.instances i ON i.id = l.id WHERE NOT l.last
), tallied AS (
    INSERT INTO ledger.tallies AS t (run_id, state, reason, instances)
    SELECT run_id, 'quarantined', %(reason)s, count(*) FROM lost WHERE last GROUP BY run_id ORDER BY run_id
    ON CONFLICT (run_id, state, reason, shard) DO UPDATE SET instances = t.instances + excluded.instances
)
SELECT count(*) FROM lost

-- name: finish
UPDATE ledger.runs r SET state = 'complete', trouble = NULL, finished_at = clock_timestamp()
WHERE r.id = %(run_id)s AND (r.state = 'active' OR r.state = 'crawling' AND r.crawled_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM ledger.backlog b WHERE b.run_id = %(run_id)s)
    AND NOT EXISTS (SELECT FROM ledger.parcels p WHERE p.run_id = %(run_id)s)

-- name: durable
-- Commits are handed to the disk late, in order; this one is waited for, and so with it all before.
SET LOCAL synchronous_commit = on

-- name: set_state
UPDATE ledger.runs SET state = %(state)s, trouble = %(trouble)s WHERE id = %(run_id)s AND state <> 'complete'

-- name: resume
UPDATE ledger.runs SET state = CASE WHEN crawled_at IS NULL THEN 'crawling' ELSE 'active' END, trouble = NULL
WHERE id = %(run_id)s AND state IN ('paused', 'stopped')

-- name: progress
-- Reads at most a few hundred tallies, and the parcels on their way: the same for ten instances and for 10^9.
WITH tally AS (
    SELECT state, reason, sum(instances) AS instances, sum(at_risk) AS at_risk, sum(bytes) AS bytes
    FROM ledger.tallies WHERE run_id = %(run_id)s GROUP BY state, reason
), ended AS (
    SELECT coalesce(sum(instances) FILTER (WHERE state = 'staged'), 0)::bigint AS total,
        coalesce(sum(instances) FILTER (WHERE state = 'done'), 0)::bigint AS done,
        coalesce(sum(instances) FILTER (WHERE state = 'quarantined'), 0)::bigint AS quarantined,
        coalesce(sum(instances) FILTER (WHERE state = 'skipped'), 0)::bigint AS skipped,
        coalesce(sum(at_risk), 0)::bigint AS at_risk,
        coalesce(sum(bytes), 0)::bigint AS output_bytes
    FROM tally
), because AS (
    SELECT coalesce(jsonb_object_agg(reason, instances), '{}') AS reasons
    FROM (SELECT reason, sum(instances) AS instances FROM tally WHERE reason <> '' GROUP BY reason) AS t
    WHERE instances > 0
), moving AS (
    SELECT coalesce(sum(cardinality(ids)) FILTER (WHERE expires_at IS NULL), 0)::bigint AS queued,
        coalesce(sum(cardinality(ids)) FILTER (WHERE expires_at IS NOT NULL), 0)::bigint AS leased
    FROM ledger.parcels WHERE run_id = %(run_id)s
)
SELECT r.id AS run_id, r.state, r.trouble, e.total,
    e.total - e.done - e.quarantined - e.skipped - m.queued - m.leased AS found,
    m.queued, m.leased, e.done, e.quarantined, e.skipped, e.at_risk, e.output_bytes, b.reasons
FROM ledger.runs r, ended e, moving m, because b
WHERE r.id = %(run_id)s

-- name: retry
WITH freed AS (
    DELETE FROM ledger.outcomes
    WHERE run_id = %(run_id)s AND state = 'quarantined'
        AND (%(reason)s::text IS NULL OR reason = %(reason)s)
        AND (%(ids)b::bigint[] IS NULL OR instance_id = ANY(%(ids)b::bigint[]))
    RETURNING instance_id, reason
), back AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route)
    SELECT i.run_id, i.id, i.size, i.series_key, i.route
    FROM freed f JOIN ledger.instances i ON i.id = f.instance_id
), tallied AS (
    INSERT INTO ledger.tallies AS t (run_id, state, reason, shard, instances)
    SELECT %(run_id)s, 'quarantined', reason, 16, -count(*) FROM freed GROUP BY reason ORDER BY reason
    ON CONFLICT (run_id, state, reason, shard) DO UPDATE SET instances = t.instances + excluded.instances
), reopened AS (
    UPDATE ledger.runs SET state = 'active', finished_at = NULL
    WHERE id = %(run_id)s AND state = 'complete' AND EXISTS (SELECT FROM freed)
)
SELECT count(*) FROM freed

-- name: release
INSERT INTO ledger.releases (instance_id, seal)
SELECT instance_id, seal FROM ledger.outcomes
WHERE run_id = %(run_id)s AND instance_id = %(id)s AND state = 'quarantined' AND seal IS NOT NULL
ON CONFLICT (instance_id) DO UPDATE SET seal = excluded.seal, released_at = excluded.released_at

-- name: quarantine
SELECT o.instance_id AS id, o.reason, o.attempts, i.size, i.locator_key, i.locator_sealed, o.finished_at, o.findings
FROM ledger.outcomes o JOIN ledger.instances i ON i.id = o.instance_id
WHERE o.run_id = %(run_id)s AND o.state = 'quarantined' AND o.instance_id > %(after_id)s
ORDER BY o.instance_id
LIMIT %(most)s

-- name: manifest
SELECT o.instance_id AS id, o.state, o.reason, o.attempts, encode(o.input_digest, 'hex') AS input_digest,
    encode(o.output_digest, 'hex') AS output_digest, i.size AS input_bytes, o.bytes AS output_bytes, o.path,
    o.sop_class, o.study, o.series, o.instance, o.subject, o.source_syntax, o.target_syntax, o.pixels, o.codec,
    o.pixels_at_risk,
    o.counts, o.findings, o.versions, r.recipe_digest, o.finished_at
FROM ledger.outcomes o
JOIN ledger.instances i ON i.id = o.instance_id
JOIN ledger.runs r ON r.id = o.run_id
WHERE o.run_id = %(run_id)s AND o.instance_id > %(after_id)s
ORDER BY o.instance_id
LIMIT %(most)s

-- name: arrive
-- Ids are drawn first, so that no row has to be found again. The same arrivals may be given twice, where nobody knows
-- whether the first commit came through: what has its row keeps it, and nothing else is touched. `IN ... IS TRUE` is
-- looked up in a hash, where a join would compare each row with each. Keys are inserted in one order everywhere, so that
-- two processes never wait for each other.
WITH given AS MATERIALIZED (
    SELECT nextval('ledger.instances_id_seq') AS id, g.*
    FROM unnest(
        %(sizes)b::bigint[], %(mtimes)b::bigint[], %(locator_keys)b::bytea[], %(locators_sealed)b::bytea[],
        %(series_keys)b::bytea[], %(routes)b::text[], %(names)b::text[], %(instance_keys)b::bytea[],
        %(study_keys)b::bytea[]
    ) AS g (size, mtime_ns, locator_key, locator_sealed, series_key, route, name, instance_key, study_key)
), fresh AS (
    INSERT INTO ledger.instances (id, run_id, size, mtime_ns, locator_key, locator_sealed, series_key, route)
    OVERRIDING SYSTEM VALUE
    SELECT id, %(run_id)s, size, mtime_ns, locator_key, locator_sealed, series_key, route FROM given
    ON CONFLICT (run_id, locator_key) DO NOTHING
    RETURNING id, size, series_key, route
), kept AS MATERIALIZED (
    SELECT id, name, instance_key, nullif(study_key, '') AS study_key FROM given
    WHERE (id IN (SELECT id FROM fresh)) IS TRUE
), travelling AS (
    INSERT INTO ledger.backlog (run_id, id, size, series_key, route)
    SELECT %(run_id)s, id, size, series_key, route FROM fresh
), spooled AS (
    INSERT INTO ledger.spooled (run_id, instance_id, name) SELECT %(run_id)s, id, name FROM kept
), first AS (
    INSERT INTO ledger.arrivals (run_id, instance_key, instance_id, study_key)
    SELECT %(run_id)s, instance_key, id, study_key FROM kept ORDER BY instance_key, id
    ON CONFLICT (run_id, instance_key) DO NOTHING
    RETURNING study_key
), touched AS (
    -- Every arrival keeps its study open, or opens it again; only the first of an instance counts.
    INSERT INTO ledger.studies AS s (run_id, study_key, instances)
    SELECT %(run_id)s, study_key, sum(arrived) FROM (
        SELECT study_key, 1 AS arrived FROM first UNION ALL SELECT study_key, 0 FROM kept
    ) AS a
    WHERE study_key IS NOT NULL GROUP BY study_key ORDER BY study_key
    ON CONFLICT (run_id, study_key) DO UPDATE
    SET instances = s.instances + excluded.instances, last_at = excluded.last_at, closed_at = NULL
    RETURNING xmax = 0 AS is_new
), tallied AS (
    INSERT INTO ledger.tallies AS t (run_id, state, reason, instances)
    SELECT %(run_id)s::integer, 'staged', '', count(*) FROM fresh HAVING count(*) > 0
    UNION ALL
    SELECT %(run_id)s::integer, 'studies', '', count(*) FROM touched WHERE is_new HAVING count(*) > 0
    ORDER BY 2
    ON CONFLICT (run_id, state, reason, shard) DO UPDATE SET instances = t.instances + excluded.instances
), reopened AS (
    UPDATE ledger.runs SET state = 'crawling', crawled_at = NULL, finished_at = NULL
    WHERE id = %(run_id)s AND state IN ('active', 'complete')
)
-- Commits are handed to the disk late; this one is waited for, and set_config holds to the end of the transaction.
SELECT set_config('synchronous_commit', 'on', true)

-- name: holds
SELECT instance_key FROM ledger.arrivals WHERE run_id = %(run_id)s AND instance_key = ANY(%(keys)b::bytea[])

-- name: close_studies
WITH closed AS (
    UPDATE ledger.studies SET closed_at = clock_timestamp()
    WHERE run_id = %(run_id)s AND closed_at IS NULL
        AND last_at <= clock_timestamp() - make_interval(secs => %(quiet)s)
    RETURNING 1
)
SELECT count(*) FROM closed

-- name: studies
-- All there are stand in the tallies, so only the open ones are counted.
SELECT o.open, coalesce(t.studies, 0)::bigint - o.open AS closed
FROM (SELECT count(*) AS open FROM ledger.studies WHERE run_id = %(run_id)s AND closed_at IS NULL) AS o,
    (SELECT sum(instances) AS studies FROM ledger.tallies WHERE run_id = %(run_id)s AND state = 'studies') AS t

-- name: sweep
-- Walks the spool in the order of its ids, which is that of arrival, and no further than to what is younger than the
-- retention: nothing behind that can have ended long ago. Outcomes are handed to the disk late, and a file must not be
-- gone before the word that it is not needed: so this commit is waited for, and with it all before.
WITH seen AS MATERIALIZED (
    SELECT s.instance_id, s.at, s.at <= clock_timestamp() - make_interval(secs => %(older_than)s) AS is_old
    FROM ledger.spooled s
    WHERE s.run_id = %(run_id)s AND s.instance_id > %(after_id)s
    ORDER BY s.run_id, s.instance_id
    LIMIT %(most)s
), swept AS (
    DELETE FROM ledger.spooled d USING seen s
    WHERE s.is_old AND d.run_id = %(run_id)s AND d.instance_id = s.instance_id
        AND EXISTS (
            SELECT FROM ledger.outcomes o
            WHERE o.run_id = %(run_id)s AND o.instance_id = s.instance_id AND o.state IN ('done', 'skipped')
                AND o.finished_at <= clock_timestamp() - make_interval(secs => %(older_than)s)
        )
    RETURNING d.name
)
SELECT ARRAY(SELECT name FROM swept) AS names,
    (SELECT max(instance_id) FROM seen HAVING count(*) = %(most)s AND bool_and(is_old)) AS last_id,
    set_config('synchronous_commit', 'on', true)

-- name: spooled
SELECT instance_id, name FROM ledger.spooled
WHERE run_id = %(run_id)s AND instance_id > %(after_id)s
ORDER BY instance_id
LIMIT %(most)s
