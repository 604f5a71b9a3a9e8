"""The result as Comprehensive 3D SR, template TID 1500 (PS3.16), with TID 4019 identification."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import pydicom
from pydicom.uid import generate_uid

from breastpredict.dicom import codes
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import for_highdicom, source_headers, unlogged
from breastpredict.dicom.sr_document import Group, algorithm, write_document
from breastpredict.dicom.study import Phase
from breastpredict.dicom.write_seg import SEGMENT_LABEL
from breastpredict.errors import InputError

Score = tuple[str, str, float, float]
"""Task, the class its score points to, score, threshold."""


@unlogged()
def write_report(
    path: str | os.PathLike[str],
    phase: Phase,
    *,
    provenance: Provenance,
    segmentation: Written | None = None,
    probabilities: Mapping[str, float] | None = None,
    scores: Sequence[Score] = (),
    predicted_class: str | None = None,
    measurements: Mapping[str, float] | None = None,
    refusal: str | None = None,
    slice_index: int | None = None,
) -> Written:
    """Write the report. With ``refusal`` it says "not assessed" and why, and holds no number.

    Values stand as NUM with the class in the concept's meaning, because readers of tables show
    numbers only; the predicted class stands as a code as well.

    Args:
        path: file to write.
        phase: the images that were assessed.
        provenance: how the result came about.
        segmentation: the tumour's SEG, which the measurement group then references.
        probabilities: "zero", "low", "positive" → value.
        scores: of both tasks.
        predicted_class: "zero", "low" or "positive".
        measurements: any of volume_mm3, area_mm2, slice_index.
        refusal: why the case was not assessed.
        slice_index: the slice that was assessed; the middle one when left out.

    Raises:
        InputError: a value is not finite, or a source header lacks what is referred to.
    """
    numbers = [*(probabilities or {}).values(), *(measurements or {}).values()]
    numbers += [value for _, _, *pair in scores for value in pair]
    if not all(math.isfinite(value) for value in numbers):
        raise InputError("The report would hold a value that is not finite")
    k = phase.geometry.size[2] // 2 if slice_index is None else slice_index
    sources = source_headers(phase, [k])
    evidence = for_highdicom(sources)
    reference = None
    tracking = hd.sr.TrackingIdentifier(generate_uid(), SEGMENT_LABEL)
    if segmentation is not None:
        seg = pydicom.dcmread(segmentation.path, stop_before_pixels=True)
        evidence.append(seg)
        segment = seg.SegmentSequence[0]
        tracking = hd.sr.TrackingIdentifier(segment.TrackingUID, segment.TrackingID)
        reference = hd.sr.ReferencedSegment(
            segmentation.sop_class_uid,
            segmentation.sop_instance_uid,
            1,
            source_images=[
                hd.sr.SourceImageForSegmentation(
                    phase.instances[k].sop_class_uid,
                    phase.instances[k].sop_instance_uid,
                    None if (frame := phase.instances[k].frame) is None else [frame],
                )
            ],
        )
    values, findings = [], []
    if refusal is None:
        values = _measurements(measurements or {}, probabilities or {}, scores)
        if predicted_class is not None:
            findings.append(
                hd.sr.QualitativeEvaluation(codes.HER2_CONCEPT, codes.HER2_CLASS[predicted_class])
            )
    else:
        findings.append(hd.sr.QualitativeEvaluation(codes.HER2_CONCEPT, codes.NOT_ASSESSED))
    common: dict[str, Any] = {
        "tracking_identifier": tracking,
        "finding_type": codes.NEOPLASM,
        "algorithm_id": algorithm("BreastPredict HER2", provenance),
        "finding_sites": [hd.sr.FindingSite(codes.BREAST)],
        "measurements": values or None,
        "qualitative_evaluations": findings or None,
    }
    group: Group
    if reference is not None:
        group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            referenced_segment=reference, **common
        )
    else:
        group = hd.sr.MeasurementsAndQualitativeEvaluations(**common)
    return write_document(
        Path(path),
        group,
        evidence,
        sources[0],
        provenance=provenance,
        refusal=refusal,
        description="BreastPredict HER2 report",
    )


def _measurements(
    measurements: Mapping[str, float],
    probabilities: Mapping[str, float],
    scores: Sequence[Score],
) -> list[hd.sr.Measurement]:
    known = {
        "volume_mm3": (codes.VOLUME, codes.CUBIC_MM),
        "area_mm2": (codes.AREA, codes.SQUARE_MM),
        "slice_index": (codes.SLICE_NUMBER, codes.NO_UNITS),
    }
    out = [
        hd.sr.Measurement(name=known[key][0], value=value, unit=known[key][1])
        for key, value in measurements.items()
    ]
    out += [
        hd.sr.Measurement(name=codes.HER2_PROBABILITY[name], value=value, unit=codes.NO_UNITS)
        for name, value in probabilities.items()
    ]
    for number, (_, points_to, score, threshold) in enumerate(scores, start=1):
        words = f"HER2-{points_to.replace('_', ' ')}"
        for kind, value in (("score", score), ("threshold", threshold)):
            concept = codes.private(
                f"TASK{number}-{kind.upper()}", f"Task {number} {kind}, points to {words}"
            )
            out.append(hd.sr.Measurement(name=concept, value=value, unit=codes.NO_UNITS))
    return out
