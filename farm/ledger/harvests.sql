-- The statements of harvests; the schema and its idea stand in migrations/0003_harvest.pre.sql, what rows wait for in
-- 0006_rows.pre.sql.

-- name: open
INSERT INTO ledger.harvests AS h (run_id, pacs, list_key, name_key, sealed, priority)
VALUES (%(run_id)s, %(pacs)s, %(list_key)s, %(name_key)s, %(sealed)s, %(priority)s)
ON CONFLICT (run_id, pacs, list_key) DO UPDATE SET name_key = excluded.name_key
RETURNING h.id

-- name: harvest
SELECT h.id, h.run_id, h.pacs, h.list_key, h.sealed, h.state, h.priority, h.created_at, h.listed_at,
    h.name_key
FROM ledger.harvests h WHERE h.id = %(harvest_id)s

-- name: harvests
-- Harvests are few: one for each list that a person wrote.
SELECT h.id, h.run_id, h.pacs, h.list_key, h.sealed, h.state, h.priority, h.created_at, h.listed_at,
    h.name_key
FROM ledger.harvests h
ORDER BY h.id DESC

-- name: make_staging
CREATE TEMPORARY TABLE IF NOT EXISTS harvest_staging (row integer, verdict text, reason text, sealed bytea)
ON COMMIT DELETE ROWS

-- name: fill_staging
COPY harvest_staging (row, verdict, reason, sealed) FROM STDIN (FORMAT BINARY)

-- name: add_rows
WITH added AS (
    INSERT INTO ledger.harvest_rows (harvest_id, row, verdict, reason, sealed)
    SELECT %(harvest_id)s, s.row, s.verdict, s.reason, s.sealed FROM harvest_staging s
    ON CONFLICT (harvest_id, row) DO NOTHING
    RETURNING verdict
), tallied AS (
    INSERT INTO ledger.harvest_tallies AS t (harvest_id, kind, verdict, count)
    SELECT %(harvest_id)s, 'row', verdict, count(*) FROM added GROUP BY verdict ORDER BY verdict
    ON CONFLICT (harvest_id, kind, verdict, shard) DO UPDATE SET count = t.count + excluded.count
)
SELECT count(*) FROM added

-- name: listed
UPDATE ledger.harvests SET listed_at = coalesce(listed_at, clock_timestamp()) WHERE id = %(harvest_id)s

-- name: first_in_line
-- OFFSET 0 keeps the planner from reading all that waits: one look into an index for each harvest. The statement's time
-- can bound an index, the clock's (volatile) cannot: it would read all that waits for another time.
SELECT h.id FROM ledger.harvests h
WHERE h.pacs = %(pacs)s AND h.state = 'active' AND (
    EXISTS (
        SELECT FROM ledger.harvest_rows r
        WHERE r.harvest_id = h.id AND r.verdict = 'pending' AND r.not_before <= statement_timestamp() OFFSET 0
    ) OR EXISTS (
        SELECT FROM ledger.harvest_studies s
        WHERE s.harvest_id = h.id AND s.state IN ('found', 'listed') AND s.not_before <= statement_timestamp() OFFSET 0
    )
)
ORDER BY h.priority DESC, h.id
LIMIT 1

-- name: rows_to_resolve
SELECT r.harvest_id, (SELECT h.list_key FROM ledger.harvests h WHERE h.id = r.harvest_id) AS list_key,
    r.row, r.sealed, r.attempts
FROM ledger.harvest_rows r
WHERE r.harvest_id = %(harvest_id)s AND r.verdict = 'pending' AND r.not_before <= statement_timestamp()
ORDER BY r.not_before, r.row
LIMIT %(most)s

-- name: defer_row
-- The attempts are the fence: the same failure is noted once, however often this is carried out.
UPDATE ledger.harvest_rows r
SET attempts = r.attempts + %(counts)s::integer,
    not_before = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE r.harvest_id = %(harvest_id)s AND r.row = %(row)s AND r.verdict = 'pending' AND r.attempts = %(attempts)s

