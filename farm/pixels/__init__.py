"""Pixels as they may identify: which instances are at risk, and which regions are."""
