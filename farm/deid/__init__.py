"""De-identification by PS3.15 Annex E: what happens to each attribute, and why."""
