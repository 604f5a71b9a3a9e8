"""The true mask of a synthetic lesion as DICOM SEG, the same bytes every time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes

from breastpredict import RESEARCH_USE_ONLY, __version__
from breastpredict.files import write_atomic
from breastpredict.phantom.mr_study import StudyHeader, WrittenPhase


def write_truth(mask: sitk.Image, phase: WrittenPhase, path: Path, header: StudyHeader) -> None:
    """Write ``mask`` (1 inside, on the phase's grid) as a one-segment SEG of its images.

    highdicom stamps the present time and random UIDs; they are replaced by the study's own.
    """
    sources = [dcmread(file) for file in dict.fromkeys(phase.files)]
    uid = header.uid("segmentation")
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        tracking_uid=header.uid("lesion"),
        tracking_id="Lesion",
    )
    data = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=sitk.GetArrayViewFromImage(mask).astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=header.uid("segmentation series"),
        series_number=900,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer="BreastPredict",
        manufacturer_model_name="BreastPredict phantom",
        software_versions=__version__,
        device_serial_number="0",
        content_label="TRUTH",
        content_description="Planted lesion of a phantom",
        content_creator_name="Phantom^BreastPredict",
        series_description=f"Planted lesion. {RESEARCH_USE_ONLY}"[:64],
    )
    _fix(data, header)
    with write_atomic(path) as temporary:
        data.save_as(temporary)


def _fix(data: Dataset, header: StudyHeader) -> None:
    """Replace what depends on the clock or on chance."""
    moment: datetime = header.start
    for element in data:
        if element.keyword in ("ContentDate", "SeriesDate", "InstanceCreationDate"):
            element.value = f"{moment:%Y%m%d}"
        elif element.keyword in ("ContentTime", "SeriesTime", "InstanceCreationTime"):
            element.value = f"{moment:%H%M%S}"
    for item in data.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = f"{moment:%Y%m%d%H%M%S}"
    dimension = header.uid("dimensions")
    for item in data.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = dimension
    for item in data.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimension
