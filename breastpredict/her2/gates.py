"""Reasons not to predict: the case is no case for this model.

A gate compares a feature of the case with what the training data recorded in the bundle looked
like. A refusal has a reason and no number. A gate can be overridden by name; that is recorded
wherever the prediction is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from breastpredict.errors import GateRefusal, InputError

SMALLEST_AREA_MM2 = math.pi * 2.5**2
"""A circle of 5 mm: BI-RADS MRI calls a smaller enhancement a focus, too small to characterise."""

SPACING_FACTOR = 1.5
"""A pixel or slice distance may lie outside of the training range by this factor."""

INTENSITY_SHARE = 0.5
"""A ratio may lie outside of the training range by this share of its width."""

NOT_OVERRIDABLE = ("no-tumour", "no-enhancement", "modality")
"""Where these hold there is nothing to compute."""


@dataclass(frozen=True)
class Gate:
    """One gate: its name and the check that gives a reason, or nothing."""

    name: str
    check: Callable[[Mapping[str, float | str], Mapping[str, Any]], str | None]


def _tumour_size(features: Mapping[str, float | str], _: Mapping[str, Any]) -> str | None:
    area = float(features["tumour_area_mm2"])
    if area >= SMALLEST_AREA_MM2:
        return None
    return (
        f"the largest section of the tumour has {area:.1f} mm²; below {SMALLEST_AREA_MM2:.1f} mm² "
        "(5 mm across) it is too small"
    )


def _post_contrast(features: Mapping[str, float | str], _: Mapping[str, Any]) -> str | None:
    role = features["phase_role"]
    if role == "post":
        return None
    found = "is a pre-contrast phase" if role == "pre" else "does not show contrast enhancement"
    return f"the chosen phase {found}"


def _spacing(features: Mapping[str, float | str], training: Mapping[str, Any]) -> str | None:
    for name, words in (
        ("pixel_spacing_mm", "pixel spacing"),
        ("slice_spacing_mm", "slice distance"),
    ):
        limits = _range(training, name)
        value = float(features[name])
        if limits and not limits[0] / SPACING_FACTOR <= value <= limits[1] * SPACING_FACTOR:
            return (
                f"the {words} is {value:.2f} mm; the model was trained on "
                f"{limits[0]:.2f} to {limits[1]:.2f} mm"
            )
    return None


def _plane(features: Mapping[str, float | str], training: Mapping[str, Any]) -> str | None:
    known = training.get("plane", {}).get("values")
    if not known or features["plane"] in known:
        return None
    return f"the slices are {features['plane']}; the model was trained on {', '.join(known)} ones"


def _intensity(features: Mapping[str, float | str], training: Mapping[str, Any]) -> str | None:
    for name, words in (
        ("lesion_contrast", "signal of the tumour against its surroundings"),
        ("enhancement", "enhancement of the tumour"),
    ):
        limits = _range(training, name)
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


GATES = (
    Gate("tumour-size", _tumour_size),
    Gate("post-contrast", _post_contrast),
    Gate("spacing", _spacing),
    Gate("plane", _plane),
    Gate("intensity", _intensity),
)


def check_gates(
    features: Mapping[str, float | str],
    training: Mapping[str, Any],
    override: Sequence[str] = (),
) -> tuple[str, ...]:
    """Apply every gate.

    Args:
        features: of the case, see ``PreparedCase``.
        training: ``training_data`` of the bundle.
        override: names of gates that may not refuse.

    Returns:
        One sentence for each gate that was overridden and would have refused.

    Raises:
        GateRefusal: the first gate that refuses; the reason names all of them.
        InputError: an override that is no gate, or of one that leaves nothing to compute.
    """
    check_overrides(override)
    refusals = [(gate.name, why) for gate in GATES if (why := gate.check(features, training))]
    standing = [(name, why) for name, why in refusals if name not in override]
    if standing:
        reason = "; ".join(
            f"{why} ({name})" if len(standing) > 1 else why for name, why in standing
        )
        raise GateRefusal(standing[0][0], reason[0].upper() + reason[1:] + ".")
    return tuple(f"Gate '{name}' was overridden: {why}." for name, why in refusals)


def check_overrides(names: Iterable[str]) -> None:
    """Raise InputError for a name that cannot be overridden."""
    known = [gate.name for gate in GATES]
    for name in names:
        if name in NOT_OVERRIDABLE:
            raise InputError(f"The gate '{name}' cannot be overridden: there is nothing to compute")
        if name not in known:
            raise InputError(f"There is no gate '{name}'", remedy=f"Use one of {', '.join(known)}")


def _range(training: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    found = training.get(name)
    if not isinstance(found, Mapping):
        return None
    try:
        return float(found["min"]), float(found["max"])
    except (KeyError, TypeError, ValueError):
        return None
