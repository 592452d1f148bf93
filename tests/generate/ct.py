"""CT instances in series, with the sequences and private blocks that scanners write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage

from tests.generate.part10 import code, count_elements, encode, item_of, put, reference
from tests.generate.subject import Subject, general, pixels, subject, uid

CT_SIDE = 512
CT_ELEMENTS = 266
SERIES_SIZE = 200

# What the scanner sets alike for every slice.
_CT_FIXED: dict[str, object] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "ContrastBolusAgent": "IOHEXOL 350",
    "ScanOptions": "HELICAL MODE",
    "SliceThickness": "1.25",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "ReconstructionDiameter": "360",
    "DistanceSourceToDetector": "949.075",
    "DistanceSourceToPatient": "541",
    "GantryDetectorTilt": "0",
    "TableHeight": "171.5",
    "RotationDirection": "CW",
    "ExposureTime": 500,
    "FilterType": "BODY FILTER",
    "GeneratorPower": 24000,
    "FocalSpots": "1.2",
    "ConvolutionKernel": "STANDARD",
    "RevolutionTime": 0.5,
    "SingleCollimationWidth": 0.625,
    "TotalCollimationWidth": 40.0,
    "TableSpeed": 110.0,
    "TableFeedPerRotation": 55.0,
    "SpiralPitchFactor": 1.375,
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "ImagesInAcquisition": SERIES_SIZE,
    "PixelPaddingValue": 0,
    "WindowCenter": ["40", "-600"],
    "WindowWidth": ["400", "1500"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
}


def write_ct_set(folder: Path, *, count: int, first: int = 0, series_size: int = SERIES_SIZE) -> list[Path]:
    """Write `count` CT instances as consecutive members of series, numbered from `first`; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(first, first + count):
        path = folder / f"{number:06}.dcm"
        path.write_bytes(encode(ct(number // series_size, number % series_size)))
        paths.append(path)
    return paths


def ct(series: object, number: int, *, side: int = CT_SIDE, elements: int = CT_ELEMENTS) -> Dataset:
    """Return one CT instance of a series: 2 * side ** 2 bytes of pixels, `elements` elements with private ones."""
    who = subject(series)
    taken = who.start + timedelta(seconds=17 + number // 3)
    dataset = general(who, sop_class=CTImageStorage, instance=uid(series, number), taken=taken, modality="CT")
    _ct_image(dataset, who, number)
    _references(dataset, who, number)
    pixels(dataset, who, number, side)
    _private_blocks(dataset, who, number, elements - count_elements(dataset))
    return dataset


def _ct_image(dataset: Dataset, who: Subject, number: int) -> None:
    """Add what the scanner sets for one slice."""
    position = -120.5 + 1.25 * number
    dose = 180 + (number * 37 + len(who.name)) % 90
    put(
        dataset,
        **_CT_FIXED,
        InstanceNumber=number + 1,
        XRayTubeCurrent=dose,
        Exposure=dose // 2,
        CTDIvol=9.5 + (number % 7) / 8,
        ImagePositionPatient=["-180", "-180", f"{position:.3f}"],
        SliceLocation=f"{position:.3f}",
        ImageComments=f"slice {number + 1} of {who.body_part}",
    )


def _references(dataset: Dataset, who: Subject, number: int) -> None:
    """Add the sequences a CT from a worklist has: references, codes, requests with nested codes."""
    chest = code("CTCHESTC", "99LOCAL", "CT chest with contrast")
    step = UID("1.2.840.10008.3.1.2.3.3")
    put(
        dataset,
        ReferencedStudySequence=[reference(UID("1.2.840.10008.3.1.2.3.1"), who.study)],
        ReferencedPerformedProcedureStepSequence=[reference(step, uid(who.seed, "step"))],
        ReferencedImageSequence=[reference(CTImageStorage, uid(who.seed, f"scout{n}")) for n in range(2)],
        SourceImageSequence=[reference(CTImageStorage, uid(who.seed, f"raw{number}"))],
        ProcedureCodeSequence=[chest],
        AnatomicRegionSequence=[code("51185008", "SCT", "Chest")],
        RequestAttributesSequence=[
            item_of(
                ScheduledProcedureStepDescription=f"CT {who.body_part}",
                ScheduledProtocolCodeSequence=[code("CTCHESTC", "99LOCAL", "CT chest with contrast")],
                ScheduledProcedureStepID=who.identifier[-5:],
                RequestedProcedureID=who.identifier[-6:],
            )
        ],
        PerformedProtocolCodeSequence=[code("P-7", "99LOCAL", "Chest routine")],
        IssuerOfAccessionNumberSequence=[item_of(LocalNamespaceEntityID=who.site[:16])],
    )


def _private_blocks(dataset: Dataset, who: Subject, number: int, room: int) -> None:
    """Fill `room` elements with two private blocks as scanners write them: numbers, text, binary and a sequence."""
    numbers = dataset.private_block(0x0019, "ACME_ACQU_01", create=True)
    image = dataset.private_block(0x0027, "ACME_IMAG_01", create=True)
    image.add_new(
        0x01, "SQ", [item_of(ReferencedSOPInstanceUID=uid(who.seed, number, "private"), PatientID=who.identifier)]
    )
    image.add_new(0x02, "LO", f"{who.site} {who.physician.split('^')[0]}")
    image.add_new(0x03, "OB", bytes(range(256)) * 4)
    values: tuple[tuple[str, Callable[[int], object]], ...] = (
        ("DS", lambda place: f"{(place * 31 + number) / 8:.3f}"),
        ("SS", lambda place: (place * 7 + number) % 30000),
        ("LO", lambda place: f"{who.body_part}_{place}"),
        ("FL", lambda place: place / 4),
        ("UN", lambda place: bytes((place, number % 256, 0, 1))),
        ("SL", lambda place: place * 1000 + number),
    )
    left = room - 7  # two creators, three values and the sequence's two
    for place in range(max(left, 0)):
        block = numbers if place < left // 2 else image
        representation, value = values[place % len(values)]
        block.add_new(0x10 + place % (left // 2 + 1), representation, value(place))
