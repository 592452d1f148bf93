"""Enhanced multi-frame instances: few frames' pixels below many nested elements."""

from __future__ import annotations

from datetime import timedelta

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from tests.generate.part10 import code, item_of, put, reference
from tests.generate.subject import Subject, general, noise, pixels, subject, uid


def enhanced_mr(seed: object, *, frames: int = 200, side: int = 16) -> Dataset:
    """Return an enhanced multi-frame MR whose functional groups hold 71 elements a frame: over 14,000 by default."""
    who = subject(seed)
    dataset = general(who, sop_class=EnhancedMRImageStorage, instance=uid(seed, "mr"), taken=who.start, modality="MR")
    put(dataset, NumberOfFrames=frames, ContentQualification="PRODUCT", ImageType=["ORIGINAL", "PRIMARY", "M", "NONE"])
    dataset.SharedFunctionalGroupsSequence = [
        item_of(PixelMeasuresSequence=[item_of(SliceThickness="3", PixelSpacing=["0.9", "0.9"])])
    ]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(who, number) for number in range(frames)]
    pixels(dataset, who, 0, side)
    dataset.PixelData = b"".join(noise(f"{seed}/{number}", side) for number in range(frames))
    return dataset


def _frame(who: Subject, number: int) -> Dataset:
    """Return one frame's functional groups: 71 elements."""
    shot = (who.start + timedelta(milliseconds=40 * number)).strftime("%Y%m%d%H%M%S.%f")
    macro = item_of(
        FrameContentSequence=[
            item_of(
                FrameAcquisitionDateTime=shot,
                FrameReferenceDateTime=shot,
                FrameAcquisitionDuration=40.0,
                StackID="1",
                InStackPositionNumber=number + 1,
                TemporalPositionIndex=1,
                DimensionIndexValues=[1, number + 1],
                FrameComments=f"frame {number}",
            )
        ],
        PlanePositionSequence=[item_of(ImagePositionPatient=["-120", "-120", f"{number * 3 - 90}"])],
        PlaneOrientationSequence=[item_of(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
        MRImageFrameTypeSequence=[_frame_type()],
        MRTimingAndRelatedParametersSequence=[
            item_of(
                RepetitionTime="420",
                FlipAngle="70",
                EchoTrainLength=1,
                RFEchoTrainLength=1,
                GradientEchoTrainLength=0,
                SpecificAbsorptionRateSequence=[
                    item_of(SpecificAbsorptionRateDefinition="IEC_HEAD", SpecificAbsorptionRateValue=1.1)
                ],
                GradientOutputType="DB_DT",
                GradientOutput=20.0,
                OperatingModeSequence=[item_of(OperatingModeType="GRADIENT", OperatingMode="IEC_NORMAL")],
            )
        ],
        MREchoSequence=[item_of(EffectiveEchoTime=12.5)],
        MRAveragesSequence=[item_of(NumberOfAverages="1")],
        FrameVOILUTSequence=[item_of(WindowCenter=f"{300 + number}", WindowWidth="600")],
        PixelValueTransformationSequence=[item_of(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")],
        DerivationImageSequence=[_derivation(who, number)],
        FrameAnatomySequence=[
            item_of(FrameLaterality="U", AnatomicRegionSequence=[code("69536005", "SCT", "Head")]),
        ],
        MRModifierSequence=[
            item_of(InversionRecovery="NO", FlowCompensation="NONE", Spoiling="RF", T2Preparation="NO"),
        ],
    )
    block = macro.private_block(0x2005, "ACME MR 05", create=True)
    block.add_new(0x10, "FL", number / 8)
    block.add_new(0x11, "LO", f"{who.identifier} {number}")
    return macro


def _frame_type() -> Dataset:
    return item_of(
        FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"],
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="T1",
    )


def _derivation(who: Subject, number: int) -> Dataset:
    source = reference(MRImageStorage, uid(who.seed, f"source{number}"))
    source.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
    return item_of(SourceImageSequence=[source], DerivationCodeSequence=[code("113076", "DCM", "Segmentation")])
