"""Grey levels of a region to the range that networks take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError


def normalise(
    crop: NDArray[np.float32], remedy: str = "Check the mask and the phase"
) -> NDArray[np.float32]:
    """Grey to [-1, 1]: 1st to 99th percentile of the crop to [0, 1], then timm's (x-0.5)/0.5.

    For images whose grey has no unit: MR signal, and B-mode, whose gain adds to the log-compressed
    echo and whose dynamic range multiplies it. Taken from the crop itself, the range depends on
    nothing else. NaN marks what shows no image: it counts for nothing and becomes -1, like air.

    Args:
        crop: ``[row, column]``.
        remedy: what to do where the crop is constant.

    Raises:
        InputError: the crop is constant.
    """
    inside = crop[np.isfinite(crop)]
    low, high = np.percentile(inside, [1.0, 99.0]) if inside.size else (0.0, 0.0)
    if not high > low:
        raise InputError("The image around the tumour is constant", remedy=remedy)
    unit = np.clip((crop.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    scaled: NDArray[np.float32] = ((np.nan_to_num(unit) - 0.5) / 0.5).astype(np.float32)
    return scaled
