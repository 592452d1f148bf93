"""DICOM instances made by code alone: the benchmark's set, and material for tests that need bulk or depth.

Everything derives from a seed, so two calls give the same bytes on every machine, and no two instances share a value
that a real scanner would vary (UIDs, times, positions, pixels). A series shares what a real series shares. Nobody's
data is in it: names come from short lists. Counts of elements include nested ones and sequences, but not items, which
hold no value.
"""

from tests.generate.ct import CT_ELEMENTS, CT_SIDE, SERIES_SIZE, ct, write_ct_set
from tests.generate.multiframe import enhanced_mr
from tests.generate.part10 import count_elements, encode
from tests.generate.structured import report
from tests.generate.subject import Subject, subject, uid

__all__ = [
    "CT_ELEMENTS",
    "CT_SIDE",
    "SERIES_SIZE",
    "Subject",
    "count_elements",
    "ct",
    "encode",
    "enhanced_mr",
    "report",
    "subject",
    "uid",
    "write_ct_set",
]
