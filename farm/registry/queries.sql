-- The registry's statements; the schema stands in migrations.

-- name: add_project
WITH added AS (
    INSERT INTO registry.projects (name, check_value, vault_check)
    VALUES (%(name)s, %(check_value)s, %(vault_check)s)
    ON CONFLICT (name) DO NOTHING
    RETURNING id
)
INSERT INTO registry.audit (project_id, actor, action, fields)
SELECT id, %(actor)s, 'project created', '{}' FROM added

-- name: vault_check
-- A project that was begun before there was one takes that of who opens it next.
UPDATE registry.projects SET vault_check = coalesce(vault_check, %(vault_check)s) WHERE id = %(project_id)s
RETURNING vault_check

-- name: is_made
SELECT to_regclass('registry.projects') IS NOT NULL

-- name: is_begun
SELECT EXISTS (SELECT FROM registry.projects WHERE name = %(name)s)

-- name: project
SELECT id, check_value FROM registry.projects WHERE name = %(name)s

-- name: names
SELECT id, name FROM registry.projects

-- name: project_of_id
SELECT name, check_value FROM registry.projects WHERE id = %(project_id)s

-- name: bind
-- A rule that stands is never changed. Who binds has the project's row until the transaction ends.
UPDATE registry.projects
SET uids = coalesce(uids, nullif(%(uids)s, '')), subjects = coalesce(subjects, nullif(%(subjects)s, '')),
    shifts = coalesce(shifts, nullif(%(shifts)s, ''))
WHERE id = %(project_id)s
RETURNING coalesce(uids, '') AS uids, coalesce(subjects, '') AS subjects, coalesce(shifts, '') AS shifts

-- name: uid_rule
SELECT coalesce(uids, '') FROM registry.projects WHERE id = %(project_id)s

-- name: record
-- Rows come sorted by key, so that two parcels never wait for each other. A row that is there already, or whose new
-- value is taken, is left out of the count; `uids_now` and `subjects_now` then tell the one from the other.
WITH subjects AS (
    INSERT INTO registry.subjects (project_id, key, pseudonym, shift, sealed)
    SELECT %(project_id)s, g.key, g.pseudonym, nullif(g.shift, ''), g.sealed
    FROM unnest(%(subject_keys)b::bytea[], %(pseudonyms)b::text[], %(shifts)b::bytea[], %(subject_seals)b::bytea[])
        AS g (key, pseudonym, shift, sealed)
    ON CONFLICT DO NOTHING
    RETURNING 1
), uids AS (
    INSERT INTO registry.uids (project_id, key, new, sealed)
    SELECT %(project_id)s, g.key, encode(g.new, 'hex')::uuid, g.sealed
    FROM unnest(%(uid_keys)b::bytea[], %(news)b::bytea[], %(uid_seals)b::bytea[]) AS g (key, new, sealed)
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM subjects) + (SELECT count(*) FROM uids)

-- name: fill_shift
-- The first shift that is written stands.
WITH durable AS (
    SELECT set_config('synchronous_commit', 'on', true)
)
UPDATE registry.subjects SET shift = %(shift)s FROM durable
WHERE project_id = %(project_id)s AND key = %(key)s AND shift IS NULL

-- name: subjects_now
-- A limit makes the planner look up each key by itself; with a join, and statistics of an empty table, it reads all.
SELECT g.key, s.pseudonym, s.shift
FROM unnest(%(subject_keys)b::bytea[]) AS g (key)
CROSS JOIN LATERAL (
    SELECT s.pseudonym, coalesce(s.shift, '') AS shift FROM registry.subjects s
    WHERE s.project_id = %(project_id)s AND s.key = g.key
    LIMIT 1
) AS s

-- name: uids_now
SELECT g.key, u.new
FROM unnest(%(uid_keys)b::bytea[]) AS g (key)
CROSS JOIN LATERAL (
    SELECT u.new FROM registry.uids u WHERE u.project_id = %(project_id)s AND u.key = g.key LIMIT 1
) AS u

