"""When the pCR model refuses a case, see `breastpredict.learning.gates`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from breastpredict.learning.gates import Features, Gate, Gates, trained_range

FACTOR = 1.5
"""A length or an interval may lie outside of the training range by this factor."""

DENSITY_SHARE = 0.5
"""A mean optical density may lie outside of the training range by this share of its width."""

LEAST_SLACK = 0.05
"""And by this at least: from few training slides the range is narrow by chance."""

_LENGTHS = {
    "spacing": (
        ("us0_spacing_mm", "pixel spacing of US-0", "mm"),
        ("us1_spacing_mm", "pixel spacing of US-1", "mm"),
    ),
    "region-size": (
        ("us0_side_mm", "side of the region on US-0", "mm"),
        ("us1_side_mm", "side of the region on US-1", "mm"),
        ("region_um", "longer side of the region of the biopsy", "µm"),
    ),
    "interval": (("interval_weeks", "interval between both ultrasound examinations", "weeks"),),
}


def _within(name: str) -> Gate:
    def check(features: Features, training: Mapping[str, Any]) -> str | None:
        for feature, words, unit in _LENGTHS[name]:
            limits = trained_range(training, feature)
            if limits is None or feature not in features:
                continue  # what the file does not tell is a warning, not a refusal
            value = float(features[feature])
            if not limits[0] / FACTOR <= value <= limits[1] * FACTOR:
                return (
                    f"the {words} is {value:.3g} {unit}; the model was trained on "
                    f"{limits[0]:.3g} to {limits[1]:.3g} {unit}"
                )
        return None

    return Gate(name, check)


def _stain(features: Features, training: Mapping[str, Any]) -> str | None:
    for channel, words in (("r", "red"), ("g", "green"), ("b", "blue")):
        name = f"density_{channel}"
        limits = trained_range(training, name)
        if limits is None or name not in features:
            continue
        value = float(features[name])
        slack = max(DENSITY_SHARE * (limits[1] - limits[0]), LEAST_SLACK)
        if not limits[0] - slack <= value <= limits[1] + slack:
            return (
                f"the mean optical density of the biopsy in {words} is {value:.2f}; the model was "
                f"trained on {limits[0]:.2f} to {limits[1]:.2f}"
            )
    return None


def _problem(name: str) -> Gate:
    """A gate that was asked while the files were read: its feature is the reason."""

    def check(features: Features, _: Mapping[str, Any]) -> str | None:
        why = str(features.get(name, ""))
        return why[:1].lower() + why[1:].rstrip(".") if why else None

    return Gate(name, check)


GATES = Gates(
    (
        _problem("pathology"),
        _problem("colour-doppler"),
        _within("spacing"),
        _within("region-size"),
        _within("interval"),
        Gate("stain", _stain),
    ),
    never=("no-tumour",),
)
