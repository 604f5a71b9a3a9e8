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
    laterality,
    planes,
    reference_frames,
    save,
    slice_headers,
    source_headers,
    unlogged,
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


@unlogged()
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
        InputError: the map is not on slices of the phase or holds values that are not finite, or a
            source header lacks what is referred to.
    """
    given = Geometry.from_image(values)
    first = phase.geometry.find_slab(given)
    if first is None:
        raise InputError("The map is not on slices of the phase")
    array = sitk.GetArrayFromImage(values).astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError("The map holds values that are not finite")
    slices = list(range(first, first + given.size[2]))
    source = source_headers(phase, slices[:1])[0]
    concept, words = _QUANTITY[quantity]
    # The window starts at 0, where a map says nothing, or below where it holds less.
    low, high = min(0.0, float(array.min())), max(0.0, float(array.max()))
    width = high - low or 1.0
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=quantity.upper()[:16],
        lut_explanation=words,
        unit=codes.NO_UNITS,
        value_range=(float(array.min()), float(array.max())),
        slope=1.0,
        intercept=0.0,
        quantity_definition=concept,
    )
    data = hd.pm.ParametricMap(
        source_images=slice_headers(phase, slices),
        pixel_array=array,
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        window_center=low + width / 2,
        window_width=width,
        content_label=quantity.upper(),
        content_description=description_of(provenance),
        **planes(phase.geometry, slices),
        **equipment(provenance),
        **identity(903),
    )
    _anatomy(data, source)
    for group in (data.SharedFunctionalGroupsSequence[0], *data.PerFrameFunctionalGroupsSequence):
        for window in group.get("FrameVOILUTSequence", []):
            window.VOILUTFunction = "LINEAR_EXACT"  # LINEAR forbids widths below 1 (C.11.2.1.2)
    reference_frames(data, phase, codes.IMAGE_PROCESSING)
    finish(data, source, provenance, f"BreastPredict {quantity} map")
    return save(data, Path(path))


def _anatomy(data: Dataset, source: Dataset) -> None:
    """Frame Anatomy in the shared groups: highdicom leaves it out, and readers need it."""
    item = Dataset()
    item.AnatomicRegionSequence = [codes.BREAST]
    item.FrameLaterality = laterality(source) or "U"
    data.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [item]