-- name: resolve
-- The row is the fence: who resolves it first has done so, and a second time changes nothing.
WITH resolved AS (
    UPDATE ledger.harvest_rows r
    SET verdict = %(verdict)s, reason = %(reason)s, studies = cardinality(%(keys)b::bytea[])
    WHERE r.harvest_id = %(harvest_id)s AND r.row = %(row)s AND r.verdict = 'pending'
    RETURNING r.harvest_id, r.row
), added AS (
    INSERT INTO ledger.harvest_studies (harvest_id, study_key, sealed, row)
    SELECT r.harvest_id, g.key, g.sealed, r.row
    FROM resolved r CROSS JOIN unnest(%(keys)b::bytea[], %(seals)b::bytea[]) AS g (key, sealed)
    ORDER BY g.key
    ON CONFLICT (harvest_id, study_key) DO NOTHING
    RETURNING 1
), wanted AS (
    INSERT INTO ledger.harvest_wants (harvest_id, row, study_key)
    SELECT r.harvest_id, r.row, g.key FROM resolved r CROSS JOIN unnest(%(keys)b::bytea[]) AS g (key)
    ON CONFLICT (harvest_id, row, study_key) DO NOTHING
), tallied AS (
    INSERT INTO ledger.harvest_tallies AS t (harvest_id, kind, verdict, count)
    SELECT * FROM (
        SELECT harvest_id, 'row', 'pending', -1 FROM resolved
        UNION ALL
        SELECT harvest_id, 'row', coalesce(%(verdict)s, 'found'), 1 FROM resolved
        UNION ALL
        SELECT %(harvest_id)s::integer, 'study', 'pending', count(*) FROM added HAVING count(*) > 0
    ) AS given (harvest_id, kind, verdict, count)
    ORDER BY kind, verdict
    ON CONFLICT (harvest_id, kind, verdict, shard) DO UPDATE SET count = t.count + excluded.count
)
SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM resolved)

-- name: hold_pacs
-- A lock of the session: it ends with the connection, whatever becomes of the process.
SELECT pg_try_advisory_lock(hashtextextended('harvest ' || %(pacs)s::text, 0))

