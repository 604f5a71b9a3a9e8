"""``her2 evaluate``: the folder of a report, whole or not at all."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.her2 import CLASSES
from breastpredict.learning.evaluation import CohortResult
from breastpredict.stats import Estimate
from breastpredict.study.case_output import templates
from breastpredict.study.evaluation import figures
from breastpredict.study.evaluation.figures import Drawing, Spread
from breastpredict.study.evaluation.her2_cases import JoinedHer2, Lost, Scored, counts, join_her2
from breastpredict.study.evaluation.her2_numbers import (
    TRAINED,
    Her2Numbers,
    TaskNumbers,
    evaluate_her2,
)
from breastpredict.study.evaluation.panels import choose_panels, pictures_of
from breastpredict.study.evaluation.tables import PROPORTIONS, all_tables, to_json
from breastpredict.study.flow import flow_svg, inclusion_flow
from breastpredict.study.results import csv_text

Progress = Callable[[int, int, str], None]
_PAGE, _DATA = "index.html", "evaluation.json"
_REFUSED_SHOWN = 200
_REFUSED_PICTURES = 6
_FLOWS = 3


@dataclass(frozen=True)
class Shown:
    """A figure of the page.

    Attributes:
        name: of its files.
        text: what it shows.
        table: file with its numbers.
        drawing: itself.
    """

    name: str
    text: str
    table: str
    drawing: Drawing

    @property
    def uri(self) -> str:
        """The SVG as a data URI; in an image of its own no style or name of it meets the page's."""
        return _svg_uri(self.drawing.svg)


