"""From a study to the network's input: acquisition, phase, tumour, slice, region, pixels."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom import DceAcquisition, Mask, Phase, Study, read_mask, read_study
from breastpredict.errors import BreastPredictError, GateRefusal, InputError
from breastpredict.her2.roi_policy import DEFAULT_POLICY, RoiKind, RoiPolicy
from breastpredict.imaging import (
    BoxedMask,
    Delineation,
    Geometry,
    LargestSlice,
    SquareROI,
    delineate_from_box,
    delineate_from_point,
    largest_lesion,
    largest_slice,
    normalise,
    section,
)
from breastpredict.imaging.roi import DEFAULT_MARGIN

Point = tuple[float, float, float]
OutlinedBy = Literal["mask", "point", "box"]

_WATER = re.compile(r"\bwater\b", re.IGNORECASE)
"""In Dixon series, which hold water, fat, in-phase and opposed-phase images, the water images are
the fat-suppressed ones that the model was trained on."""


@dataclass(frozen=True)
class PreparedCase:
    """What the model sees of a case, and where it comes from.

    Attributes:
        image: ``[1, S, S]`` float32 in [-1, 1].
        roi: the square it shows; the exact way back.
        slice: the largest cross-section, or the one the reader chose.
        mask: the tumour on ``phase.geometry``.
        study, acquisition, phase: where it was found.
        slice_image: the decoded slice, a slab of ``phase.geometry``.
        features: what the gates compare with the training data.
        outlined_by: "mask", "point" or "box".
        parameters: of the delineation.
        phase_reason: why this phase.
        warnings: for the reader.
        policy: which region it is.
    """

    image: NDArray[np.float32]
    roi: SquareROI
    slice: LargestSlice
    mask: BoxedMask = field(repr=False)
    study: Study = field(repr=False)
    acquisition: DceAcquisition = field(repr=False)
    phase: Phase = field(repr=False)
    slice_image: sitk.Image = field(repr=False)
    features: dict[str, float | str]
    outlined_by: OutlinedBy
    parameters: dict[str, str]
    phase_reason: str
    warnings: tuple[str, ...]
    policy: RoiPolicy = DEFAULT_POLICY


def prepare_case(
    study: str | os.PathLike[str] | Study,
    *,
    image_size: int,
    segmentation: str | os.PathLike[str] | None = None,
    seed_point_lps: Point | None = None,
    box_lps: tuple[Point, Point] | None = None,
    laterality: str | None = None,
    acquisition: int | None = None,
    phase: int | None = None,
    segment: str | None = None,
    mask_order: str | None = None,
    roi: RoiKind = "square",
    margin: float = DEFAULT_MARGIN,
    slice_index: int | None = None,
    study_uid: str | None = None,
    outlined_by: OutlinedBy = "mask",
) -> PreparedCase:
    """Prepare a case for the model. With a mask only the slices that are needed are decoded.

    Args:
        study: as `breastpredict.dicom.read_study` takes it, or one that is read already.
        image_size: side S of the network's input.
        segmentation: tumour mask, as `breastpredict.dicom.read_mask` takes it; or
        seed_point_lps: a point in the tumour (LPS mm); or
        box_lps: two opposite corners of a box around it (LPS mm).
        laterality: "R" or "L", where the study holds both.
        acquisition: 1-based as ``inspect`` counts them, where several fit.
        phase: 1-based, instead of the early phase by rule.
        segment: name or number of the tumour's segment.
        mask_order: the axes of a mask without a place in space, such as "zyx".
        roi, margin: which region, see `RoiPolicy`; a model wants what it was trained on:
            `Her2Model.prepare` gives it that.
        slice_index: 0-based along k, instead of the largest cross-section.
        study_uid: which study, where the input holds several.
        outlined_by: how the segmentation came about; "point" and "box" for one that `prepare_case`
            or a Slicer module delineated and a reader may have edited.

    Raises:
        InputError: unusable input.
        GateRefusal: "modality", "post-contrast", "no-tumour", "no-enhancement".
    """
    policy = RoiPolicy(roi, margin)
    given = [x is not None for x in (segmentation, seed_point_lps, box_lps)]
    if sum(given) != 1:
        raise InputError(
            "The tumour is not given" if not any(given) else "The tumour is given twice",
            remedy="Give one of a segmentation, a seed point or a box",
        )
    if not isinstance(study, Study):
        study = read_study(study, study_uid=study_uid)
    candidates = _dynamic(study, laterality, acquisition)
    if segmentation is not None:
        path = Path(segmentation)
        dce, outline = _with_mask(study, candidates, path, segment, mask_order)
        chosen, reason = _phase(dce, phase, study)
        mask, parameters = outline.mask, {"segment": outline.label}
        how: OutlinedBy = outlined_by
        warnings = outline.warnings
    else:
        points = [seed_point_lps] if seed_point_lps is not None else list(box_lps or ())
        dce = _acquisition(study, candidates, [p for p in points if p is not None])
        chosen, reason = _phase(dce, phase, study)
        result = delineate(dce, chosen, seed_point_lps, box_lps)
        mask, warnings = BoxedMask.of(result.mask), result.warnings
        how = "point" if seed_point_lps is not None else "box"
        parameters = {name: str(value) for name, value in result.parameters.items()}
    lesion = largest_lesion(mask)
    largest = largest_slice(lesion) if slice_index is None else section(lesion, slice_index)
    region = policy.region(lesion, largest.index, dce.laterality)
    plane = chosen.read_slices(largest.index, largest.index + 1)
    crop = region.extract(plane, image_size, outside=math.nan)
    return PreparedCase(
        image=normalise(policy.blank(crop, lesion, region))[np.newaxis],
        roi=region,
        slice=largest,
        mask=mask,
        study=study,
        acquisition=dce,
        phase=chosen,
        slice_image=plane,
        features=_features(dce, chosen, lesion, largest, plane, crop),
        outlined_by=how,
        parameters=parameters,
        phase_reason=reason,
        warnings=(*dce.warnings, *warnings),
        policy=policy,
    )


def early_phase(
    study: Study,
    *,
    laterality: str | None = None,
    acquisition: int | None = None,
    phase: int | None = None,
) -> tuple[DceAcquisition, Phase, str]:
    """The acquisition that is meant where no tumour is given, its early phase, and why that one.

    Args, Raises: as `prepare_case`.
    """
    dce = _the_one(study, _dynamic(study, laterality, acquisition))
    return dce, *_phase(dce, phase, study)


def _dynamic(study: Study, laterality: str | None, acquisition: int | None) -> list[DceAcquisition]:
    """The acquisitions that may be meant."""
    if not study.dce:
        if study.modality != "MR":
            raise GateRefusal("modality", f"The study is {study.modality or 'unknown'}, not MR.")
        reasons = "; ".join(dict.fromkeys(r.reason for r in study.rejected))
        raise InputError(
            f"There is no DCE acquisition with several phases ({reasons or 'no image series'})",
            path=study.folder,
            remedy="Give the folder with the phases before and after contrast",
        )
    if acquisition is not None:
        if not 1 <= acquisition <= len(study.dce):
            raise InputError(
                f"There is no acquisition {acquisition}; the study has {len(study.dce)}",
                path=study.folder,
                remedy="See breastpredict inspect",
            )
        return [study.dce[acquisition - 1]]
    found = [a for a in study.dce if laterality is None or a.laterality in (laterality, "B", None)]
    if not found:
        sides = ", ".join(str(a.laterality) for a in study.dce)
        raise InputError(
            f"There is no acquisition of side {laterality}; the study has {sides}",
            path=study.folder,
        )
    return found


def _with_mask(
    study: Study,
    candidates: list[DceAcquisition],
    path: Path,
    segment: str | None,
    order: str | None,
) -> tuple[DceAcquisition, Mask]:
    """The acquisition in which the mask lies, and the mask on its grid."""
    hits: list[tuple[DceAcquisition, Mask]] = []
    first_error: BreastPredictError | None = None
    for acquisition in candidates:
        try:
            grid = acquisition.phases[0].geometry
            mask = read_mask(path, grid, segment=segment, study=study, array_order=order)
            hits.append((acquisition, mask))
        except BreastPredictError as error:
            first_error = first_error or error
    if not hits:
        assert first_error is not None
        raise first_error
    meant = _the_one(study, [hit[0] for hit in hits])
    return next(hit for hit in hits if hit[0] is meant)


def _acquisition(
    study: Study, candidates: list[DceAcquisition], points: list[Point]
) -> DceAcquisition:
    """The acquisition that holds the points."""
    holding = [
        a for a in candidates if all(_holds(a.phases[0].geometry, point) for point in points)
    ]
    if not holding:
        raise InputError(
            "The point lies outside of the acquisition",
            path=study.folder,
            remedy="Check the coordinates: LPS in mm unless --coordinates RAS is given",
        )
    return _the_one(study, holding)


def _holds(geometry: Geometry, point: Point) -> bool:
    index = geometry.physical_to_index(np.array(point, dtype=np.float64))
    return bool(np.all(index >= -0.5) and np.all(index <= np.array(geometry.size) - 0.5))


def _the_one(study: Study, fitting: list[DceAcquisition]) -> DceAcquisition:
    """Of several acquisitions the only one that shows contrast, or the only one of water.

    Raises:
        InputError: several are as good.
    """
    found = [a for a in fitting if a.chosen is not None] or fitting
    if len(found) > 1:
        found = [a for a in found if _WATER.search(a.kind)] or found
    if len(found) == 1:
        return found[0]
    described = []
    for a in found:
        words = ", ".join(filter(None, [a.laterality or "side unknown", a.kind]))
        described.append(f"{study.dce.index(a) + 1}: {words}")
    raise InputError(
        f"{len(found)} DCE acquisitions fit ({'; '.join(described)})",
        path=study.folder,
        remedy="Say which breast with --laterality, or which of them with --acquisition",
    )


def _phase(acquisition: DceAcquisition, wanted: int | None, study: Study) -> tuple[Phase, str]:
    if wanted is not None:
        return acquisition.phase(wanted), f"phase {wanted} was chosen by the user"
    if acquisition.chosen is None:
        if acquisition.damage is not None:
            raise acquisition.damage
        raise GateRefusal(
            "post-contrast",
            f"There is no post-contrast phase: {acquisition.reason}. "
            "See breastpredict inspect; --phase N chooses one by hand.",
        )
    return acquisition.phase(acquisition.chosen), f"{acquisition.rule}: {acquisition.reason}"


def reference_phase(acquisition: DceAcquisition, early: Phase) -> Phase | None:
    """What a phase's enhancement is seen against.

    The last pre-contrast phase before it; where none is confirmed, the first phase.
    """
    before = [phase for phase in acquisition.pre if phase.index < early.index]
    first = acquisition.phases[0]
    return before[-1] if before else first if first.index < early.index else None


def delineate(
    acquisition: DceAcquisition,
    early: Phase,
    point: Point | None,
    box: tuple[Point, Point] | None,
) -> Delineation:
    """The tumour from its enhancement in a phase, at a point or in a box (LPS mm).

    Raises:
        InputError: the phase is the first, so there is nothing to see enhancement against; or as
            `breastpredict.imaging.delineate_from_point` and `delineate_from_box`.
        GateRefusal: "no-enhancement".
    """
    before = reference_phase(acquisition, early)
    if before is None:
        raise InputError(
            "There is no phase before the chosen one to see the enhancement against",
            remedy="Choose a later phase, or give a segmentation",
        )
    pre, post = before.read(), early.read()
    if point is not None:
        return delineate_from_point(pre, post, point)
    assert box is not None
    corners = np.array(box, dtype=np.float64)
    lower, upper = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return delineate_from_box(pre, post, (*lower,), (*upper,))


def _features(
    acquisition: DceAcquisition,
    phase: Phase,
    lesion: BoxedMask,
    largest: LargestSlice,
    plane: sitk.Image,
    crop: NDArray[np.float32],
) -> dict[str, float | str]:
    """What the gates compare. Signal only as ratios, because it has no unit."""
    geometry = phase.geometry
    inside = lesion.on_slice(largest.index)
    early = sitk.GetArrayViewFromImage(plane)[0][inside]
    typical = float(np.nanmedian(crop))
    features: dict[str, float | str] = {
        "modality": acquisition.modality,
        "phase_role": phase.role,
        "plane": geometry.plane,
        "pixel_spacing_mm": float(max(geometry.spacing[:2])),
        "slice_spacing_mm": float(geometry.spacing[2]),
        "tumour_area_mm2": float(largest.area_mm2),
        "tumour_volume_mm3": lesion.volume_mm3,
    }
    if typical > 0:
        features["lesion_contrast"] = float(np.median(early)) / typical
    before = reference_phase(acquisition, phase)
    if before is not None:
        slab = before.read_slices(largest.index, largest.index + 1)
        base = float(np.median(sitk.GetArrayViewFromImage(slab)[0][inside]))
        if base > 0:
            features["enhancement"] = (float(np.median(early)) - base) / base
    return features
