"""DICOM in: studies, phases, masks. DICOM out: segmentation, report, parametric map, capture."""

from __future__ import annotations

from breastpredict.dicom.index import index_files, index_folder, read_study, source_files
from breastpredict.dicom.inspect import inspect_folder, inspect_text, study_summary
from breastpredict.dicom.loaded import NO_DICOM, LoadedPhase, study_from_volumes
from breastpredict.dicom.masks import Mask, read_mask
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.read_pm import read_parametric_map
from breastpredict.dicom.study import (
    DceAcquisition,
    Decision,
    Instance,
    Phase,
    RejectedSeries,
    Study,
)
from breastpredict.dicom.ultrasound import (
    UltrasoundImage,
    join_masks,
    read_ultrasound,
)
from breastpredict.dicom.ultrasound_deidentify import review_picture, write_deidentified
from breastpredict.dicom.ultrasound_inspect import (
    UltrasoundChoices,
    describe_ultrasound,
    ultrasound_choices,
)
from breastpredict.dicom.write_pm import write_parametric_map
from breastpredict.dicom.write_sc import write_capture
from breastpredict.dicom.write_seg import write_segmentation
from breastpredict.dicom.write_sr import write_report

__all__ = [
    "NO_DICOM",
    "DceAcquisition",
    "Decision",
    "Instance",
    "LoadedPhase",
    "Mask",
    "Phase",
    "Provenance",
    "RejectedSeries",
    "Study",
    "UltrasoundChoices",
    "UltrasoundImage",
    "Written",
    "describe_ultrasound",
    "index_files",
    "index_folder",
    "inspect_folder",
    "inspect_text",
    "join_masks",
    "read_mask",
    "read_parametric_map",
    "read_study",
    "read_ultrasound",
    "review_picture",
    "source_files",
    "study_from_volumes",
    "study_summary",
    "ultrasound_choices",
    "write_capture",
    "write_deidentified",
    "write_parametric_map",
    "write_report",
    "write_segmentation",
]
