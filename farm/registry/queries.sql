-- The registry's statements; the schema stands in migrations/0001_registry.pre.sql.

-- name: add_project
WITH added AS (
    INSERT INTO registry.projects (name, check_value) VALUES (%(name)s, %(check_value)s)
    ON CONFLICT (name) DO NOTHING
    RETURNING id
)
INSERT INTO registry.audit (project_id, actor, action, fields)
SELECT id, %(actor)s, 'project created', '{}' FROM added

-- name: project
SELECT id, check_value FROM registry.projects WHERE name = %(name)s

-- name: project_of_id
SELECT name, check_value FROM registry.projects WHERE id = %(project_id)s

-- name: record
-- Rows come sorted by key, so that two parcels never wait for each other. A row that is there already, or whose new
-- value is taken, is left out of the count, and `agreeing` then tells the one from the other.
WITH subjects AS (
    INSERT INTO registry.subjects (project_id, key, pseudonym, date_shift_days, sealed)
    SELECT %(project_id)s, g.*
    FROM unnest(%(subject_keys)b::bytea[], %(pseudonyms)b::text[], %(shifts)b::integer[], %(subject_seals)b::bytea[]) AS g
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

-- name: agreeing
SELECT (
    SELECT count(*)
    FROM unnest(%(subject_keys)b::bytea[], %(pseudonyms)b::text[], %(shifts)b::integer[]) AS g (key, pseudonym, shift)
    JOIN registry.subjects s ON s.project_id = %(project_id)s AND s.key = g.key
    WHERE s.pseudonym = g.pseudonym AND s.date_shift_days = g.shift
) + (
    SELECT count(*)
    FROM unnest(%(uid_keys)b::bytea[], %(news)b::bytea[]) AS g (key, new)
    JOIN registry.uids u ON u.project_id = %(project_id)s AND u.key = g.key
    WHERE u.new = encode(g.new, 'hex')::uuid
)

-- name: durable
SET LOCAL synchronous_commit = on

-- name: audit
INSERT INTO registry.audit (project_id, actor, action, fields)
VALUES (%(project_id)s, %(actor)s, %(action)s, %(fields)s)

-- name: sealed_uid
SELECT key, sealed FROM registry.uids WHERE project_id = %(project_id)s AND new = %(new)s

-- name: sealed_subject
SELECT key, sealed FROM registry.subjects WHERE project_id = %(project_id)s AND pseudonym = %(pseudonym)s
