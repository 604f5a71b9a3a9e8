"""When the HER2 model refuses a case, see `breastpredict.learning.gates`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from breastpredict.learning.gates import Features, Gate, Gates, trained_range

SMALLEST_AREA_MM2 = math.pi * 2.5**2
"""A circle of 5 mm: BI-RADS MRI calls a smaller enhancement a focus, too small to characterise."""

SPACING_FACTOR = 1.5
"""A pixel or slice distance may lie outside of the training range by this factor."""

INTENSITY_SHARE = 0.5
"""A ratio may lie outside of the training range by this share of its width."""


def _tumour_size(features: Features, _: Mapping[str, Any]) -> str | None:
    area = float(features["tumour_area_mm2"])
    if area >= SMALLEST_AREA_MM2:
        return None
    return (
        f"the largest section of the tumour has {area:.1f} mm²; below {SMALLEST_AREA_MM2:.1f} mm² "
        "(5 mm across) it is too small"
    )


def _post_contrast(features: Features, _: Mapping[str, Any]) -> str | None:
    role = features["phase_role"]
    if role == "post":
        return None
    found = "is a pre-contrast phase" if role == "pre" else "does not show contrast enhancement"
    return f"the chosen phase {found}"


def _spacing(features: Features, training: Mapping[str, Any]) -> str | None:
    for name, words in (
        ("pixel_spacing_mm", "pixel spacing"),
        ("slice_spacing_mm", "slice distance"),
    ):
        limits = trained_range(training, name)
        value = float(features[name])
        if limits and not limits[0] / SPACING_FACTOR <= value <= limits[1] * SPACING_FACTOR:
            return (
                f"the {words} is {value:.2f} mm; the model was trained on "
                f"{limits[0]:.2f} to {limits[1]:.2f} mm"
            )
    return None


def _plane(features: Features, training: Mapping[str, Any]) -> str | None:
    known = training.get("plane", {}).get("values")
    if not known or features["plane"] in known:
        return None
    return f"the slices are {features['plane']}; the model was trained on {', '.join(known)} ones"


def _intensity(features: Features, training: Mapping[str, Any]) -> str | None:
    for name, words in (
        ("lesion_contrast", "signal of the tumour against its surroundings"),
        ("enhancement", "enhancement of the tumour"),
    ):
        limits = trained_range(training, name)
        if limits is None:
            continue
        if name not in features:
            return f"the {words} cannot be measured; the model was trained on it"
        value, slack = float(features[name]), INTENSITY_SHARE * (limits[1] - limits[0])
        if not limits[0] - slack <= value <= limits[1] + slack:
            return (
                f"the {words} is {value:.2f}; the model was trained on "
                f"{limits[0]:.2f} to {limits[1]:.2f}"
            )
    return None


GATES = Gates(
    (
        Gate("tumour-size", _tumour_size),
        Gate("post-contrast", _post_contrast),
        Gate("spacing", _spacing),
        Gate("plane", _plane),
        Gate("intensity", _intensity),
    ),
    never=("no-tumour", "no-enhancement", "modality"),
)
