"""What the training data looked like, for the gates that compare a new case with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from breastpredict.errors import InputError


def training_ranges(features: Sequence[Mapping[str, float | str]]) -> dict[str, Any]:
    """Summary of the features of the training cases.

    Args:
        features: one mapping of feature name to number or word per case.

    Returns:
        ``{name: {"kind": "number", "min", "p01", "median", "p99", "max", "cases"}}`` for numbers
        and ``{name: {"kind": "category", "values": [sorted], "cases"}}`` for words. Numbers that
        are not finite are left out of the summary; a feature without any is left out.

    Raises:
        InputError: a feature is a number in one case and a word in another.
    """
    values: dict[str, list[float | str]] = {}
    for case in features:
        for name, value in case.items():
            values.setdefault(name, []).append(value)
    summary: dict[str, Any] = {}
    for name, found in sorted(values.items()):
        words = [v for v in found if isinstance(v, str)]
        if words and len(words) < len(found):
            raise InputError(f"Feature {name!r} is a number in some cases and a word in others")
        if words:
            summary[name] = {"kind": "category", "values": sorted(set(words)), "cases": len(words)}
            continue
        numbers = np.array([v for v in found if not isinstance(v, str)], dtype=np.float64)
        numbers = numbers[np.isfinite(numbers)]
        if not numbers.size:
            continue
        points = np.quantile(numbers, [0.0, 0.01, 0.5, 0.99, 1.0])
        names = ("min", "p01", "median", "p99", "max")
        summary[name] = {
            "kind": "number",
            **dict(zip(names, map(float, points), strict=True)),
            "cases": int(numbers.size),
        }
    return summary
