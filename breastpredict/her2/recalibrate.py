"""A trained run made to fit a site: ``her2 recalibrate`` on local patients of known class.

The weights stay; every task's bundle becomes a new version of itself in a new run folder. The run
it was made from is not touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from breastpredict.errors import BreastPredictError, InputError
from breastpredict.files import write_folder
from breastpredict.her2.cases import POINTS_TO, TITLES, Her2Case, label_of
from breastpredict.her2.predict import Her2Model
from breastpredict.her2.train_files import write_local_patients
from breastpredict.learning.recalibration import Method
from breastpredict.learning.run_files import CaseFailure, write_failures
from breastpredict.learning.site import (
    Progress,
    SiteRecalibration,
    check_target,
    copy_bundles,
    copy_run_files,
    fit_bundles,
    local_patients,
)

Her2Recalibration = SiteRecalibration
"""Of both tasks."""


def recalibrate_her2(
    cases: Sequence[Her2Case],
    run: str | os.PathLike[str],
    site: str,
    out: str | os.PathLike[str],
    *,
    method: Method = "all",
    sensitivity: float | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Her2Recalibration:
    """Fit both tasks' output to the patients of one site and write a new run.

    Args:
        cases: the cohort; only rows of ``site`` with a HER2 class are used, and none whose split
            is ``test``: those are for judging the result.
        run: the trained run; read only.
        site: name in the cohort column.
        out: folder of the new run, new or empty. It holds the two bundles, ``split.csv`` and
            ``scores.csv`` of the training, ``local_validation.csv`` (the patients used, who may no
            longer judge the result) and ``failures.csv``.
        method: see `breastpredict.learning.recalibration.recalibrate`.
        sensitivity: choose the threshold by it instead of by Youden's index.
        device: to compute on.
        progress: called with patients done, patients in all and a line.

    Raises:
        InputError: no such site, patients of the training among its rows, too few patients for
            either task, an unusable run, or ``out`` is not empty.
    """
    run, out = Path(run), Path(out)
    say = progress or (lambda done, total, line: None)
    check_target(out)
    local, notes = local_patients(
        cases,
        [case.her2 is not None for case in cases],
        "no HER2 class (2+ without ISH)",
        site,
        run,
    )
    model = Her2Model.load(run, device)
    logits, failures = _logits(model, local, say)
    used = [case for case in local if case.patient_id in logits]
    scored: dict[str, tuple[list[float], list[int]]] = {}
    for task in POINTS_TO:
        labels = {
            c.patient_id: label for c in used if (label := label_of(task, c.her2)) is not None
        }
        scored[task] = [logits[patient][task] for patient in labels], list(labels.values())
    blocks = {task: model.block(task) for task in POINTS_TO}
    fitted, left = fit_bundles(scored, blocks, TITLES, site, method=method, sensitivity=sensitivity)
    with write_folder(out) as temporary:
        copy_bundles(run, temporary, list(POINTS_TO), fitted)
        copy_run_files(run, temporary)
        write_local_patients(
            temporary,
            [{"patient_id": c.patient_id, "cohort": c.cohort, "her2": c.her2} for c in used],
        )
        write_failures(temporary, failures)
    notes.extend(f"{TITLES[task]} stays as it was. {why}" for task, why in left.items())
    return Her2Recalibration(out, fitted, left, tuple(failures), tuple(notes))


def _logits(
    model: Her2Model, local: Sequence[Her2Case], say: Progress
) -> tuple[dict[str, dict[str, float]], list[CaseFailure]]:
    found: dict[str, dict[str, float]] = {}
    failures: list[CaseFailure] = []
    for done, case in enumerate(local, start=1):
        try:
            if case.segmentation is None:
                raise InputError("The case has no segmentation")
            prepared = model.prepare(case.study, segmentation=case.segmentation, **case.reading)
            model.check(prepared)  # a case the model would refuse tells nothing of those it takes
            found[case.patient_id] = model.logits(prepared)
            line = "scored"
        except BreastPredictError as error:
            failures.append(CaseFailure(case.patient_id, str(error)))
            line = "cannot be used: see failures.csv"
        say(done, len(local), line)
    return found, failures
