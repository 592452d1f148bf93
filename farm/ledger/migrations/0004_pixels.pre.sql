-- What was done with the frames of an instance, and the codecs that did it.
ALTER TABLE ledger.outcomes ADD COLUMN pixels text, ADD COLUMN codec text;
