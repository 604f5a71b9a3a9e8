"""Geometry, the largest slice, the region of interest and lesion delineation (floor 0)."""

from __future__ import annotations

from breastpredict.imaging.delineation import (
    Delineation,
    Settings,
    delineate_from_box,
    delineate_from_point,
)
from breastpredict.imaging.geometry import Geometry, resample_to
from breastpredict.imaging.mask import BoxedMask
from breastpredict.imaging.motion import Motion, estimate_motion
from breastpredict.imaging.roi import SquareROI
from breastpredict.imaging.slices import LargestSlice, largest_lesion, largest_slice, section

__all__ = [
    "BoxedMask",
    "Delineation",
    "Geometry",
    "LargestSlice",
    "Motion",
    "Settings",
    "SquareROI",
    "delineate_from_box",
    "delineate_from_point",
    "estimate_motion",
    "largest_lesion",
    "largest_slice",
    "resample_to",
    "section",
]
