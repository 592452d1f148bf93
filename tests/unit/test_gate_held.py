"""What is told of an output that the gate holds back, and what a person lets go."""

from __future__ import annotations

import pickle

import farmside
import pytest
import trees

from farm.deid.gate import Finding, HeldBack
from farm.deid.mapping import KeyedMapping
from farm.dicom.elements import padded
from farm.errors import BadInput, Reason
from farm.pipeline import Product, steps
from farm.recipe.recipe import Recipe

KERNEL = 0x00540400
BASIC = Recipe.from_dict({})


def file(text: bytes = b"Adaeze seen", name: bytes = b"Okafor^Adaeze") -> bytes:
    """Return an instance whose (0054,0400), which `basic` keeps, holds a word of the patient's name."""
    held = trees.sequence(0x00540220, [trees.text(KERNEL, padded("LO", text), "LO")])
    subject = trees.text(0x00100010, padded("PN", name), "PN")
    own = [element for element in trees.identity() if element.tag != subject.tag]
    return trees.file([*sorted([*own, subject], key=lambda element: element.tag), held])


def run(data: bytes, recipe: Recipe = BASIC, waived: str = "") -> Product:
    """Process one instance as a worker does."""
    work = steps(data, recipe, KeyedMapping(farmside.KEY, recipe.scheme), waived=waived)
    try:
        next(work)
    except StopIteration as end:
        product: Product = end.value
        return product
    raise AssertionError


def held(data: bytes, recipe: Recipe = BASIC, waived: str = "") -> HeldBack:
    """Return why an instance is held back."""
    with pytest.raises(HeldBack) as caught:
        run(data, recipe, waived)
    return caught.value


def test_kind_and_place_are_told_and_no_value() -> None:
    """Lost otherwise: nobody could review what is held back for review, or a name would stand in the ledger."""
    error = held(file())
    assert error.reason is Reason.GATE_REVIEW
    told = error.told()
    assert told["count"] == 1
    assert told["places"] == [{"kind": "name", "tag": "(0054,0400)", "path": ["(0054,0220)"]}]
    assert "adaeze" not in f"{error} {told} {error.seal}".lower()


def test_what_a_person_has_seen_is_let_go_and_counted() -> None:
    """Lost otherwise: a word that is no name would hold an instance back for ever, or pass unsaid."""
    product = run(file(), waived=held(file()).seal)
    assert b"Adaeze seen" in farmside.joined(product)
    assert product.report.counts["waived"] == 1
    assert "waived" not in run(file(b"nobody")).report.counts


@pytest.mark.parametrize("data", [file(b"Adaeze 2020"), file(b"Adaeze Okafor"), file(name=b"Adaeze^Other")])
def test_nothing_else_is_let_go(data: bytes) -> None:
    """Lost otherwise: a look at one source would let another one out that nobody has seen."""
    seal = held(file()).seal
    assert held(data, waived=seal).seal != seal


def test_another_recipe_is_another_review() -> None:
    """Lost otherwise: what was let go under one recipe would go under one that keeps more."""
    other = Recipe.from_dict({"policy": {"attributes": {"PatientComments": "K"}, "allow_weaken": True}})
    seal = held(file()).seal
    assert held(file(), other, seal).seal != seal


def test_what_is_withheld_is_never_let_go() -> None:
    """Lost otherwise: an identity in full could be waved through."""
    error = held(file(b"OKAFOR ADAEZE LONGNAME", b"Okafor^Adaeze^Longname"))
    assert error.reason is Reason.GATE_WITHHOLD
    assert error.seal == ""
    assert held(file(b"OKAFOR ADAEZE LONGNAME", b"Okafor^Adaeze^Longname"), waived="").seal == ""


def test_many_findings_are_counted_and_the_first_told() -> None:
    """Lost otherwise: one instance could fill the ledger."""
    error = HeldBack.by(Reason.GATE_REVIEW, [Finding("name", tag, strong=False) for tag in range(1, 251)])
    told = error.told()
    assert told["count"] == 250
    assert len(told["places"]) == 100  # type: ignore[arg-type]


def test_it_goes_from_one_process_to_another() -> None:
    """Lost otherwise: a pool's parent would see a bare code."""
    error = held(file())
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert isinstance(again, BadInput)
    assert (again.reason, again.findings, again.seal, str(again)) == (
        error.reason,
        error.findings,
        error.seal,
        str(error),
    )
