"""The pCR result as Comprehensive 3D SR, template TID 1500 (PS3.16), with TID 4019."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import highdicom as hd
from highdicom.sr.coding import CodedConcept
from pydicom import Dataset, uid

from breastpredict.dicom import codes
from breastpredict.dicom.bounded import read_dataset
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.source import for_highdicom, source_header, unlogged
from breastpredict.dicom.sr_document import algorithm, write_document
from breastpredict.errors import InputError

_MULTI_FRAME = (
    uid.UltrasoundMultiFrameImageStorage,
    uid.VLWholeSlideMicroscopyImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
)
"""Only of these a frame may be named (PS3.3 10.3), also where a file of another has several."""

_SIDES = {
    "R": CodedConcept("24028007", "SCT", "Right"),
    "L": CodedConcept("7771000", "SCT", "Left"),
}


@dataclass(frozen=True)
class SourceImage:
    """A DICOM image that went into a result.

    Attributes:
        header: of its file, as `source_image` gives it.
        frame: which frame, from 1; None for a file of one, or for all of them.
    """

    header: Dataset = field(repr=False)
    frame: int | None = None

    @property
    def reference(self) -> Dataset:
        """An item that names it."""
        item = Dataset()
        item.ReferencedSOPClassUID = self.header.SOPClassUID
        item.ReferencedSOPInstanceUID = self.header.SOPInstanceUID
        if self.frame is not None:
            item.ReferencedFrameNumber = self.frame
        return item


@unlogged()
def source_image(path: str | os.PathLike[str], frame: int | None = None) -> SourceImage | None:
    """The image a result came from, for what is written to refer to; None where it is no DICOM.

    Args:
        path: its file.
        frame: from 1, where it has several.

    Raises:
        InputError: the header lacks what an object that refers to it must have.
    """
    try:
        read_dataset(Path(path), stop_before_pixels=True)
    except Exception:  # pydicom raises many kinds for what is no DICOM
        return None
    needed = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    header = source_header(Path(path), needed)
    return SourceImage(header, frame if header.SOPClassUID in _MULTI_FRAME else None)


@unlogged()
def write_pcr_report(
    path: str | os.PathLike[str],
    sources: Sequence[SourceImage],
    *,
    provenance: Provenance,
    probability: float | None = None,
    threshold: float | None = None,
    baseline: float | None = None,
    interval_weeks: float | None = None,
    laterality: str | None = None,
    inputs: Sequence[str] = (),
    refusal: str | None = None,
) -> Written:
    """Write the report. With ``refusal`` it says "not assessed" and why, and holds no output.

    Values stand as NUM, because readers of tables show numbers only; the class by the threshold
    stands as a code as well.

    Args:
        path: file to write.
        sources: the images that went in, all of one patient; the report joins the study of the
            first, so the latest examination goes first.
        provenance: how the result came about.
        probability: of pathologic complete response.
        threshold: at and above it a complete response is expected.
        baseline: what the clinical variables alone give, where they are known.
        interval_weeks: between both ultrasound examinations.
        laterality: "R" or "L", where known.
        inputs: the inputs in words, one a line, without identifiers.
        refusal: why the case was not assessed.

    Raises:
        InputError: there is no source, a value is not finite, or a probability without threshold.
    """
    if not sources:
        raise InputError("A report needs a DICOM image to refer to")
    outputs = [probability, threshold, baseline] if refusal is None else []
    numbers = [value for value in (*outputs, interval_weeks) if value is not None]
    if not all(math.isfinite(value) for value in numbers):
        raise InputError("The report would hold a value that is not finite")
    values = []
    findings = [hd.sr.QualitativeEvaluation(codes.PCR_CONCEPT, codes.NOT_ASSESSED)]
    if refusal is None:
        if probability is None or threshold is None:
            raise InputError("A report needs a probability and its threshold, or a refusal")
        expected = codes.PCR_CLASS[probability >= threshold]
        findings = [hd.sr.QualitativeEvaluation(codes.PCR_CONCEPT, expected)]
        for concept, value in (
            (codes.PCR_PROBABILITY, probability),
            (codes.PCR_THRESHOLD, threshold),
            (codes.PCR_BASELINE, baseline),
        ):
            if value is not None:
                values.append(hd.sr.Measurement(name=concept, value=value, unit=codes.NO_UNITS))
    if interval_weeks is not None:
        values.append(
            hd.sr.Measurement(name=codes.INTERVAL, value=interval_weeks, unit=codes.WEEKS)
        )
    site = hd.sr.FindingSite(codes.BREAST)
    if laterality in _SIDES:
        site = hd.sr.FindingSite(codes.BREAST, laterality=_SIDES[laterality])
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid.generate_uid(), "Tumour"),
        finding_type=codes.NEOPLASM,
        algorithm_id=algorithm("BreastPredict pCR", provenance),
        finding_sites=[site],
        measurements=values or None,
        qualitative_evaluations=findings,
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(
                one.header.SOPClassUID,
                one.header.SOPInstanceUID,
                None if one.frame is None else [one.frame],
            )
            for one in sources
        ],
    )
    return write_document(
        Path(path),
        group,
        for_highdicom([one.header for one in sources]),
        sources[0].header,
        provenance=provenance,
        refusal=refusal,
        description="BreastPredict pCR report",
        comments=[f"Input: {line}" for line in inputs],
    )
