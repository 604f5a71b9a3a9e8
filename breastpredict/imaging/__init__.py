"""Geometry, the largest slice, the region of interest and lesion delineation (floor 0)."""

from __future__ import annotations

from breastpredict.imaging.geometry import Geometry, resample_to
from breastpredict.imaging.roi import SquareROI
from breastpredict.imaging.slices import LargestSlice, largest_lesion, largest_slice

__all__ = [
    "Geometry",
    "LargestSlice",
    "SquareROI",
    "largest_lesion",
    "largest_slice",
    "resample_to",
]
