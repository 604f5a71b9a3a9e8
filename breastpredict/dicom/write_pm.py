"""A heat map as DICOM Parametric Map (PS3.3 A.75), float32."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom import Dataset

from breastpredict.dicom import codes
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import (
    description_of,
    equipment,
    finish,
    identity,
    planes,
    save,
    slice_headers,
)
from breastpredict.dicom.study import Phase
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry

Quantity = Literal["attention", "evidence", "rollout"]

# No code exists for attention (CID 7180); saliency is its nearest parent. The evidence map is
# gradient-weighted. The words tell the two attention maps apart.
_QUANTITY = {
    "attention": (codes.SALIENCY, "Class-agnostic attention map"),
    "rollout": (codes.SALIENCY, "Class-agnostic attention rollout"),
    "evidence": (codes.GRADIENT_ACTIVATION, "Class-specific evidence map"),
}


def write_parametric_map(
    values: sitk.Image,
    phase: Phase,
    path: str | os.PathLike[str],
    *,
    quantity: Quantity,
    provenance: Provenance,
) -> Written:
    """Write a map that lies on slices of a phase.

    Args:
        values: float32, a slab of the phase's grid (one slice or more).
        phase: whose images it explains.
        path: file to write.
        quantity: what the values are.
        provenance: how they came about.

    Raises:
        InputError: the map is not on slices of the phase, or holds values that are not finite.
    """
    given = Geometry.from_image(values)
    first = round(float(phase.geometry.physical_to_index(np.array(given.origin))[2]))
    count = given.size[2]
    inside = first >= 0 and first + count <= phase.geometry.size[2]
    if not inside or not phase.geometry.slab(first, first + count).same_grid(given, 0.01):
        raise InputError("The map is not on slices of the phase")
    array = sitk.GetArrayFromImage(values).astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError("The map holds values that are not finite")
    slices = list(range(first, first + count))
    sources = slice_headers(phase, slices)
    concept, words = _QUANTITY[quantity]
    top = float(array.max()) or 1.0
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=quantity.upper()[:16],
        lut_explanation=words,
        unit=codes.NO_UNITS,
        value_range=(float(array.min()), top),
        slope=1.0,
        intercept=0.0,
        quantity_definition=concept,
    )
    data = hd.pm.ParametricMap(
        source_images=sources,
        pixel_array=array,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        window_center=top / 2,
        window_width=top,
        content_label=quantity.upper(),
        content_description=description_of(provenance),
        **planes(phase.geometry, slices),
        **equipment(provenance),
        **identity(903),
    )
    _anatomy(data, sources[0])
    for group in (data.SharedFunctionalGroupsSequence[0], *data.PerFrameFunctionalGroupsSequence):
        for window in group.get("FrameVOILUTSequence", []):
            window.VOILUTFunction = "LINEAR_EXACT"  # LINEAR forbids widths below 1 (C.11.2.1.2)
    _reference_frames(data, phase, slices)
    finish(data, sources[0], provenance, f"BreastPredict {quantity} map")
    return save(data, Path(path))


def _anatomy(data: Dataset, source: Dataset) -> None:
    """Frame Anatomy in the shared groups: highdicom leaves it out, and readers need it."""
    item = Dataset()
    item.AnatomicRegionSequence = [_code("76752008", "SCT", "Breast")]
    side = str(source.get("ImageLaterality") or source.get("Laterality") or "U")
    item.FrameLaterality = side if side in ("R", "L", "B", "U") else "U"
    data.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [item]


def _reference_frames(data: Dataset, phase: Phase, slices: list[int]) -> None:
    """Each frame names the instance, and in an Enhanced file the frame, that it explains."""
    for group, k in zip(data.PerFrameFunctionalGroupsSequence, slices, strict=True):
        instance = phase.instances[k]
        item = Dataset()
        item.ReferencedSOPClassUID = instance.sop_class_uid
        item.ReferencedSOPInstanceUID = instance.sop_instance_uid
        if instance.frame is not None:
            item.ReferencedFrameNumber = instance.frame
        item.PurposeOfReferenceCodeSequence = [
            _code("121322", "DCM", "Source image for image processing operation")
        ]
        derivation = Dataset()
        derivation.SourceImageSequence = [item]
        derivation.DerivationCodeSequence = [_code("110001", "DCM", "Image Processing")]
        group.DerivationImageSequence = [derivation]
    classes = {instance.sop_instance_uid: instance.sop_class_uid for instance in phase.instances}
    for series in data.get("ReferencedSeriesSequence", []):
        for item in series.ReferencedInstanceSequence:
            item.ReferencedSOPClassUID = classes[str(item.ReferencedSOPInstanceUID)]


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item