-- name: resolve
-- The first writer is right. What is not derived could not be found again, so it is on the disk before anyone acts on
-- it. A row that another statement has written meanwhile is in neither view and left out: `uids_now` and `subjects_now`
-- then find it. Numbers are taken from the project's row, which makes those who need one take turns.
WITH durable AS (
    SELECT set_config('synchronous_commit', 'on', true)
), uids AS (
    SELECT g.key, encode(g.new, 'hex')::uuid AS new, g.sealed
    FROM unnest(%(uid_keys)b::bytea[], %(news)b::bytea[], %(uid_seals)b::bytea[]) AS g (key, new, sealed)
), known_uids AS (
    SELECT g.key, u.new FROM uids g CROSS JOIN LATERAL (
        SELECT u.new FROM registry.uids u WHERE u.project_id = %(project_id)s AND u.key = g.key LIMIT 1
    ) AS u
), added_uids AS (
    INSERT INTO registry.uids (project_id, key, new, sealed)
    SELECT %(project_id)s, g.key, g.new, g.sealed FROM durable CROSS JOIN uids g
    ON CONFLICT DO NOTHING
    RETURNING key, new
), subjects AS (
    SELECT g.key, g.pseudonym, nullif(g.shift, '') AS shift, g.sealed
    FROM unnest(%(subject_keys)b::bytea[], %(pseudonyms)b::text[], %(shifts)b::bytea[], %(subject_seals)b::bytea[])
        AS g (key, pseudonym, shift, sealed)
), known AS (
    SELECT g.key, s.pseudonym, s.shift FROM subjects g CROSS JOIN LATERAL (
        SELECT s.pseudonym, s.shift FROM registry.subjects s
        WHERE s.project_id = %(project_id)s AND s.key = g.key
        LIMIT 1
    ) AS s
), unknown AS (
    SELECT g.*, row_number() OVER (ORDER BY g.key) AS place
    FROM subjects g
    WHERE %(may_add)s AND NOT EXISTS (SELECT FROM known k WHERE k.key = g.key)
), numbers AS (
    UPDATE registry.projects p SET last_number = p.last_number + n.count
    FROM (SELECT count(*) AS count FROM unknown WHERE pseudonym = '') AS n
    WHERE p.id = %(project_id)s AND n.count > 0
    RETURNING p.last_number - n.count AS before
), named AS (
    SELECT u.key, u.shift, u.sealed, coalesce(nullif(u.pseudonym, ''), (
        SELECT %(prefix)s || lpad(t.digits, greatest(6, length(t.digits)), '0')
        FROM numbers n CROSS JOIN LATERAL (SELECT (n.before + u.place)::text AS digits) AS t
    )) AS pseudonym
    FROM unknown u
), added AS (
    INSERT INTO registry.subjects (project_id, key, pseudonym, shift, sealed)
    SELECT %(project_id)s, n.key, n.pseudonym, n.shift, n.sealed FROM durable CROSS JOIN named n ORDER BY n.key
    ON CONFLICT DO NOTHING
    RETURNING key, pseudonym, shift
)
SELECT key, new, NULL::text AS pseudonym, NULL::bytea AS shift FROM known_uids
UNION ALL SELECT key, new, NULL, NULL FROM added_uids
UNION ALL SELECT key, NULL, pseudonym, coalesce(shift, '') FROM known
UNION ALL SELECT key, NULL, pseudonym, coalesce(shift, '') FROM added

-- name: durable
SET LOCAL synchronous_commit = on

-- name: audit
INSERT INTO registry.audit (project_id, actor, action, fields)
VALUES (%(project_id)s, %(actor)s, %(action)s, %(fields)s)

-- name: sealed_uid
SELECT key, sealed FROM registry.uids WHERE project_id = %(project_id)s AND new = %(new)s

-- name: sealed_subject
SELECT key, sealed FROM registry.subjects WHERE project_id = %(project_id)s AND pseudonym = %(pseudonym)s

-- name: subjects_after
SELECT pseudonym, key, sealed, coalesce(shift, '') AS shift FROM registry.subjects
WHERE project_id = %(project_id)s AND pseudonym > %(after)s
ORDER BY pseudonym
LIMIT %(most)s
