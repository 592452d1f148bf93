"""Canaries: a text of its own in every place of a file that can carry one, to be searched for in what comes out.

A canary that shows in an output is a leak that a patient's name would have taken too. Its category names the place, so
that a test can say which categories a recipe has to cover, and which it leaves by the letter of the standard.
"""

from tests.canaries.files import SYNTAXES, Plan, Planted, leaks, plant, write
from tests.canaries.marks import CHARSETS, Canary

__all__ = ["CHARSETS", "SYNTAXES", "Canary", "Plan", "Planted", "leaks", "plant", "write"]
