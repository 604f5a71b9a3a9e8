"""Many cases, one after the other, with the model loaded once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastpredict import __version__
from breastpredict.dicom import source_files
from breastpredict.errors import BreastPredictError, GateRefusal, InputError, reason_of
from breastpredict.her2 import (
    Her2Case,
    Her2Model,
    Her2Prediction,
    PreparedCase,
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

    A case is done when its folder and its row are there and were made from what it would be made
    from now: the same model, map, overridden gates, study, mask and version. A second run does
    the others only.

    Raises:
        InputError: no usable model or results folder.
    """
    model = Her2Model.load(run, device)
    results = Results(out)
    done = results.done()
    settings = [
        __version__,
        # Weights by their hash, and thresholds and ranges, which change without them.
        *(json.dumps(model.block(task), sort_keys=True) for task in model.weights),
        str(explain),
        *sorted(set(override_gates)),
    ]
    predicted = skipped = failed = 0
    for number, case in enumerate(cases, start=1):
        key = results.key("patient", case.patient_id)
        made_from = results.key(*settings, *_inputs(case))
        if done.get(key) == made_from:
            skipped += 1
            line = "done already"
        elif predict_one(model, results, key, case, explain, override_gates, made_from):
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
    made_from: str,
) -> bool:
    """One case of a cohort into its folder and its row; False where it failed or was refused.

    ``made_from`` goes into the ledger with a prediction.
    """
    results.begin(key)
    row = {"patient_id": case.patient_id, "cohort": case.cohort}
    prepared: PreparedCase | None = None
    try:
        if case.segmentation is None:
            raise InputError("The case has no segmentation", path=case.study)
        prepared = model.prepare(case.study, segmentation=case.segmentation, **case.reading)
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
    except OSError as error:  # where the disk is full, the row below ends the batch
        _forget(results.folder / key)
        results.failed(key, {**row, "stage": "files", "reason": reason_of(error)})
        return False
    except Exception as error:  # one case must not end the batch, whatever is wrong with it
        _forget(results.folder / key)
        reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        results.failed(key, {**row, "stage": "internal", "reason": reason})
        return False
    results.predicted(key, {**row, **prediction_row(prediction)}, made_from)
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


def _inputs(case: Her2Case) -> Iterator[str]:
    """What the case's files are, wherever they lie: names and sizes, and the mask's content.

    A mask is small and is edited; a study is large and is sent again, not edited. Loaded volumes
    are edited: registered anew, they keep their names and sizes.
    """
    yield json.dumps(dict(case.reading), sort_keys=True)
    # What cannot be read is said where it is used.
    with contextlib.suppress(OSError, InputError):
        files = source_files(case.study)
        edited = case.study.suffix.lower() == ".csv"
        for path in files:
            yield f"{os.path.relpath(path, case.study)} {path.stat().st_size}"
            if edited:
                yield _digest(path)
    if case.segmentation is not None:
        with contextlib.suppress(OSError):
            yield _digest(case.segmentation)


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
