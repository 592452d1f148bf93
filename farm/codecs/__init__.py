"""Codecs: one file for each family, behind one small protocol."""
