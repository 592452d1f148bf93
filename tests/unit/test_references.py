"""References: whatever an instance refers to by UID, it still refers to when both are de-identified.

The UIDs of a set of instances are the nodes of a graph, and the places that hold them its edges. The mapping renames
the nodes; edges may go with what the profile removes, but none may lead elsewhere, and none goes by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import basic_oracle
import farmside
import oracle
import pytest
import trees
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    RTPlanStorage,
    RTStructureSetStorage,
    SegmentationStorage,
)

from farm.deid.policy import REFERENCES, TEXT_VRS
from farm.deid.standard.e1_1 import ROWS
from farm.errors import BadInput
from farm.recipe.recipe import Recipe, preset
from tests.generate import ct, encode, enhanced_mr, report, subject, uid
from tests.generate.part10 import code, item_of, put, reference
from tests.generate.subject import general

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
INDEX = CORPUS / "INDEX.tsv"
MODALITIES = frozenset({"KO", "PR", "REG", "RTDOSE", "RTPLAN", "RTSTRUCT", "SEG", "SR"})
LARGEST = 3_000_000
PACKAGED = (
    "reportsi.dcm",
    "test-SR.dcm",
    "rtplan.dcm",
    "rtstruct.dcm",
    "rtdose.dcm",
    "liver_1frame.dcm",
    "CT_small.dcm",
    "MR_small.dcm",
    "examples_overlay.dcm",
)
RECIPES = {name: preset(name) for name in ("basic", "research", "strict")}
RECIPES["content"] = Recipe.from_dict({"$extends": "research", "policy": {"options": ["+clean-structured-content"]}})
CODES = {int(pattern, 16): code for pattern, code, _ in ROWS if "x" not in pattern and pattern != "odd"}
CODES |= dict.fromkeys(REFERENCES, "U")
NOWHERE = "2.25.0"  # what a dummy item refers to
NEWER = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1(\.\d{1,3}){1,4}")
Place = tuple[int, ...]
Edges = dict[Place, list[str]]
SERIES = "references"


@cache
def linked() -> tuple[bytes, ...]:
    """Return a study: images, and a structure set, plan, segmentation, presentation state and report of them."""
    who = subject(SERIES)
    images = [ct(SERIES, number, side=8) for number in range(3)]
    shown = [reference(CTImageStorage, image.SOPInstanceUID) for image in images]
    made: list[Dataset] = [*images]

    def instance(sop_class: UID, modality: str, name: str) -> Dataset:
        dataset = general(who, sop_class=sop_class, instance=uid(SERIES, name), taken=who.start, modality=modality)
        dataset.SeriesInstanceUID = uid(SERIES, name, "series")
        made.append(dataset)
        return dataset

    structures = instance(RTStructureSetStorage, "RTSTRUCT", "structures")
    put(
        structures,
        StructureSetLabel="ONE",
        ReferencedFrameOfReferenceSequence=[
            item_of(
                FrameOfReferenceUID=who.frame_of_reference,
                RTReferencedStudySequence=[
                    item_of(
                        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
                        ReferencedSOPInstanceUID=who.study,
                        RTReferencedSeriesSequence=[item_of(SeriesInstanceUID=who.series, ContourImageSequence=shown)],
                    )
                ],
            )
        ],
        ROIContourSequence=[item_of(ContourSequence=[item_of(ContourImageSequence=[one]) for one in shown])],
    )
    plan = instance(RTPlanStorage, "RTPLAN", "plan")
    put(
        plan,
        RTPlanLabel="ONE",
        ReferencedStructureSetSequence=[reference(RTStructureSetStorage, structures.SOPInstanceUID)],
    )
    segmentation = instance(SegmentationStorage, "SEG", "segmentation")
    put(
        segmentation,
        ReferencedSeriesSequence=[item_of(SeriesInstanceUID=who.series, ReferencedInstanceSequence=shown)],
        PerFrameFunctionalGroupsSequence=[
            item_of(DerivationImageSequence=[item_of(SourceImageSequence=[one])]) for one in shown
        ],
    )
    state = instance(GrayscaleSoftcopyPresentationStateStorage, "PR", "state")
    put(
        state,
        ReferencedSeriesSequence=[item_of(SeriesInstanceUID=who.series, ReferencedImageSequence=shown)],
        GraphicAnnotationSequence=[item_of(GraphicLayer="L", ReferencedImageSequence=shown[:1])],
    )
    told = instance(BasicTextSRStorage, "SR", "told")
    series = item_of(SeriesInstanceUID=who.series, ReferencedSOPSequence=shown)
    picture = item_of(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=shown[1:2])
    picture.ConceptNameCodeSequence = [code("121112", "DCM", "Source of Measurement")]
    put(
        told,
        ValueType="CONTAINER",
        CurrentRequestedProcedureEvidenceSequence=[
            item_of(StudyInstanceUID=who.study, ReferencedSeriesSequence=[series])
        ],
        ContentSequence=[picture],
    )
    syntaxes = {plan.SOPInstanceUID: ImplicitVRLittleEndian, state.SOPInstanceUID: ExplicitVRBigEndian}
    return tuple(encode(one, syntax=syntaxes.get(one.SOPInstanceUID, ExplicitVRLittleEndian)) for one in made)


@cache
def generated() -> tuple[bytes, ...]:
    """Return a report and an enhanced instance with a reference in each frame, lengths undefined."""
    frames = encode(enhanced_mr(SERIES, frames=12), undefined_lengths=True)
    return encode(report(SERIES, elements=800)), frames


@cache
def packaged() -> tuple[bytes, ...]:
    """Return files that come with pydicom."""
    return tuple(Path(found).read_bytes() for name in PACKAGED for found in get_testdata_files(name))


@cache
def corpus() -> tuple[bytes, ...]:
    """Return the real files that refer to others, if there are any."""
    if not INDEX.exists():
        return ()
    lines = [line.split("\t") for line in INDEX.read_text(encoding="utf-8").splitlines()[1:]]
    paths = [CORPUS / line[0] for line in lines if line[2] in MODALITIES]
    return tuple(path.read_bytes() for path in paths if path.exists() and path.stat().st_size < LARGEST)


SETS = {"linked": linked, "generated": generated, "packaged": packaged, "corpus": corpus}


def edges(data: bytes) -> Edges:
    """Return the UIDs of a file by the place that holds them, in the order of items; empty ones are left out."""
    found: Edges = {}
    for place, leaf in oracle.leaves(basic_oracle.read_file(data).elements):
        if leaf.vr == "UI" or (leaf.vr == "UN" and oracle.vr_of(place[-1]) == "UI"):
            assert isinstance(leaf.value, bytes)
            parts = [part.strip(b"\0 ").decode("latin-1") for part in leaf.value.split(b"\\")]
            found.setdefault(place, []).extend(part for part in parts if part)
    return found


@cache
def outcomes(which: str, recipe: str) -> list[tuple[bytes, bytes, dict[str, str]]]:
    """Return the files of a set that come through, before and after, and what each says was mapped."""
    done = []
    for data in SETS[which]():
        try:
            product = farmside.run(data, RECIPES[recipe])
        except BadInput:
            continue
        done.append((data, farmside.joined(product), dict(product.report.mapped.uids)))
    return done


def mapped(found: Sequence[tuple[bytes, bytes, dict[str, str]]]) -> dict[str, str]:
    """Return the mapping of a whole set; fail where two instances disagree."""
    whole: dict[str, str] = {}
    for _, _, uids in found:
        for original, new in uids.items():
            assert whole.setdefault(original, new) == new
    return whole


def is_standard(name: str) -> bool:
    """Tell whether the standard assigned a UID; a SOP class may be newer than the dictionary."""
    return name.encode() in basic_oracle.WELL_KNOWN or NEWER.fullmatch(name) is not None


def renaming(names: dict[str, str], place: Place, original: str) -> str:
    """Return what an original is called afterwards: as before if the standard, or nothing that is protected, named it.

    A coding scheme's UID has no row in the table: where unlisted attributes stay, so does it.
    """
    return original if is_standard(original) else names.get(original, "" if place[-1] in CODES else original)


def may_go(place: Place) -> bool:
    """Tell whether the profile has a reason to remove something at a place: another than that it is a UID."""
    private = any(tag >> 16 & 1 or tag >> 16 < 8 for tag in place)
    return private or place[0] in basic_oracle.MARKERS or any(CODES.get(tag, "U") != "U" for tag in place)


def present(which: str, recipe: str) -> list[tuple[bytes, bytes, dict[str, str]]]:
    """Return a set's outcomes; skip where the set is not at hand."""
    found = outcomes(which, recipe)
    if not found:
        pytest.skip("the shared corpus is not at hand")
    return found


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("which", SETS)
def test_the_graph_of_uids_is_the_same_under_the_mapping(which: str, recipe: str) -> None:
    """Lost otherwise: a segmentation, a plan or a report would point to another image, or to none."""
    found = present(which, recipe)
    names = mapped(found)
    assert len(set(names.values())) == len(names), "two nodes became one"
    assert names.keys().isdisjoint(names.values())
    for before, after, _ in found:
        given = edges(before)
        for place, new in edges(after).items():
            if place[0] in basic_oracle.MARKERS:
                continue
            renamed = [renaming(names, place, one) for one in given.get(place, [])]
            left = [one for one in new if one != NOWHERE]
            assert not Counter(left) - Counter(renamed), [f"{tag:08x}" for tag in place]
            if len(left) == len(renamed):
                assert left == renamed, [f"{tag:08x}" for tag in place]


