"""Facts of the standard as data, generated and never edited."""
