"""Structured reports whose branches differ in shape, so that no template of one fits the next."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, CTImageStorage

from tests.generate.part10 import code, count_elements, item_of, put, reference
from tests.generate.subject import Subject, general, subject, uid

_WORDS = ("opacity", "lobe", "contour", "lesion", "margin", "unchanged", "focal", "diffuse", "enhancing", "calcified")


def report(seed: object, *, elements: int = 12_000) -> Dataset:
    """Return a structured report of at least that many nested elements, no two branches of one shape."""
    who = subject(seed)
    pick = random.Random(f"report/{seed}")
    dataset = general(who, sop_class=ComprehensiveSRStorage, instance=uid(seed, "sr"), taken=who.start, modality="SR")
    put(dataset, ValueType="CONTAINER", ContinuityOfContent="SEPARATE", CompletionFlag="COMPLETE")
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.ConceptNameCodeSequence = [code("126000", "DCM", "Imaging Measurement Report")]
    branches: list[Dataset] = []
    made = count_elements(dataset)
    while made < elements + len(dataset):
        branches.append(_content(who, pick, depth=1))
        made += count_elements(branches[-1])
    dataset.ContentSequence = branches
    return dataset


def _content(who: Subject, pick: random.Random, depth: int) -> Dataset:
    """Return a content item and what hangs below it, of random type, order and breadth."""
    kinds = tuple(_CONTENT) if depth > 1 else ("CONTAINER",)
    kind = pick.choice(kinds) if depth < 6 else "TEXT"
    item = item_of(RelationshipType="CONTAINS", ValueType=kind)
    concept = code(
        f"{pick.randrange(10**5, 10**6)}", pick.choice(("DCM", "SCT", "LN")), " ".join(pick.sample(_WORDS, 2))
    )
    if pick.random() < 0.4:
        concept.CodingSchemeVersion = "2026"
    item.ConceptNameCodeSequence = [concept]
    if pick.random() < 0.3:
        item.ObservationDateTime = who.start.strftime("%Y%m%d%H%M%S")
    if pick.random() < 0.2:
        item.ObservationUID = uid(who.seed, pick.random())
    _CONTENT[kind](item, who, pick)
    below = pick.randrange(2, 6) if kind == "CONTAINER" else pick.choice((0, 0, 0, 1))
    if below:
        item.ContentSequence = [_content(who, pick, depth + 1) for _ in range(below)]
    return item


def _text(item: Dataset, who: Subject, pick: random.Random) -> None:
    item.TextValue = " ".join((*pick.sample(_WORDS, pick.randrange(1, 9)), "seen with", who.physician.split("^")[0]))


def _number(item: Dataset, _who: Subject, pick: random.Random) -> None:
    unit = code("mm", "UCUM", "millimeter")
    item.MeasuredValueSequence = [
        item_of(MeasurementUnitsCodeSequence=[unit], NumericValue=f"{pick.random() * 90:.2f}")
    ]


def _coded(item: Dataset, _who: Subject, pick: random.Random) -> None:
    item.ConceptCodeSequence = [code(f"{pick.randrange(10**6)}", "SCT", pick.choice(_WORDS))]


def _image(item: Dataset, who: Subject, pick: random.Random) -> None:
    shown = reference(CTImageStorage, uid(who.seed, pick.random()))
    if pick.random() < 0.5:
        shown.ReferencedFrameNumber = pick.randrange(1, 40)
    item.ReferencedSOPSequence = [shown]


def _container(item: Dataset, _who: Subject, pick: random.Random) -> None:
    item.ContinuityOfContent = "SEPARATE"
    if pick.random() < 0.5:
        item.ContentTemplateSequence = [
            item_of(MappingResource="DCMR", TemplateIdentifier=f"{pick.randrange(1000, 2000)}")
        ]


def _value(keyword: str, value: Callable[[Subject, random.Random], object]) -> Callable[..., None]:
    return partial(_put_value, keyword, value)


def _put_value(
    keyword: str, value: Callable[[Subject, random.Random], object], item: Dataset, who: Subject, pick: random.Random
) -> None:
    setattr(item, keyword, value(who, pick))


_CONTENT: dict[str, Callable[[Dataset, Subject, random.Random], None]] = {
    "CONTAINER": _container,
    "TEXT": _text,
    "NUM": _number,
    "CODE": _coded,
    "IMAGE": _image,
    "PNAME": _value("PersonName", lambda who, _: who.name),
    "UIDREF": _value("UID", lambda who, pick: uid(who.seed, pick.random())),
    "DATE": _value("Date", lambda who, _: who.start.strftime("%Y%m%d")),
    "DATETIME": _value("DateTime", lambda who, _: who.start.strftime("%Y%m%d%H%M%S")),
}
