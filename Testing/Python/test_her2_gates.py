"""The gates: a reason and no number, unless a reader overrides them by name."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from breastpredict.errors import GateRefusal, InputError
from breastpredict.her2.gates import GATES, SMALLEST_AREA_MM2

TRAINING: dict[str, Any] = {
    "pixel_spacing_mm": {"kind": "number", "min": 0.6, "max": 0.9},
    "slice_spacing_mm": {"kind": "number", "min": 1.0, "max": 2.0},
    "plane": {"kind": "category", "values": ["axial", "sagittal"]},
    "lesion_contrast": {"kind": "number", "min": 1.0, "max": 2.0},
    "enhancement": {"kind": "number", "min": 0.5, "max": 1.5},
}
CASE: dict[str, float | str] = {
    "modality": "MR",
    "phase_role": "post",
    "plane": "axial",
    "pixel_spacing_mm": 0.7,
    "slice_spacing_mm": 1.5,
    "tumour_area_mm2": 120.0,
    "tumour_volume_mm3": 900.0,
    "lesion_contrast": 1.4,
    "enhancement": 0.9,
}
REFUSED = [
    ("tumour-size", {"tumour_area_mm2": 12.0}, "12.0 mm²"),
    ("post-contrast", {"phase_role": "pre"}, "pre-contrast"),
    ("post-contrast", {"phase_role": "unknown"}, "enhancement"),
    ("spacing", {"pixel_spacing_mm": 0.39}, "pixel spacing is 0.39 mm"),
    ("spacing", {"pixel_spacing_mm": 1.36}, "pixel spacing is 1.36 mm"),
    ("spacing", {"slice_spacing_mm": 6.0}, "slice distance is 6.00 mm"),
    ("plane", {"plane": "coronal"}, "coronal"),
    ("intensity", {"lesion_contrast": 2.6}, "2.60"),
    ("intensity", {"lesion_contrast": math.nan}, "nan"),
    ("intensity", {"enhancement": -0.1}, "enhancement of the tumour is -0.10"),
]


def test_a_case_like_the_training_data_passes() -> None:
    assert GATES.check(CASE, TRAINING) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"tumour_area_mm2": SMALLEST_AREA_MM2},
        {"pixel_spacing_mm": 0.41},
        {"pixel_spacing_mm": 1.34},
        {"slice_spacing_mm": 2.9},
        {"plane": "sagittal"},
        {"lesion_contrast": 2.4},
        {"enhancement": 0.1},
    ],
)
def test_a_case_a_little_outside_of_the_range_passes(change: dict[str, float | str]) -> None:
    assert GATES.check(CASE | change, TRAINING) == ()


@pytest.mark.parametrize(("gate", "change", "words"), REFUSED)
def test_each_gate_refuses_with_its_reason(
    gate: str, change: dict[str, float | str], words: str
) -> None:
    with pytest.raises(GateRefusal) as caught:
        GATES.check(CASE | change, TRAINING)
    assert caught.value.gate == gate
    assert words in caught.value.reason
    assert gate in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("gate", "change", "words"), REFUSED)
def test_an_override_lets_the_case_through_and_says_so(
    gate: str, change: dict[str, float | str], words: str
) -> None:
    (note,) = GATES.check(CASE | change, TRAINING, [gate])
    assert gate in note and "overridden" in note and words in note


@pytest.mark.parametrize(("gate", "change", "words"), REFUSED)
def test_an_override_of_another_gate_does_not_help(
    gate: str, change: dict[str, float | str], words: str
) -> None:
    others = [other.name for other in GATES.gates if other.name != gate]
    with pytest.raises(GateRefusal, match=re.escape(words)):
        GATES.check(CASE | change, TRAINING, others)


def test_several_refusals_are_all_named_at_once() -> None:
    bad = CASE | {"plane": "coronal", "tumour_area_mm2": 3.0, "slice_spacing_mm": 9.0}
    with pytest.raises(GateRefusal) as caught:
        GATES.check(bad, TRAINING)
    for name in ("plane", "tumour-size", "spacing"):
        assert name in caught.value.reason
    with pytest.raises(GateRefusal) as caught:
        GATES.check(bad, TRAINING, ["plane", "spacing"])
    assert caught.value.gate == "tumour-size"
    assert len(GATES.check(bad, TRAINING, ["plane", "spacing", "tumour-size"])) == 3


def test_an_override_that_was_not_needed_is_not_recorded() -> None:
    assert GATES.check(CASE, TRAINING, [gate.name for gate in GATES.gates]) == ()


def test_what_the_bundle_does_not_record_is_not_compared() -> None:
    assert GATES.check(CASE | {"plane": "oblique", "enhancement": 40.0}, {}) == ()


@pytest.mark.parametrize("name", ["no-tumour", "no-enhancement", "modality"])
def test_gates_that_leave_nothing_to_compute_cannot_be_overridden(name: str) -> None:
    with pytest.raises(InputError, match="cannot be overridden"):
        GATES.check_overrides([name])


@pytest.mark.parametrize("name", ["", "size", "PLANE", "tumour_size"])
def test_an_unknown_gate(name: str) -> None:
    with pytest.raises(InputError) as caught:
        GATES.check(CASE, TRAINING, [name])
    for gate in GATES.gates:
        assert gate.name in str(caught.value)
