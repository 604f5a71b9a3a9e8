"""A trained run made to fit a site: ``pcr recalibrate`` on local patients of known outcome.

The weights stay; every variant's bundle becomes a new version of itself in a new run folder. The
run it was made from is not touched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from breastpredict.errors import BreastPredictError
from breastpredict.files import write_folder
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
from breastpredict.pcr.baseline import FILE as BASELINE
from breastpredict.pcr.cases import PcrCase
from breastpredict.pcr.facts import PcrInputs
from breastpredict.pcr.predict import PcrModel
from breastpredict.pcr.train_files import write_local_patients

PcrRecalibration = SiteRecalibration
"""Of every variant."""


def recalibrate_pcr(
    cases: Sequence[PcrCase],
    run: str | os.PathLike[str],
    site: str,
    out: str | os.PathLike[str],
    *,
    method: Method = "all",
    sensitivity: float | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> PcrRecalibration:
    """Fit every variant's output to the patients of one site and write a new run.

    The clinical baseline is copied as it is: it is what the training run knew.

    Args:
        cases: the cohort; only rows of ``site`` with an outcome are used, and none whose split is
            ``test``: those are for judging the result.
        run: the trained run; read only.
        site: name in the cohort column.
        out: folder of the new run, new or empty. It holds the bundles, ``split.csv`` and
            ``scores.csv`` of the training, ``local_validation.csv`` (the patients used, who may no
            longer judge the result) and ``failures.csv``.
        method: see `breastpredict.learning.recalibration.recalibrate`.
        sensitivity: choose the threshold by it instead of by Youden's index.
        device: to compute on.
        progress: called with patients done, patients in all and a line.

    Raises:
        InputError: no such site, patients of the training among its rows, too few patients for
            every variant, an unusable run, or ``out`` is not empty.
    """
    run, out = Path(run), Path(out)
    say = progress or (lambda done, total, line: None)
    check_target(out)
    known = [case.pcr is not None for case in cases]
    local, notes = local_patients(cases, known, "no known outcome", site, run)
    model = PcrModel.load(run, device)
    logits, failures = _logits(model, local, say)
    scored: dict[str, tuple[list[float], list[int]]] = {}
    for variant, found in logits.items():
        members = [case for case in local if case.patient_id in found]
        scored[variant] = (
            [found[case.patient_id] for case in members],
            [int(bool(case.pcr)) for case in members],
        )
    titles = {variant: variant for variant in logits}
    fitted, left = fit_bundles(
        scored, model.facts.blocks, titles, site, method=method, sensitivity=sensitivity
    )
    used = {patient for found in logits.values() for patient in found}
    rows = [
        {"patient_id": c.patient_id, "cohort": c.cohort, "pcr": int(bool(c.pcr))}
        for c in local
        if c.patient_id in used
    ]
    with write_folder(out) as temporary:
        copy_bundles(model.facts.folder, temporary, list(model.facts.variants), fitted)
        copy_run_files(run, temporary, BASELINE)
        write_local_patients(temporary, rows)
        write_failures(temporary, failures)
    notes.extend(f"The variant {variant} stays as it was. {why}" for variant, why in left.items())
    return PcrRecalibration(out, fitted, left, tuple(failures), tuple(notes))


def _logits(
    model: PcrModel, local: Sequence[PcrCase], say: Progress
) -> tuple[dict[str, dict[str, float]], list[CaseFailure]]:
    """Variant → patient → logit, of the patients that the variant would take."""
    found: dict[str, dict[str, float]] = {variant: {} for variant in model.facts.variants}
    failures: list[CaseFailure] = []
    for done, case in enumerate(local, start=1):
        line = "scored"
        for variant, scores in found.items():
            try:
                _, prepared = model.prepare(case, variant)
                # A case the model would refuse tells nothing of those it takes.
                model.facts.check(variant, prepared)
                outputs = model.outputs(PcrInputs(variant, prepared.inputs), ())
                scores[case.patient_id] = outputs.logit
            except BreastPredictError as error:
                failures.append(CaseFailure(case.patient_id, f"variant {variant}: {error}"))
                line = "cannot be used by every variant: see failures.csv"
        say(done, len(local), line)
    return found, failures
