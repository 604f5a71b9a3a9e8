"""Geometry, the largest slice, region of interest, grey levels, lesion delineation (floor 0)."""

from __future__ import annotations

from breastpredict.imaging.delineation import (
    Delineation,
    Settings,
    delineate_from_box,
    delineate_from_point,
)
from breastpredict.imaging.features import intensity_features, shape_features, texture_features
from breastpredict.imaging.geometry import Geometry, resample_to
from breastpredict.imaging.intensity import normalise
from breastpredict.imaging.mask import BoxedMask
from breastpredict.imaging.motion import Motion, estimate_motion
from breastpredict.imaging.overlap import Overlap, overlap
from breastpredict.imaging.roi import SquareROI
from breastpredict.imaging.slices import LargestSlice, largest_lesion, largest_slice, section

__all__ = [
    "BoxedMask",
    "Delineation",
    "Geometry",
    "LargestSlice",
    "Motion",
    "Overlap",
    "Settings",
    "SquareROI",
    "delineate_from_box",
    "delineate_from_point",
    "estimate_motion",
    "intensity_features",
    "largest_lesion",
    "largest_slice",
    "normalise",
    "overlap",
    "resample_to",
    "section",
    "shape_features",
    "texture_features",
]
