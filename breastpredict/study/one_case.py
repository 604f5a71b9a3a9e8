"""One case into a results folder: what ``her2 predict`` and the Slicer module do."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from breastpredict.dicom import Study
from breastpredict.errors import GateRefusal
from breastpredict.her2 import Her2Model, Her2Prediction, PreparedCase
from breastpredict.her2.predict import Explain
from breastpredict.study.case_output import write_case, write_refused
from breastpredict.study.her2_batch import prediction_row
from breastpredict.study.results import Results

Progress = Callable[[int, int, str], None]


def predict_case(
    case: str | os.PathLike[str] | Study,
    model: Her2Model,
    out: str | os.PathLike[str],
    *,
    explain: Explain | None = "attention",
    override_gates: Sequence[str] = (),
    progress: Progress | None = None,
    **reading: Any,
) -> tuple[Path, Her2Prediction]:
    """Prepare, predict and write one case; returns its folder and the prediction.

    Args:
        case: the study, or whatever `breastpredict.dicom.read_study` takes.
        model: loaded once, for many cases.
        out: results folder. Nothing is written there when the input cannot be used.
        explain: the map; None for none.
        override_gates: gates that may not refuse this case.
        progress: called with steps done, steps in all and what is being done.
        reading: the other arguments of `breastpredict.her2.Her2Model.prepare`.

    Raises:
        InputError: unusable input.
        GateRefusal: a gate refused; the reason is written, and no number.
    """
    say = progress or (lambda done, total, line: None)
    prepared: PreparedCase | None = None
    try:
        say(0, 3, "reading")
        prepared = model.prepare(case, **reading)
        say(1, 3, "predicting")
        prediction = model.predict(prepared, explain, override_gates)
    except GateRefusal as refusal:
        results, key = _place(case, out, reading, prepared)
        with results.opened() as ledger:
            write_refused(results.folder / key, refusal, prepared, model)
            row = {"stage": f"gate {refusal.gate}", "reason": refusal.reason}
            ledger.record(key, "failed", row)
        raise
    say(2, 3, "writing")
    results, key = _place(case, out, reading, prepared)
    with results.opened() as ledger:
        write_case(results.folder / key, prediction)
        ledger.record(key, "predicted", prediction_row(prediction))
    say(3, 3, "done")
    return results.folder / key, prediction


def _place(
    case: str | os.PathLike[str] | Study,
    out: str | os.PathLike[str],
    reading: dict[str, Any],
    prepared: PreparedCase | None,
) -> tuple[Results, str]:
    """The results folder and the case's key in it; made only when there is something to write.

    One folder may hold many studies, as Slicer's DICOM database does, and a study two breasts.
    """
    if isinstance(case, Study):
        folder, study_uid = case.folder, case.study_uid
    else:
        folder, study_uid = Path(case), reading.get("study_uid") or ""
    if prepared is not None and len(prepared.study.dce) > 1:
        which = str(prepared.study.dce.index(prepared.acquisition) + 1)
    else:
        which = str(reading.get("acquisition") or reading.get("laterality") or "")
    results = Results(out)
    return results, results.key("folder", str(folder.resolve()), study_uid, which)
