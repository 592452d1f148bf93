-- Keys are keyed digests of the originals, `sealed` columns hold the originals under the vault key: without the two
-- keys nothing here says who anyone is.
CREATE SCHEMA registry;

CREATE TABLE registry.projects (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    check_value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE registry.subjects (
    project_id integer NOT NULL,
    date_shift_days integer NOT NULL,
    key bytea NOT NULL,
    pseudonym text NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (project_id, key),
    UNIQUE (project_id, pseudonym) -- two people must never become one
);

CREATE TABLE registry.uids (
    project_id integer NOT NULL,
    new uuid NOT NULL, -- the number after 2.25.
    key bytea NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (project_id, key),
    UNIQUE (project_id, new)
);

CREATE TABLE registry.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    project_id integer NOT NULL REFERENCES registry.projects,
    actor text NOT NULL,
    action text NOT NULL,
    fields jsonb NOT NULL
);

CREATE FUNCTION registry.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON registry.audit
    FOR EACH STATEMENT EXECUTE FUNCTION registry.refuse();
