"""DICOM in: studies, phases, masks. DICOM out: segmentation, report, parametric map, capture."""

from __future__ import annotations

from breastpredict.dicom.index import index_folder, read_study
from breastpredict.dicom.inspect import inspect_folder, inspect_text
from breastpredict.dicom.study import DceAcquisition, Instance, Phase, RejectedSeries, Study

__all__ = [
    "DceAcquisition",
    "Instance",
    "Phase",
    "RejectedSeries",
    "Study",
    "index_folder",
    "inspect_folder",
    "inspect_text",
    "read_study",
]
