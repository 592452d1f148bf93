-- Shifts in plain were derived from the project key: the next parcel of a subject seals the same one again.
ALTER TABLE registry.subjects DROP COLUMN date_shift_days;
