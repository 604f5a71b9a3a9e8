"""Many cases, one after the other, with the model loaded once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastpredict.errors import BreastPredictError, GateRefusal, InputError
from breastpredict.her2 import (
    Her2Case,
    Her2Model,
    Her2Prediction,
    PreparedCase,
    prepare_case,
)
from breastpredict.her2.predict import Explain
from breastpredict.study.case_output import write_case, write_refused
from breastpredict.study.results import Results

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class BatchResult:
    """How a batch went: cases predicted now, found done already, and failed or refused."""

    predicted: int
    skipped: int
    failed: int


def run_batch(
    cases: Sequence[Her2Case],
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    device: str = "cpu",
    explain: Explain | None = "attention",
    override_gates: Sequence[str] = (),
    progress: Progress | None = None,
) -> BatchResult:
    """Predict every case; a failed one costs a row in failures.csv, never the batch.

    A case is done when its folder and its row are there and were made with these weights.

    Raises:
        InputError: no usable model or results folder.
    """
    model = Her2Model.load(run, device)
    results = Results(out)
    done = {row["case_key"]: row for row in results.predictions()}
    marks = " ".join(sorted(model.weights.values()))
    predicted = skipped = failed = 0
    for number, case in enumerate(cases, start=1):
        key = results.key(case.patient_id, str(case.study.resolve()))
        folder = results.folder / key
        if key in done and _made_with(folder, marks):
            skipped += 1
            line = "done already"
        elif predict_one(model, results, key, case, explain, override_gates):
            predicted += 1
            line = "predicted"
        else:
            failed += 1
            line = "failed: see failures.csv"
        if progress is not None:
            progress(number, len(cases), f"{key} {line}")
    return BatchResult(predicted, skipped, failed)


def predict_one(
    model: Her2Model,
    results: Results,
    key: str,
    case: Her2Case,
    explain: Explain | None,
    override_gates: Sequence[str],
) -> bool:
    """One case of a cohort into its folder and its row; False where it failed or was refused."""
    row = {"patient_id": case.patient_id, "cohort": case.cohort}
    prepared: PreparedCase | None = None
    try:
        if case.segmentation is None:
            raise InputError("The case has no segmentation", path=case.study)
        prepared = prepare_case(
            case.study, image_size=model.image_size, segmentation=case.segmentation
        )
        prediction = model.predict(prepared, explain, override_gates)
        write_case(results.folder / key, prediction)
    except GateRefusal as refusal:
        write_refused(results.folder / key, refusal, prepared, model)
        results.failed(key, {**row, "stage": f"gate {refusal.gate}", "reason": refusal.reason})
        return False
    except BreastPredictError as error:
        _forget(results.folder / key)
        results.failed(key, {**row, "stage": "input", "reason": str(error)})
        return False
    except Exception as error:  # one case must not end the batch, whatever is wrong with it
        _forget(results.folder / key)
        reason = f"internal error: {type(error).__name__}"
        results.failed(key, {**row, "stage": "internal", "reason": reason})
        return False
    results.predicted(key, {**row, **prediction_row(prediction)})
    return True


def prediction_row(prediction: Her2Prediction) -> dict[str, Any]:
    """The row of predictions.csv."""
    first, second = prediction.scores
    return {
        **{f"p_{name}": repr(value) for name, value in prediction.probabilities.items()},
        "predicted_class": prediction.predicted_class,
        "task1_score": repr(first.score),
        "task1_points_to": first.points_to,
        "task1_threshold": repr(first.threshold),
        "task2_score": repr(second.score),
        "task2_points_to": second.points_to,
        "task2_threshold": repr(second.threshold),
        "synthetic": int(prediction.synthetic),
        "overrides": " ".join(prediction.overrides),
        "note": "research use only",
    }


def _forget(folder: Path) -> None:
    """A case that failed keeps no folder of an earlier run: its numbers would look current."""
    shutil.rmtree(folder, ignore_errors=True)


def _made_with(folder: Path, marks: str) -> bool:
    try:
        result = json.loads((folder / "result.json").read_text("utf-8"))
        return " ".join(sorted(result["weights_sha256"].values())) == marks
    except (OSError, ValueError, KeyError, AttributeError):
        return False