-- name: take_study
-- Harvests come by priority from their index, and of the first that has any its next study: both stop at the first.
WITH next AS (
    SELECT s.harvest_id, s.study_key, h.run_id
    FROM (
        SELECT id, run_id FROM ledger.harvests
        WHERE pacs = %(pacs)s AND state = 'active'
        ORDER BY priority DESC, id
    ) AS h
    CROSS JOIN LATERAL (
        SELECT w.harvest_id, w.study_key FROM ledger.harvest_studies w
        WHERE w.harvest_id = h.id AND w.state IN ('found', 'listed') AND w.not_before <= statement_timestamp()
        ORDER BY w.not_before, w.row, w.study_key
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS s
    LIMIT 1
)
UPDATE ledger.harvest_studies t
SET state = 'fetching', token = nextval('ledger.harvest_tokens'), worker = %(worker)s, attempts = t.attempts + 1,
    expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
FROM next n
WHERE t.harvest_id = n.harvest_id AND t.study_key = n.study_key
RETURNING t.harvest_id, n.run_id, t.study_key, t.sealed, t.token, t.attempts, t.expected

-- name: renew
-- A study may have been taken in the moment in which its harvest was cancelled.
UPDATE ledger.harvest_studies SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE harvest_id = %(harvest_id)s AND study_key = %(study_key)s AND token = %(token)s
    AND NOT EXISTS (SELECT FROM ledger.harvests h WHERE h.id = %(harvest_id)s AND h.state = 'cancelled')

-- name: hold
UPDATE ledger.harvest_studies SET expected = %(expected)s
WHERE harvest_id = %(harvest_id)s AND study_key = %(study_key)s AND token = %(token)s

-- name: forget
DELETE FROM ledger.harvest_instances i USING unnest(%(keys)b::bytea[]) AS g (key)
WHERE i.harvest_id = %(harvest_id)s AND i.study_key = %(study_key)s AND i.instance_key = g.key

-- name: expect
INSERT INTO ledger.harvest_instances (harvest_id, study_key, instance_key, sealed)
SELECT %(harvest_id)s, %(study_key)s, g.key, g.sealed
FROM unnest(%(keys)b::bytea[], %(seals)b::bytea[]) AS g (key, sealed)

-- name: expected
SELECT i.instance_key FROM ledger.harvest_instances i
WHERE i.harvest_id = %(harvest_id)s AND i.study_key = %(study_key)s

-- name: missing
-- OFFSET 0 keeps the planner from making a join of it: one look into the index of arrivals for each that is expected.
SELECT i.instance_key, i.sealed
FROM ledger.harvests h JOIN ledger.harvest_instances i ON i.harvest_id = h.id
WHERE h.id = %(harvest_id)s AND i.study_key = %(study_key)s
    AND NOT EXISTS (
        SELECT FROM ledger.arrivals a WHERE a.run_id = h.run_id AND a.instance_key = i.instance_key OFFSET 0
    )
ORDER BY i.instance_key

-- name: arrived
SELECT a.instance_key FROM unnest(%(keys)b::bytea[]) AS g (key)
JOIN ledger.arrivals a ON a.run_id = %(run_id)s AND a.instance_key = g.key

-- name: end_study
WITH ended AS (
    UPDATE ledger.harvest_studies
    SET state = 'ended', verdict = %(verdict)s, reason = %(reason)s, token = NULL, worker = NULL, expires_at = NULL
    WHERE harvest_id = %(harvest_id)s AND study_key = %(study_key)s AND token = %(token)s
    RETURNING harvest_id
), tallied AS (
    INSERT INTO ledger.harvest_tallies AS t (harvest_id, kind, verdict, count)
    SELECT e.harvest_id, 'study', g.verdict, g.count
    FROM ended e CROSS JOIN (VALUES ('pending', -1), (%(verdict)s, 1)) AS g (verdict, count)
    ORDER BY g.verdict
    ON CONFLICT (harvest_id, kind, verdict, shard) DO UPDATE SET count = t.count + excluded.count
)
SELECT count(*) FROM ended

-- name: give_back
UPDATE ledger.harvest_studies
SET state = CASE WHEN expected IS NULL THEN 'found' ELSE 'listed' END, token = NULL, worker = NULL, expires_at = NULL,
    attempts = attempts - (NOT %(counts)s)::integer,
    not_before = clock_timestamp() + make_interval(secs => %(delay)s)
WHERE harvest_id = %(harvest_id)s AND study_key = %(study_key)s AND token = %(token)s

-- name: reclaim
UPDATE ledger.harvest_studies s
SET state = CASE WHEN s.expected IS NULL THEN 'found' ELSE 'listed' END, token = NULL, worker = NULL,
    expires_at = NULL, attempts = s.attempts - 1
FROM ledger.harvests h
WHERE h.pacs = %(pacs)s AND h.state <> 'complete' AND s.harvest_id = h.id AND s.state = 'fetching'

-- name: reap
WITH dead AS (
    SELECT harvest_id, study_key FROM ledger.harvest_studies
    WHERE expires_at <= clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE ledger.harvest_studies s
SET state = CASE WHEN s.expected IS NULL THEN 'found' ELSE 'listed' END, token = NULL, worker = NULL,
    expires_at = NULL
FROM dead d
WHERE s.harvest_id = d.harvest_id AND s.study_key = d.study_key

-- name: lock
SELECT state FROM ledger.harvests WHERE id = %(harvest_id)s FOR NO KEY UPDATE

-- name: retry_rows
WITH freed AS (
    SELECT r.harvest_id, r.row, r.verdict FROM ledger.harvest_rows r
    WHERE r.harvest_id = %(harvest_id)s AND r.verdict NOT IN ('pending', 'bad-row')
        AND (%(verdicts)b::text[] IS NULL OR r.verdict = ANY(%(verdicts)b::text[]))
    FOR UPDATE
), back AS (
    UPDATE ledger.harvest_rows r SET verdict = 'pending', reason = NULL, attempts = 0, not_before = '-infinity'
    FROM freed f WHERE r.harvest_id = f.harvest_id AND r.row = f.row
), tallied AS (
    INSERT INTO ledger.harvest_tallies AS t (harvest_id, kind, verdict, count)
    SELECT %(harvest_id)s, 'row', g.verdict, g.count
    FROM (
        SELECT verdict, -count(*) FROM freed GROUP BY verdict
        UNION ALL
        SELECT 'pending', count(*) FROM freed HAVING count(*) > 0
    ) AS g (verdict, count)
    ORDER BY g.verdict
    ON CONFLICT (harvest_id, kind, verdict, shard) DO UPDATE SET count = t.count + excluded.count
)
SELECT count(*) FROM freed

-- name: retry_studies
WITH freed AS (
    SELECT s.harvest_id, s.study_key, s.verdict FROM ledger.harvest_studies s
    WHERE s.harvest_id = %(harvest_id)s AND s.state = 'ended' AND s.verdict <> 'complete'
        AND (%(verdicts)b::text[] IS NULL OR s.verdict = ANY(%(verdicts)b::text[]))
    FOR UPDATE
), back AS (
    UPDATE ledger.harvest_studies s
    SET state = CASE WHEN s.expected IS NULL THEN 'found' ELSE 'listed' END, verdict = 'pending', reason = NULL,
        attempts = 0, not_before = '-infinity'
    FROM freed f WHERE s.harvest_id = f.harvest_id AND s.study_key = f.study_key
), tallied AS (
    INSERT INTO ledger.harvest_tallies AS t (harvest_id, kind, verdict, count)
    SELECT %(harvest_id)s, 'study', g.verdict, g.count
    FROM (
        SELECT verdict, -count(*) FROM freed GROUP BY verdict
        UNION ALL
        SELECT 'pending', count(*) FROM freed HAVING count(*) > 0
    ) AS g (verdict, count)
    ORDER BY g.verdict
    ON CONFLICT (harvest_id, kind, verdict, shard) DO UPDATE SET count = t.count + excluded.count
)
SELECT count(*) FROM freed

-- name: retry_damaged
-- Forgets the arrival of what is quarantined for such a reason, so that it is missing again, and frees its studies. The
-- copy that came keeps its row; few are quarantined, and a person asks for this.
WITH damaged AS MATERIALIZED (
    SELECT h.run_id, a.instance_key, a.study_key AS counted, i.study_key
    FROM ledger.harvests h
    JOIN ledger.outcomes o ON o.run_id = h.run_id AND o.state = 'quarantined' AND o.reason = ANY(%(reasons)b::text[])
    JOIN ledger.arrivals a ON a.run_id = o.run_id AND a.instance_id = o.instance_id
    JOIN ledger.harvest_instances i ON i.harvest_id = h.id AND i.instance_key = a.instance_key
    WHERE h.id = %(harvest_id)s
), gone AS (
    DELETE FROM ledger.arrivals a
    WHERE (a.run_id, a.instance_key) IN (SELECT run_id, instance_key FROM damaged)
), counted AS (
    UPDATE ledger.studies s SET instances = s.instances - c.count
    FROM (
        SELECT run_id, counted, count(DISTINCT instance_key) FROM damaged WHERE counted IS NOT NULL
        GROUP BY run_id, counted
    ) AS c
    WHERE s.run_id = c.run_id AND s.study_key = c.counted
), freed AS (
    UPDATE ledger.harvest_studies s
    SET state = 'listed', verdict = 'pending', reason = NULL, attempts = 0, not_before = '-infinity'
    WHERE s.harvest_id = %(harvest_id)s AND s.state = 'ended' AND s.verdict = 'complete'
        AND s.study_key IN (SELECT study_key FROM damaged)
    RETURNING s.harvest_id
), tallied AS (
    INSERT INTO ledger.harvest_tallies AS t (harvest_id, kind, verdict, count)
    SELECT f.harvest_id, 'study', g.verdict, sum(g.count)
    FROM freed f CROSS JOIN (VALUES ('complete', -1), ('pending', 1)) AS g (verdict, count)
    GROUP BY f.harvest_id, g.verdict
    ORDER BY g.verdict
    ON CONFLICT (harvest_id, kind, verdict, shard) DO UPDATE SET count = t.count + excluded.count
)
SELECT count(*) FROM freed

-- name: reopen
UPDATE ledger.harvests SET state = 'active' WHERE id = %(harvest_id)s AND state = 'complete'

-- name: set_state
UPDATE ledger.harvests SET state = %(state)s WHERE id = %(harvest_id)s AND state = ANY(%(before)b::text[])

-- name: take_away
-- What is being fetched is given up: its worker finds its token gone when it renews the lease.
UPDATE ledger.harvest_studies s
SET state = CASE WHEN s.expected IS NULL THEN 'found' ELSE 'listed' END, token = NULL, worker = NULL,
    expires_at = NULL, attempts = s.attempts - 1
WHERE s.harvest_id = %(harvest_id)s AND s.state = 'fetching'

-- name: set_priority
UPDATE ledger.harvests SET priority = %(priority)s WHERE id = %(harvest_id)s

-- name: finish
UPDATE ledger.harvests h SET state = 'complete'
WHERE h.id = %(harvest_id)s AND h.state = 'active' AND h.listed_at IS NOT NULL
    AND NOT EXISTS (
        SELECT FROM ledger.harvest_rows r WHERE r.harvest_id = %(harvest_id)s AND r.verdict = 'pending'
    )
    AND NOT EXISTS (
        SELECT FROM ledger.harvest_studies s WHERE s.harvest_id = %(harvest_id)s AND s.state IN ('found', 'listed')
    )
    AND NOT EXISTS (
        SELECT FROM ledger.harvest_studies s WHERE s.harvest_id = %(harvest_id)s AND s.state = 'fetching'
    )

-- name: durable
-- Commits are handed to the disk late, in order; this one is waited for, and so with it all before.
SET LOCAL synchronous_commit = on

-- name: tallies
SELECT kind, verdict, sum(count)::bigint FROM ledger.harvest_tallies
WHERE harvest_id = %(harvest_id)s GROUP BY kind, verdict

-- name: results
SELECT r.row, r.sealed, r.verdict, r.reason FROM ledger.harvest_rows r
WHERE r.harvest_id = %(harvest_id)s AND r.row > %(after_row)s
ORDER BY r.row
LIMIT %(most)s

-- name: result_studies
SELECT w.row, s.study_key, s.sealed, s.verdict, s.reason, s.expected
FROM ledger.harvest_wants w
JOIN ledger.harvest_studies s ON s.harvest_id = w.harvest_id AND s.study_key = w.study_key
WHERE w.harvest_id = %(harvest_id)s AND w.row > %(after_row)s AND w.row <= %(last_row)s
ORDER BY w.row, w.study_key
