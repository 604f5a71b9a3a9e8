"""Numbers as DICOM files hold them: 16-bit pixels with a rescale, decimal strings, times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

from breastpredict.errors import InputError


@dataclass(frozen=True)
class Coding:
    """value = stored · slope + intercept."""

    slope: float
    intercept: float

    def store(self, values: NDArray[np.generic]) -> NDArray[np.uint16]:
        """The 16 bits of each value."""
        if self.slope == 1.0:
            return (values.astype(np.int64) - int(self.intercept)).astype(np.uint16)
        stored = np.rint((values.astype(np.float64) - self.intercept) / self.slope)
        return np.clip(stored, 0, 65535).astype(np.uint16)


def coding_of(images: Sequence[sitk.Image]) -> Coding:
    """One coding for several volumes: integers as they are or with an intercept, real numbers in
    65536 steps over their range.

    Raises:
        InputError: values that are not finite, or integers that span more than 16 bits.
    """
    arrays = [sitk.GetArrayViewFromImage(image) for image in images]
    if not all(np.isfinite(a).all() for a in arrays):
        raise InputError("a phase holds values that are not finite")
    low = min(a.min() for a in arrays)
    high = max(a.max() for a in arrays)
    if all(np.issubdtype(a.dtype, np.integer) for a in arrays):
        if low >= 0 and high <= 65535:
            return Coding(1.0, 0.0)
        if int(high) - int(low) <= 65535:
            return Coding(1.0, float(low))
        raise InputError("integers spanning more than 16 bits cannot be stored exactly")
    # What is divided by is what is written: the decimal string's value (16 characters).
    slope = float(decimal(max(float(high) - float(low), 1e-6) / 65534))
    return Coding(slope, float(decimal(float(low))))


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters (DICOM PS3.5 6.2)."""
    return str(format_number_as_ds(float(value)))


def time_of_day(moment: datetime) -> str:
    """DICOM TM with fractions only where there are any."""
    return f"{moment:%H%M%S}" + (f".{moment.microsecond:06d}" if moment.microsecond else "")
