"""Whom the instances are of, and the modules that all of them share."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from tests.generate.part10 import item_of, put

_FAMILY = ("Okafor", "Lindqvist", "Tanaka", "Moreau", "Alvarez", "Novak", "Haddad", "Brandt", "Sokolova", "Mbeki")
_GIVEN = ("Ada", "Nils", "Yuki", "Claire", "Mateo", "Jana", "Samir", "Greta", "Irina", "Thabo")
_SITES = ("St. Alban Hospital", "Lakeside Radiology", "North County Clinic", "University Medical Centre")
_BODY = ("CHEST", "ABDOMEN", "HEAD", "PELVIS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Who and what a series is of: what all its instances share."""

    seed: str
    name: str
    identifier: str
    born: str
    sex: str
    site: str
    physician: str
    body_part: str
    start: datetime
    study: UID = field(init=False)
    series: UID = field(init=False)
    frame_of_reference: UID = field(init=False)

    def __post_init__(self) -> None:
        """Derive the UIDs that the series' instances have in common."""
        for name in ("study", "series", "frame_of_reference"):
            object.__setattr__(self, name, uid(self.seed, name))


def uid(*parts: object) -> UID:
    """Return a UID that looks like a scanner's, the same for the same parts."""
    numbers = random.Random("/".join(map(str, parts)))
    return UID(f"1.2.840.99999.{numbers.randrange(1, 10**6)}.{numbers.randrange(10**14, 10**15)}")


def subject(seed: object) -> Subject:
    """Return the subject and equipment that the seed stands for."""
    pick = random.Random(f"subject/{seed}")
    first = datetime(2011, 1, 3, 7)  # noqa: DTZ001 - DICOM has no zone by default
    start = first + timedelta(minutes=pick.randrange(60 * 24 * 365 * 9))
    return Subject(
        seed=str(seed),
        name=f"{pick.choice(_FAMILY)}^{pick.choice(_GIVEN)}^{pick.choice('ABCDEFGH')}",
        identifier=f"MRN{pick.randrange(10**7, 10**8)}",
        born=f"{pick.randrange(1925, 2005)}{pick.randrange(1, 13):02}{pick.randrange(1, 29):02}",
        sex=pick.choice("FM"),
        site=pick.choice(_SITES),
        physician=f"{pick.choice(_FAMILY)}^{pick.choice(_GIVEN)}^^Dr",
        body_part=pick.choice(_BODY),
        start=start,
    )


def general(who: Subject, *, sop_class: UID, instance: UID, taken: datetime, modality: str) -> Dataset:
    """Return the patient, study, series and equipment modules."""
    day, clock = who.start.strftime("%Y%m%d"), who.start.strftime("%H%M%S")
    taken_day, taken_clock = taken.strftime("%Y%m%d"), taken.strftime("%H%M%S.%f")
    dataset = item_of(
        SpecificCharacterSet="ISO_IR 100",
        InstanceCreationDate=taken_day,
        InstanceCreationTime=taken_clock,
        SOPClassUID=sop_class,
        SOPInstanceUID=instance,
        StudyDate=day,
        SeriesDate=day,
        AcquisitionDate=taken_day,
        ContentDate=taken_day,
        AcquisitionDateTime=taken_day + taken_clock,
        StudyTime=clock,
        SeriesTime=clock,
        AcquisitionTime=taken_clock,
        ContentTime=taken_clock,
        AccessionNumber=f"A{who.identifier[-6:]}",
        Modality=modality,
        Manufacturer="Acme Imaging",
        InstitutionName=who.site,
        InstitutionAddress="12 High Street, Springfield",
        ReferringPhysicianName=who.physician,
        StationName=f"{modality}AW{who.identifier[-3:]}",
        StudyDescription=f"{modality} {who.body_part} W CONTRAST",
        SeriesDescription=f"{who.body_part} 1.25 STANDARD",
        InstitutionalDepartmentName="Radiology",
        PhysiciansOfRecord=who.physician,
        PerformingPhysicianName=who.physician,
        NameOfPhysiciansReadingStudy=who.physician,
        OperatorsName=f"{who.name[:3]}^OP",
        ManufacturerModelName="Acme 64",
    )
    put(dataset, **_patient(who), **_series(who, modality))
    return dataset


def _patient(who: Subject) -> dict[str, object]:
    return {
        "PatientName": who.name,
        "PatientID": who.identifier,
        "IssuerOfPatientID": who.site,
        "PatientBirthDate": who.born,
        "PatientSex": who.sex,
        "OtherPatientIDs": f"X{who.identifier}",
        "PatientAge": "054Y",
        "PatientSize": "1.72",
        "PatientWeight": "74.5",
        "EthnicGroup": "unknown",
        "AdditionalPatientHistory": f"{who.physician} asked for a follow-up",
        "PatientComments": "none",
    }


def _series(who: Subject, modality: str) -> dict[str, object]:
    day, clock = who.start.strftime("%Y%m%d"), who.start.strftime("%H%M%S")
    return {
        "BodyPartExamined": who.body_part,
        "DeviceSerialNumber": f"{7 * int(who.identifier[-5:]) % 99_991:05}",  # no number of the subject's
        "SoftwareVersions": "12.3.4_A",
        "ProtocolName": f"{who.body_part} ROUTINE",
        "DateOfLastCalibration": day,
        "TimeOfLastCalibration": clock,
        "PatientPosition": "HFS",
        "StudyInstanceUID": who.study,
        "SeriesInstanceUID": who.series,
        "StudyID": who.identifier[-4:],
        "SeriesNumber": 3,
        "AcquisitionNumber": 1,
        "FrameOfReferenceUID": who.frame_of_reference,
        "PositionReferenceIndicator": "SN",
        "RequestingPhysician": who.physician,
        "RequestingService": "ONCOLOGY",
        "RequestedProcedureDescription": f"{modality} {who.body_part}",
        "PerformedProcedureStepStartDate": day,
        "PerformedProcedureStepStartTime": clock,
        "PerformedProcedureStepID": who.identifier[-6:],
        "PerformedProcedureStepDescription": f"{modality} {who.body_part}",
    }


def pixels(dataset: Dataset, who: Subject, number: int, side: int) -> None:
    """Add side * side samples of 16 bits and what describes them."""
    put(
        dataset,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=side,
        Columns=side,
        PixelSpacing=["0.703125", "0.703125"],
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=1,
        SmallestImagePixelValue=0,
        LargestImagePixelValue=2047,
        PixelData=noise(f"{who.seed}/{number}", side),
    )
    dataset["PixelData"].VR = "OW"


def noise(seed: str, side: int) -> bytes:
    """Return a disc of tissue in noisy air, as signed 16-bit samples."""
    source = np.random.default_rng(list(seed.encode()))
    across = np.linspace(-1, 1, side, dtype=np.float32)
    disc = (across[:, None] ** 2 + across[None, :] ** 2) < 0.8
    noise = source.integers(-24, 24, (side, side), dtype=np.int16)
    return (noise + disc.astype(np.int16) * 1064).astype("<i2").tobytes()
