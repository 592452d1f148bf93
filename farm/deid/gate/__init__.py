"""The release gate: the last look at every output, in code that shares nothing with what made it."""

from farm.deid.gate.gate import examine
from farm.deid.gate.held import HeldBack
from farm.deid.gate.reading import Reading
from farm.deid.gate.values import Expected, Finding, Outcome, Output, Source, Verdict

__all__ = ["Expected", "Finding", "HeldBack", "Outcome", "Output", "Reading", "Source", "Verdict", "examine"]
