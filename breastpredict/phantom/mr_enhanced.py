"""The functional groups and modules of an Enhanced MR Image (DICOM PS3.3 A.36.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import SimpleITK as sitk
from pydicom import Dataset


def complete_enhanced(
    data: Dataset,
    images: Sequence[sitk.Image],
    *,
    starts: Sequence[datetime],
    positions: Sequence[int],
    offsets_s: Sequence[float],
    pre: Sequence[bool],
    duration_s: float,
    rescale: tuple[float, float],
    range_of_values: tuple[int, int],
    injection: datetime | None,
    field_strength_t: float,
) -> None:
    """Add what an Enhanced MR Image holds beyond patient, study, series and equipment.

    Args:
        data: the data set to complete.
        images: the phases, on one grid.
        starts: when each phase's acquisition starts.
        positions: each phase's TemporalPositionIndex.
        offsets_s: each phase's TemporalPositionTimeOffset in seconds.
        pre: which phases come before contrast.
        duration_s: how long each phase is acquired.
        rescale: slope and intercept from stored to real values.
        range_of_values: least and greatest stored value.
        injection: when contrast was given, if that is to be written.
        field_strength_t: in tesla.
    """
    raise NotImplementedError
