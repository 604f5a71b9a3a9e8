"""The tumour mask as DICOM Segmentation (PS3.3 A.51)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
import SimpleITK as sitk
from pydicom.uid import generate_uid

from breastpredict.dicom import codes
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import (
    MANUFACTURER,
    description_of,
    equipment,
    finish,
    for_highdicom,
    identity,
    planes,
    reference_frames,
    save,
    source_headers,
    unlogged,
)
from breastpredict.dicom.study import Phase
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import BoxedMask

Algorithm = Literal["MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"]
SEGMENT_LABEL = "Tumour"


@unlogged()
def write_segmentation(
    mask: sitk.Image | BoxedMask,
    phase: Phase,
    path: str | os.PathLike[str],
    *,
    provenance: Provenance,
    algorithm: Algorithm = "SEMIAUTOMATIC",
) -> Written:
    """Write a mask as a binary SEG of one segment, coded as neoplasm of the breast.

    Only slices with tumour are written; each references the images it was drawn on.

    Args:
        mask: on ``phase.geometry``; of an image, what is not zero is tumour.
        phase: the images it belongs to.
        path: file to write.
        provenance: how it came about.
        algorithm: how it was drawn.

    Raises:
        GateRefusal: "no-tumour", the mask is empty.
        InputError: the mask is not on the phase's grid, or a source header lacks what is referred
            to.
    """
    mask = BoxedMask.of(mask)
    if not mask.geometry.same_grid(phase.geometry, 0.01):
        raise InputError("The mask is not on the grid of the phase")
    slices = [k for k in mask.slices if mask.on_slice(k).any()]
    if not slices:
        raise GateRefusal("no-tumour", "The tumour mask is empty.")
    sources = source_headers(phase, slices)
    identification = None
    if algorithm != "MANUAL":
        identification = hd.AlgorithmIdentificationSequence(
            name="BreastPredict delineation on contrast enhancement",
            family=codes.ARTIFICIAL_INTELLIGENCE,
            version=provenance.version,
            source=MANUFACTURER,
        )
    segment = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label=SEGMENT_LABEL,
        segmented_property_category=codes.ABNORMAL_STRUCTURE,
        segmented_property_type=codes.NEOPLASM,
        algorithm_type=algorithm,
        algorithm_identification=identification,
        tracking_uid=generate_uid(),
        tracking_id=SEGMENT_LABEL,
        anatomic_regions=[codes.BREAST],
    )
    data = hd.seg.Segmentation(
        source_images=for_highdicom(sources),
        pixel_array=np.stack([mask.on_slice(k) for k in slices]).astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        content_label="TUMOUR",
        content_description=description_of(provenance),
        **planes(phase.geometry, slices),
        **equipment(provenance),
        **identity(901),
    )
    reference_frames(data, phase, codes.SEGMENTATION)
    finish(data, sources[0], provenance, "BreastPredict tumour")
    return save(data, Path(path))
