"""Recipes: all that a run does to an instance, as a value with a digest."""
