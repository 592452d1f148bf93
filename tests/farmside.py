"""The farm's side of a comparison: a recipe, a mapping, and the profile's data for the oracle."""

from __future__ import annotations

import zlib
from contextlib import suppress

import basic_oracle
import oracle
from blake3 import blake3

from farm.deid import documents, dummies
from farm.deid.keys import ProjectKey
from farm.deid.mapping import KeyedMapping
from farm.deid.policy import REFERENCES
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT
from farm.errors import BadInput
from farm.pipeline import Product, draft, examine, finished
from farm.recipe.recipe import Recipe, preset

KEY = ProjectKey(b"a key of thirty-two bytes, really")
BASIC = preset("basic")
EXPLICIT_RECIPE = Recipe.from_dict({"output": {"transfer_syntax": "explicit"}})
TABLE = basic_oracle.actions(ROWS) | dict.fromkeys(REFERENCES, "U")
METHOD = b"dicom-farm: PS3.15 2026d Basic Profile"
_DIALECTS = {oracle.EXPLICIT: EXPLICIT, oracle.IMPLICIT: IMPLICIT, oracle.BIG: BIG}


def run(data: bytes, recipe: Recipe = BASIC) -> Product:
    """Process one file under the tests' key, and release it whatever the gate says of values that nobody has."""
    made = draft(data, recipe, KeyedMapping(KEY))
    with suppress(BadInput):
        examine(made)
    return finished(made, blake3(data).hexdigest())


def unseen(data: bytes, recipe: Recipe = BASIC) -> Product:
    """Process one file under the tests' key without the gate, for tests that ask it themselves or look further."""
    return finished(draft(data, recipe, KeyedMapping(KEY)), blake3(data).hexdigest())


def joined(product: Product) -> bytes:
    """Return a product's bytes."""
    return b"".join(product.segments)


def body(output: bytes) -> bytes:
    """Return the data set of an output, inflated where it has to be."""
    length = int.from_bytes(output[140:144], "little")
    rest = output[144 + length :]
    meta = output[: 144 + length]
    return zlib.decompressobj(-15).decompress(rest) if b"1.2.840.10008.1.2.1.99" in meta else rest


def oracle_for(product: Product, *, explicit: bool = False) -> basic_oracle.Basic:
    """Return the oracle that knows the pseudonym and the UIDs of a product."""
    mapping = KeyedMapping(KEY)

    def swap(tag: int, vr: str, syntax: oracle.Syntax) -> bytes:
        return dummies.element(tag, vr, _DIALECTS[syntax])

    pseudonym = product.report.subject.encode()
    return basic_oracle.Basic(TABLE, mapping.uid, pseudonym, swap, METHOD, documents.replacement, explicit)
