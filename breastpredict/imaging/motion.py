"""Motion of the breast between the pre-contrast and the early phase, around one lesion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from breastpredict.errors import InputError
from breastpredict.imaging.geometry import Geometry, resample_to

CORRECT_ABOVE_VOXELS = 0.5
"""Motion of more than this along any axis is corrected; less would only blur the image."""

WARN_ABOVE_MM = 3.0
"""Motion of more than this is reported: such a breast has rarely moved without deforming."""

LARGEST_MM = 15.0
"""A larger estimate is no motion between two phases but a failed registration."""

_WORKING_SPACING_MM = 2.0
_HISTOGRAM_BINS = 32
_DECIMALS = 3  # of a millimetre


@dataclass(frozen=True)
class Motion:
    """A rigid shift of the tissue between two phases.

    Attributes:
        translation_mm: how far the tissue moved from the pre-contrast to the early phase, LPS.
        corrected: whether the pre-contrast phase is shifted by it before it is subtracted.
        similarity_before: mutual information of the two phases as acquired (nats).
        similarity_after: the same with the shift undone.
        plausible: False where the estimate is too large to be believed; it is not applied then.
    """

    translation_mm: tuple[float, float, float]
    corrected: bool
    similarity_before: float
    similarity_after: float
    plausible: bool = True

    @property
    def displacement_mm(self) -> float:
        """Length of the shift."""
        return float(np.linalg.norm(self.translation_mm))

    @property
    def warning(self) -> str | None:
        """One line for the user where the motion was large, else nothing."""
        if not self.plausible:
            return (
                f"The motion between the pre-contrast and the early phase could not be "
                f"estimated ({self.displacement_mm:.0f} mm found); it was not corrected."
            )
        if self.displacement_mm > WARN_ABOVE_MM:
            return (
                f"The breast moved {self.displacement_mm:.1f} mm between the pre-contrast and the "
                f"early phase; this was corrected as a shift only. Check the enhancement."
            )
        return None


def estimate_motion(pre: sitk.Image, early: sitk.Image) -> Motion:
    """Estimate the shift between two phases that show the same neighbourhood.

    A translation that maximises Mattes mutual information (which contrast uptake disturbs
    little), found by regular-step gradient descent on voxels of about 2 mm. Every voxel is used
    and the result rounded to 0.001 mm, so that the same input gives the same number.

    Args:
        pre: pre-contrast phase; may reach past ``early``, so that what moved in is there.
        early: early post-contrast phase, the neighbourhood to match.

    Returns:
        The motion; ``corrected`` is True when it is plausible, raises the similarity and is more
        than `CORRECT_ABOVE_VOXELS` of an early-phase voxel along some axis.

    Raises:
        InputError: the phases do not overlap or hold no structure to match.
    """
    geometry = Geometry.from_image(early)
    fixed, moving = _coarse(early), _coarse(pre)
    registration = sitk.ImageRegistrationMethod()
    registration.SetNumberOfThreads(1)
    registration.SetNumberOfWorkUnits(1)
    registration.SetMetricAsMattesMutualInformation(_HISTOGRAM_BINS)
    registration.SetMetricSamplingStrategy(registration.NONE)
    registration.SetInterpolator(sitk.sitkLinear)
    registration.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.02, numberOfIterations=60, gradientMagnitudeTolerance=1e-6
    )
    registration.SetInitialTransform(sitk.TranslationTransform(3), inPlace=False)
    try:
        before = round(-float(registration.MetricEvaluate(fixed, moving)), 6)
        found = registration.Execute(fixed, moving)
    except RuntimeError as error:
        raise InputError(
            "The motion between the pre-contrast and the early phase cannot be estimated: "
            "they do not overlap or show no structure"
        ) from error
    after = round(-float(registration.GetMetricValue()), 6)
    # The transform leads from early to pre; the tissue went the other way.
    # Rounded: sums over threads differ in their last digits from run to run.
    shift = np.round(-np.array(found.TransformPoint((0.0, 0.0, 0.0))), _DECIMALS) + 0.0
    plausible = bool(np.all(np.isfinite(shift)) and np.linalg.norm(shift) <= LARGEST_MM)
    steps = np.array(geometry.direction).reshape(3, 3).T @ shift / np.array(geometry.spacing)
    x, y, z = shift.tolist()
    return Motion(
        translation_mm=(x, y, z),
        corrected=plausible
        and after > before
        and bool(np.max(np.abs(steps)) > CORRECT_ABOVE_VOXELS),
        similarity_before=before,
        similarity_after=after,
        plausible=plausible,
    )


def pre_on_early_grid(pre: sitk.Image, onto: Geometry, motion: Motion | None) -> sitk.Image:
    """The pre-contrast phase on the early phase's grid, its motion undone where that was decided.

    Returns:
        float32 image on ``onto``; linear interpolation, NaN where the phase does not reach.
    """
    if motion is None or not motion.corrected:
        return resample_to(pre, onto, "linear", math.nan)
    moved = sitk.Image(pre)  # shares the pixels; only its place changes
    moved.SetOrigin([o + t for o, t in zip(pre.GetOrigin(), motion.translation_mm, strict=True)])
    return resample_to(moved, onto, "linear", math.nan)


def _coarse(image: sitk.Image) -> sitk.Image:
    """Float voxels of about 2 mm, averaged: enough for a shift, and many times faster.

    The smoothing makes a shift by part of a voxel, which interpolates and so smooths, no worse a
    match than none (a known bias of mutual information).
    """
    factors = [
        max(1, min(round(_WORKING_SPACING_MM / spacing), size))
        for spacing, size in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    coarse = sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), factors)
    smooth: sitk.Image = sitk.DiscreteGaussian(coarse, [_WORKING_SPACING_MM**2] * 3)
    return smooth