def evaluate_her2_cohort(
    cohort: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    cases: Sequence[str] = (),
    random_cases: int = 6,
    clinical: Sequence[str] = (),
    identifiers: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Evaluate predictions and write the report.

    Args:
        cohort: COHORT.csv.
        predictions: results folder of a batch; only read.
        out: folder of the report: ``index.html`` (self-contained), ``evaluation.json`` (every
            number), ``figures/`` (SVG and PNG), ``tables/`` (CSV). An earlier report is replaced.
        run: the training run of the model.
        cases: patients or case keys to show.
        random_cases: how many to show besides, drawn with ``seed``.
        clinical: columns of the clinical baseline.
        identifiers: name cases by patient_id instead of by case key.
        seed: of the draw and the bootstraps.
        progress: called with steps done, steps in all and what is being done.

    Returns:
        The page.

    Raises:
        CohortError, JoinError: tables that are wrong or do not fit together, all violations.
        InputError: nothing to evaluate, or ``out`` holds something else than a report.
    """
    say = progress or (lambda done, total, line: None)
    out = Path(out)
    _check_target(out)
    say(0, 4, "joining cohort and predictions")
    joined = join_her2(cohort, predictions, run)
    panels = choose_panels(joined, cases, random_cases, seed)
    say(1, 4, "computing")
    numbers = evaluate_her2(joined, clinical, seed=seed)

    def name_of(scored: Scored) -> str:
        return scored.case.patient_id if identifiers else scored.key

    say(2, 4, "drawing")
    shown = _figures(numbers)
    lost = [_lost_row(e, identifiers) for e in joined.lost if e.kind != "training"]
    say(3, 4, "writing")
    with write_folder(out) as folder:
        for name in ("figures", "tables"):
            (folder / name).mkdir()
        for figure in [f for group in shown.values() for f in group]:
            _write(folder / "figures" / f"{figure.name}.svg", figure.drawing.svg)
            (folder / "figures" / f"{figure.name}.png").write_bytes(figure.drawing.png)
        flows = _flows(joined)
        for number, flow in enumerate(flows, start=1):
            _write(folder / "figures" / f"flow_{number}.svg", flow)
        for name, text in all_tables(joined, numbers, name_of).items():
            _write(folder / "tables" / name, text)
        columns = ("case", "cohort", "her2", "kind", "stage", "reason")
        _write(folder / "tables" / "not_evaluated.csv", csv_text(columns, lost))
        content = _content(joined, numbers, lost)
        _write(folder / _DATA, json.dumps(content, indent=1, allow_nan=False) + "\n")
        page = (
            templates()
            .get_template("evaluation.html.j2")
            .render(
                note=RESEARCH_USE_ONLY,
                synthetic_note=SYNTHETIC_WARNING if joined.synthetic else "",
                joined=joined,
                flow=counts(joined),
                flow_uris=list(map(_svg_uri, flows)),
                classes=CLASSES,
                tasks=[
                    _task_view(task, shown[task.evaluation.task.name]) for task in numbers.tasks
                ],
                ordered=numbers.ordered,
                ordered_figures=shown["ordered"],
                panels=panels,
                name_of=name_of,
                lost=lost[:_REFUSED_SHOWN],
                lost_total=len(lost),
                lost_views=_lost_views(joined, identifiers),
                estimate=estimate,
                software=f"BreastPredict {__version__}",
                date=datetime.now().astimezone().isoformat(timespec="seconds"),
                seed=seed,
            )
        )
        _write(folder / _PAGE, page)
    say(4, 4, "done")
    return out / _PAGE


def _svg_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """A number and its limits as tables show them."""
    if value is None or not np.isfinite(value.value):
        return "–"
    text = f"{value.value:.{digits}f}"
    if np.isfinite(value.low):
        text += f" ({value.low:.{digits}f} to {value.high:.{digits}f})"
    return text.replace("-", "−")


def _check_target(out: Path) -> None:
    """The old folder is replaced as a whole, so it must be one of ours."""
    if out.exists() and not out.is_dir():
        raise InputError("The report needs a folder, and this is a file", path=out)
    if out.is_dir() and any(out.iterdir()) and not (out / _DATA).is_file():
        raise InputError(
            "The folder for the report is not empty and holds no earlier report",
            path=out,
            remedy="Give a new folder",
        )


def _figures(numbers: Her2Numbers) -> dict[str, list[Shown]]:
    """Task → its figures; "ordered" → those of the three classes."""
    out: dict[str, list[Shown]] = {}
    for task in numbers.tasks:
        evaluation, name = task.evaluation, task.evaluation.task.name
        positive, negative = (_words(evaluation.task.positive), _words(evaluation.task.negative))
        cohorts = evaluation.cohorts
        if not cohorts:
            out[name] = []
            continue
        curves = [marker.name for marker in task.markers if marker.name != TRAINED]
        what = "Predicted probability" if task.probability else "Score"
        found = [
            Shown(
                f"roc_{name}",
                "ROC curves with pointwise 95 % bands of the model (bootstrap by patient) and the "
                "operating point of each fixed threshold; no band below 5 cases of a class. AUC "
                "with logit-DeLong interval.",
                f"roc_{name}.csv",
                figures.roc(cohorts, curves),
            ),
            Shown(
                f"confusion_{name}",
                "Confusion matrices of the model at its threshold: cases, and share of the row.",
                f"confusion_{name}.csv",
                figures.confusion(cohorts, negative, positive),
            ),
            Shown(
                f"scores_{name}",
                f"The model's scores by true class; a high score points to {positive}.",
                f"scores_{name}.csv",
                figures.scores(_spreads(task), negative, positive, what),
            ),
        ]
        if task.probability:
            found.append(
                Shown(
                    f"calibration_{name}",
                    "Calibration: predicted probability against the observed share in bins of "
                    "equal size, with Wilson intervals.",
                    f"calibration_{name}.csv",
                    figures.calibration(cohorts),
                )
            )
            found.append(
                Shown(
                    f"decision_{name}",
                    f"Decision curves: net benefit of acting on {positive} at each threshold "
                    "probability.",
                    f"decision_{name}.csv",
                    figures.decision(cohorts, curves),
                )
            )
        if evaluation.subgroups:
            found.append(
                Shown(
                    f"subgroups_{name}",
                    "AUC of the model in subgroups of all unseen patients. Differences between "
                    "cohorts are part of them.",
                    "subgroups.csv",
                    figures.subgroups(evaluation.subgroups),
                )
            )
        out[name] = found
    out["ordered"] = (
        [
            Shown(
                "three_class",
                "Class by both thresholds against the true class: cases, and share of the row.",
                "three_class_confusion.csv",
                figures.ordered_confusion(numbers.ordered),
            )
        ]
        if numbers.ordered
        else []
    )
    return out


def _spreads(task: TaskNumbers) -> list[Spread]:
    model = task.markers[0]
    groups = np.array(task.cases.cohorts, dtype=object)
    out = []
    for cohort in task.evaluation.cohorts:
        part = (groups == cohort.cohort) & ~task.cases.training
        cut = model.threshold.value if model.threshold else None
        out.append(Spread(cohort.cohort, task.cases.labels[part], model.scores[part], cut))
    return out


def _flows(joined: JoinedHer2) -> list[str]:
    """The inclusion flow as SVG, so few cohorts in each that its letters stay readable."""
    reasons = {
        entry.case.patient_id: "seen by the model, not predicted"
        if entry.kind == "training"
        else f"{entry.kind}: {entry.stage}".strip(": ")
        for entry in joined.lost
    }
    sets = {s.case.patient_id: "seen by the model" if s.training else "evaluated"
            for s in joined.scored}  # fmt: skip
    sets |= {
        entry.case.patient_id: "seen by the model"
        if entry.kind == "training"
        else "without a prediction"
        for entry in joined.lost
    }
    flows = inclusion_flow(joined.cases, sets, reasons)
    return [flow_svg(flows[i : i + _FLOWS]) for i in range(0, len(flows), _FLOWS)]


def _task_view(task: TaskNumbers, shown: list[Shown]) -> dict[str, Any]:
    """One task as the page shows it."""
    evaluation = task.evaluation
    model = task.markers[0]
    notes = {marker.name: marker.note for marker in task.markers}
    return {
        "title": evaluation.title,
        "positive": _words(evaluation.task.positive),
        "negative": _words(evaluation.task.negative),
        "threshold": model.threshold,
        "notes": [(m.name, m.note) for m in task.markers if m.note],
        "cohorts": [_cohort_view(cohort, notes) for cohort in evaluation.cohorts],
        "training": [_cohort_view(cohort, notes) for cohort in evaluation.training],
        "out_of_fold": None if task.out_of_fold is None else _cohort_view(task.out_of_fold, {}),
        "figures": shown,
        "subgroups": evaluation.subgroups,
        "probability": task.probability,
        "baseline": task.baseline,
        "trained": TRAINED in {marker.name for marker in task.markers},
    }


def _cohort_view(cohort: CohortResult, notes: Mapping[str, str]) -> dict[str, Any]:
    """One cohort; what is to be said of a marker in every cohort stands above the table."""
    rows = []
    for marker in cohort.markers:
        test = marker.against_model
        rows.append(
            {
                "marker": marker.marker,
                "n": marker.n,
                "auc": estimate(marker.auc),
                "threshold": marker.threshold,
                "proportions": [
                    estimate(getattr(marker.metrics, name), 2) if marker.metrics else "–"
                    for name in PROPORTIONS
                ],
                "p": "" if test is None else _p_value(test.p_value),
                "difference": "" if test is None else f"{test.difference:+.3f}".replace("-", "−"),
                "note": marker.note.removeprefix(notes.get(marker.marker, "")).lstrip("; "),
            }
        )
    return {
        "cohort": cohort.cohort,
        "n": cohort.n,
        "positives": cohort.positives,
        "markers": rows,
        "warnings": cohort.warnings,
    }


def _p_value(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _lost_row(entry: Lost, identifiers: bool) -> dict[str, Any]:
    return {
        "case": entry.case.patient_id if identifiers else entry.key or "–",
        "cohort": entry.case.cohort,
        "her2": entry.case.her2,
        "kind": entry.kind,
        "stage": entry.stage,
        "reason": entry.reason if identifiers else _anonymous(entry),
    }


def _anonymous(entry: Lost) -> str:
    """A reason without the places and names in it: paths often hold the patient's name."""
    text = re.sub(r"\[.*\]", "[…]", entry.reason)
    case = entry.case
    for secret in (case.patient_id, str(case.study), str(case.segmentation or ""), case.study.name):
        if len(secret) > 1:
            text = text.replace(secret, "…")
    return text


def _lost_views(joined: JoinedHer2, identifiers: bool) -> list[dict[str, Any]]:
    """Refused cases that have pictures of their own."""
    out: list[dict[str, Any]] = []
    for entry in joined.lost:
        if len(out) == _REFUSED_PICTURES:
            break
        if entry.kind == "refused" and (views := pictures_of(entry.folder)):
            out.append({**_lost_row(entry, identifiers), "views": views})
    return out


def _content(
    joined: JoinedHer2, numbers: Her2Numbers, lost: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """evaluation.json: every number of the page, and those behind its curves."""
    return {
        "software": f"BreastPredict {__version__}",
        "research_use_only": RESEARCH_USE_ONLY,
        "synthetic": joined.synthetic,
        "synthetic_note": SYNTHETIC_WARNING if joined.synthetic else "",
        "warnings": list(joined.warnings),
        "flow": counts(joined),
        "tasks": [
            {
                **to_json(task.evaluation),
                "probability": task.probability,
                "cross_validated": to_json(task.out_of_fold),
                "clinical_baseline": None
                if task.baseline is None
                else {
                    "columns": list(task.baseline.columns),
                    "dropped": dict(task.baseline.dropped),
                    "handling": list(task.baseline.handling),
                    "coefficients": list(task.baseline.coefficients),
                    "training_patients": task.baseline.rows,
                    "threshold": task.baseline.threshold,
                },
            }
            for task in numbers.tasks
        ],
        "ordered": to_json(numbers.ordered),
        "not_evaluated": list(lost),
    }


def _words(name: str) -> str:
    return f"HER2-{name.replace('_', ' ')}"


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
