-- A project follows one rule for UIDs, one for subjects and one for date shifts; null until a run or an import needs
-- one. What was begun before derived everything from its key.
ALTER TABLE registry.projects
    ADD COLUMN uids text,
    ADD COLUMN subjects text,
    ADD COLUMN shifts text,
    ADD COLUMN last_number bigint NOT NULL DEFAULT 0; -- the running number given last; none is given twice
UPDATE registry.projects SET uids = 'keyed 2.25', subjects = 'keyed', shifts = 'subject -3650 -1';

-- With the outputs at hand a date shift says when someone was examined, so it is sealed. Null: not known yet.
ALTER TABLE registry.subjects
    ADD COLUMN shift bytea,
    ALTER COLUMN date_shift_days DROP NOT NULL;
