"""Which instances may show names in their pixels."""

from __future__ import annotations

import farmside
import pytest
import trees

from farm.errors import BadInput, Reason
from farm.pixels.risk import at_risk
from farm.recipe.recipe import Recipe

CT = b"1.2.840.10008.5.1.4.1.1.2"
ROOT = b"1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    "kind", [b"7", b"7.1", b"7.4", b"6", b"6.1", b"6.2", b"3", b"3.1", b"77.1.1", b"77.1.4.1", b"77.1.5.1", b"12.77"]
)
def test_kinds_that_come_from_screens_and_cameras_are_at_risk(kind: bytes) -> None:
    """Lost otherwise: screenshots with names on them would be called safe."""
    assert at_risk(ROOT + kind, b"", b"")
    assert at_risk(ROOT + kind + b"\0", b"NO", b"NO")


@pytest.mark.parametrize("kind", [b"2", b"4", b"1.1", b"20", b"66.4", b"481.3", b"88.11", b"30", b"77.2", b"70", b"61"])
def test_other_kinds_are_not(kind: bytes) -> None:
    """Lost otherwise: the whole archive would be quarantined, or counted as risky."""
    assert not at_risk(ROOT + kind, b"", b"")


@pytest.mark.parametrize(("burned", "seen"), [(b"YES", b""), (b"YES ", b"NO"), (b"", b"YES\0"), (b"NO", b"YES ")])
def test_an_attribute_that_admits_it_counts_for_every_kind(burned: bytes, seen: bytes) -> None:
    """Lost otherwise: what the sender itself warns of would be released."""
    assert at_risk(CT, burned, seen)


def test_the_report_says_so_and_the_recipe_decides() -> None:
    """Lost otherwise: a strict recipe would release them, or the summary would be silent."""
    data = trees.file([*trees.identity(), trees.text(0x00280301, b"YES ")])
    assert farmside.run(data).report.pixels_at_risk
    assert not farmside.run(trees.file(trees.identity())).report.pixels_at_risk
    with pytest.raises(BadInput) as raised:
        farmside.run(data, Recipe.from_dict({"pixels": {"at_risk": "quarantine"}}))
    assert raised.value.reason is Reason.PIXELS_AT_RISK
