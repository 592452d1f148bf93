"""Recipes: all that a run does to an instance, as a value with a digest."""

DEFAULT = "research"
"""What a command takes that names no recipe; what a recipe extends that does not say so is `extends.BOTTOM`."""