@pytest.mark.parametrize("recipe", ["basic", "research", "strict"])
@pytest.mark.parametrize("which", SETS)
def test_no_edge_goes_by_itself(which: str, recipe: str) -> None:
    """Lost otherwise: a reference could be dropped, and the graph of what is left would still look whole."""
    for before, after, _ in present(which, recipe):
        given, left = edges(before), edges(after)
        for place, old in given.items():
            if not may_go(place):
                assert len(left.get(place, [])) == len(old), [f"{tag:08x}" for tag in place]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("which", SETS)
def test_uids_of_the_standard_are_untouched_and_all_others_are_new(which: str, recipe: str) -> None:
    """Lost otherwise: a SOP class or a transfer syntax would be a name that nobody knows, or an original stay."""
    for before, after, uids in present(which, recipe):
        assert not [original for original in uids if is_standard(original)]
        originals = {one for found in edges(before).values() for one in found if not is_standard(one)}
        for place, new in edges(after).items():
            unlisted = recipe == "basic" and place[-1] not in CODES
            assert unlisted or originals.isdisjoint(new), [f"{tag:08x}" for tag in place]
        assert edges(after)[basic_oracle.SOP_CLASS,] == edges(before)[basic_oracle.SOP_CLASS,]


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_reference_in_a_study_leads_to_its_instance(recipe: str) -> None:
    """Lost otherwise: the test's own idea of a graph would have to be believed; here are places and numbers."""
    names = ("images", "structures", "plan", "segmentation", "state", "told")
    outputs = [edges(after) for _, after, _ in outcomes("linked", recipe)]
    images = [one[basic_oracle.SOP_INSTANCE,][0] for one in outputs[:3]]
    structures, plan, segmentation, state, told = outputs[3:]
    assert len(outputs) == len(images) + len(names) - 1
    study, series = outputs[0][basic_oracle.STUDY,], outputs[0][basic_oracle.SERIES,]
    frame = outputs[0][0x00200052,]
    assert structures[0x30060010, 0x00200052] == frame
    assert structures[0x30060010, 0x30060012, 0x00081155] == study
    assert structures[0x30060010, 0x30060012, 0x30060014, 0x0020000E] == series
    assert structures[0x30060010, 0x30060012, 0x30060014, 0x30060016, 0x00081155] == images
    assert structures[0x30060039, 0x30060040, 0x30060016, 0x00081155] == images
    assert plan[0x300C0060, 0x00081155] == structures[basic_oracle.SOP_INSTANCE,]
    assert segmentation[0x00081115, 0x0020000E] == series
    assert segmentation[0x00081115, 0x0008114A, 0x00081155] == images
    # The Basic Profile empties a Source Image Sequence of Type 2 (X/Z/U*).
    assert recipe == "basic" or segmentation[0x52009230, 0x00089124, 0x00082112, 0x00081155] == images
    assert state[0x00081115, 0x00081140, 0x00081155] == images
    assert told[0x0040A375, 0x0020000D] == study
    assert told[0x0040A375, 0x00081115, 0x0020000E] == series
    assert told[0x0040A375, 0x00081115, 0x00081199, 0x00081155] == images
    if recipe == "content":
        assert told[0x0040A730, 0x00081199, 0x00081155] == images[1:2]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_sop_class_newer_than_the_dictionary_is_still_one(recipe: str) -> None:
    """Lost otherwise: references to the instances of a new SOP class would name a class that nobody knows."""
    newer, newest = b"1.2.840.10008.5.1.4.1.1.66.7", b"1.2.840.10008.5.1.4.1.1.999.1"
    held = [trees.text(0x00081150, newer), trees.text(0x00081155, b"1.2.3.77")]
    elements = [
        *trees.identity(),
        trees.sequence(0x00081115, [trees.sequence(0x0008114A, held)]),
        trees.text(0x0008115A, newer + b"\\" + newest),
    ]
    left = edges(farmside.joined(farmside.run(trees.file(elements), RECIPES[recipe])))
    assert left[0x00081115, 0x0008114A, 0x00081150] == [newer.decode()]
    assert left.get((0x0008115A,)) == [newer.decode(), newest.decode()]


def test_a_uid_that_only_looks_like_the_standards_is_new() -> None:
    """Lost otherwise: whoever makes instance UIDs from a SOP class and a time of day would find them again."""
    made_up = b"1.2.840.10008.5.1.4.1.1.2.20190412.1"
    elements = [*trees.identity(instance=made_up), trees.text(0x00081150, made_up), trees.text(0x00081167, made_up)]
    for recipe in ("research", "strict"):
        left = edges(farmside.joined(farmside.run(trees.file(elements), RECIPES[recipe])))
        assert made_up.decode() not in [one for found in left.values() for one in found]


def test_a_uid_in_text_is_no_way_back() -> None:
    """Lost otherwise: the original of a mapped UID would stand in a description, beside the new one."""
    originals = {original.encode() for _, _, uids in outcomes("linked", "strict") for original in uids}
    for _, after, _ in outcomes("linked", "strict"):
        for _, leaf in oracle.leaves(basic_oracle.read_file(after).elements):
            if leaf.vr in TEXT_VRS:
                assert not [one for one in originals if one in bytes(leaf.value)]  # type: ignore[arg-type]
