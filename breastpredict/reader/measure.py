"""What is measured of every reading: shape, intensity, texture, and what a model says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from breastpredict.dicom import read_mask
from breastpredict.errors import BreastPredictError
from breastpredict.imaging import (
    BoxedMask,
    LargestSlice,
    intensity_features,
    largest_slice,
    shape_features,
    texture_features,
)
from breastpredict.reader.plan import Plan, PlannedCase
from breastpredict.reader.readings import Reading, Readings

if TYPE_CHECKING:
    from breastpredict.her2 import Her2Model

Progress = Callable[[int, int, str], None]

FAMILIES = ("shape", "intensity", "texture", "model", "embedding")


@dataclass(frozen=True)
class Measured:
    """One reading in numbers.

    Attributes:
        reading: the record.
        mask: on the early phase's grid; None where the reader saw no lesion, or where it could not
            be read.
        slice: its largest section; None without a mask.
        features: "<family>_<name>" → value; empty without a mask.
        predicted_class: what the model says; "" without one, or where it refused.
        problem: why the contour or the model's answer is missing, in words.
    """

    reading: Reading
    mask: BoxedMask | None = field(repr=False)
    slice: LargestSlice | None
    features: dict[str, float] = field(repr=False)
    predicted_class: str = ""
    problem: str = ""


def measure(
    plan: Plan,
    readings: Readings,
    model: Her2Model | None = None,
    *,
    progress: Progress | None = None,
) -> dict[tuple[str, int, str], Measured]:
    """(reader, session, case) → numbers of every reading that counts.

    Args:
        plan: the study.
        readings: all of it.
        model: scores every contour too, gates overridden: a contour is not refused here for being
            unlike the training data, because it is the readers that are compared.
        progress: called with cases done, cases in all and what is being done.

    Raises:
        InputError: the images of a case cannot be read.
    """
    say = progress or (lambda done, total, line: None)
    out: dict[tuple[str, int, str], Measured] = {}
    for number, key in enumerate(plan.cases):
        say(number, len(plan.cases), "measuring")
        mine = [reading for reading in readings.first.values() if reading.case == key]
        for found in _case(plan.case(key), mine, model):
            out[found.reading.key] = found
    say(len(plan.cases), len(plan.cases), "measured")
    return out


def _case(
    case: PlannedCase, readings: list[Reading], model: Her2Model | None
) -> Iterator[Measured]:
    image = case.phase.read() if any(not reading.empty for reading in readings) else None
    for reading in readings:
        if reading.empty or image is None:
            yield Measured(reading, None, None, {})
            continue
        try:
            mask = read_mask(reading.mask_path, case.phase.geometry, study=case.study).mask
        except BreastPredictError as error:
            yield Measured(reading, None, None, {}, problem=_plain(error))
            continue
        families: dict[str, dict[str, float]] = {
            "shape": shape_features(mask),
            "intensity": intensity_features(image, mask),
            "texture": texture_features(image, mask),
        }
        said, problem = "", ""
        if model is not None:
            try:
                said = _ask(model, case, reading, families)
            except BreastPredictError as error:
                problem = f"the model: {_plain(error)}"
        features = {
            f"{family}_{name}": value
            for family, values in families.items()
            for name, value in values.items()
        }
        yield Measured(reading, mask, largest_slice(mask), features, said, problem)


def _ask(
    model: Her2Model, case: PlannedCase, reading: Reading, families: dict[str, dict[str, float]]
) -> str:
    """Add the model's scores and embedding to the families; what class it says."""
    from breastpredict.her2 import GATES

    prepared = model.prepare(case.study, segmentation=reading.mask_path, phase=case.phase.index)
    prediction = model.predict(prepared, None, [gate.name for gate in GATES.gates])
    families["model"] = {
        **{f"{score.task}_score": score.score for score in prediction.scores},
        **{f"p_{name}": value for name, value in prediction.probabilities.items()},
    }
    families["embedding"] = {
        f"{task}_{number:03d}": float(value)
        for task, vector in model.embedding(prepared).items()
        for number, value in enumerate(vector)
    }
    return prediction.predicted_class


def _plain(error: Any) -> str:
    """The error without the path of a file."""
    return str(getattr(error, "problem", "") or getattr(error, "reason", "") or error).rstrip(".")
