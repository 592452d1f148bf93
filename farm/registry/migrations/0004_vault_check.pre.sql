-- What tells whether a vault key is the one that a project was begun with. Null: not known yet; who comes next says it.
ALTER TABLE registry.projects ADD COLUMN vault_check bytea;
