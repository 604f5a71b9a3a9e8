"""A trained run made to fit a site: ``her2 recalibrate`` on local patients of known class.

The weights stay; every task's bundle becomes a new version of itself in a new run folder. The run
it was made from is not touched.
"""

from __future__ import annotations

import datetime
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from breastpredict.errors import BreastPredictError, InputError
from breastpredict.files import write_folder, write_text
from breastpredict.her2.cases import POINTS_TO, TITLES, Her2Case, label_of
from breastpredict.her2.predict import Her2Model
from breastpredict.her2.train_files import (
    CaseFailure,
    read_split,
    write_failures,
    write_local_patients,
)
from breastpredict.learning.recalibration import Fitted, Method, recalibrate

Progress = Callable[[int, int, str], None]

_FILES = ("run.json", "split.csv", "scores.csv")  # what evaluation wants to know of the training


@dataclass(frozen=True)
class Her2Recalibration:
    """What came out.

    Attributes:
        folder: the new run.
        fitted: task → what was fitted; a task that is missing stayed as it was.
        left: task → why it stayed as it was.
        failures: local patients that could not be read or that a gate refused.
        notes: for the user.
    """

    folder: Path
    fitted: Mapping[str, Fitted]
    left: Mapping[str, str]
    failures: tuple[CaseFailure, ...]
    notes: tuple[str, ...]


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
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "The folder for the recalibrated run is not empty", path=out, remedy="Give a new folder"
        )
    local, notes = _local(cases, site, run)
    model = Her2Model.load(run, device)
    logits, failures = _logits(model, local, say)
    fitted: dict[str, Fitted] = {}
    left: dict[str, str] = {}
    for task in POINTS_TO:
        members = [
            c for c in local if c.patient_id in logits and label_of(task, c.her2) is not None
        ]
        try:
            fitted[task] = recalibrate(
                [logits[c.patient_id][task] for c in members],
                [int(label_of(task, c.her2) or 0) for c in members],
                _own_threshold(model, task),
                site,
                method=method,
                sensitivity=sensitivity,
            )
        except InputError as error:
            left[task] = str(error)
    if not fitted:
        raise InputError("; ".join(f"{TITLES[task]}: {why}" for task, why in left.items()))
    _write(out, run, fitted, [c for c in local if c.patient_id in logits], failures)
    notes.extend(f"{TITLES[task]} stays as it was. {why}" for task, why in left.items())
    return Her2Recalibration(out, fitted, left, tuple(failures), tuple(notes))


def _local(cases: Sequence[Her2Case], site: str, run: Path) -> tuple[list[Her2Case], list[str]]:
    """The site's patients, none of whom the run has seen, and what is to be said of them."""
    rows = [c for c in cases if c.cohort == site]
    if not rows:
        known = ", ".join(sorted({c.cohort for c in cases}))
        raise InputError(f"There is no cohort {site!r} in the table", remedy=f"Use one of {known}")
    notes = []
    seen = read_split(run) if (run / "split.csv").is_file() else None
    if seen is None:
        notes.append(
            "The run holds no split.csv, so it could not be checked whether these patients were in "
            "its training."
        )
    used = Counter(seen[c.patient_id] for c in rows if c.patient_id in (seen or {})) if seen else {}
    if used:
        sides = ", ".join(f"{count} in its {name} set" for name, count in sorted(used.items()))
        raise InputError(
            f"{sum(used.values())} of the {len(rows)} patients of {site!r} are in the run's own "
            f"training ({sides}): a recalibration on them would be too good",
            remedy="Use patients the model has never seen",
        )
    tests = sum(c.split == "test" for c in rows)
    unclear = sum(c.her2 is None and c.split != "test" for c in rows)
    if tests:
        notes.append(f"{tests} patients are marked 'test' and left out.")
    if unclear:
        notes.append(f"{unclear} patients have no HER2 class (2+ without ISH) and are left out.")
    local = [c for c in rows if c.split != "test" and c.her2 is not None]
    twice = len(local) - len({c.patient_id for c in local})
    if twice:
        raise InputError(f"{twice} patient(s) of {site!r} are in the table twice")
    return local, notes


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


def _own_threshold(model: Her2Model, task: str) -> float:
    """The threshold of the trained bundle, on the sigmoid of the network's own logit."""
    block = model.block(task)
    return float(block.get("local_validation", {}).get("trained_threshold", block["threshold"]))


def _write(
    out: Path,
    run: Path,
    fitted: Mapping[str, Fitted],
    local: Sequence[Her2Case],
    failures: Sequence[CaseFailure],
) -> None:
    """The new run; it appears whole or not at all."""
    from breastpredict.models import copy_bundle

    with write_folder(out) as temporary:
        for task in POINTS_TO:
            found = fitted.get(task)
            if found is None:
                copy_bundle(run / task, temporary / task)
                continue
            words = found.recalibration.words
            copy_bundle(run / task, temporary / task, _changes(run / task, found), words)
        for name in _FILES:
            if (run / name).is_file():
                write_text(temporary / name, (run / name).read_text("utf-8"))
        write_local_patients(
            temporary,
            [{"patient_id": c.patient_id, "cohort": c.cohort, "her2": c.her2} for c in local],
        )
        write_failures(temporary, failures)


def _changes(bundle: Path, found: Fitted) -> dict[str, Any]:
    """What becomes different in the bundle's metadata block."""
    from breastpredict.models import read_bundle_metadata

    block = read_bundle_metadata(bundle)["breastpredict"]
    local, n = found.recalibration, sum(found.patients.values())
    scaled = local.method != "threshold"
    calibration = dict(block.get("calibration", {}))
    if scaled:
        calibration = {
            "method": local.words,
            "probability": True,
            "prevalence": found.patients["positive"] / n,
            "trained": block.get("calibration", {}),
        }
    return {
        "threshold": found.threshold,
        "threshold_rule": f"{found.rule} ({local.site}); positive means score >= threshold",
        "calibration": calibration,
        "recalibration": asdict(local),
        "local_validation": {
            "patients": n,
            **found.patients,
            "site": local.site,
            "date": datetime.date.today().isoformat(),
            "method": local.method,
            "before": found.before,
            "after": found.after,
            "trained_threshold": block.get("local_validation", {}).get(
                "trained_threshold", block["threshold"]
            ),
            "note": "before and after on the patients it was fitted to: the latter is too good",
        },
    }
