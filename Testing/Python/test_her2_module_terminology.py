"""The tumour's segment says what it is, as the DICOM SEG of the backend does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Harness

from breastpredict.dicom import codes


@pytest.fixture
def segment(slicer_app: Harness, repository: Path) -> Any:
    """The segment of a left breast's tumour."""
    import slicer

    slicer_app.load(repository / "HER2Predict" / "HER2Predict.py")
    from HER2PredictLib.tumour_nodes import tumour_segmentation

    volume = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.float32))
    patient = dict.fromkeys(("PatientName", "PatientID", "StudyDescription"), "")
    opened = {"study": {"study_uid": ""}, "patient": patient}
    segmentation, segment_id = tumour_segmentation(None, volume, opened, "L")
    return segmentation.GetSegmentation().GetSegment(segment_id)


def test_the_selector_finds_the_codes_of_the_segment(segment: Any) -> None:
    import slicer

    logic = slicer.modules.terminologies.logic()
    entry = slicer.vtkSlicerTerminologyEntry()
    assert logic.DeserializeTerminologyEntry(segment.GetTerminology(), entry)
    context, regions = entry.GetTerminologyContextName(), entry.GetRegionContextName()
    category = slicer.vtkSlicerTerminologyCategory()
    assert logic.GetNthCategoryInTerminology(context, 0, category)
    assert category.GetCodeValue() == entry.GetCategoryObject().GetCodeValue()
    kind = slicer.vtkSlicerTerminologyType()
    assert logic.GetNthTypeInTerminologyCategory(context, category, 0, kind)
    assert kind.GetCodeValue() == entry.GetTypeObject().GetCodeValue()
    region = slicer.vtkSlicerTerminologyType()
    assert logic.GetNthRegionInRegionContext(regions, 0, region)
    assert region.GetCodeValue() == entry.GetRegionObject().GetCodeValue()
    modifiers = []
    for number in range(logic.GetNumberOfRegionModifierInRegion(regions, region)):
        modifier = slicer.vtkSlicerTerminologyType()
        assert logic.GetNthRegionModifierInRegion(regions, region, number, modifier)
        modifiers.append(modifier.GetCodeValue())
    assert entry.GetRegionModifierObject().GetCodeValue() in modifiers


def test_they_are_those_of_the_dicom_segmentation(segment: Any) -> None:
    text = segment.GetTerminology()
    for code in (codes.ABNORMAL_STRUCTURE, codes.NEOPLASM, codes.BREAST):
        assert f"{code.scheme_designator}^{code.value}^{code.meaning}" in text
    assert text.endswith("SCT^7771000^Left")
