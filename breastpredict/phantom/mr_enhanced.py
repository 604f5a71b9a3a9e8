"""The functional groups and modules of an Enhanced MR Image (DICOM PS3.3 A.36.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID
from pydicom.valuerep import format_number_as_ds

_REPETITION_MS, _ECHO_MS, _FLIP_DEG = 5.4, 2.5, 12.0


def complete_enhanced(
    data: Dataset,
    images: Sequence[sitk.Image],
    *,
    dimensions_uid: UID,
    starts: Sequence[datetime],
    offsets_s: Sequence[float],
    pre: Sequence[bool],
    duration_s: float,
    rescale: tuple[float, float],
    stored_range: tuple[int, int],
    injection: datetime | None,
    field_strength_t: float,
    laterality: str | None,
) -> None:
    """Add what an Enhanced MR Image holds beyond patient, study, series and equipment.

    Frames come phase by phase, slice by slice (k rising).

    Args:
        data: the data set to complete.
        images: the phases, on one grid.
        dimensions_uid: of the organization of its dimensions (time, then place).
        starts: when each phase's acquisition starts.
        offsets_s: each phase's TemporalPositionTimeOffset in seconds.
        pre: which phases come before contrast.
        duration_s: how long each phase is acquired.
        rescale: slope and intercept from stored to real values.
        stored_range: least and greatest stored value.
        injection: when contrast was given, if that is to be written.
        field_strength_t: in tesla.
        laterality: "R", "L", "B" or None.
    """
    image = images[0]
    i, j, k = image.GetSpacing()
    data.Columns, data.Rows, slices = image.GetSize()
    data.NumberOfFrames = slices * len(images)
    frame_type = ["ORIGINAL", "PRIMARY", "DYNAMIC", "NONE"]
    data.ImageType = frame_type
    _set(
        data,
        PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME",
        VolumeBasedCalculationTechnique="NONE",
        ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="T1",
        AcquisitionNumber=1,
        AcquisitionDateTime=_dt(starts[0]),
        AcquisitionDuration=duration_s * len(images),
        ContentDate=f"{starts[0]:%Y%m%d}",
        ContentTime=f"{starts[0]:%H%M%S.%f}",
        ContentQualification="RESEARCH",
        ResonantNucleus="1H",
        KSpaceFiltering="NONE",
        MagneticFieldStrength=float(field_strength_t),
        ApplicableSafetyStandardAgency="IEC",
        BurnedInAnnotation="NO",
        LossyImageCompression="00",
        PresentationLUTShape="IDENTITY",
        AcquisitionContextSequence=[],
    )
    _pulse_sequence(data)
    contrast = not all(pre)
    if contrast:
        data.ContrastBolusAgentSequence = [_agent(injection)]
    _dimensions(data, dimensions_uid)
    shared = _shared_groups(frame_type, laterality, (int(data.Rows), int(data.Columns)))
    shared.PixelMeasuresSequence = [
        _set(
            Dataset(),
            SliceThickness=_ds(k),
            SpacingBetweenSlices=_ds(k),
            PixelSpacing=[_ds(j), _ds(i)],
        )
    ]
    axes = np.reshape(image.GetDirection(), (3, 3))
    orientation = [_ds(v) for v in (*axes[:, 0], *axes[:, 1])]
    shared.PlaneOrientationSequence = [_set(Dataset(), ImageOrientationPatient=orientation)]
    slope, intercept = rescale
    shared.PixelValueTransformationSequence = [
        _set(Dataset(), RescaleIntercept=_ds(intercept), RescaleSlope=_ds(slope), RescaleType="US")
    ]
    low, high = stored_range
    shared.FrameVOILUTSequence = [
        _set(
            Dataset(),
            WindowCenter=_ds(round((low + high) / 2 * slope + intercept, 3)),
            WindowWidth=_ds(max(round((high - low) * slope, 3), 1.0)),
        )
    ]
    data.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for p, start in enumerate(starts):
        for index in range(slices):
            group = Dataset()
            content = _set(
                Dataset(),
                FrameAcquisitionNumber=1,
                FrameReferenceDateTime=_dt(start + timedelta(seconds=duration_s / 2)),
                FrameAcquisitionDateTime=_dt(start),
                FrameAcquisitionDuration=float(duration_s * 1000),  # ms
                TemporalPositionIndex=p + 1,
                StackID="1",
                InStackPositionNumber=index + 1,
                DimensionIndexValues=[p + 1, index + 1],
            )
            group.FrameContentSequence = [content]
            place = image.TransformIndexToPhysicalPoint((0, 0, index))
            group.PlanePositionSequence = [
                _set(Dataset(), ImagePositionPatient=[_ds(v) for v in place])
            ]
            group.TemporalPositionSequence = [
                _set(Dataset(), TemporalPositionTimeOffset=float(offsets_s[p]))
            ]
            if contrast:
                group.ContrastBolusUsageSequence = [_usage(pre[p])]
            groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups


def _pulse_sequence(data: Dataset) -> None:
    """The MR Pulse Sequence module: a fat-suppressed 3-D spoiled gradient echo."""
    _set(
        data,
        PulseSequenceName="SPGR",
        MRAcquisitionType="3D",
        EchoPulseSequence="GRADIENT",
        MultiPlanarExcitation="NO",
        PhaseContrast="NO",
        TimeOfFlightContrast="NO",
        SteadyStatePulseSequence="NONE",
        EchoPlanarPulseSequence="NO",
        SaturationRecovery="NO",
        SpectrallySelectedSuppression="FAT",
        OversamplingPhase="NONE",
        GeometryOfKSpaceTraversal="RECTILINEAR",
        SegmentedKSpaceTraversal="SINGLE",
        RectilinearPhaseEncodeReordering="LINEAR",
        NumberOfKSpaceTrajectories=1,
        CoverageOfKSpace="FULL",
    )


def _shared_groups(frame_type: list[str], laterality: str | None, size: tuple[int, int]) -> Dataset:
    """How every frame was acquired."""
    rows, columns = size
    parts: dict[str, Dataset] = {
        "FrameAnatomySequence": _set(
            Dataset(),
            FrameLaterality=laterality or "U",
            AnatomicRegionSequence=[_code(codes.SCT.Breast)],
        ),
        "MRImageFrameTypeSequence": _set(
            Dataset(),
            FrameType=frame_type,
            PixelPresentation="MONOCHROME",
            VolumetricProperties="VOLUME",
            VolumeBasedCalculationTechnique="NONE",
            ComplexImageComponent="MAGNITUDE",
            AcquisitionContrast="T1",
        ),
        "MRTimingAndRelatedParametersSequence": _set(
            Dataset(),
            RepetitionTime=_ds(_REPETITION_MS),
            FlipAngle=_ds(_FLIP_DEG),
            EchoTrainLength=1,
            RFEchoTrainLength=0,
            GradientEchoTrainLength=1,
            SpecificAbsorptionRateSequence=[
                _set(
                    Dataset(),
                    SpecificAbsorptionRateDefinition="IEC_WHOLE_BODY",
                    SpecificAbsorptionRateValue=0.5,
                )
            ],
            GradientOutputType="DB_DT",
            GradientOutput=20.0,
            OperatingModeSequence=[
                _set(Dataset(), OperatingModeType=kind, OperatingMode="IEC_NORMAL")
                for kind in ("STATIC FIELD", "RF", "GRADIENT")
            ],
        ),
        "MRFOVGeometrySequence": _set(
            Dataset(),
            InPlanePhaseEncodingDirection="ROW",
            MRAcquisitionFrequencyEncodingSteps=columns,
            MRAcquisitionPhaseEncodingStepsInPlane=rows,
            MRAcquisitionPhaseEncodingStepsOutOfPlane=1,
            PercentSampling="100",
            PercentPhaseFieldOfView="100",
        ),
        "MREchoSequence": _set(Dataset(), EffectiveEchoTime=_ECHO_MS),
        "MRModifierSequence": _set(
            Dataset(),
            InversionRecovery="NO",
            FlowCompensation="NONE",
            Spoiling="RF_AND_GRADIENT",
            T2Preparation="NO",
            SpectrallySelectedExcitation="NONE",
            SpatialPresaturation="NONE",
            PartialFourier="NO",
            ParallelAcquisition="NO",
        ),
        "MRImagingModifierSequence": _set(
            Dataset(),
            MagnetizationTransfer="NONE",
            BloodSignalNulling="NO",
            Tagging="NONE",
            TransmitterFrequency=63.87,
            PixelBandwidth="300",
        ),
        "MRReceiveCoilSequence": _set(
            Dataset(),
            ReceiveCoilName="BREAST",
            ReceiveCoilManufacturerName="",
            ReceiveCoilType="SURFACE",
            QuadratureReceiveCoil="NO",
        ),
        "MRTransmitCoilSequence": _set(
            Dataset(),
            TransmitCoilName="BODY",
            TransmitCoilManufacturerName="",
            TransmitCoilType="BODY",
        ),
        "MRAveragesSequence": _set(Dataset(), NumberOfAverages="1"),
    }
    shared = Dataset()
    for keyword, item in parts.items():
        setattr(shared, keyword, [item])
    return shared


def _agent(injection: datetime | None) -> Dataset:
    """The Enhanced Contrast/Bolus module's only agent (PS3.3 C.7.6.4b)."""
    agent = _code(codes.CID12.GadoliniumContainingProduct)
    agent.ContrastBolusAgentNumber = 1
    agent.ContrastBolusAdministrationRouteSequence = [_code(codes.CID11.IntravenousRoute)]
    agent.ContrastBolusIngredientCodeSequence = [_code(codes.CID13.Gadolinium)]
    agent.ContrastBolusVolume = 15.0
    agent.ContrastBolusIngredientConcentration = 0.5
    if injection is not None:
        profile = _set(
            Dataset(),
            ContrastBolusVolume=15.0,
            ContrastBolusStartTime=f"{injection:%H%M%S.%f}",
            ContrastBolusStopTime=f"{injection + timedelta(seconds=5):%H%M%S.%f}",
        )
        agent.ContrastAdministrationProfileSequence = [profile]
    return agent


def _usage(before: bool) -> Dataset:
    """Whether the agent was there while a frame was acquired (PS3.3 C.7.6.16.2.12)."""
    usage = _set(
        Dataset(),
        ContrastBolusAgentNumber=1,
        ContrastBolusAgentAdministered="NO" if before else "YES",
        ContrastBolusAgentDetected="NO" if before else "YES",
    )
    if not before:
        usage.ContrastBolusAgentPhase = "POST_CONTRAST"
    return usage


def _dimensions(data: Dataset, uid: UID) -> None:
    data.DimensionOrganizationSequence = [_set(Dataset(), DimensionOrganizationUID=uid)]
    data.DimensionIndexSequence = [
        _set(
            Dataset(),
            DimensionOrganizationUID=uid,
            DimensionIndexPointer=_tag(keyword),
            FunctionalGroupPointer=_tag("FrameContentSequence"),
        )
        for keyword in ("TemporalPositionIndex", "InStackPositionNumber")
    ]


def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return Tag(tag)


def _code(code: Code) -> Dataset:
    return _set(
        Dataset(),
        CodeValue=code.value,
        CodingSchemeDesignator=code.scheme_designator,
        CodeMeaning=code.meaning,
    )


def _set(data: Dataset, **values: object) -> Dataset:
    """Set attributes by keyword and give the data set back."""
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def _ds(value: float) -> str:
    return str(format_number_as_ds(float(value)))


def _dt(moment: datetime) -> str:
    return f"{moment:%Y%m%d%H%M%S.%f}"
